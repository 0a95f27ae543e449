"""When to try again: decided here, waited for elsewhere."""

from __future__ import annotations

import os
import random
import time
from email.utils import parsedate_to_datetime

import httpx

LONGEST = 10.0
"""Seconds that one wait takes at most, unless the server wants more."""

LONGEST_WANTED = 60.0
"""Seconds that a server may want at most."""


def shortest() -> float:
    """Seconds up to which the first wait takes; tests are not made to wait."""
    return 0.001 if os.environ.get("TAILRACE_SDK_FAST") == "1" else 0.1


def backoff(attempt: int) -> float:
    """Seconds to wait after so many failures (from 0): exponential, with full jitter."""
    # Nobody waits so long that the exponent matters.
    return random.uniform(0, min(LONGEST, shortest() * 2 ** min(attempt, 30)))


def retry_after(answer: httpx.Response) -> float | None:
    """Seconds that the server wants to be left alone: `Retry-After` in seconds or as a date, at most a minute."""
    wanted = answer.headers.get("retry-after", "").strip()
    if wanted.isascii() and wanted.isdigit():
        # Longer ones are more than a minute as well, and some are no number Python reads.
        return min(float(wanted[:9]), LONGEST_WANTED)
    try:
        seconds = parsedate_to_datetime(wanted).timestamp() - time.time()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_WANTED)


class Retry:
    """The attempts of one call."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._failed = 0

    def next(self, answer: httpx.Response | Exception) -> float | None:
        """Seconds to wait before the next attempt; `None` when there is no time left for one."""
        wanted = retry_after(answer) if isinstance(answer, httpx.Response) else None
        seconds = backoff(self._failed) if wanted is None else wanted
        self._failed += 1
        return seconds if time.monotonic() + seconds <= self._until else None
