"""What an explanation is made of: questions with their answers, and how instants and spans are told."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from schemas.grants import rfc3339
from transforms.language.tracing import Traced


class Course(StrEnum):
    """How far an event came in one campaign."""

    NOT_LISTENED = "not listened to"
    NOT_TAKEN = "not taken in"
    NO_MATCH = "not matched"
    NOT_COUNTED = "not counted"
    COUNTED = "counted"
    NOTHING = "worth nothing"
    OPENED = "opens a window"
    ENDED = "ends a wait"
    REFUND = "taken as a refund"
    WAITS = "waits"
    PROPOSED = "proposed"


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One question.

    Attributes:
      name: what was asked, e.g. "where". met: None = told, not asked.
      told: what was found. needs: what would have to be otherwise, all of it.
      condition: the parts of an expression. numbers: what was counted, compared or due, by name; times in ms.
    """

    name: str
    met: bool | None
    told: str
    needs: tuple[str, ...] = ()
    condition: Traced | None = None
    numbers: dict[str, Any] = {}


class Section(msgspec.Struct, frozen=True):
    """An event in one role: "count", "open", "close" or "refund"."""

    role: str
    course: Course
    steps: tuple[Step, ...]


def instant(time_ms: int, zone: str) -> str:
    """An instant in a zone, RFC 3339."""
    if zone == "UTC":
        return rfc3339(time_ms)
    return datetime.fromtimestamp(time_ms / 1000, ZoneInfo(zone)).isoformat(timespec="auto")


def span(span_ms: int) -> str:
    """`3d 4h`, `90s`: the two greatest units."""
    found, rest = [], abs(span_ms)
    for unit, length_ms in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, rest = divmod(rest, length_ms)
        if count:
            found.append(f"{count:,}{unit}")
    return " ".join(found[:2]) or "0s"
