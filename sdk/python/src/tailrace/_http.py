"""How requests are made: what both clients have of httpx, and the connections of the one for asyncio."""

from __future__ import annotations

import functools
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.request import getproxies

import httpx

IDLE = 20
"""Connections that are kept although nobody uses them, at most."""

UNLIMITED = httpx.Limits(max_connections=None, max_keepalive_connections=IDLE)
"""A connection of its own for each call, so that tails do not starve the others."""


@functools.cache
def tls() -> ssl.SSLContext:
    """How servers prove who they are. Made once, for that takes longer than a call."""
    return httpx.create_ssl_context()


@functools.lru_cache(maxsize=256)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


@functools.cache
def _timeouts(patience: float) -> dict[str, Any]:
    return {"timeout": httpx.Timeout(patience, connect=10.0, pool=None).as_dict()}


def request(
    method: str, url: str, common: Mapping[str, str], headers: Mapping[str, str], body: bytes | None, patience: float
) -> httpx.Request:
    """A request with the client's `common` headers and its own; `patience` is in seconds without a byte.

    What `build_request` of httpx does besides, merging and parsing what is the same each time, is a fifth of an append.
    """
    all_headers = {**common, **headers}
    return httpx.Request(method, _parsed(url), headers=all_headers, content=body, extensions=_timeouts(patience))


class Lanes(httpx.AsyncBaseTransport):
    """A lane with one connection for each request under way; the next request takes the lane that was left last.

    A pool of httpx looks at all its connections for each request, and gives those that come together to the same one,
    which takes one and refuses the others. With 16 at a time that is more than half of what an append takes.
    """

    def __init__(self) -> None:
        self._all: set[httpx.AsyncHTTPTransport] = set()
        self._free: list[httpx.AsyncHTTPTransport] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        lane = self._free.pop() if self._free else self._new()
        try:
            response = await lane.handle_async_request(request)
        except BaseException:
            await self._leave(lane)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Body(response.stream, self, lane)
        return response

    async def aclose(self) -> None:
        """Closes all connections, also those in use."""
        lanes, self._all, self._free = self._all, set(), []
        for lane in lanes:
            await lane.aclose()

    def _new(self) -> httpx.AsyncHTTPTransport:
        lane = httpx.AsyncHTTPTransport(verify=tls(), limits=UNLIMITED)
        self._all.add(lane)
        return lane

    async def _leave(self, lane: httpx.AsyncHTTPTransport) -> None:
        if lane in self._all and len(self._free) < IDLE:
            self._free.append(lane)
        else:
            self._all.discard(lane)
            await lane.aclose()


class _Body(httpx.AsyncByteStream):
    """The body of an answer. Its lane is free when it is closed."""

    def __init__(self, stream: httpx.AsyncByteStream, lanes: Lanes, lane: httpx.AsyncHTTPTransport) -> None:
        self._stream = stream
        self._lanes = lanes
        self._lane: httpx.AsyncHTTPTransport | None = lane

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        lane, self._lane = self._lane, None
        if lane is None:
            return
        try:
            await self._stream.aclose()
        finally:
            await self._lanes._leave(lane)


def lanes() -> Lanes | None:
    """None behind a proxy: which one to take is left to httpx."""
    return None if getproxies() else Lanes()
