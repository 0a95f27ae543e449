"""Processors against the real runtime: each event once, in order, whoever dies."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import PATIENCE, UNLIMITED, until

from tailrace import Append, AsyncTailrace, Event, Processor, Stream, Tailrace, TailraceError, _run, run, run_async

HERE = Path(__file__).resolve().parent


class Numbers(Processor[list[int]]):
    """Keeps the numbers of all messages, and answers each."""

    slug = "numbers"

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now: set[str] = set()
        self.most = 0
        self.handled: list[int] = []
        self.errors: list[tuple[str, int]] = []

    def initial_state(self) -> list[int]:
        return []

    def reduce(self, state: list[int], event: Event[Any]) -> list[int]:
        return [*state, event.payload["n"]]

    def after_append(self, event: Event[Any], state: list[int], append: Append) -> None:
        with self.lock:
            assert event.stream_path not in self.now
            self.now.add(event.stream_path)
            self.most = max(self.most, len(self.now))
            self.handled.append(event.offset)
        time.sleep(event.payload.get("seconds", 0))
        append({"type": "answer", "payload": {"n": event.payload["n"]}})
        with self.lock:
            self.now.remove(event.stream_path)

    def failed(self, error: Exception, event: Event[Any] | None) -> None:
        self.errors.append((str(error), event.offset if event else 0))


@contextmanager
def running(processor: Processor[Any], stream: Stream, **options: Any) -> Iterator[threading.Event]:
    """Runs it meanwhile; in the end it is told to stop, and does."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            run(processor, stream, stop=stop, **{"types": "message", **options})
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert [getattr(failure, "code", failure) for failure in failures] == []


def answers(stream: Stream) -> list[Event[Any]]:
    return list(stream.read(types="answer"))


def state_of(stream: Stream, slug: str = "numbers") -> Any:
    try:
        return stream.subscription(slug)["state"]
    except TailraceError:
        return None


def message(n: int, **more: Any) -> dict[str, Any]:
    return {"type": "message", "payload": {"n": n, **more}}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker asks for a lease anew every second: the server finds out late who does not wait any more."""
    monkeypatch.setattr(_run, "WAIT", 1)


@pytest.mark.usefixtures("impatient")
def test_history_is_folded_without_effects_and_what_comes_is_answered(tailrace: Tailrace, path: str) -> None:
    stream = tailrace.stream(path)
    stream.append(UNLIMITED)
    stream.append([message(n) for n in range(5)])
    processor = Numbers()

    with running(processor, stream, from_="start", lease_seconds=1):
        until("it is configured", lambda: state_of(stream) == list(range(5)))
        stream.append([message(n) for n in range(5, 10)])
        until("all is handled", lambda: state_of(stream) == list(range(10)))

    assert [event.payload["n"] for event in answers(stream)] == list(range(5, 10))
    causes = [event.cause for event in answers(stream)]
    asked = [event.offset for event in stream.read(types="message")][5:]
    assert [cause["offset"] for cause in causes if cause] == asked == processor.handled
    # It is as it was wanted: nothing is configured once more.
    with running(processor, stream, from_="start", lease_seconds=1):
        stream.append(message(10))
        until("it goes on", lambda: state_of(stream) == list(range(11)))
    assert [event.type for event in stream.read(types="subscription.*")] == ["subscription.configured"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_worker_that_is_killed_is_taken_up_exactly_where_it_stopped(tailrace: Tailrace, path: str, kind: str) -> None:
    stream = tailrace.stream(path)
    stream.append([UNLIMITED, {"type": "begun"}])
    enough = threading.Event()

    def write() -> None:
        n = 0
        while not enough.wait(0.01):
            n += 1
            stream.append(message(n))

    def work() -> subprocess.Popen[bytes]:
        env = {**os.environ, "PYTHONPATH": str(HERE.parent / "src")}
        return subprocess.Popen([sys.executable, str(HERE / "worker.py"), tailrace.url, path, kind], env=env)

    def counted() -> list[Event[Any]]:
        return list(stream.read(types="counted"))

    writer = threading.Thread(target=write)
    worker = work()
    try:
        until("it is there", lambda: state_of(stream, "count") is not None or stream.state()["subscriptions"])
        writer.start()
        for _ in range(2):
            before = len(counted())
            until("it counts", lambda before=before: len(counted()) > before + 3)
            worker.kill()
            worker.wait()
            worker = work()
        enough.set()
        writer.join()
        asked = [event.offset for event in stream.read(types="message")]
        until("all is counted", lambda: state_of(stream, "count") == {"n": len(asked)})
        # And Ctrl-C is an end that is tidy.
        worker.send_signal(signal.SIGINT)
        assert worker.wait(PATIENCE) != 0
        assert stream.subscription("count")["lease"] is None
    finally:
        enough.set()
        worker.kill()
        worker.wait()
    assert [event.payload for event in counted()] == [
        {"of": offset, "n": index + 1} for index, offset in enumerate(asked)
    ]


def test_a_subtree_is_worked_off_also_streams_that_are_born_later_and_no_more_at_a_time_than_said(
    tailrace: Tailrace, path: str
) -> None:
    root = tailrace.stream(path)
    processor = Numbers()
    streams = [tailrace.stream(f"{path}/{n % 3}/{n}") for n in range(9)]
    for stream in streams[:4]:
        stream.append({"type": "begun"})
    with running(processor, root, children=True, concurrency=3):
        until("it is configured", lambda: root.state()["subscriptions"] if not is_missing(root) else None)
        for n in range(4):
            for stream in streams:
                stream.append(message(n, seconds=0.05))
        doomed = tailrace.stream(f"{path}/doomed")
        doomed.append([message(n, seconds=0.02) for n in range(10)])
        doomed.delete()
        for stream in streams:
            until("it is handled", lambda stream=stream: state_of(stream) == [0, 1, 2, 3])
    for stream in streams:
        assert [event.payload["n"] for event in answers(stream)] == [0, 1, 2, 3]
    assert 1 < processor.most <= 3


def is_missing(stream: Stream) -> bool:
    try:
        stream.head()
    except TailraceError:
        return True
    return False


def test_an_error_is_an_event_and_what_failed_comes_again(
    tailrace: Tailrace, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Numbers):
        broken = True

        def after_append(self, event: Event[Any], state: list[int], append: Append) -> None:
            append({"type": "never", "payload": {}})
            if self.broken and event.payload["n"] == 2:
                raise RuntimeError("two is too many")
            append._events.clear()
            super().after_append(event, state, append)

    stream = tailrace.stream(path)
    stream.append({"type": "begun"})
    processor = Failing()
    with running(processor, stream, on_error=processor.failed):
        until("it is configured", lambda: stream.state()["subscriptions"])
        first, second, third = stream.append([message(n) for n in (1, 2, 3)])
        errors = until("it says so", lambda: list(stream.read(types="error.occurred")))
        assert [error.payload for error in errors] == [
            {"message": "two is too many", "subscription": "numbers", "offset": second.offset}
        ]
        assert errors[0].cause["offset"] == second.offset
        report = until("it will be tried again", lambda: is_retrying(stream))
        assert (report["lastError"], report["state"]) == ("two is too many", [1])
        # Once more: the same error is not said again.
        stream.append({"type": "subscription.resumed", "payload": {"slug": "numbers"}})
        until("it failed again", lambda: len(processor.errors) == 2)
        processor.broken = False
        until("it will be tried again", lambda: is_retrying(stream))
        stream.append({"type": "subscription.resumed", "payload": {"slug": "numbers"}})
        until("all is handled", lambda: state_of(stream) == [1, 2, 3])
    assert processor.errors == [("two is too many", second.offset)] * 2
    assert len(list(stream.read(types="error.occurred"))) == 1
    assert list(stream.read(types="never")) == []
    assert processor.handled == [first.offset, second.offset, third.offset]

    class Unfit(Numbers):
        def reduce(self, state: list[int], event: Event[Any]) -> list[int]:
            return {1, 2}  # type: ignore[return-value]

    with caplog.at_level(logging.ERROR, "tailrace"), running(Unfit(), stream, slug="unfit"):
        until("it is configured", lambda: stream.state()["subscriptions"].get("unfit"))
        stream.append(message(4))
        until("it says so", lambda: len(list(stream.read(types="error.occurred"))) == 2)
    assert "not JSON serializable" in caplog.text


def is_retrying(stream: Stream) -> dict[str, Any] | None:
    report = stream.subscription("numbers")
    return report if report["status"] == "retrying" else None


def test_an_answer_that_is_refused_is_told_and_halts(tailrace: Tailrace, path: str) -> None:
    class Jailbreak(Numbers):
        def after_append(self, event: Event[Any], state: list[int], append: Append) -> None:
            append({"type": "stream.resumed"})

    stream = tailrace.stream(path)
    wanted = {"slug": "numbers", "target": {"pull": True}, "types": ["message"], "children": True}
    stream.append({"type": "subscription.configured", "payload": {**wanted, "children": False}})
    stream.append(message(1))
    processor = Jailbreak()
    with pytest.raises(TailraceError) as refused:
        run(processor, stream, types="message", on_error=processor.failed)
    assert refused.value.code == "forbidden"
    assert [error for error, _ in processor.errors] == [str(refused.value)]

    # It is one stream that is halted. Others go on.
    stream.append({"type": "subscription.configured", "payload": wanted})
    processor = Jailbreak()
    with running(processor, stream, children=True, on_error=processor.failed):
        until("it is told", lambda: processor.errors)
        tailrace.stream(f"{path}/below").append(message(1))
        until("others go on", lambda: len(processor.errors) == 2)

    # Who comes to what is halted is told.
    told = Jailbreak()
    with running(told, stream, children=True, on_error=told.failed):
        until("it is told", lambda: told.errors)
    assert told.errors[0][0].startswith("the subscription numbers is halted")


def test_what_takes_longer_than_a_lease_keeps_it(tailrace: Tailrace, path: str) -> None:
    stream = tailrace.stream(path)
    stream.append({"type": "begun"})
    processor = Numbers()
    with running(processor, stream, lease_seconds=1):
        until("it is configured", lambda: stream.state()["subscriptions"])
        stream.append([message(1, seconds=2), message(2)])
        until("all is handled", lambda: state_of(stream) == [1, 2])
    assert len(processor.handled) == 2
    assert stream.subscription("numbers")["failedAttempts"] == 0


def test_told_to_stop_it_finishes_the_event_in_hand_and_gives_the_rest_back(tailrace: Tailrace, path: str) -> None:
    stream = tailrace.stream(path)
    stream.append({"type": "begun"})
    processor = Numbers()
    with running(processor, stream) as stop:
        until("it is configured", lambda: stream.state()["subscriptions"])
        stream.append([message(n, seconds=0.3) for n in range(5)])
        until("it begins", lambda: processor.handled)
        stop.set()
    report = stream.subscription("numbers")
    assert (report["state"], report["lease"], report["status"]) == ([0], None, "pending")
    assert [event.payload["n"] for event in answers(stream)] == [0]


def test_cancelling_the_task_ends_it_tidily_and_a_second_time_at_once(shared_runtime: Any, path: str) -> None:
    begun = asyncio.Event()
    cancelled: list[int] = []

    class Slow(Processor[int]):
        slug = "slow"

        async def after_append(self, event: Event[Any], state: int, append: Append) -> None:
            begun.set()
            try:
                await asyncio.sleep(event.payload["seconds"])
            except asyncio.CancelledError:
                assert append.signal.is_set()
                cancelled.append(event.offset)
                raise
            append({"type": "answer", "payload": {}})

    async def main() -> None:
        async with AsyncTailrace(shared_runtime.url) as tailrace:
            stream = tailrace.stream(path)
            await stream.append({"type": "begun"})
            for seconds, patience in ((0.3, PATIENCE), (60, 0.3)):
                begun.clear()
                task = asyncio.create_task(run_async(Slow(), stream, types="message"))
                while not (await stream.state())["subscriptions"]:
                    await asyncio.sleep(0.02)
                await stream.append(message(1, seconds=seconds))
                await asyncio.wait_for(begun.wait(), PATIENCE)
                task.cancel()
                done, _ = await asyncio.wait({task}, timeout=patience)
                if not done:
                    task.cancel()
                    done, _ = await asyncio.wait({task}, timeout=PATIENCE)
                assert task.cancelled()
            assert len([event async for event in stream.read(types="answer")]) == 1
            assert len(cancelled) == 1

    asyncio.run(main())


@pytest.mark.usefixtures("impatient")
def test_it_ends_with_an_error_when_nothing_can_ever_be_leased(tailrace: Tailrace, path: str) -> None:
    stream = tailrace.stream(path)
    with pytest.raises(ValueError, match="slug"):
        run(Processor(), stream)
    with pytest.raises(TailraceError) as refused:
        run(Processor(), stream, slug="a b")
    assert refused.value.code == "invalid_control_event"
    processor = Numbers()
    failures: list[TailraceError] = []

    def work() -> None:
        try:
            run(processor, stream)
        except TailraceError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    until("it is configured", lambda: not is_missing(stream) and stream.state()["subscriptions"])
    stream.append({"type": "subscription.removed", "payload": {"slug": "numbers"}})
    stream.append(message(1))
    thread.join(PATIENCE)
    assert [error.code for error in failures] == ["not_found"]


def test_what_is_appended_too_late_is_refused() -> None:
    append = Append()
    append({"type": "a"})
    append._settle()
    with pytest.raises(RuntimeError, match="settled"):
        append({"type": "b"})


def test_a_transport_of_ones_own_is_used_by_run_as_well(tailrace: Tailrace, path: str) -> None:
    asked: dict[str, int] = defaultdict(int)

    class Counting(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            asked[request.url.path.split("/")[2]] += 1
            return super().handle_request(request)

    with Tailrace(tailrace.url, transport=Counting()) as own:
        stream = own.stream(path)
        stream.append({"type": "begun"})
        with running(Numbers(), stream):
            until("it is configured", lambda: stream.state()["subscriptions"])
            stream.append(message(1))
            until("it is handled", lambda: state_of(stream) == [1])
    assert asked["lease"] >= 1 and asked["settle"] == 1
