"""How requests are made: what both clients have of httpx, and the connections of the one for asyncio."""

from __future__ import annotations

import functools
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from http.cookiejar import CookieJar
from time import monotonic
from typing import Any
from urllib.request import getproxies

import httpx

IDLE = 20
"""Connections that are kept although nobody uses them, at most."""

IDLE_FOR = 5.0
"""How long a connection is kept that nobody uses, in seconds."""

UNLIMITED = httpx.Limits(max_connections=None, max_keepalive_connections=IDLE, keepalive_expiry=IDLE_FOR)
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
    method: str,
    url: str,
    common: Mapping[str, str],
    headers: Mapping[str, str],
    cookies: CookieJar,
    body: bytes | None,
    patience: float,
) -> httpx.Request:
    """A request with the client's `common` headers and its own; `patience` is in seconds without a byte.

    Those of the `cookies` are sent that are for this address. What `build_request` of httpx does besides, merging and
    parsing what is the same each time, is a fifth of an append.
    """
    return httpx.Request(
        method,
        _parsed(url),
        headers={**common, **headers},
        cookies=cookies,
        content=body,
        extensions=_timeouts(patience),
    )


class Lanes(httpx.AsyncBaseTransport):
    """A lane with one connection for each request under way; the next request takes the lane that was left last.

    A pool of httpx looks at all its connections for each request, and gives those that come together to the same one,
    which takes one and refuses the others. With 16 at a time that is more than half of what an append takes.
    """

    def __init__(self) -> None:
        self._all: set[httpx.AsyncHTTPTransport] = set()
        # And since when; the one that was left last comes last.
        self._free: deque[tuple[httpx.AsyncHTTPTransport, float]] = deque()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._tidy()
        lane = self._free.pop()[0] if self._free else self._new()
        try:
            response = await lane.handle_async_request(request)
        except BaseException:
            await self._discard(lane)
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Body(response.stream, self, lane)
        return response

    async def aclose(self) -> None:
        """Closes all connections, also those in use."""
        lanes = list(self._all)
        self._all.clear()
        self._free.clear()
        for lane in lanes:
            await lane.aclose()

    def _new(self) -> httpx.AsyncHTTPTransport:
        lane = httpx.AsyncHTTPTransport(verify=tls(), limits=UNLIMITED)
        self._all.add(lane)
        return lane

    async def _leave(self, lane: httpx.AsyncHTTPTransport) -> None:
        """Keeps the lane for the next request, unless all were closed meanwhile."""
        if lane in self._all:
            self._free.append((lane, monotonic()))
            await self._tidy()
        else:
            await self._discard(lane)

    async def _discard(self, lane: httpx.AsyncHTTPTransport) -> None:
        """Closes the lane: nobody knows what may still come over its connection."""
        self._all.discard(lane)
        await lane.aclose()

    async def _tidy(self) -> None:
        """Closes the free lanes that are too many or were left too long ago. A pool does so only when it is asked."""
        expired = monotonic() - IDLE_FOR
        while self._free and (len(self._free) > IDLE or self._free[0][1] < expired):
            await self._discard(self._free.popleft()[0])


class _Body(httpx.AsyncByteStream):
    """The body of an answer. When it is closed, its lane is free if it was read to its end, and closed if not."""

    def __init__(self, stream: httpx.AsyncByteStream, lanes: Lanes, lane: httpx.AsyncHTTPTransport) -> None:
        self._stream = stream
        self._lanes = lanes
        self._lane: httpx.AsyncHTTPTransport | None = lane
        self._is_read = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield chunk
        self._is_read = True

    async def aclose(self) -> None:
        lane, self._lane = self._lane, None
        if lane is None:
            return
        is_free = False
        try:
            await self._stream.aclose()
            is_free = self._is_read
        finally:
            await (self._lanes._leave(lane) if is_free else self._lanes._discard(lane))


def lanes() -> Lanes | None:
    """None behind a proxy: which one to take is left to httpx."""
    # `no_proxy` is among them too, and alone it is none.
    return None if getproxies().keys() & {"http", "https", "all"} else Lanes()
