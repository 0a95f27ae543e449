"""What the bench has the SDK in Python do; the tasks are in the bench's README. Says one JSON a line."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "sdk" / "python" / "src"))

from tailrace import Append, AsyncTailrace, Event, Processor, Tailrace, run

WARM_UP = 0.5
EVENT = {"type": "message.added", "payload": {"seq": 0, "text": "Water that has turned the wheel runs on."}}


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


def append(url: str, path: str, connections: int, ms: int) -> None:
    """One at a time with the client that waits, several with the one for asyncio."""
    if connections > 1:

        async def main() -> None:
            async with AsyncTailrace(url) as tailrace:
                stream = tailrace.stream(path)
                await measured_async(lambda: stream.append(EVENT), connections, ms)

        asyncio.run(main())
        return
    with Tailrace(url) as tailrace:
        stream = tailrace.stream(path)
        measured(lambda: stream.append(EVENT), ms)


def bare(url: str, path: str, connections: int, ms: int) -> None:
    """The same with `httpx` and nothing else."""
    target = f"{url}/api/streams{path}"
    headers = {"content-type": "application/json"}
    bodies: Iterator[bytes] = (json.dumps({**EVENT, "idempotencyKey": f"key-{key}"}).encode() for key in count())
    if connections > 1:

        async def main() -> None:
            async with httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=connections)) as client:

                async def post() -> Any:
                    answer = await client.post(target, content=next(bodies), headers=headers)
                    return answer.raise_for_status().json()["event"]

                await measured_async(post, connections, ms)

        asyncio.run(main())
        return
    with httpx.Client() as client:
        measured(
            lambda: client.post(target, content=next(bodies), headers=headers).raise_for_status().json()["event"], ms
        )


def measured(post: Callable[[], object], ms: int) -> None:
    def hammer(seconds: float) -> list[float]:
        times = []
        begun = now = time.perf_counter()
        while now - begun < seconds:
            post()
            answered = time.perf_counter()
            times.append((answered - now) * 1000)
            now = answered
        return times

    hammer(WARM_UP)
    say({"ready": True})
    begun = time.perf_counter()
    times = hammer(ms / 1000)
    say({"seconds": time.perf_counter() - begun, "times": times})


async def measured_async(post: Callable[[], Awaitable[object]], connections: int, ms: int) -> None:
    async def hammer(seconds: float) -> list[float]:
        times = []
        begun = time.perf_counter()

        async def loop() -> None:
            now = time.perf_counter()
            while now - begun < seconds:
                await post()
                answered = time.perf_counter()
                times.append((answered - now) * 1000)
                now = answered

        await asyncio.gather(*(loop() for _ in range(connections)))
        return times

    await hammer(WARM_UP)
    say({"ready": True})
    begun = time.perf_counter()
    times = await hammer(ms / 1000)
    say({"seconds": time.perf_counter() - begun, "times": times})


def tail(url: str, path: str, after: int) -> None:
    stream = Tailrace(url).stream(path)
    for event in stream.tail(after_offset=after, on_caught_up=lambda _: say({"ready": True})):
        say(event.payload["seq"])


class Counter(Processor[int]):
    def __init__(self, skip: int, count: int) -> None:
        self.skip = skip
        self.count = count
        self.begun = 0.0

    def initial_state(self) -> int:
        return 0

    def reduce(self, state: int, event: Event[Any]) -> int:
        return state + 1

    def after_append(self, event: Event[Any], state: int, append: Append) -> None:
        if state == self.skip:
            self.begun = time.perf_counter()
            say({"ready": True})
        elif state == self.skip + self.count:
            say({"seconds": time.perf_counter() - self.begun})


def pull(url: str, path: str, skip: int, count: int) -> None:
    run(Counter(skip, count), Tailrace(url).stream(path), slug="worker")


def drain(url: str, path: str, count: int) -> None:
    say({"seen": 0})
    for seen, _ in enumerate(Tailrace(url).stream(path).tail(), start=1):
        if seen % (count // 10) == 0:
            say({"seen": seen})


if __name__ == "__main__":
    task, url, path, *numbers = sys.argv[1:]
    {"append": append, "bare": bare, "tail": tail, "pull": pull, "drain": drain}[task](url, path, *map(int, numbers))
