"""A processor in a process of its own, for tests to kill: counts messages, and answers each."""

import asyncio
import sys
from typing import Any

from tailrace import Append, AsyncTailrace, Event, Processor, Tailrace, run, run_async


class Count(Processor[dict[str, int]]):
    slug = "count"

    def initial_state(self) -> dict[str, int]:
        return {"n": 0}

    def reduce(self, state: dict[str, int], event: Event[Any]) -> dict[str, int]:
        return {"n": state["n"] + 1}

    def after_append(self, event: Event[Any], state: dict[str, int], append: Append) -> None:
        append({"type": "counted", "payload": {"of": event.offset, **state}})


class AsyncCount(Count):
    async def after_append(self, event: Event[Any], state: dict[str, int], append: Append) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        append({"type": "counted", "payload": {"of": event.offset, **state}})


OPTIONS: dict[str, Any] = {"types": "message", "from_": "start", "lease_seconds": 1, "batch": 10}


async def main(url: str, path: str) -> None:
    async with AsyncTailrace(url) as tailrace:
        await run_async(AsyncCount(), tailrace.stream(path), **OPTIONS)


if __name__ == "__main__":
    url, path, kind = sys.argv[1:]
    if kind == "async":
        asyncio.run(main(url, path))
    else:
        run(Count(), Tailrace(url).stream(path), **OPTIONS)
