"""The local runtime as tests in Python use it: a process that can be killed, on the same port and streams again."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE = 60


def from_env(name: str, usual: str) -> str:
    return os.environ.get(name) or str(PROJECT / usual)


def until(what: str, ask: Callable[[], object]) -> object:
    """Asks again and again until there is an answer."""
    begun = time.monotonic()
    while time.monotonic() - begun < PATIENCE:
        if answer := ask():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"waited in vain until {what}")


class Runtime:
    """A build of the Worker in workerd. `kill` is a kill -9."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="tailrace-python-")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        command = [from_env("TAILRACE_NODE", "node_modules/.bin/node"), "--no-warnings"]
        command += [from_env("TAILRACE_RUNTIME", "scripts/runtime/serve.mjs")]
        command += ["--build", from_env("TAILRACE_BUILD", "build"), "--port", str(self.port)]
        command += ["--persist-to", self.folder, "--until-stdin-closes"]
        # The variables of whoever runs the tests are not the Worker's.
        env = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        pipe = subprocess.PIPE
        with open(Path(self.folder, "log"), "a") as log:
            self.process = subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, stderr=log, text=True)
        line = self.process.stdout.readline()
        assert json.loads(line or "{}").get("url") == self.url, Path(self.folder, "log").read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        # Its child is killed with it, and then the port is free.
        until("the port is free", lambda: not self.is_listening())

    def is_listening(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except ConnectionRefusedError:
            return False
        return True

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Stream:
    """A stream as a plain client sees it."""

    def __init__(self, runtime: Runtime) -> None:
        self.url = f"{runtime.url}/api/streams/t-{uuid.uuid4()}"

    def append(self, event: dict) -> dict:
        answer = requests.post(self.url, json=event, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        return answer.json()["event"]

    def events(self) -> list[dict]:
        page = requests.get(f"{self.url}?limit=1000", timeout=PATIENCE).json()
        assert page["upToDate"]
        return page["events"]


@pytest.fixture(scope="session")
def shared_runtime() -> Iterator[Runtime]:
    """One for all tests that do not kill it."""
    runtime = Runtime()
    yield runtime
    runtime.stop()


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    """One of the test's own."""
    runtime = Runtime()
    yield runtime
    runtime.stop()


@pytest.fixture
def stream(runtime: Runtime) -> Stream:
    """A stream of the test's own."""
    return Stream(runtime)
