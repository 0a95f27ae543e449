"""Over which connections the client for asyncio asks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest
from conftest import PATIENCE

from tailrace import AsyncTailrace, Tailrace, TailraceError
from tailrace._http import IDLE, IDLE_FOR, Lanes

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nset-cookie: to=a; Path=/\r\n\r\n"
ANSWER = HEAD + b"{}"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


class Server:
    """Answers as many requests at a time as come, `hold` of them together."""

    def __init__(self) -> None:
        self.hold = 1
        self.opened = 0
        self.open = 0
        self.asked: list[bytes] = []
        self.answer = ANSWER
        self._waiting: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.open += 1
        try:
            while True:
                self.asked.append(await reader.readuntil(b"\r\n\r\n"))
                self._waiting.append(writer)
                if len(self._waiting) == self.hold:
                    for each in self._waiting:
                        each.write(self.answer)
                    self._waiting.clear()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.open -= 1
            writer.close()


async def until(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), PATIENCE)


def lanes_of(tailrace: AsyncTailrace) -> Lanes:
    transport = tailrace._http._transport
    assert isinstance(transport, Lanes)
    return transport


def test_requests_at_the_same_time_have_a_connection_each_and_the_next_ones_take_those() -> None:
    async def main() -> None:
        async with Server() as server, AsyncTailrace(server.url) as tailrace:
            stream = tailrace.stream("/a")
            server.hold = 8
            for _ in range(5):
                await asyncio.gather(*(stream.state() for _ in range(8)))
            server.hold = 1
            for _ in range(5):
                await stream.state()
            assert server.opened == 8

    asyncio.run(main())


def test_of_many_connections_only_some_are_kept() -> None:
    async def main() -> None:
        async with Server() as server:
            async with AsyncTailrace(server.url) as tailrace:
                server.hold = IDLE + 10
                await asyncio.gather(*(tailrace.stream("/a").state() for _ in range(server.hold)))
                await until(lambda: server.open == IDLE)
            await until(lambda: server.open == 0)

    asyncio.run(main())


def test_a_connection_that_nobody_uses_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with Server() as server, AsyncTailrace(server.url) as tailrace:
            stream = tailrace.stream("/a")
            now, server.hold = 0.0, 3
            monkeypatch.setattr("tailrace._http.monotonic", lambda: now)
            await asyncio.gather(*(stream.state() for _ in range(3)))
            server.hold = 1
            now = IDLE_FOR
            await stream.state()
            assert server.open == 3
            now += 0.1
            await stream.state()
            await until(lambda: server.open == 1)
            assert server.opened == 3

    asyncio.run(main())


def test_a_request_that_is_cancelled_or_fails_leaves_no_connection() -> None:
    async def main() -> None:
        async with Server() as server:
            async with AsyncTailrace(server.url, retry_for=0) as tailrace:
                server.hold = 2
                waiting = asyncio.create_task(tailrace.stream("/a").state())
                await until(lambda: len(server.asked) == 1)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await until(lambda: server.open == 0)
                assert not lanes_of(tailrace)._all
            async with AsyncTailrace("http://127.0.0.1:1", retry_for=0) as tailrace:
                with pytest.raises(TailraceError):
                    await tailrace.stream("/a").state()
                assert not lanes_of(tailrace)._all

    asyncio.run(main())


def test_an_answer_that_is_not_read_to_its_end_leaves_no_connection() -> None:
    async def main() -> None:
        async with Server() as server, AsyncTailrace(server.url) as tailrace:
            server.answer = HEAD + b"{"
            async with tailrace._http.stream("GET", server.url) as answer:
                assert await anext(answer.aiter_raw()) == b"{"
            await until(lambda: server.open == 0)
            assert not lanes_of(tailrace)._all
            # And the one that is, leaves its.
            server.answer = ANSWER
            await tailrace.stream("/a").state()
            assert len(lanes_of(tailrace)._free) == server.open == 1

    asyncio.run(main())


def test_cookies_that_the_server_sets_are_sent_again() -> None:
    async def main() -> None:
        async with Server() as server:
            async with AsyncTailrace(server.url) as tailrace:
                await tailrace.stream("/a").state()
                await tailrace.stream("/a").state()
            with Tailrace(server.url) as waits:
                await asyncio.to_thread(waits.stream("/a").state)
                await asyncio.to_thread(waits.stream("/a").state)
            assert [b"\r\ncookie: to=a\r\n" in asked.lower() for asked in server.asked] == [False, True, False, True]

    asyncio.run(main())


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "all_proxy"])
def test_with_a_proxy_in_the_environment_the_connections_are_those_of_httpx(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert not isinstance(AsyncTailrace("http://127.0.0.1:1")._http._transport, Lanes)


def test_no_proxy_alone_is_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "example.com")
    lanes_of(AsyncTailrace("http://127.0.0.1:1"))


def test_a_proxy_of_the_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with Server() as server:
            monkeypatch.setenv("http_proxy", server.url)
            monkeypatch.setenv("no_proxy", "")
            async with AsyncTailrace("http://tailrace.invalid") as tailrace:
                assert await tailrace.stream("/a").state() == {}
            with Tailrace("http://tailrace.invalid") as waits:
                assert await asyncio.to_thread(waits.stream("/a").state) == {}
            assert server.opened == 2

    asyncio.run(main())
