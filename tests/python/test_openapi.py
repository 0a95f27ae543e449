"""The description of the HTTP interface is true: for data that it allows and for data that it does not, every answer is
one that it names, of the content type and the shape that it gives, and never a fault of the server.
"""

import pytest
import schemathesis
from conftest import Runtime
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.config import (
    GenerationConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="session")
def api(shared_runtime: Runtime) -> schemathesis.BaseSchema:
    generation = GenerationConfig(modes=list(GenerationMode), deterministic=True)
    config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=generation)))
    return schemathesis.openapi.from_url(f"{shared_runtime.url}/api/openapi.json", config=config)


schema = schemathesis.pytest.from_fixture("api")


def is_endless(case: Case) -> bool:
    """A live read has no end, and other tests follow those; a long poll ends after a minute."""
    query = case.query or {}
    accept = str((case.headers or {}).get("Accept", ""))
    return "live" in query or "text/event-stream" in accept or query.get("wait", 0) not in (0, "0", None)


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_description_names(case: Case) -> None:
    if not is_endless(case):
        case.call_and_validate(checks=CHECKS, timeout=20)
