"""A push is signed as Standard Webhooks has it: its library for Python verifies it, and nothing else."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue

import pytest
import requests
from conftest import PATIENCE, Runtime, Stream
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


@dataclass
class Push:
    headers: dict[str, str]
    body: bytes


class Subscriber:
    """Takes pushes, and keeps them."""

    def __init__(self) -> None:
        self.pushes: Queue[Push] = Queue()
        pushes = self.pushes

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                pushes.put(Push({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self) -> Push:
        return self.pushes.get(timeout=PATIENCE)


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    subscriber = Subscriber()
    yield subscriber
    subscriber.server.shutdown()
    subscriber.server.server_close()


@pytest.fixture
def stream(shared_runtime: Runtime) -> Stream:
    return Stream(shared_runtime)


def subscribe(stream: Stream, subscriber: Subscriber, slug: str = "s", **more: object) -> str:
    """Subscribes, and returns the secret."""
    payload = {"slug": slug, "types": ["message"], "target": {"url": subscriber.url}, **more}
    stream.append({"type": "subscription.configured", "payload": payload})
    url = stream.url.replace("/api/streams/", "/api/subscriptions/")
    return requests.get(f"{url}?slug={slug}&reveal=secret", timeout=PATIENCE).json()["secret"]


def pushed(stream: Stream, subscriber: Subscriber) -> Push:
    stream.append({"type": "message", "payload": {"text": "héllo\n"}})
    return subscriber.next()


def test_a_push_verifies(stream: Stream, subscriber: Subscriber) -> None:
    secret = subscribe(stream, subscriber)

    push = pushed(stream, subscriber)

    verified = Webhook(secret).verify(push.body, push.headers)
    assert verified == json.loads(push.body)
    assert [event["payload"] for event in verified["events"]] == [{"text": "héllo\n"}]


def test_a_plain_push_verifies(stream: Stream, subscriber: Subscriber) -> None:
    secret = subscribe(stream, subscriber, plain=True)

    push = pushed(stream, subscriber)

    assert Webhook(secret).verify(push.body, push.headers)["type"] == "message"


def test_what_was_changed_on_the_way_does_not_verify(stream: Stream, subscriber: Subscriber) -> None:
    secret = subscribe(stream, subscriber)

    push = pushed(stream, subscriber)

    for header in ("webhook-id", "webhook-timestamp"):
        changed = push.headers[header][:-1] + ("1" if push.headers[header][-1] != "1" else "2")
        refuse(secret, push.body, {**push.headers, header: changed})
    refuse(secret, push.body.replace(b"llo", b"llO"), push.headers)


def test_the_secret_of_another_subscription_does_not_verify(stream: Stream, subscriber: Subscriber) -> None:
    other = subscribe(stream, subscriber, slug="other", types=["never"])
    subscribe(stream, subscriber)

    push = pushed(stream, subscriber)

    refuse(other, push.body, push.headers)


def test_after_a_change_of_the_secret_both_verify(stream: Stream, subscriber: Subscriber) -> None:
    old = subscribe(stream, subscriber)
    new = subscribe(stream, subscriber, secretVersion=2)

    push = pushed(stream, subscriber)

    assert old != new
    for secret in (old, new):
        assert Webhook(secret).verify(push.body, push.headers)


def refuse(secret: str, body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(secret).verify(body, headers)
