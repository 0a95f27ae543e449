"""A live reader without its connection: what to ask for, what the bytes mean, when to come again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from ._error import TailraceError, problem_of
from ._event import Event, from_json
from ._retry import backoff, retry_after
from ._sse import Block, Parser

SILENCE = 45.0
"""Seconds without a byte after which a connection is dead: the server says something every 15."""


@dataclass(frozen=True)
class Happened:
    """An event, stored or ephemeral."""

    event: Event[Any]
    ephemeral: bool = False


@dataclass(frozen=True)
class CaughtUp:
    """All that was there has been read, up to this offset."""

    offset: int


@dataclass(frozen=True)
class Reset:
    """The stream was deleted and began anew."""


Item = Happened | CaughtUp | Reset


class Broken(Exception):
    """What came is not what a stream says: the connection is of no use."""


class Follower:
    """Where a reader stands, over all its connections.

    The order of calls is `connect`, then `opened` with the answer, `feed` with what comes, `ended` when that ends.
    """

    def __init__(self, query: dict[str, str]) -> None:
        self._query = query
        self._offset = int(query.get("afterOffset", 0))
        self._generation: str | None = None
        self._last_id = ""
        self._retry_ms = 0
        self._failed = 0
        self._caught_up = False
        self._parser = Parser()

    def connect(self) -> tuple[dict[str, str], dict[str, str]]:
        """Query and headers of the next connection, which goes on where the last one ended."""
        self._parser = Parser()
        self._caught_up = False
        headers = {"accept": "text/event-stream", "accept-encoding": "identity", "cache-control": "no-store"}
        if not self._last_id:
            return {**self._query, "live": "true"}, headers
        query = {name: value for name, value in self._query.items() if name not in ("last", "afterOffset")}
        return {**query, "live": "true"}, {**headers, "last-event-id": self._last_id}

    def opened(self, answer: httpx.Response) -> float | None:
        """Takes the answer (with its body, unless it is a success): `None` = read on, else seconds to wait and connect.

        Raises `TailraceError` when no later connection can succeed either.
        """
        kind = answer.headers.get("content-type", "")
        if answer.status_code == 200 and kind.partition(";")[0].strip().lower() == "text/event-stream":
            return None
        problem = problem_of(answer) if answer.status_code != 200 else None
        is_final = answer.status_code in (400, 401, 403) or 300 <= answer.status_code < 400
        if is_final or (answer.status_code < 500 and problem and problem.get("retryable") is False):
            raise TailraceError.of(answer)
        return max(self.ended(), retry_after(answer) or 0.0)

    def feed(self, chunk: bytes) -> Iterator[Item]:
        """What happened. Raises `Broken`."""
        for block in self._parser.feed(chunk):
            yield from self._take(block)
        if self._parser.retry is not None:
            self._retry_ms = self._parser.retry

    def ended(self) -> float:
        """The connection ended, or did not come about: seconds to wait before the next."""
        wait = max(self._retry_ms / 1000, backoff(self._failed))
        self._failed += 1
        return wait

    def _take(self, block: Block) -> Iterator[Item]:
        if block.event not in ("message", "tail", "reset", "ephemeral"):
            return
        try:
            data = from_json(block.data)
        except (ValueError, RecursionError):
            raise Broken(f"no JSON: {block.data[:80]!r}") from None
        self._failed = 0
        if block.event == "ephemeral":
            yield Happened(Event(data), ephemeral=True)
            return
        generation = block.id.partition(".")[2] or None
        is_reset = block.event == "reset"
        if is_reset or (generation and self._generation and generation != self._generation):
            self._offset = 0
            self._last_id = block.id
            yield Reset()
        self._generation = generation or self._generation
        offset = data.get("offset") if isinstance(data, dict) else None
        if is_reset:
            return
        if not isinstance(offset, int):
            raise Broken(f"no offset: {block.data[:80]!r}")
        # What comes once more is not seen once more, and does not move the reader back.
        is_new = offset > self._offset
        if offset >= self._offset:
            self._offset = offset
            self._last_id = block.id or self._last_id
        if block.event == "tail":
            # Of a stream that was not there yet everything is new, also to a reader of the last few.
            self._query.pop("last", None)
            if not self._caught_up:
                self._caught_up = True
                yield CaughtUp(offset)
        elif is_new:
            yield Happened(Event(data))
