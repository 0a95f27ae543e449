"""The local runtime, as the other tests in Python have it, and a stream of each test's own."""

import importlib.util
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tailrace import AsyncTailrace, Tailrace

# The breaker is not what is tested here.
UNLIMITED = {"type": "breaker.configured", "payload": {"limit": None}}

_file = Path(__file__).resolve().parents[3] / "tests" / "python" / "conftest.py"
_spec = importlib.util.spec_from_file_location("tailrace_runtime", _file)
assert _spec and _spec.loader
runtime_of = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(runtime_of)
Runtime, until, PATIENCE = runtime_of.Runtime, runtime_of.until, runtime_of.PATIENCE

os.environ["TAILRACE_SDK_FAST"] = "1"


@pytest.fixture(scope="session")
def shared_runtime() -> Iterator[Any]:
    """One for all tests that do not kill it."""
    runtime = Runtime()
    yield runtime
    runtime.stop()


@pytest.fixture
def runtime() -> Iterator[Any]:
    """One of the test's own."""
    runtime = Runtime()
    yield runtime
    runtime.stop()


@pytest.fixture
def tailrace(shared_runtime: Any) -> Iterator[Tailrace]:
    """A client of the shared runtime."""
    with Tailrace(shared_runtime.url) as client:
        yield client


@pytest.fixture
def path() -> str:
    """The path of a stream that is not there yet."""
    return f"/t-{uuid.uuid4()}"


async def collected(events: AsyncIterator[Any], count: int) -> list[Any]:
    """So many of them."""
    found: list[Any] = []
    async for event in events:
        found.append(event)
        if len(found) == count:
            break
    return found


__all__ = ["PATIENCE", "UNLIMITED", "AsyncTailrace", "Runtime", "collected", "until"]
