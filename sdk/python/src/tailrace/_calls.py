"""What is asked of the server, written once: generators that yield calls and waits, and are sent answers.

Who drives one makes each `Call`, sends back the response (or the error of the transport), and sleeps for each `Wait`.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import httpx

from ._error import TailraceError, may_succeed_later
from ._event import Event, EventLike, from_json, to_json
from ._retry import Retry

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds without a byte after which an answer is not waited for any more."""

PAGE = 1000
"""Events that a page has at most."""


@dataclass(frozen=True)
class Call:
    """A request to make."""

    method: str
    target: str
    """What comes behind the server's address: path and query."""
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    patience: float = PATIENCE


@dataclass(frozen=True)
class Wait:
    """Seconds to sleep."""

    seconds: float


Answer = httpx.Response | httpx.TransportError | None
Steps = Generator[Call | Wait, Answer, T]


def target(kind: str, path: str, query: Mapping[str, str] | None = None) -> str:
    """The address of a call about a stream."""
    return f"/api/{kind}/{_coded(path)}" + (f"?{urlencode(query)}" if query else "")


@functools.lru_cache(maxsize=256)
def _coded(path: str) -> str:
    segments = path.strip("/").split("/")
    if "." in segments or ".." in segments:
        # Clients and servers resolve these by themselves, and would ask for something else. So nothing is a segment.
        return quote(path, safe="")
    return "/".join(quote(segment, safe="~@:-._") for segment in segments)


def options(**given: object) -> dict[str, str]:
    """Options as a query: without those that are `None` or `False`."""
    return {_camel(name): _text(value) for name, value in given.items() if value is not None and value is not False}


def _camel(name: str) -> str:
    first, *rest = name.strip("_").split("_")
    return first + "".join(word.capitalize() for word in rest)


def _text(value: object) -> str:
    if value is True:
        return "true"
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    return ",".join(map(str, value))


def fatal(error: httpx.TransportError) -> bool:
    """True for what no second attempt heals: it is how we ask that is wrong."""
    return isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError)


def asked(call: Call, seconds: float) -> Steps[httpx.Response]:
    """A call that is tried again for so long. Raises `TailraceError`."""
    retry = Retry(seconds)
    while True:
        answer = yield call
        assert answer is not None
        if isinstance(answer, httpx.Response):
            if answer.is_success:
                return answer
            if not may_succeed_later(answer):
                raise TailraceError.of(answer)
        elif fatal(answer):
            raise TailraceError.of(answer) from answer
        wait = retry.next(answer)
        if wait is None:
            raise TailraceError.of(answer) from (answer if isinstance(answer, Exception) else None)
        yield Wait(wait)


def told(call: Call, seconds: float) -> Steps[Any]:
    """A call whose answer is JSON; `None` when it has no body."""
    answer = yield from asked(call, seconds)
    if not answer.content:
        return None
    try:
        return from_json(answer.content)
    except ValueError:
        title = "The answer is not one of Tailrace"
        raise TailraceError(answer.status_code, "invalid_answer", title, "no JSON", False) from None


def keyed(event: EventLike) -> dict[str, Any]:
    """The event with an idempotency key: the same over all attempts, so that a lost answer never doubles it."""
    return {**event, "idempotencyKey": event.get("idempotencyKey") or secrets.token_hex(16)}


def append(path: str, events: EventLike | Sequence[EventLike], seconds: float) -> Steps[Any]:
    """The stored event; of a list, the list of them."""
    headers = {"prefer": "handling=strict", "content-type": "application/json"}
    if isinstance(events, Mapping):
        body = to_json(keyed(events))
        said = yield from told(Call("POST", target("streams", path), body, headers), seconds)
        return Event(said["event"])
    if not events:
        return []
    body = to_json([keyed(event) for event in events])
    said = yield from told(Call("POST", target("streams", path), body, headers), seconds)
    return [Event(event) for event in said["events"]]


class Pages:
    """A finite read, a page at a time. `limit` is how many events there are at most in all."""

    def __init__(self, path: str, query: dict[str, str]) -> None:
        self._path = path
        self._query = query
        self._left = int(query["limit"]) if "limit" in query else None
        self.finished = self._left == 0

    def next(self, seconds: float) -> Steps[list[Event[Any]]]:
        """The next page."""
        if self._left is not None:
            self._query["limit"] = str(min(self._left, PAGE))
        page = yield from told(Call("GET", target("streams", self._path, self._query)), seconds)
        events = [Event[Any](event) for event in page["events"]]
        # What comes behind a page of the last few are the rest of them.
        self._query.pop("last", None)
        self._query["afterOffset"] = str(page["afterOffset"])
        if self._left is not None:
            self._left -= len(events)
        self.finished = page["upToDate"] or self._left == 0
        return events


class Children:
    """The streams below, a page at a time."""

    def __init__(self, path: str, query: dict[str, str]) -> None:
        self._path = path
        self._query = query
        self.finished = False

    def next(self, seconds: float) -> Steps[list[dict[str, Any]]]:
        """The next page."""
        page = yield from told(Call("GET", target("children", self._path, self._query)), seconds)
        self.finished = page["after"] is None
        self._query["after"] = page["after"] or ""
        children: list[dict[str, Any]] = page["children"]
        return children


@dataclass(frozen=True)
class Head:
    """Where a stream stands."""

    offset: int
    """The offset of its last event."""
    generation: str
    """The name of its present life."""
    paused: bool


def head(path: str, seconds: float) -> Steps[Head]:
    """Where the stream stands."""
    try:
        answer = yield from asked(Call("HEAD", target("streams", path)), seconds)
    except TailraceError as error:
        if error.status != 404:
            raise
        # A HEAD has no body that could say so.
        title = "There is no stream at this path"
        raise TailraceError(404, "stream_not_found", title, f"no stream {path}", False) from None
    read = answer.headers.get
    return Head(int(read("tailrace-head", 0)), read("tailrace-generation", ""), read("tailrace-paused") == "true")


def delete(path: str, children: bool, seconds: float) -> Steps[None]:
    """Deletes. When an answer was lost, a stream that is gone is what was wanted."""
    steps = asked(Call("DELETE", target("streams", path, options(children=children))), seconds)
    attempts = 0
    answer: Answer = None
    try:
        while True:
            step = steps.send(answer)
            attempts += isinstance(step, Call)
            answer = yield step
    except StopIteration:
        pass
    except TailraceError as error:
        if attempts == 1 or error.status != 404:
            raise
