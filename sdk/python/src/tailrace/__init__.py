"""Every agent is a stream with a URL: append events, read and follow them, and process them.

- `Tailrace` and `AsyncTailrace` are a server, `Stream` and `AsyncStream` one of its streams.
- `Processor` is what you subclass: a state, `reduce`, and `after_append`.
- `run` and `run_async` pull what it is to process; `handler` makes it an endpoint that is pushed to.
"""

from ._async_client import AsyncStream, AsyncTail, AsyncTailrace
from ._calls import Head
from ._client import Stream, Tail, Tailrace
from ._error import TailraceError
from ._event import Event, EventLike, NewEvent
from ._handler import Handler, handler, verify
from ._processor import Append, Processor
from ._run import run, run_async

__all__ = [
    "Append",
    "AsyncStream",
    "AsyncTail",
    "AsyncTailrace",
    "Event",
    "EventLike",
    "Handler",
    "Head",
    "NewEvent",
    "Processor",
    "Stream",
    "Tail",
    "Tailrace",
    "TailraceError",
    "handler",
    "run",
    "run_async",
    "verify",
]
