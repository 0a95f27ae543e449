"""Pulling: a processor that leases what is due and settles it, wherever it runs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from . import _calls as calls
from ._async_client import AsyncStream, AsyncTailrace
from ._calls import Call, options, target
from ._client import Stream, Types
from ._error import TailraceError, may_succeed_later
from ._event import Event, EventLike, from_json, to_json
from ._processor import Append, OnError, Processor, begun, folded, in_thread, is_async, log, logged, message_of
from ._retry import backoff, retry_after

T = TypeVar("T")

GRACE = 10.0
"""Seconds that the event in hand has to be finished once it is to stop."""

FAREWELL = 5.0
"""Seconds to give leases back in, after that."""

WAIT = 30
"""Seconds that one question for a lease takes at most."""


async def run_async(
    processor: Processor[Any],
    stream: AsyncStream,
    *,
    slug: str | None = None,
    children: bool = False,
    concurrency: int = 1,
    types: Types | None = None,
    where: str | None = None,
    from_: str | int | None = None,
    version: str | int | None = None,
    batch: int | None = None,
    while_paused: bool = False,
    grants: Sequence[str] = (),
    lease_seconds: int = 10,
    on_error: OnError | None = None,
) -> None:
    """Runs a processor over a stream, or with `children` over all below it too, until the task is cancelled.

    The subscription `slug` is configured if it is missing or not as it is wanted here (`types`, `where`, `from_`,
    `version`, `batch`, `while_paused`, `grants`: see docs/events.md), so the token needs the right `control` once, and
    `read` and `append` from then on. `concurrency` streams are worked on at a time, each by one worker anywhere. Events
    are leased for `lease_seconds`, 1 to 600, which is prolonged while the processor works: it only says how soon others
    take over when this one dies.

    An error in the processor is appended as `error.occurred`, told to `on_error` (which logs by default), and the event
    is tried again later. Cancelled, it leases nothing more, finishes the event in hand (for at most ten seconds), gives
    back the rest and ends; cancelled once more, it ends at once. Raises `TailraceError` when nothing can be leased, or
    when an answer can never be accepted, which halts the subscription (with `children` that of one stream: it goes on).
    """
    wish = _Wish(
        slug=slug or processor.slug or "",
        children=children,
        concurrency=concurrency,
        types=types,
        where=where,
        from_=from_,
        version=version,
        batch=batch,
        while_paused=while_paused,
        grants=grants,
        lease_seconds=lease_seconds,
        on_error=on_error or logged,
    )
    await _Worker(processor, stream, wish).run()


def run(
    processor: Processor[Any],
    stream: Stream,
    *,
    slug: str | None = None,
    children: bool = False,
    concurrency: int = 1,
    types: Types | None = None,
    where: str | None = None,
    from_: str | int | None = None,
    version: str | int | None = None,
    batch: int | None = None,
    while_paused: bool = False,
    grants: Sequence[str] = (),
    lease_seconds: int = 10,
    on_error: OnError | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Runs a processor until Ctrl-C, or until `stop` is set; all else is as in `run_async`.

    It blocks. The first Ctrl-C lets the event in hand finish, the second does not. The processor is called in threads,
    at most `concurrency` at a time.
    """
    wish = _Wish(
        slug=slug or processor.slug or "",
        children=children,
        concurrency=concurrency,
        types=types,
        where=where,
        from_=from_,
        version=version,
        batch=batch,
        while_paused=while_paused,
        grants=grants,
        lease_seconds=lease_seconds,
        on_error=on_error or logged,
    )
    tailrace = stream.tailrace
    ended = threading.Event()
    failures: list[BaseException] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []
    transport = None if tailrace._transport is None else _InThreads(tailrace._transport)

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        async with AsyncTailrace(
            tailrace.url, token=tailrace._token, retry_for=tailrace.retry_for, transport=transport
        ) as client:
            await _Worker(processor, client.stream(stream.path), wish, stop).run()

    def loop() -> None:
        try:
            asyncio.run(main())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            failures.append(error)
        finally:
            ended.set()

    def cancel() -> None:
        for running_loop, task in running:
            with contextlib.suppress(RuntimeError):
                running_loop.call_soon_threadsafe(task.cancel)

    # A loop of its own: there may be one in this thread already, and Ctrl-C must not fall into the middle of it.
    threading.Thread(target=loop, name="tailrace-run", daemon=True).start()
    try:
        # Signals are taken between two waits.
        while not ended.wait(0.1):
            if stop and stop.is_set() and running:
                cancel()
                ended.wait()
    except BaseException:
        cancel()
        ended.wait()
        raise
    if failures:
        raise failures[0]


@dataclass(frozen=True)
class _Wish:
    """How it is to be run."""

    slug: str
    children: bool
    concurrency: int
    types: Types | None
    where: str | None
    from_: str | int | None
    version: str | int | None
    batch: int | None
    while_paused: bool
    grants: Sequence[str]
    lease_seconds: int
    on_error: OnError

    def __post_init__(self) -> None:
        if not self.slug:
            raise ValueError("a processor needs a slug")
        if self.concurrency < 1:
            raise ValueError("concurrency is 1 or more")

    def configured(self) -> dict[str, Any]:
        """The subscription that it wants."""
        fields = {
            "slug": self.slug,
            "target": {"pull": True},
            "types": _globs(self.types),
            "where": self.where,
            "from": self.from_,
            "version": self.version,
            "batch": self.batch,
            "whilePaused": self.while_paused or None,
            "grants": list(self.grants) or None,
            "children": self.children or None,
        }
        return {name: value for name, value in fields.items() if value is not None}


class _Lost(Exception):
    """The lease is not ours any more."""


class _Refused(Exception):
    """What was settled can never be accepted."""

    def __init__(self, error: TailraceError) -> None:
        super().__init__(str(error))
        self.error = error


class _Abandoned(Exception):
    """There is no time left for the event in hand."""


class _Worker:
    """What all leases of one `run` have in common."""

    def __init__(
        self, processor: Processor[Any], stream: AsyncStream, wish: _Wish, stop: threading.Event | None = None
    ) -> None:
        self.processor = processor
        self.stream = stream
        self.wish = wish
        self.slug = wish.slug
        self.seconds = wish.lease_seconds
        self.on_error = wish.on_error
        self.stop = stop
        self.stopping = asyncio.Event()
        self.abandoned = asyncio.Event()

    async def run(self) -> None:
        """Pulls until the task is cancelled, or told to stop."""
        await self._configure()
        tasks = [asyncio.create_task(self._work()) for _ in range(self.wish.concurrency)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            try:
                await self._finish(tasks)
            finally:
                for task in tasks:
                    task.cancel()
        for task in tasks:
            if not task.cancelled():
                task.result()

    @property
    def is_stopping(self) -> bool:
        return self.stopping.is_set() or (self.stop is not None and self.stop.is_set())

    async def _configure(self) -> None:
        """Makes the subscription what it is wanted to be, and does nothing if it is."""
        try:
            state = await self.stream.state()
        except TailraceError as error:
            if error.status != 404:
                raise
            state = {}
        found = (state.get("subscriptions") or {}).get(self.slug)
        wanted = self.wish.configured()
        if found is None or _meaning(found) != _meaning(wanted):
            await self.stream.append({"type": "subscription.configured", "payload": wanted})
        elif halted := found.get("halted"):
            self.on_error(RuntimeError(f"the subscription {self.slug} is halted: {halted.get('reason')}"), None)

    async def _work(self) -> None:
        """Leases and settles until it is to stop."""
        while not self.is_stopping:
            lease = await self._unless(self.stopping, self._lease())
            if lease is not None:
                await self._handle(lease)

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        """Lets what is in hand end."""
        self.stopping.set()
        _, left = await asyncio.wait(tasks, timeout=GRACE)
        self.abandoned.set()
        if left:
            await asyncio.wait(left, timeout=FAREWELL)

    async def _lease(self) -> dict[str, Any]:
        """What is due, when there is something."""
        query = options(slug=self.slug, wait=WAIT, children=self.wish.children) | {"for": str(self.seconds)}
        call = Call("POST", target("lease", self.stream.path, query), patience=WAIT + 15)
        failed = idle = 0
        while True:
            asked = time.monotonic()
            answer = await self.stream.tailrace._make(call)
            if isinstance(answer, httpx.Response):
                if answer.status_code == 200:
                    with contextlib.suppress(ValueError):
                        lease: dict[str, Any] = from_json(answer.content)
                        return lease
                elif answer.status_code == 204:
                    failed = 0
                    # Paused or halted it may answer at once.
                    idle = idle + 1 if time.monotonic() - asked < WAIT / 2 else 0
                    if idle:
                        await asyncio.sleep(backoff(idle))
                    continue
                elif not may_succeed_later(answer):
                    raise TailraceError.of(answer)
            elif calls.fatal(answer):
                raise TailraceError.of(answer)
            wanted = retry_after(answer) if isinstance(answer, httpx.Response) else None
            await asyncio.sleep(backoff(failed) if wanted is None else wanted)
            failed += 1

    async def _handle(self, lease: dict[str, Any]) -> None:
        """The events of a lease, in order, each settled by itself."""
        events = [Event[Any](event) for event in lease["events"]]
        state = lease["state"]
        at: Event[Any] = events[0]
        try:
            if lease["replay"]:
                state = await self._hold(lease, in_thread(_folded, self.processor, state, events), Append())
                await self._settle(lease, {"upTo": events[-1].offset, "state": state})
                return
            for at in events:
                if self.is_stopping:
                    await self._give_back(lease)
                    return
                append = Append()
                state = await self._hold(lease, self._one(state, at, append), append)
                said: dict[str, Any] = {"upTo": at.offset, "state": state}
                if appended := append._settle():
                    said["append"] = appended
                if at is not events[-1] and not self.is_stopping:
                    said["extend"] = self.seconds
                await self._settle(lease, said)
                if "extend" not in said:
                    return
        except _Lost:
            # What was not settled is handed out again.
            pass
        except _Refused as refused:
            raise refused.error from None
        except _Abandoned:
            await self._give_back(lease)
        except Exception as error:
            await self._failed(lease, getattr(error, "_tailrace_event", at), error)

    async def _one(self, state: Any, event: Event[Any], append: Append) -> Any:
        if is_async(self.processor):
            state, pending = begun(self.processor, state, event, append)
        else:
            state, pending = await in_thread(begun, self.processor, state, event, append)
        if pending is not None:
            await pending
        return state

    async def _hold(self, lease: dict[str, Any], work: Awaitable[T], append: Append) -> T:
        """The result of work, for which the lease is kept meanwhile. Raises `_Lost` or `_Abandoned`."""
        task = asyncio.ensure_future(work)
        beat = asyncio.ensure_future(self._beat(lease))
        over = asyncio.ensure_future(self.abandoned.wait())
        try:
            await asyncio.wait({task, beat, over}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            append.signal.set()
            # A thread cannot be ended from outside; it is waited for, so that there are never more than was said.
            if is_async(self.processor):
                task.cancel()
            if beat.done():
                await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
                raise _Lost
            raise _Abandoned
        finally:
            append.signal.set()
            for each in (task, beat, over):
                if not each.done():
                    each.cancel()
            if task.done() and not task.cancelled():
                # Seen, whatever it was.
                task.exception()

    async def _beat(self, lease: dict[str, Any]) -> None:
        """Keeps the lease; ends when it is lost."""
        call = self._settle_call(lease, {"extend": self.seconds})
        while True:
            await asyncio.sleep(self.seconds / 3)
            answer = await self.stream.tailrace._make(call)
            if isinstance(answer, httpx.Response) and answer.status_code in (404, 409):
                return

    async def _settle(self, lease: dict[str, Any], said: dict[str, Any]) -> None:
        """Settles, as often as it takes. Raises `_Lost`, and `_Refused` when the subscription is halted by that."""
        seconds = max(self.stream.tailrace.retry_for, self.seconds)
        try:
            await self.stream._drive(calls.told(self._settle_call(lease, said), seconds))
        except TailraceError as error:
            if error.code != "lease_lost" and error.status != 404:
                self.on_error(error, None)
                # One stream of many that is halted says so itself.
                if 400 <= error.status < 500 and not error.retryable and not self.wish.children:
                    raise _Refused(error) from error
            raise _Lost from error

    async def _give_back(self, lease: dict[str, Any]) -> None:
        """Gives back all that is not settled: nothing more is done."""
        with contextlib.suppress(_Lost):
            await self._settle(lease, {"upTo": 0})

    async def _failed(self, lease: dict[str, Any], event: Event[Any], error: Exception) -> None:
        """Says so in the stream, and lets it be tried again."""
        self.on_error(error, event)
        message = message_of(error)[:1000]
        digest = hashlib.sha256(message.encode(errors="replace")).hexdigest()
        said: EventLike = {
            "type": "error.occurred",
            "payload": {"message": message, "subscription": self.slug, "offset": event.offset},
            "cause": {"offset": event.offset},
            # However often it is tried, the same error is said once.
            "idempotencyKey": f"{self.slug}:{event.offset}:{digest}",
        }
        try:
            await self.stream._drive(calls.append(lease["streamPath"], said, self.seconds))
        except TailraceError as refused:
            log.debug("the error could not be appended: %s", refused)
        with contextlib.suppress(_Lost):
            await self._settle(lease, {"error": message})

    def _settle_call(self, lease: dict[str, Any], said: dict[str, Any]) -> Call:
        body = to_json({"lease": lease["lease"], **said})
        return Call("POST", target("settle", lease["streamPath"]), body, {"content-type": "application/json"})

    @staticmethod
    async def _unless(event: asyncio.Event, work: Awaitable[T]) -> T | None:
        """The result of work, unless something happens first."""
        task = asyncio.ensure_future(work)
        happens = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait({task, happens}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            task.cancel()
            happens.cancel()


class _InThreads(httpx.AsyncBaseTransport):
    """A transport of a program without an event loop, in one that has one."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        plain = httpx.Request(
            request.method, request.url, headers=request.headers, content=content, extensions=request.extensions
        )
        return await in_thread(self._handle, plain)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        answer = self._transport.handle_request(request)
        try:
            content = b"".join(answer.stream)  # type: ignore[arg-type]
        finally:
            answer.close()
        return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(content))


def _folded(processor: Processor[Any], state: Any, events: list[Event[Any]]) -> Any:
    for event in events:
        try:
            state = folded(processor, state, event)
        except Exception as error:
            error._tailrace_event = event  # type: ignore[attr-defined]
            raise
    return state


def _globs(types: Types | None) -> list[str] | None:
    if types is None:
        return None
    return [part.strip() for part in types.split(",")] if isinstance(types, str) else list(types)


def _meaning(configured: dict[str, Any]) -> dict[str, Any]:
    """What is configured, with what is so by default."""
    version = configured.get("version")
    return {
        "target": configured.get("target"),
        "types": configured.get("types"),
        "where": configured.get("where"),
        "from": configured.get("from") or "now",
        "version": None if version is None else str(version),
        "batch": configured.get("batch") or 100,
        "whilePaused": bool(configured.get("whilePaused")),
        "grants": configured.get("grants") or [],
        "children": bool(configured.get("children")),
    }
