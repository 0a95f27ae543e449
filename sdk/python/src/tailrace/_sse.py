"""Server-Sent Events (HTML Standard, section 9.2), from bytes that are cut anywhere.

Lines end with LF, CR or CRLF and nothing else: U+2028 and its like are ordinary characters within a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Block:
    """A dispatched event."""

    event: str
    """Its name; `message` by default."""
    data: bytes
    id: str
    """The last id that was seen, up to here; empty = none."""


class Parser:
    """Takes bytes, gives blocks. What is not finished by an empty line is not given."""

    retry: int | None = None
    """Milliseconds that the server wants between connections."""
    id: str = ""
    """The last id of a finished block."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._at_start = True
        self._after_cr = False
        self._event = ""
        self._data: list[bytes] = []
        self._id = ""

    def feed(self, chunk: bytes) -> Iterator[Block]:
        """The blocks that end in this chunk."""
        if self._after_cr and chunk:
            # The CR has ended its line already.
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        start = 0
        for end in _LINE_END.finditer(chunk):
            self._line.append(chunk[start : end.start()])
            start = end.end()
            block = self._take(b"".join(self._line))
            self._line.clear()
            if block:
                yield block
        if start < len(chunk):
            self._line.append(chunk[start:])
        elif chunk.endswith(b"\r"):
            self._after_cr = True

    def _take(self, line: bytes) -> Block | None:
        if self._at_start:
            line = line.removeprefix(_BOM)
            self._at_start = False
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode(errors="replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode(errors="replace")
        elif name == b"retry" and value.isdigit():
            self.retry = int(value[:9])
        return None

    def _dispatch(self) -> Block | None:
        event, data = self._event or "message", self._data
        self.id = self._id
        self._event, self._data = "", []
        return Block(event, b"\n".join(data), self.id) if data else None
