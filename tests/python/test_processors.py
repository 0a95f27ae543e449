"""The processor of the README in Python, as it stands there, against the real runtime."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from conftest import PATIENCE, PROJECT, Runtime, Stream, until

FOLDER = PROJECT / "examples" / "ten-lines"


def test_a_processor_in_python_counts_exactly_although_it_is_killed_in_the_middle(shared_runtime: Runtime) -> None:
    stream = Stream(shared_runtime)
    stream.append({"type": "breaker.configured", "payload": {"limit": None}})
    port = free_port()
    target = {"url": f"http://127.0.0.1:{port}"}
    stream.append(
        {"type": "subscription.configured", "payload": {"slug": "count", "types": ["message"], "target": target}}
    )

    with messages(stream):
        with processor(port):
            until("it counted a few", lambda: len(counted(stream)) >= 3)
        before = len(counted(stream))
        with processor(port):
            until("it goes on after its death", lambda: len(counted(stream)) > before)
    asked = [event["offset"] for event in stream.events() if event["type"] == "message"]
    with processor(port):
        until("all is counted", lambda: state(stream) == len(asked))

    answers = counted(stream)
    assert answers[-1]["payload"] == {"count": len(asked)}
    for answer in answers:
        # Each says how many messages there were up to the one that it answers.
        assert answer["payload"]["count"] == sum(offset <= answer["cause"]["offset"] for offset in asked)
        assert answer["metadata"] == {"tailrace": {"by": "subscription:count"}}
    assert len({answer["cause"]["offset"] for answer in answers}) == len(answers)


@contextmanager
def processor(port: int) -> Iterator[None]:
    """Runs it as the README does; it ends by a kill -9."""
    process = subprocess.Popen([sys.executable, "processor.py", str(port)], cwd=FOLDER, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def messages(stream: Stream) -> Iterator[None]:
    """Appends messages meanwhile, at a pace at which the stream stays short."""
    enough = threading.Event()

    def write() -> None:
        while not enough.wait(0.03):
            stream.append({"type": "message", "payload": {"text": "a\nb"}})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        enough.set()
        writer.join()


def counted(stream: Stream) -> list[dict]:
    return [event for event in stream.events() if event["type"] == "counted"]


def state(stream: Stream) -> object:
    url = stream.url.replace("/api/streams/", "/api/subscriptions/")
    return requests.get(f"{url}?slug=count", timeout=PATIENCE).json()["state"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
