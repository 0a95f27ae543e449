"""Over which connections the client for asyncio asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from conftest import PATIENCE

from tailrace import AsyncTailrace, Tailrace, TailraceError
from tailrace._http import IDLE, Lanes

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Server:
    """Answers as many requests at a time as come, `hold` of them together."""

    def __init__(self) -> None:
        self.hold = 1
        self.opened = 0
        self.open = 0
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
                await reader.readuntil(b"\r\n\r\n")
                self._waiting.append(writer)
                if len(self._waiting) == self.hold:
                    for each in self._waiting:
                        each.write(ANSWER)
                    self._waiting.clear()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.open -= 1
            writer.close()


async def until(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), PATIENCE)


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


def test_a_request_that_is_cancelled_or_fails_leaves_its_lane() -> None:
    async def main() -> None:
        async with Server() as server:
            async with AsyncTailrace(server.url, retry_for=0) as tailrace:
                transport = tailrace._http._transport
                assert isinstance(transport, Lanes)
                server.hold = 2
                waiting = asyncio.create_task(tailrace.stream("/a").state())
                await until(lambda: server.open == 1)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await until(lambda: server.open == 0)
                assert len(transport._free) == len(transport._all) == 1
            async with AsyncTailrace("http://127.0.0.1:1", retry_for=0) as tailrace:
                transport = tailrace._http._transport
                assert isinstance(transport, Lanes)
                with pytest.raises(TailraceError):
                    await tailrace.stream("/a").state()
                assert len(transport._free) == len(transport._all) == 1

    asyncio.run(main())


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
