"""The clients for server-sent events that Python has: they resume over a restart without a gap or a double."""

import threading
from collections.abc import Callable, Iterator

import httpx
import pytest
import requests
import sseclient
from conftest import PATIENCE, Runtime, Stream, until
from httpx_sse import connect_sse

# What one connection yields: the name of the event, its id, its data as JSON.
Message = tuple[str, str, dict]
Connect = Callable[[str, dict[str, str]], Iterator[Message]]


def with_httpx_sse(url: str, headers: dict[str, str]) -> Iterator[Message]:
    with httpx.Client(timeout=PATIENCE) as client, connect_sse(client, "GET", url, headers=headers) as source:
        for event in source.iter_sse():
            yield event.event, event.id, event.json()


def with_sseclient(url: str, headers: dict[str, str]) -> Iterator[Message]:
    headers = {"accept": "text/event-stream", **headers}
    with requests.get(url, stream=True, headers=headers, timeout=PATIENCE) as response:
        for event in sseclient.SSEClient(response).events():
            yield event.event, event.id, httpx.Response(200, text=event.data).json()


BROKEN = (httpx.TransportError, requests.RequestException)


def follow(connect: Connect, url: str, seen: list[dict], enough: threading.Event) -> None:
    """Both leave it to their user to come again; this is all that it takes."""
    last_id = ""
    while not enough.is_set():
        try:
            for name, event_id, data in connect(url, {"last-event-id": last_id}):
                last_id = event_id or last_id
                assert name != "reset"
                if name == "message":
                    seen.append(data)
                if enough.is_set():
                    return
        except BROKEN:
            enough.wait(0.05)


@pytest.mark.parametrize("connect", [with_httpx_sse, with_sseclient])
def test_a_client_resumes_over_restarts_without_a_gap_or_a_double(
    connect: Connect, runtime: Runtime, stream: Stream
) -> None:
    stream.append({"type": "breaker.configured", "payload": {"limit": None}})
    seen: list[dict] = []
    enough = threading.Event()
    reader = threading.Thread(target=follow, args=(connect, stream.url, seen, enough), daemon=True)
    reader.start()

    for _ in range(3):
        for n in range(30):
            stream.append({"type": "live", "payload": {"n": n, "text": "é\u2028\r\n" * n}})
        runtime.kill()
        runtime.start()
    stored = stream.events()

    try:
        until("the client has seen everything", lambda: len(seen) >= len(stored))
    finally:
        enough.set()
        stream.append({"type": "end"})
    assert seen[: len(stored)] == stored
    assert [event["offset"] for event in stored] == list(range(1, 93))
    reader.join(PATIENCE)
    assert not reader.is_alive()
