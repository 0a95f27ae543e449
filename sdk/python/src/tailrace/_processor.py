"""A processor, and how one event is handled: the same for those who pull and those who are pushed to."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from ._event import Event, EventLike

S = TypeVar("S")
T = TypeVar("T")

OnError = Callable[[Exception, Event[Any] | None], object]
"""Is told what went wrong, and at which event."""

log = logging.getLogger("tailrace")


class Append:
    """Collects what is appended: `append({"type": …, "payload": …})`.

    Nothing is sent before the event is settled: then all of it is, together with the state, or nothing. An entry may
    name another stream (`streamPath`, also a relative one) and another cause (`cause`) than the event that is handled.
    """

    signal: threading.Event
    """Set when the lease is lost, or time is over: what is appended from then on counts for nothing. A handler that is
    `async` is cancelled as well."""

    def __init__(self) -> None:
        self.signal = threading.Event()
        self._events: list[dict[str, Any]] = []
        self._settled = False

    def __call__(self, event: EventLike) -> None:
        if self._settled:
            raise RuntimeError("the event is settled; append before the handler returns")
        self._events.append(dict(event))

    def _settle(self) -> list[dict[str, Any]]:
        self._settled = True
        return self._events


class Processor(Generic[S]):
    """Events in, state and events out. Subclass it, and give it to `run`, `run_async` or `handler`.

    `S` is the type of the state: JSON, at most 256 KiB. Cursor, state and what is appended are written in one
    transaction, so a processor needs no database and counts exactly, however often it is killed.
    """

    slug: str | None = None
    """The name of its subscription, if `run` is not told one."""

    def initial_state(self) -> S:
        """The state before the first event."""
        return None  # type: ignore[return-value]

    def reduce(self, state: S, event: Event[Any]) -> S:
        """The state after an event. It must have no effects: history is folded again when it has to be."""
        return state

    def after_append(self, event: Event[Any], state: S, append: Append) -> Awaitable[None] | None:
        """What is done about an event, with the state after it; may be `async def`.

        Not called for history. It may be called again for an event whose settle was lost, so its other effects are at
        least once; what it appends is exactly once.
        """
        return None


def folded(processor: Processor[Any], state: Any, event: Event[Any]) -> Any:
    """The state after an event; a state of `None` is none yet."""
    return processor.reduce(processor.initial_state() if state is None else state, event)


def begun(
    processor: Processor[Any], state: Any, event: Event[Any], append: Append
) -> tuple[Any, Awaitable[None] | None]:
    """The state after an event, and what is still to be awaited before it is handled."""
    state = folded(processor, state, event)
    return state, processor.after_append(event, state, append)


def is_async(processor: Processor[Any]) -> bool:
    """True when what it does belongs on an event loop; everything else may block, and gets a thread."""
    return inspect.iscoroutinefunction(processor.after_append)


async def in_thread(work: Callable[..., T], *given: Any) -> T:
    """Does work in a thread of its own, which keeps no program from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work(*given)
        except StopIteration as stop:
            error = RuntimeError(repr(stop))
        except BaseException as other:
            error = other
        # The loop may have ended meanwhile.
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, name="tailrace", daemon=True).start()
    return await future


def message_of(error: BaseException) -> str:
    """What an error says."""
    return str(error) or type(error).__name__


def logged(error: Exception, event: Event[Any] | None) -> None:
    """Logs what went wrong."""
    where = f" at offset {event.offset} of {event.raw.get('streamPath')}" if event else ""
    log.error("%s%s", message_of(error), where, exc_info=error)
