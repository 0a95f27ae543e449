"""The client, for asyncio: the same words, awaited."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar, overload

import httpx

from . import _calls as calls
from ._calls import Answer, Call, Head, Steps, Wait, options, target
from ._client import Types
from ._error import TailraceError
from ._event import Event, EventLike
from ._http import UNLIMITED, lanes, request, tls
from ._tail import SILENCE, Broken, CaughtUp, Follower, Happened

T = TypeVar("T")


class AsyncTailrace:
    """A server, for asyncio. Use it as an async context manager, or `aclose` it. Everything else is as in `Tailrace`.

    A call is given up by cancelling the task that waits for it. May be shared by the tasks of one event loop.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        retry_for: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.retry_for = retry_for
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(headers=headers, verify=tls(), limits=UNLIMITED, transport=transport or lanes())
        self._headers = dict(self._http.headers)

    def stream(self, path: str) -> AsyncStream:
        """The stream at a path like `/support/anna`. Nothing is asked yet, and it need not be there."""
        return AsyncStream(self, path)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncTailrace:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _drive(self, steps: Steps[T]) -> T:
        answer: Answer = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = None
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
            else:
                answer = await self._make(step)

    async def _make(self, call: Call) -> httpx.Response | httpx.TransportError:
        try:
            return await self._http.send(self._request(call))
        except httpx.DecodingError as error:
            return httpx.ReadError(str(error))
        except httpx.TransportError as error:
            return error

    def _request(self, call: Call) -> httpx.Request:
        url, cookies = self.url + call.target, self._http.cookies.jar
        return request(call.method, url, self._headers, call.headers, cookies, call.body, call.patience)


class AsyncStream:
    """A stream of a server, for asyncio. Everything is as in `Stream`."""

    def __init__(self, tailrace: AsyncTailrace, path: str) -> None:
        self.tailrace = tailrace
        self.path = "/" + path.strip("/")

    def __repr__(self) -> str:
        return f"AsyncStream({self.path!r})"

    @overload
    async def append(self, events: EventLike) -> Event[Any]: ...
    @overload
    async def append(self, events: Sequence[EventLike]) -> list[Event[Any]]: ...
    async def append(self, events: EventLike | Sequence[EventLike]) -> Event[Any] | list[Event[Any]]:
        """As `Stream.append`."""
        result: Event[Any] | list[Event[Any]] = await self._drive(calls.append(self.path, events, self._retry_for))
        return result

    async def read(
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
    ) -> AsyncIterator[Event[Any]]:
        """As `Stream.read`."""
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
            for event in await self._drive(pages.next(self._retry_for)):
                yield event

    def tail(
        self,
        *,
        after_offset: int | None = None,
        last: int | None = None,
        types: Types | None = None,
        on_caught_up: Callable[[int], object] | None = None,
        on_ephemeral: Callable[[Event[Any]], object] | None = None,
        on_reset: Callable[[], object] | None = None,
    ) -> AsyncTail:
        """As `Stream.tail`. What is called may be `async`: it is awaited."""
        query = options(after_offset=after_offset, last=last, types=types)
        return AsyncTail(self, query, on_caught_up, on_ephemeral, on_reset)

    async def state(self, *, at: int | None = None) -> dict[str, Any]:
        """As `Stream.state`."""
        return await self._tell("state", options(at=at))

    async def children(self, *, recursive: bool = False, details: bool = False) -> AsyncIterator[dict[str, Any]]:
        """As `Stream.children`."""
        pages = calls.Children(self.path, options(recursive=recursive, details=details))
        while not pages.finished:
            for child in await self._drive(pages.next(self._retry_for)):
                yield child

    async def subscription(self, slug: str) -> dict[str, Any]:
        """As `Stream.subscription`."""
        return await self._tell("subscriptions", {"slug": slug})

    async def head(self) -> Head:
        """As `Stream.head`."""
        return await self._drive(calls.head(self.path, self._retry_for))

    async def delete(self, *, children: bool = False) -> None:
        """As `Stream.delete`."""
        await self._drive(calls.delete(self.path, children, self._retry_for))

    @property
    def _retry_for(self) -> float:
        return self.tailrace.retry_for

    async def _drive(self, steps: Steps[T]) -> T:
        return await self.tailrace._drive(steps)

    async def _tell(self, kind: str, query: dict[str, str]) -> dict[str, Any]:
        call = Call("GET", target(kind, self.path, query))
        said: dict[str, Any] = await self._drive(calls.told(call, self._retry_for))
        return said


class AsyncTail(AsyncIterator[Event[Any]]):
    """Events as they happen: in order, without gap or double, over restarts and connections that break.

    It ends by `aclose` or by leaving its `async with` block. Cancelling who waits for the next event only cuts the
    connection: iterate again, and it goes on. Nothing is read that is not consumed.
    """

    def __init__(
        self,
        stream: AsyncStream,
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
        self._chunks: AsyncIterator[bytes] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._closed = False

    def __aiter__(self) -> AsyncTail:
        return self

    async def __anext__(self) -> Event[Any]:
        while not self._closed:
            while self._items:
                event = await self._say(self._items.popleft())
                if event:
                    return event
            await self._receive()
        await self._drop()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Ends it, also for a task that is waiting in it."""
        self._closed = True
        if self._waiting:
            self._waiting.cancel()
        await self._drop()

    async def __aenter__(self) -> AsyncTail:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        answer, loop = getattr(self, "_answer", None), getattr(self, "_loop", None)
        if answer is not None and loop is not None and not loop.is_closed():
            # As asyncio does with generators that nobody finishes.
            loop.call_soon_threadsafe(loop.create_task, answer.aclose())

    async def _say(self, item: object) -> Event[Any] | None:
        said: object = None
        if isinstance(item, Happened):
            if not item.ephemeral:
                return item.event
            if self._on_ephemeral:
                said = self._on_ephemeral(item.event)
        elif isinstance(item, CaughtUp):
            if self._on_caught_up:
                said = self._on_caught_up(item.offset)
        elif self._on_reset:
            said = self._on_reset()
        if inspect.isawaitable(said):
            await said
        return None

    async def _receive(self) -> None:
        """Waits for what comes next, in a task of its own that `aclose` can end."""
        self._loop = asyncio.get_running_loop()
        self._waiting = self._loop.create_task(self._receive_once())
        try:
            await asyncio.wait({self._waiting})
            if not self._waiting.cancelled():
                self._waiting.result()
        except BaseException:
            self._waiting.cancel()
            await asyncio.wait({self._waiting})
            raise
        finally:
            self._waiting = None

    async def _receive_once(self) -> None:
        """The next bytes, over the connection that is there or a new one."""
        try:
            if self._answer is None or self._chunks is None:
                await self._connect()
                return
            async for chunk in self._chunks:
                for item in self._follower.feed(chunk):
                    self._items.append(item)
                return
        except (httpx.TransportError, httpx.StreamError, httpx.DecodingError, Broken) as error:
            if isinstance(error, httpx.TransportError) and calls.fatal(error):
                await self._drop()
                raise TailraceError.of(error) from error
        except BaseException:
            await self._drop()
            raise
        await self._drop()
        await asyncio.sleep(self._follower.ended())

    async def _connect(self) -> None:
        tailrace = self._stream.tailrace
        query, headers = self._follower.connect()
        call = Call("GET", target("streams", self._stream.path, query), headers=headers, patience=SILENCE)
        self._answer = await tailrace._http.send(tailrace._request(call), stream=True)
        if self._answer.status_code != 200:
            await self._answer.aread()
        wait = self._follower.opened(self._answer)
        if wait is None:
            self._chunks = self._answer.aiter_bytes()
        else:
            await self._drop()
            await asyncio.sleep(wait)

    async def _drop(self) -> None:
        answer, self._answer = self._answer, None
        self._chunks = None
        if answer is not None:
            with contextlib.suppress(Exception):
                await answer.aclose()
