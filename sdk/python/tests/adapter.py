"""What the cases of sdk/behaviour are asked through: one JSON a line in, one a line out; see its README.

With TAILRACE_SDK_ASYNC=1 it is the asyncio half that is asked.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from tailrace import Append, AsyncTailrace, Event, Processor, Tailrace, TailraceError, handler, run, run_async

ASYNC = os.environ.get("TAILRACE_SDK_ASYNC") == "1"
logging.getLogger("tailrace").addHandler(logging.NullHandler())


def snake(options: dict[str, Any]) -> dict[str, Any]:
    """Options as Python spells them."""
    spelled = {"".join(f"_{c.lower()}" if c.isupper() else c for c in name): it for name, it in options.items()}
    return {"from_" if name == "from" else name: it for name, it in spelled.items()}


class Watched:
    """What a tail was seen to do, until it is enough."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.saw: list[Any] = []
        self.until: int = given["until"]
        self.kinds = given.get("watch")
        self.stop: Callable[[], object] = lambda: None

    @property
    def enough(self) -> bool:
        return 0 < self.until <= len(self.saw)

    def see(self, kind: str, *what: Any) -> None:
        if not self.enough and (self.kinds is None or kind in self.kinds):
            self.saw.append([kind, *what])
            if self.enough:
                self.stop()

    def event(self, event: Event[Any]) -> None:
        self.see("event", event.offset, event.type, event.payload)

    @property
    def calls(self) -> dict[str, Any]:
        return {
            "on_caught_up": lambda offset: self.see("caught-up", offset),
            "on_ephemeral": lambda event: self.see("ephemeral", event.type),
            "on_reset": lambda: self.see("reset"),
        }


class Case(Processor[dict[str, int]]):
    """The processors of the cases."""

    def __init__(self, kind: str, given: dict[str, Any]) -> None:
        self.slug = given.get("slug", "case")
        self.kind = kind
        self.ms = given.get("ms", 0)
        self.until: int = given.get("until", 0)
        self.handled = 0
        self.saw: list[Any] = []
        self.bad: set[int] = set()
        self.stop: Callable[[], object] = lambda: None

    def initial_state(self) -> dict[str, int]:
        return {"n": 0}

    def reduce(self, state: dict[str, int], event: Event[Any]) -> dict[str, int]:
        self.saw.append(["reduced", event.offset])
        return {"n": state["n"] + 1}

    def begin(self, event: Event[Any], state: dict[str, int]) -> None:
        if self.kind == "throws-once" and event.type == "bad" and event.offset not in self.bad:
            self.bad.add(event.offset)
            self.saw.append(["threw", event.offset])
            raise RuntimeError("bad event")
        self.saw.append(["handled", event.offset, state])
        self.handled += 1
        if self.handled == self.until:
            self.stop()

    def answer(self, event: Event[Any], append: Append) -> None:
        if self.kind in ("echo", "slow"):
            append({"type": "echo", "payload": {"of": event.offset}})


class SyncCase(Case):
    def after_append(self, event: Event[Any], state: dict[str, int], append: Append) -> None:
        self.begin(event, state)
        if self.kind == "slow" and append.signal.wait(self.ms / 1000):
            self.saw.append(["aborted", event.offset])
            return
        self.answer(event, append)


class AsyncCase(Case):
    async def after_append(self, event: Event[Any], state: dict[str, int], append: Append) -> None:
        self.begin(event, state)
        if self.kind == "slow":
            try:
                await asyncio.sleep(self.ms / 1000)
            except asyncio.CancelledError:
                self.saw.append(["aborted", event.offset])
                raise
        self.answer(event, append)


def events_of(given: dict[str, Any]) -> Any:
    return given["event"] if "event" in given else given["events"]


def shown(event: Event[Any], given: dict[str, Any]) -> list[Any]:
    return [event.offset, event.type, *([event.payload] if given.get("payloads") else [])]


def do_sync(client: Tailrace, what: str, given: dict[str, Any]) -> list[Any]:
    stream = client.stream(given.get("path", "/"))
    options = snake(given.get("options", {}))
    if what == "append":
        stored = stream.append(events_of(given))
        return [event.raw for event in (stored if isinstance(stored, list) else [stored])]
    if what == "read":
        return [shown(event, given) for event in stream.read(**options)]
    if what == "tail":
        watched = Watched(given)
        with stream.tail(**options, **watched.calls) as tail:
            watched.stop = tail.close
            for event in tail:
                watched.event(event)
        return watched.saw
    if what == "run":
        stop = threading.Event()
        processor = SyncCase(given["processor"], given)
        processor.stop = stop.set
        run(processor, stream, stop=stop, on_error=lambda *_: None, **options)
        return processor.saw
    if what == "state":
        return [stream.state(**snake({name: given[name] for name in ("at",) if name in given}))]
    return list(stream.children(**options))


async def do_async(client: AsyncTailrace, what: str, given: dict[str, Any]) -> list[Any]:
    stream = client.stream(given.get("path", "/"))
    options = snake(given.get("options", {}))
    if what == "append":
        stored = await stream.append(events_of(given))
        return [event.raw for event in (stored if isinstance(stored, list) else [stored])]
    if what == "read":
        return [shown(event, given) async for event in stream.read(**options)]
    if what == "tail":
        watched = Watched(given)
        async with stream.tail(**options, **watched.calls) as tail:

            async def follow() -> None:
                async for event in tail:
                    watched.event(event)

            following = asyncio.ensure_future(follow())
            watched.stop = following.cancel
            await asyncio.wait({following})
            if not following.cancelled():
                following.result()
        return watched.saw
    if what == "run":
        processor = AsyncCase(given["processor"], given)
        running = asyncio.ensure_future(run_async(processor, stream, on_error=lambda *_: None, **options))
        processor.stop = running.cancel
        await asyncio.wait({running})
        if not running.cancelled():
            running.result()
        return processor.saw
    if what == "state":
        return [await stream.state(**snake({name: given[name] for name in ("at",) if name in given}))]
    return [child async for child in stream.children(**options)]


def handle(given: dict[str, Any]) -> list[Any]:
    kind = AsyncCase if ASYNC else SyncCase
    app = handler(kind(given.get("processor", "echo"), given), given["secrets"], on_error=lambda *_: None)
    body = given["body"].encode()
    headers, now = given["headers"], given.get("now")
    status, _, text = asyncio.run(app.answer(headers, body, now=now)) if ASYNC else app(headers, body, now=now)
    return [{"status": status, "body": json.loads(text) if text else None}]


async def with_async(url: str, what: str, given: dict[str, Any], options: dict[str, Any]) -> list[Any]:
    async with AsyncTailrace(url, **options) as client:
        return await do_async(client, what, given)


def do(url: str, what: str, given: dict[str, Any]) -> list[Any]:
    if what == "handle":
        return handle(given)
    options = {"retry_for": given["retryForMs"] / 1000} if "retryForMs" in given else {}
    if ASYNC:
        return asyncio.run(with_async(url, what, given, options))
    with Tailrace(url, **options) as client:
        return do_sync(client, what, given)


def main() -> None:
    for line in sys.stdin:
        ask = json.loads(line)
        try:
            answer: dict[str, Any] = {"saw": do(ask["url"], ask["do"], ask["with"])}
        except TailraceError as error:
            code = error.code if error.problem.get("type") else None
            answer = {"error": {"code": code, "status": error.status, "field": error.field}}
        except Exception as error:
            answer = {"error": {"code": None, "message": repr(error)}}
        print(json.dumps({"id": ask["id"], **answer}), flush=True)


main()
