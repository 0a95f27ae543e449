"""The same processor as an endpoint, under real servers, with the signature that the runtime makes."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest
import uvicorn
from conftest import PATIENCE, until
from standardwebhooks.webhooks import Webhook

from tailrace import Append, Event, Processor, Tailrace, handler, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "QUJD" * 8


class Count(Processor[int]):
    def initial_state(self) -> int:
        return 0

    def reduce(self, state: int, event: Event[Any]) -> int:
        return state + 1

    def after_append(self, event: Event[Any], state: int, append: Append) -> Any:
        if event.payload.get("bad"):
            raise RuntimeError("bad event")
        append({"type": "counted", "payload": {"count": state}})


class AsyncCount(Count):
    async def after_append(self, event: Event[Any], state: int, append: Append) -> None:
        await asyncio.sleep(0)
        super().after_append(event, state, append)


@contextmanager
def asgi(app: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        until("it serves", lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


@contextmanager
def wsgi(app: Any) -> Iterator[str]:
    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join(PATIENCE)


@pytest.mark.parametrize("processor", [Count, AsyncCount])
@pytest.mark.parametrize("serve", [asgi, wsgi])
def test_a_push_endpoint_answers_its_server_and_nobody_else(
    tailrace: Tailrace, path: str, processor: type[Count], serve: Callable[[Any], Any]
) -> None:
    stream = tailrace.stream(path)
    ready: list[Any] = []

    def late(*given: Any) -> Any:
        return (ready[0].asgi_app if serve is asgi else ready[0].wsgi_app)(*given)

    async def lately(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" and not ready:
            ready.append(handler(processor(), SECRET))
        await late(scope, receive, send)

    with serve(lately if serve is asgi else late) as url:
        payload = {"slug": "count", "types": ["message"], "target": {"url": url}}
        stream.append({"type": "subscription.configured", "payload": payload})
        answer = httpx.get(f"{tailrace.url}/api/subscriptions{path}?slug=count&reveal=secret").json()
        # The secret is known only now.
        ready[:] = [handler(processor(), [OTHER, answer["secret"]])]
        stream.append([{"type": "message", "payload": {"text": "é\u2028"}} for _ in range(3)])
        until("all is counted", lambda: len(list(stream.read(types="counted"))) == 3)

        assert httpx.post(url, json={"events": []}).status_code == 401
        assert httpx.get(url).status_code == 405
        assert httpx.post(url, content=b" " * 9_000_000).status_code == 413
    counted = list(stream.read(types="counted"))
    assert [event.payload["count"] for event in counted] == [1, 2, 3]
    asked = [event.offset for event in stream.read(types="message")]
    assert [(event.cause or {})["offset"] for event in counted] == asked
    assert stream.subscription("count")["failedAttempts"] == 0


def push(*events: dict[str, Any], secret: str = SECRET, **more: Any) -> tuple[dict[str, str], bytes]:
    """A push as the server makes it, signed by another's library."""
    listed = [{"offset": 2 + n, "payload": {}, **event} for n, event in enumerate(events)]
    said = {
        "subscription": "s",
        "streamPath": "/a",
        "events": listed,
        "state": None,
        "replay": False,
        "head": 9,
        **more,
    }
    body = json.dumps(said)
    return signed(body, secret), body.encode()


def signed(body: str, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    from datetime import datetime, timezone

    moment = datetime.fromtimestamp(time.time() if at is None else at, tz=timezone.utc)
    return {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(int(moment.timestamp())),
        "Webhook-Signature": "v1,AAAA v2,x " + Webhook(secret).sign("msg_1", moment, body),
    }


def test_a_batch_is_answered_whole_and_history_without_effects() -> None:
    app = handler(Count(), SECRET)
    status, headers, body = app(*push({"type": "m"}, {"type": "m"}, state=5))
    assert (status, dict(headers)["content-type"]) == (200, "application/json")
    assert json.loads(body) == {
        "state": 7,
        "append": [
            {"type": "counted", "payload": {"count": 6}, "cause": {"offset": 2}},
            {"type": "counted", "payload": {"count": 7}, "cause": {"offset": 3}},
        ],
    }
    status, _, body = app(*push({"type": "m"}, {"type": "m"}, replay=True))
    assert (status, json.loads(body)) == (200, {"state": 2, "append": []})


def test_an_error_is_answered_as_one_and_told() -> None:
    told: list[Any] = []
    for processor in (Count(), AsyncCount()):
        app = handler(
            processor, SECRET, on_error=lambda error, event: told.append((str(error), event and event.offset))
        )
        given = push({"type": "m"}, {"type": "m", "payload": {"bad": True}})
        for reply in (app(*given), asyncio.run(app.answer(*given))):
            assert (reply[0], json.loads(reply[2])) == (500, {"error": "bad event"})
    assert told == [("bad event", 3)] * 4


def test_what_is_not_signed_by_the_secret_is_not_run() -> None:
    class Never(Processor[None]):
        def reduce(self, state: None, event: Event[Any]) -> None:
            raise AssertionError("it ran")

    app = handler(Never(), SECRET)
    headers, body = push({"type": "m"})
    assert verify(headers, body, [OTHER, SECRET]) and verify(signed("é"), "é".encode(), SECRET)
    now = time.time()
    refused = [
        ({}, body),
        (headers, body + b" "),
        ({**headers, "Webhook-Id": "msg_2"}, body),
        ({**headers, "Webhook-Timestamp": str(int(now) - 1)}, body),
        ({**headers, "Webhook-Timestamp": "soon"}, body),
        ({**headers, "Webhook-Timestamp": "9" * 400}, body),
        ({**headers, "Webhook-Signature": "v1,é"}, body),
        ({**headers, "Webhook-Signature": headers["Webhook-Signature"].replace("v1,", "v1a,")}, body),
        (push({"type": "m"}, secret=OTHER)[0], body),
        (signed(body.decode(), at=now - 400), body),
        (signed(body.decode(), at=now + 400), body),
    ]
    for given in refused:
        assert app(*given)[0] == 401
    assert app(signed("[]"), b"[]")[0] == 400
    assert handler(Never(), SECRET, tolerance_seconds=500)(signed(body.decode(), at=now - 400), body)[0] == 500
    nothing: list[str] = []
    for secrets in (nothing, "", "whsec_", "whsec_no base64"):
        with pytest.raises(ValueError, match="secret"):
            handler(Never(), secrets)
