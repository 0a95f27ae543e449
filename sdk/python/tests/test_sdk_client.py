"""The client against the real runtime: nothing is lost, nothing comes twice, nothing is left open."""

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Any, TypedDict

import httpx
import pytest
from conftest import PATIENCE, UNLIMITED, collected, until

from tailrace import AsyncTailrace, Event, Tailrace, TailraceError
from tailrace._http import Lanes

HOSTILE = ["\u2028\u2029\x85", "\r\n\n\r", "data: x\n\nid: 9", "\ufeff", "\0", "é😀", "\ud800", "__proto__", ""]


def test_events_are_read_as_they_were_appended_in_order_a_page_at_a_time(tailrace: Tailrace, path: str) -> None:
    stream = tailrace.stream(path)
    stream.append(UNLIMITED)
    first = stream.append({"type": "first", "payload": {"hostile": HOSTILE}, "metadata": {"a": [1]}})
    assert first.offset == 3 and first.stream_path == path and first.metadata["a"] == [1] and first.idempotency_key
    many = stream.append([{"type": "n", "payload": n} for n in range(1000)])
    more = stream.append([{"type": "n", "payload": n} for n in range(1000, 1500)])

    found = list(stream.read())

    assert [event.offset for event in found] == list(range(1, 1504))
    assert found[2:] == [first, *many, *more]
    assert [event.payload for event in stream.read(types=["n"], after_offset=1500)] == [1497, 1498, 1499]
    assert [event.payload for event in stream.read(types="n", limit=1100)] == list(range(1100))
    assert [event.payload for event in stream.read(last=2)] == [1498, 1499]
    assert [event.offset for event in stream.read(before_offset=3)] == [1, 2]
    assert stream.append([]) == []


def test_what_is_refused_says_why(tailrace: Tailrace, path: str) -> None:
    stream = tailrace.stream(path)
    with pytest.raises(TailraceError) as refused:
        stream.append({"type": "stream.paused", "payload": {"reason": 1}})
    assert (refused.value.status, refused.value.code, refused.value.field) == (
        422,
        "invalid_control_event",
        "payload.reason",
    )
    with pytest.raises(TailraceError) as strict:
        stream.append({"what": "is this"})
    assert strict.value.code == "invalid_event"
    for ask in (lambda: list(stream.read()), stream.head, stream.state, stream.delete):
        with pytest.raises(TailraceError) as missing:
            ask()
        assert (missing.value.status, missing.value.code) == (404, "stream_not_found")
    with pytest.raises(TailraceError) as outside:
        tailrace.stream("/a/../../state/b").state()
    assert outside.value.code == "invalid_path"
    with pytest.raises(ValueError, match="not JSON compliant"):
        stream.append({"type": "n", "payload": float("nan")})


def test_a_paused_stream_is_not_waited_for(tailrace: Tailrace, path: str) -> None:
    stream = tailrace.stream(path)
    stream.append({"type": "stream.paused", "payload": {"reason": "lunch"}})
    with pytest.raises(TailraceError) as paused:
        stream.append({"type": "m"})
    assert (paused.value.code, paused.value.retryable, paused.value.problem["reason"]) == (
        "stream_paused",
        True,
        "lunch",
    )
    assert stream.head().paused


def test_a_server_that_is_not_there_is_tried_for_as_long_as_was_said() -> None:
    with Tailrace("http://127.0.0.1:9", retry_for=0.2) as tailrace, pytest.raises(TailraceError) as gone:
        tailrace.stream("/a").append({"type": "m"})
    assert (gone.value.status, gone.value.code) == (0, "unreachable")
    with Tailrace("ftp://127.0.0.1:9") as tailrace, pytest.raises(TailraceError):
        tailrace.stream("/a").append({"type": "m"})


def test_a_lost_answer_never_doubles_an_event(shared_runtime: Any, path: str) -> None:
    class Lossy(httpx.BaseTransport):
        """Loses the first answer to everything."""

        def __init__(self) -> None:
            self.lost = 0
            self.inner = httpx.HTTPTransport()

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = self.inner.handle_request(request)
            self.lost += 1
            if self.lost % 2:
                answer.read()
                raise httpx.ReadError("the cable")
            return answer

    transport = Lossy()
    with Tailrace(shared_runtime.url, transport=transport) as tailrace:
        stream = tailrace.stream(path)
        stored = [stream.append({"type": "m", "payload": n}) for n in range(5)]
        stored += stream.append([{"type": "m", "payload": n} for n in range(5, 8)])
        assert [event for event in stream.read() if event.type == "m"] == stored
        assert [event.payload for event in stored] == list(range(8))
        stream.delete()
    assert transport.lost == 16


def test_what_stands_around_a_stream_is_told(tailrace: Tailrace, path: str) -> None:
    stream = tailrace.stream(path)
    tailrace.stream(f"{path}/b/c").append({"type": "m"})
    tailrace.stream(f"{path}/a").append({"type": "m"})
    until("it knows them", lambda: len(list(stream.children(recursive=True))) == 3)
    assert [child["path"] for child in stream.children()] == [f"{path}/a", f"{path}/b"]
    assert next(stream.children(details=True))["head"] == 2
    stream.append({"type": "subscription.configured", "payload": {"slug": "s", "target": {"pull": True}}})
    assert stream.state()["subscriptions"]["s"]["slug"] == "s"
    assert stream.state(at=1)["subscriptions"] == {}
    assert stream.subscription("s")["status"] == "idle"
    head = stream.head()
    assert head.offset == stream.state()["head"] and not head.paused
    stream.delete(children=True)
    until("all are gone", lambda: is_gone(tailrace, f"{path}/b/c"))


def is_gone(tailrace: Tailrace, path: str) -> bool:
    try:
        tailrace.stream(path).head()
    except TailraceError as error:
        return error.status == 404
    return False


def test_payloads_are_what_their_reader_knows() -> None:
    class Message(TypedDict):
        text: str

    @dataclass
    class Said:
        text: str

    event = Event[Any]({"offset": 1, "type": "m", "payload": {"text": "hi"}, "streamPath": "/a", "novel": 1})
    assert event.payload_as(Message)["text"] == event.payload_as(Said).text == "hi"
    assert event.payload_as(lambda payload: payload["text"]) == "hi"
    assert event.raw["novel"] == 1 and event.cause is None and event.metadata == {}
    assert event == Event(dict(event.raw)) and event != 1 and "novel" in repr(event)
    with pytest.raises(TypeError):
        event.payload_as(lambda: None)


def test_tails_see_everything_once_and_in_order_although_the_server_is_killed(runtime: Any, path: str) -> None:
    seen: list[Event[Any]] = []
    caught_up: list[int] = []
    with Tailrace(runtime.url) as tailrace:
        stream = tailrace.stream(path)
        tail = stream.tail(on_caught_up=caught_up.append)
        reader = threading.Thread(target=lambda: seen.extend(tail), daemon=True)
        reader.start()
        asynchronous: list[Event[Any]] = []

        async def follow() -> None:
            async with AsyncTailrace(runtime.url) as other:
                asynchronous.extend(await collected(other.stream(path).tail(), 63))

        other = threading.Thread(target=lambda: asyncio.run(follow()), daemon=True)
        other.start()
        stream.append(UNLIMITED)
        for restart in range(2):
            for n in range(30):
                if n == 15:
                    killer = threading.Thread(target=lambda: (runtime.kill(), runtime.start()))
                    killer.start()
                # While it is away, this waits; the key makes sure that it stands once.
                stream.append({"type": "live", "payload": {"n": n, "restart": restart, "text": HOSTILE}})
            killer.join()
        stream.append({"type": "end"})
        stored = list(stream.read())

        until("both have seen it", lambda: len(seen) >= len(stored) and not other.is_alive())
        assert seen == asynchronous == stored
        assert [event.offset for event in stored] == list(range(1, 64))
        assert len(caught_up) >= 2
        tail.close()
        reader.join(PATIENCE)
        assert not reader.is_alive()


def test_a_tail_follows_from_where_it_is_wanted_and_tells_what_is_not_stored(tailrace: Tailrace, path: str) -> None:
    stream = tailrace.stream(path)
    stream.append([{"type": "a", "payload": n} for n in range(5)])
    said: list[Any] = []
    with stream.tail(
        last=2,
        types="a",
        on_caught_up=lambda offset: said.append(offset),
        on_ephemeral=lambda event: said.append(event.type),
        on_reset=lambda: said.append("reset"),
    ) as tail:
        assert [next(tail).payload, next(tail).payload] == [3, 4]
        url = f"{tailrace.url}/api/streams{path}?ephemeral=true"
        later = threading.Timer(0.2, lambda: (httpx.post(url, json={"type": "a.typing"}), stream.append({"type": "b"})))
        later.start()
        again = threading.Timer(0.4, lambda: (httpx.post(url, json={"type": "a"}), stream.append({"type": "a"})))
        again.start()
        assert next(tail).payload == {}
        assert said == [6, "a"]
        stream.delete()
        stream.append({"type": "a", "payload": "reborn"})
        assert next(tail).payload == "reborn"
        assert said[2] == "reset"
    assert list(tail) == []


def test_a_tail_without_rights_says_so() -> None:
    answer = {"code": "unauthorized", "title": "no", "detail": "no", "retryable": False}
    transport = httpx.MockTransport(lambda request: httpx.Response(401, json=answer))
    with Tailrace("http://x", transport=transport) as tailrace, pytest.raises(TailraceError, match="no"):
        next(tailrace.stream("/a").tail())


def test_a_tail_is_closed_by_another_thread_and_leaves_no_connection(tailrace: Tailrace, path: str) -> None:
    quiet = threading.Event()
    tail = tailrace.stream(path).tail(on_caught_up=lambda _: quiet.set())
    ended = threading.Thread(target=lambda: list(tail))
    ended.start()
    assert quiet.wait(PATIENCE)
    tail.close()
    ended.join(PATIENCE)
    assert not ended.is_alive()
    assert connections(tailrace) == 0

    abandoned = tailrace.stream(path).tail()
    tailrace.stream(path).append({"type": "m"})
    next(abandoned)
    del abandoned
    assert connections(tailrace) == 0


def connections(tailrace: Any) -> int:
    """Connections that something is still going on over."""
    transport = tailrace._http._transport
    lanes = transport._all if isinstance(transport, Lanes) else [transport]
    return sum(not connection.is_idle() for lane in lanes for connection in lane._pool.connections)


def test_a_wait_that_is_cancelled_loses_nothing_and_leaves_no_connection(shared_runtime: Any, path: str) -> None:
    async def main() -> None:
        async with AsyncTailrace(shared_runtime.url) as tailrace:
            stream = tailrace.stream(path)
            async with stream.tail(last=1) as tail:
                for n in range(3):
                    with pytest.raises(asyncio.TimeoutError):
                        await asyncio.wait_for(anext(tail), 0.2)
                    assert connections(tailrace) == 0
                    await stream.append([{"type": "m", "payload": n}, {"type": "m", "payload": n}])
                    offsets = [(await anext(tail)).offset for _ in range(3 if n == 0 else 2)]
                    assert offsets == ([1, 2, 3] if n == 0 else [2 * n + 2, 2 * n + 3])
            assert connections(tailrace) == 0

            waiting = asyncio.create_task(collected(tail := stream.tail(after_offset=100, types="x"), 1))
            await asyncio.sleep(0.2)
            await tail.aclose()
            assert await waiting == []
            assert connections(tailrace) == 0

            async for _ in (dropped := stream.tail()):
                break
            del dropped
            begun = time.monotonic()
            while connections(tailrace) and time.monotonic() - begun < PATIENCE:
                await asyncio.sleep(0.01)
            assert connections(tailrace) == 0
            assert [event.offset async for event in stream.read(limit=2)] == [1, 2]
            assert (await stream.head()).offset == 7
            assert (await stream.state())["head"] == 7
            assert [child async for child in stream.children()] == []
            await stream.delete()

    asyncio.run(main())


def test_many_tails_do_not_starve_a_call(shared_runtime: Any, path: str) -> None:
    async def main() -> None:
        async with AsyncTailrace(shared_runtime.url) as tailrace:
            stream = tailrace.stream(path)
            tails = [asyncio.create_task(collected(stream.tail(), 2)) for _ in range(120)]
            await stream.append({"type": "m"})
            for found in await asyncio.gather(*tails):
                assert [event.type for event in found] == ["stream.created", "m"]

    asyncio.run(main())
