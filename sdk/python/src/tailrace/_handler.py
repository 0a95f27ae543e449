"""Pushes: the same processor as an HTTP endpoint, which answers nobody but its own server."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from ._event import Event, from_json, to_json
from ._processor import Append, OnError, Processor, begun, folded, in_thread, is_async, logged, message_of

LARGEST = 8 * 1024 * 1024
"""Bytes that are read of a request at most; a push has less."""

Reply = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body."""

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
ASGIApp = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secrets: str | Sequence[str],
    *,
    tolerance_seconds: float = 300,
    now: float | None = None,
) -> bool:
    """Whether a request is signed as Standard Webhooks has it, with one of the secrets (`whsec_…`), and not too old.

    `now` is in seconds since 1970, by default the clock's.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message, stamp = given.get("webhook-id"), given.get("webhook-timestamp", "")
    if not message or not (stamp.isascii() and stamp.isdigit() and len(stamp) < 16):
        return False
    if abs((time.time() if now is None else now) - int(stamp)) > tolerance_seconds:
        return False
    signed = f"{message}.{stamp}.".encode(errors="surrogateescape") + body
    fits = False
    for secret in [secrets] if isinstance(secrets, str) else secrets:
        expected = base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256))
        for signature in given.get("webhook-signature", "").split(" "):
            version, _, found = signature.partition(",")
            # All are compared, each in constant time.
            fits |= version == "v1" and hmac.compare_digest(expected, found.encode(errors="replace"))
    return fits


def _key(secret: str) -> bytes:
    """The bytes of a secret. Raises `ValueError` for what is none."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError("a secret is whsec_ and base64, as /api/subscriptions shows it with reveal=secret")
    return key


def handler(
    processor: Processor[Any],
    secret: str | Sequence[str],
    *,
    tolerance_seconds: float = 300,
    on_error: OnError | None = None,
) -> Handler:
    """Makes a processor a push endpoint: `handler(…).asgi_app`, `.wsgi_app`, or call it with headers and body.

    `secret` is the subscription's (`whsec_…`), or several while one is replaced by another. Who has none of them, or
    says something older than `tolerance_seconds`, is answered 401, and nothing is run. When the processor throws, the
    answer is 500 with the error, `on_error` is told (it logs by default), and the server tries again later.
    """
    secrets = [secret] if isinstance(secret, str) else list(secret)
    if not secrets:
        raise ValueError("without a secret anybody could call it")
    for each in secrets:
        _key(each)
    return Handler(processor, secrets, tolerance_seconds, on_error or logged)


class Handler:
    """A push endpoint, for every kind of server. Made by `handler`."""

    def __init__(
        self, processor: Processor[Any], secrets: list[str], tolerance_seconds: float, on_error: OnError
    ) -> None:
        self._processor = processor
        self._secrets = secrets
        self._tolerance = tolerance_seconds
        self._on_error = on_error

    def __call__(self, headers: Mapping[str, str], body: bytes, *, now: float | None = None) -> Reply:
        """Answers a request: status, headers and body. `now` is for tests: seconds since 1970."""
        steps = self._steps(headers, body, now)
        try:
            pending = next(steps)
            while True:
                try:
                    asyncio.run(_awaited(pending))
                except Exception as error:
                    pending = steps.throw(error)
                else:
                    pending = next(steps)
        except StopIteration as end:
            reply: Reply = end.value
            return reply

    async def answer(self, headers: Mapping[str, str], body: bytes, *, now: float | None = None) -> Reply:
        """Answers a request, on an event loop."""
        if not is_async(self._processor):
            return await in_thread(lambda: self(headers, body, now=now))
        steps = self._steps(headers, body, now)
        try:
            pending = next(steps)
            while True:
                try:
                    await pending
                except Exception as error:
                    pending = steps.throw(error)
                else:
                    pending = next(steps)
        except StopIteration as end:
            reply: Reply = end.value
            return reply

    @property
    def asgi_app(self) -> ASGIApp:
        """The endpoint as an ASGI application."""

        # A function, for servers look at what they are given to tell ASGI 2 from 3, and not all of them know methods.
        async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await _lifespan(receive, send)
                return
            if scope["type"] != "http":
                raise NotImplementedError(f"this is no {scope['type']} application")
            body, more = b"", True
            while more and len(body) <= LARGEST:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message.get("body", b"")
                more = message.get("more_body", False)
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            status, names, text = _refusal(scope["method"], len(body)) or await self.answer(headers, body)
            raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in names]
            await send({"type": "http.response.start", "status": status, "headers": raw})
            await send({"type": "http.response.body", "body": text})

        return app

    def wsgi_app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The endpoint as a WSGI application."""
        length = environ.get("CONTENT_LENGTH") or "0"
        size = int(length) if length.isdigit() else LARGEST + 1
        body = environ["wsgi.input"].read(size) if size <= LARGEST else b""
        headers = {name[5:].replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
        status, names, text = _refusal(environ["REQUEST_METHOD"], size) or self(headers, body)
        start_response(f"{status} {HTTPStatus(status).phrase}", names)
        return [text]

    def _steps(
        self, headers: Mapping[str, str], body: bytes, now: float | None
    ) -> Generator[Awaitable[None], None, Reply]:
        """Yields what is to be awaited, returns the answer."""
        if not verify(headers, body, self._secrets, tolerance_seconds=self._tolerance, now=now):
            return _reply(401, {"error": "the signature does not verify"})
        try:
            push = from_json(body)
            events = [Event[Any](event) for event in push["events"]]
            state, replay = push["state"], push["replay"]
        except (ValueError, KeyError, TypeError):
            return _reply(400, {"error": "this is no push of Tailrace"})
        appended: list[dict[str, Any]] = []
        at: Event[Any] | None = None
        try:
            for at in events:
                if replay:
                    state = folded(self._processor, state, at)
                    continue
                append = Append()
                state, pending = begun(self._processor, state, at, append)
                if pending is not None:
                    yield pending
                # Of a batch each says itself what it answers.
                appended += [{"cause": {"offset": at.offset}, **event} for event in append._settle()]
            return _reply(200, {"state": state, "append": appended})
        except Exception as error:
            self._on_error(error, at)
            return _reply(500, {"error": message_of(error)})


def _reply(status: int, said: dict[str, Any]) -> Reply:
    body = to_json(said)
    return status, [("content-type", "application/json"), ("content-length", str(len(body)))], body


def _refusal(method: str, size: int) -> Reply | None:
    if method != "POST":
        status, headers, body = _reply(405, {"error": "pushes are POSTed"})
        return status, [*headers, ("allow", "POST")], body
    return _reply(413, {"error": "larger than any push"}) if size > LARGEST else None


async def _awaited(pending: Awaitable[None]) -> None:
    await pending


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
