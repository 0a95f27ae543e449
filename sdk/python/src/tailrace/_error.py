"""What is thrown."""

from __future__ import annotations

from typing import Any

import httpx

from ._event import from_json


class TailraceError(Exception):
    """A call was refused, or nothing could be reached for as long as it was tried.

    Go by `code` (see docs/errors.md); `detail` is for people.
    """

    status: int
    """The HTTP status; 0 when no answer came."""
    code: str
    """Which problem it is: `stream_paused`, `offset_mismatch` …; `unreachable` when no answer came, `http_<status>`
    when the answer is not one of Tailrace."""
    title: str
    """The problem, the same for every occurrence."""
    detail: str
    """What it was this time."""
    retryable: bool
    """The same call may succeed later."""
    field: str | None
    """The field or parameter that is not right."""
    problem: dict[str, Any]
    """All that was answered."""

    def __init__(self, status: int, code: str, title: str, detail: str, retryable: bool, **more: Any) -> None:
        super().__init__(detail or title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.retryable = retryable
        self.field = more.get("field")
        self.problem = {
            "status": status, "code": code, "title": title, "detail": detail, "retryable": retryable, **more
        }  # fmt: skip

    @classmethod
    def of(cls, answer: httpx.Response | Exception) -> TailraceError:
        """What an answer that is no success says."""
        if isinstance(answer, Exception):
            detail = str(answer) or type(answer).__name__
            return cls(0, "unreachable", "No answer came", detail, True)
        status = answer.status_code
        if problem := problem_of(answer):
            known = {name: problem.pop(name, None) for name in ("code", "title", "detail", "retryable")}
            problem.pop("status", None)
            code, title, detail = (str(known[name] or "") for name in ("code", "title", "detail"))
            return cls(status, code, title, detail, known["retryable"] is True, **problem)
        title = "The answer is not one of Tailrace"
        return cls(status, f"http_{status}", title, f"{status} {answer.reason_phrase}", may_succeed_later(answer))


def problem_of(answer: httpx.Response) -> dict[str, Any] | None:
    """The problem in an answer (RFC 9457), if it is one."""
    try:
        problem = from_json(answer.content)
    except (ValueError, httpx.StreamError):
        return None
    return problem if isinstance(problem, dict) and isinstance(problem.get("code"), str) else None


def may_succeed_later(answer: httpx.Response) -> bool:
    """Whether the same call is worth another try."""
    if answer.status_code in (408, 425, 429):
        return True
    if answer.status_code < 500:
        return False
    problem = problem_of(answer)
    return problem is None or problem.get("retryable") is True
