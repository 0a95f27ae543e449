"""Events as they are read and as they are written, and the JSON between."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypedDict, TypeVar

if sys.version_info >= (3, 11):
    from typing import Required
else:
    from typing_extensions import Required

P = TypeVar("P")
T = TypeVar("T")


class Event(Generic[P]):
    """An event of a stream. `P` is the type of its payload.

    Nothing is checked: whatever the stream holds is an event, and what this class does not know stands in `raw`.
    """

    __slots__ = ("raw",)

    raw: dict[str, Any]
    """All of it, as it came."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw

    @property
    def offset(self) -> int:
        """Its place in the stream: 1, 2, 3 …; 0 for an ephemeral event, which has none."""
        offset: int = self.raw.get("offset", 0)
        return offset

    @property
    def type(self) -> str:
        """What kind of event it is."""
        kind: str = self.raw["type"]
        return kind

    @property
    def payload(self) -> P:
        """What it says."""
        payload: P = self.raw["payload"]
        return payload

    @property
    def metadata(self) -> dict[str, Any]:
        """What is said about it. Its key `tailrace` is the system's."""
        return self.raw.get("metadata") or {}

    @property
    def idempotency_key(self) -> str | None:
        """The key under which it was written once."""
        return self.raw.get("idempotencyKey")

    @property
    def cause(self) -> dict[str, Any] | None:
        """The event that it answers: `{streamPath, offset, hops, turns}`."""
        return self.raw.get("cause")

    @property
    def stream_path(self) -> str:
        """The stream that it is in."""
        path: str = self.raw["streamPath"]
        return path

    @property
    def created_at(self) -> str:
        """When it was written: RFC 3339, UTC."""
        instant: str = self.raw["createdAt"]
        return instant

    def payload_as(self, kind: Callable[..., T]) -> T:
        """The payload as a type of yours: a `TypedDict`, a dataclass, or any function of the payload.

        Raises what that type raises when the payload does not fit.
        """
        if dataclasses.is_dataclass(kind):
            made: Any = kind(**self.raw["payload"])
            return made  # type: ignore[no-any-return]
        return kind(self.raw["payload"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self.raw == other.raw

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Event({self.raw!r})"


class NewEvent(TypedDict, total=False):
    """An event to append. `type` is needed; `streamPath` is for what a processor appends."""

    type: Required[str]
    payload: Any
    metadata: Mapping[str, Any]
    idempotencyKey: str
    offset: int
    cause: Mapping[str, Any]
    streamPath: str


EventLike = NewEvent | Mapping[str, Any]
"""An event to append: `{"type": …, "payload": …}`."""


def to_json(value: object) -> bytes:
    """JSON that every server reads: no `NaN`, and what UTF-8 cannot say (half a surrogate pair) stays escaped.

    Raises `TypeError` or `ValueError` for what is no JSON.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def from_json(text: str | bytes) -> Any:
    """Any JSON. Raises `ValueError` for what is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # Python refuses integers of more than some thousand digits; a stranger's event must not stop a reader.
        return json.loads(text, parse_int=_number)


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < 600 else float(digits)
