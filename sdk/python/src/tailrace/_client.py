"""The client, for programs that wait for each call."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar, overload

import httpx

from . import _calls as calls
from ._calls import Answer, Call, Head, Steps, Wait, options, target
from ._error import TailraceError
from ._event import Event, EventLike
from ._http import UNLIMITED, request, tls
from ._tail import SILENCE, Broken, CaughtUp, Follower, Happened

T = TypeVar("T")

Types = str | Sequence[str]
"""Types and globs: `"agent.*,message"`, or a list of them."""


class Tailrace:
    """A server. Use it as a context manager, or `close` it.

    `url` is its address, `token` what is sent as a bearer. What fails is tried again for `retry_for` seconds when
    another attempt may help. `transport` replaces the network, for tests and proxies. May be shared by threads.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        retry_for: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.retry_for = retry_for
        self._token = token
        self._transport = transport
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(headers=headers, verify=tls(), limits=UNLIMITED, transport=transport)
        self._headers = dict(self._http.headers)

    def stream(self, path: str) -> Stream:
        """The stream at a path like `/support/anna`. Nothing is asked yet, and it need not be there."""
        return Stream(self, path)

    def close(self) -> None:
        """Closes all connections."""
        self._http.close()

    def __enter__(self) -> Tailrace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drive(self, steps: Steps[T]) -> T:
        answer: Answer = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = None
            if isinstance(step, Wait):
                time.sleep(step.seconds)
            else:
                answer = self._make(step)

    def _make(self, call: Call) -> httpx.Response | httpx.TransportError:
        try:
            return self._http.send(self._request(call))
        except httpx.DecodingError as error:
            return httpx.ReadError(str(error))
        except httpx.TransportError as error:
            return error

    def _request(self, call: Call) -> httpx.Request:
        url, cookies = self.url + call.target, self._http.cookies.jar
        return request(call.method, url, self._headers, call.headers, cookies, call.body, call.patience)


class Stream:
    """A stream of a server. Every method raises `TailraceError` for what is refused."""

    def __init__(self, tailrace: Tailrace, path: str) -> None:
        self.tailrace = tailrace
        self.path = "/" + path.strip("/")

    def __repr__(self) -> str:
        return f"Stream({self.path!r})"

    @overload
    def append(self, events: EventLike) -> Event[Any]: ...
    @overload
    def append(self, events: Sequence[EventLike]) -> list[Event[Any]]: ...
    def append(self, events: EventLike | Sequence[EventLike]) -> Event[Any] | list[Event[Any]]:
        """Appends an event, or a list of them as a whole or not at all, and returns them as they are stored.

        An event without `idempotencyKey` gets one, so that it is written once however often it has to be sent.
        """
        result: Event[Any] | list[Event[Any]] = self._drive(calls.append(self.path, events, self._retry_for))
        return result

    def read(
        self,
        *,
        after_offset: int | None = None,
        before_offset: int | str | None = None,
        limit: int | None = None,
        last: int | None = None,
        types: Types | None = None,
        since: str | None = None,
        until: str | None = None,
        cause: int | None = None,
    ) -> Iterator[Event[Any]]:
        """The events that are there, in order, a page at a time.

        Only those behind `after_offset`, before `before_offset` (an offset or `"end"`), at most `limit`, the `last`
        so many, of these `types`, `since` and `until` an instant (RFC 3339), with this `cause`.
        """
        query = options(
            after_offset=after_offset,
            before_offset=before_offset,
            limit=limit,
            last=last,
            types=types,
            since=since,
            until=until,
            cause=cause,
        )
        pages = calls.Pages(self.path, query)
        while not pages.finished:
            yield from self._drive(pages.next(self._retry_for))

    def tail(
        self,
        *,
        after_offset: int | None = None,
        last: int | None = None,
        types: Types | None = None,
        on_caught_up: Callable[[int], object] | None = None,
        on_ephemeral: Callable[[Event[Any]], object] | None = None,
        on_reset: Callable[[], object] | None = None,
    ) -> Tail:
        """Follows the stream: the events that are there and then those that come, for ever; see `Tail`.

        `on_caught_up(offset)` is called when a connection has brought all that was there, `on_ephemeral(event)` for
        events that are not stored, `on_reset()` when the stream was deleted and begins anew from its first event.
        """
        query = options(after_offset=after_offset, last=last, types=types)
        return Tail(self, query, on_caught_up, on_ephemeral, on_reset)

    def state(self, *, at: int | None = None) -> dict[str, Any]:
        """What the stream's control events add up to: now, or as it was after an offset."""
        return self._tell("state", options(at=at))

    def children(self, *, recursive: bool = False, details: bool = False) -> Iterator[dict[str, Any]]:
        """The streams below, `{path, createdAt}`; with `details` also `head`, `lastEventAt` and `paused`."""
        pages = calls.Children(self.path, options(recursive=recursive, details=details))
        while not pages.finished:
            yield from self._drive(pages.next(self._retry_for))

    def subscription(self, slug: str) -> dict[str, Any]:
        """How a subscription stands, and why something was not delivered."""
        return self._tell("subscriptions", {"slug": slug})

    def head(self) -> Head:
        """Where the stream stands."""
        return self._drive(calls.head(self.path, self._retry_for))

    def delete(self, *, children: bool = False) -> None:
        """Deletes the stream; with `children` all below too, which may take a while longer than the answer."""
        self._drive(calls.delete(self.path, children, self._retry_for))

    @property
    def _retry_for(self) -> float:
        return self.tailrace.retry_for

    def _drive(self, steps: Steps[T]) -> T:
        return self.tailrace._drive(steps)

    def _tell(self, kind: str, query: dict[str, str]) -> dict[str, Any]:
        said: dict[str, Any] = self._drive(calls.told(Call("GET", target(kind, self.path, query)), self._retry_for))
        return said


class Tail(Iterator[Event[Any]]):
    """Events as they happen: in order, without gap or double, over restarts and connections that break.

    It ends by `close`, which any thread may call, or by leaving its `with` block. What interrupts it (Ctrl-C) only cuts
    the connection: iterate again, and it goes on. Nothing is read that is not consumed.
    """

    def __init__(
        self,
        stream: Stream,
        query: dict[str, str],
        on_caught_up: Callable[[int], object] | None,
        on_ephemeral: Callable[[Event[Any]], object] | None,
        on_reset: Callable[[], object] | None,
    ) -> None:
        self._stream = stream
        self._follower = Follower(query)
        self._on_caught_up = on_caught_up
        self._on_ephemeral = on_ephemeral
        self._on_reset = on_reset
        self._items: deque[object] = deque()
        self._answer: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())
        self._closed = threading.Event()

    def __iter__(self) -> Tail:
        return self

    def __next__(self) -> Event[Any]:
        while not self._closed.is_set():
            while self._items:
                event = self._say(self._items.popleft())
                if event:
                    return event
            self._receive()
        self._drop()
        raise StopIteration

    def close(self) -> None:
        """Ends it, also for a thread that is waiting in it."""
        self._closed.set()
        answer = self._answer
        if answer is not None:
            # Another thread may be waiting for bytes, and closing would not wake it.
            with contextlib.suppress(OSError, KeyError, AttributeError):
                link = answer.extensions["network_stream"].get_extra_info("socket")
                link.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Tail:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()
        self._drop()

    def __del__(self) -> None:
        if getattr(self, "_answer", None):
            self._drop()

    def _say(self, item: object) -> Event[Any] | None:
        if isinstance(item, Happened):
            if not item.ephemeral:
                return item.event
            if self._on_ephemeral:
                self._on_ephemeral(item.event)
        elif isinstance(item, CaughtUp):
            if self._on_caught_up:
                self._on_caught_up(item.offset)
        elif self._on_reset:
            self._on_reset()
        return None

    def _receive(self) -> None:
        """The next bytes, over the connection that is there or a new one."""
        try:
            if self._answer is None:
                self._connect()
                return
            chunk = next(self._chunks, None)
            if chunk is not None:
                self._take(chunk)
                return
        except (httpx.TransportError, httpx.StreamError, httpx.DecodingError, Broken) as error:
            if isinstance(error, httpx.TransportError) and calls.fatal(error):
                self._drop()
                raise TailraceError.of(error) from error
        except BaseException:
            self._drop()
            raise
        self._drop()
        self._closed.wait(self._follower.ended())

    def _take(self, chunk: bytes) -> None:
        for item in self._follower.feed(chunk):
            self._items.append(item)

    def _connect(self) -> None:
        tailrace = self._stream.tailrace
        query, headers = self._follower.connect()
        call = Call("GET", target("streams", self._stream.path, query), headers=headers, patience=SILENCE)
        self._answer = tailrace._http.send(tailrace._request(call), stream=True)
        if self._answer.status_code != 200:
            self._answer.read()
        wait = self._follower.opened(self._answer)
        if wait is None:
            self._chunks = self._answer.iter_bytes()
        else:
            self._drop()
            self._closed.wait(wait)

    def _drop(self) -> None:
        answer, self._answer = self._answer, None
        self._chunks = iter(())
        if answer is not None:
            with contextlib.suppress(Exception):
                answer.close()
