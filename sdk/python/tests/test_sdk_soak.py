"""A tail sees all, once, in order, while the server is killed every 20 s, for TAILRACE_SOAK_MINUTES."""

import os
import threading
import time
from typing import Any

import pytest
from conftest import UNLIMITED, until

from tailrace import Tailrace

MINUTES = float(os.environ.get("TAILRACE_SOAK_MINUTES", "0"))


@pytest.mark.skipif(MINUTES == 0, reason="TAILRACE_SOAK_MINUTES is not set")
def test_a_tail_goes_on_for_as_long_as_it_is_wanted(runtime: Any, path: str) -> None:
    end = time.monotonic() + 60 * MINUTES
    seen: list[tuple[int, int]] = []
    killed = 0

    def kill() -> None:
        nonlocal killed
        while time.monotonic() < end - 20:
            time.sleep(20)
            runtime.kill()
            runtime.start()
            killed += 1

    with Tailrace(runtime.url) as tailrace:
        stream = tailrace.stream(path)
        stream.append(UNLIMITED)
        with stream.tail(types="n") as tail:
            reader = threading.Thread(target=lambda: seen.extend((event.offset, event.payload) for event in tail))
            reader.start()
            killer = threading.Thread(target=kill)
            killer.start()
            n = 0
            while time.monotonic() < end:
                stream.append({"type": "n", "payload": n})
                n += 1
                time.sleep(0.02)
            killer.join()
            until("all is seen", lambda: len(seen) >= n)
            tail.close()
            reader.join()
    assert seen == [(offset + 3, offset) for offset in range(n)]
    assert killed > 0 or MINUTES < 0.5
    print(f"{n} events, the server killed {killed} times")
