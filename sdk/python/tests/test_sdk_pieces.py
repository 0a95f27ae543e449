"""What needs no server: the format of events, retries, numbers."""

import random
import time
from email.utils import formatdate

import httpx
import pytest

from tailrace import _retry
from tailrace._event import from_json, to_json
from tailrace._sse import Block, Parser

TEXT = (
    '\ufeffretry: 20\r\nid: 1.g\r\ndata: {"a":1}\r\n\r\n: c\n\nevent: tail\rid:2.g\rdata:a\rdata: b\u2028é\r\r'
    "id: 3.g\n\nid: x\0y\ndata\n\nretry: soon\nunknown: 1\ndata:  two\n\nevent: never\n\ndata: unfinished\n"
).encode()
BLOCKS = [
    Block("message", b'{"a":1}', "1.g"),
    Block("tail", "a\nb\u2028é".encode(), "2.g"),
    Block("message", b"", "3.g"),
    Block("message", b" two", "3.g"),
]


def parsed(*chunks: bytes) -> list[Block]:
    parser = Parser()
    blocks = [block for chunk in chunks for block in parser.feed(chunk)]
    assert parser.retry == 20 and parser.id == "3.g"
    return blocks


def test_blocks_are_the_same_wherever_the_bytes_are_cut() -> None:
    assert parsed(TEXT) == BLOCKS
    assert parsed(*(TEXT[at : at + 1] for at in range(len(TEXT)))) == BLOCKS
    for at in range(len(TEXT)):
        assert parsed(TEXT[:at], b"", TEXT[at:]) == BLOCKS


def test_a_long_line_in_many_pieces_takes_no_longer_than_it_must() -> None:
    parser = Parser()
    piece = b"x" * 16
    assert list(parser.feed(b"data: ")) == []
    for _ in range(200_000):
        assert list(parser.feed(piece)) == []
    (block,) = parser.feed(b"\n\n")
    assert len(block.data) == 3_200_000


def test_waits_grow_with_jitter_and_what_the_server_wants_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAILRACE_SDK_FAST")
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    assert [_retry.backoff(n) for n in (0, 1, 2, 7, 5000)] == [0.1, 0.2, 0.4, 10, 10]

    def wanted(text: str) -> float | None:
        return _retry.retry_after(httpx.Response(503, headers={"retry-after": text}))

    assert [wanted(text) for text in ("0", "7", "61", "9" * 5000)] == [0, 7, 60, 60]
    assert [wanted(text) for text in ("", "soon", "-1", "1.5")] == [None] * 4
    assert 8 < (wanted(formatdate(time.time() + 10, usegmt=True)) or 0) <= 10
    assert wanted(formatdate(time.time() - 10, usegmt=True)) == 0
    retry = _retry.Retry(1)
    assert retry.next(httpx.ReadError("")) == 0.1
    assert retry.next(httpx.Response(503, headers={"retry-after": "2"})) is None


def test_json_of_strangers_is_read_and_ours_can_be_read_by_all() -> None:
    assert from_json('[1e400, "\\ud800", ' + "9" * 5000 + "]") == [float("inf"), "\ud800", float("inf")]
    assert to_json({"a": "\ud800é"}) == b'{"a":"\\ud800\\u00e9"}'
    with pytest.raises(ValueError):
        to_json(float("inf"))
    with pytest.raises(ValueError):
        from_json("{")
