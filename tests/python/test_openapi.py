"""The description of the HTTP interface is true: for data that it allows and for data that it does not, every answer is
one that it names, of the content type and the shape that it gives, and never a fault of the server.
"""

import pytest
import requests
import schemathesis
from conftest import PATIENCE, Runtime, Stream, until
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


def test_what_subscriptions_and_schedules_are_answered_with_is_as_described(
    api: schemathesis.BaseSchema, shared_runtime: Runtime
) -> None:
    """Data made by chance hardly ever meets a lease."""
    stream = Stream(shared_runtime)
    path = stream.url.rpartition("/")[2]

    def ask(method: str, call: str, expected: int, query: str = "", body: object = None) -> dict:
        url = f"{shared_runtime.url}/api/{call}/{path}?{query}"
        response = requests.request(method, url, json=body, timeout=PATIENCE)
        api[f"/api/{call}/{{path}}"][method].validate_response(response)
        assert response.status_code == expected, response.text
        return response.json() if response.content else {}

    def configure(kind: str, **payload: object) -> None:
        stream.append({"type": f"{kind}.configured", "payload": payload})

    event = {"type": "tick"}
    configure(
        "schedule", slug="daily", cron="0 9 * * *", timezone="Europe/Berlin", maxRuns=3, event=event, children=True
    )
    configure("schedule", slug="often", every="PT1H", until="2100-01-01T00:00:00Z", event=event)
    configure("schedule", slug="once", at="2100-01-01T00:00:00Z", event=event)
    configure("schedule", slug="later", after="P1D", event=event)
    pull = {"pull": True}
    configure("subscription", slug="w", target=pull, types="m", state={}, version=1, children=True, **{"from": "start"})
    configure("subscription", slug="v", target=pull, types="m", where="event.offset > 0", grants=["schedule.*"])
    # Nothing listens there.
    headers = {"X-From": "a test"}
    configure(
        "subscription", slug="u", target={"url": "http://127.0.0.1:9"}, headers=headers, plain=True, whilePaused=True
    )
    stream.append({"type": "m"})

    lease = ask("POST", "lease", 200, "slug=w&for=60")["lease"]
    ask("POST", "lease", 204, "slug=w")
    ask("GET", "subscriptions", 200)
    assert ask("POST", "settle", 200, body={"lease": lease, "extend": 60})["offsets"] == []
    ask("POST", "settle", 400, body={"lease": lease, "upTo": 99})
    elsewhere = {"type": "n", "streamPath": "below"}
    done = {"lease": lease, "state": {"n": 1}, "append": [{"type": "n", "cause": {"offset": 2}}, elsewhere]}
    assert len(ask("POST", "settle", 200, body=done)["offsets"]) == 1
    ask("POST", "settle", 200, body=done)
    ask("POST", "settle", 409, body={"lease": "w.lost"})
    lease = ask("POST", "lease", 200, "slug=v")["lease"]
    assert ask("POST", "settle", 200, body={"lease": lease, "error": "not today"})["failed"]
    stream.append({"type": "subscription.resumed", "payload": {"slug": "v"}})
    lease = ask("POST", "lease", 200, "slug=v")["lease"]
    ask("POST", "settle", 403, body={"lease": lease, "append": {"type": "stream.resumed"}})
    ask("POST", "lease", 204, "slug=v")
    ask("POST", "lease", 404, "slug=nobody")
    ask("GET", "subscriptions", 404, "slug=nobody")

    until("it failed", lambda: ask("GET", "subscriptions", 200, "slug=u")["status"] == "retrying")
    reports = {slug: ask("GET", "subscriptions", 200, f"slug={slug}&reveal=secret") for slug in ("w", "v", "u")}
    assert {slug: report["status"] for slug, report in reports.items()} == {"w": "idle", "v": "halted", "u": "retrying"}
    assert all(report["attempts"] and report["secret"].startswith("whsec_") for report in reports.values())
    now = ask("GET", "state", 200)
    assert len(now["schedules"]) == 4 and len(now["subscriptions"]) == 3
    then = ask("GET", "state", 200, "at=4")
    assert len(then["schedules"]) == 3 and not then["subscriptions"]
