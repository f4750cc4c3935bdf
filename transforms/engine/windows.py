"""Where a window begins: the only place that decides a window's bound.

Calendar windows begin at the first instant of the local day, ISO week or month; a window is [start, next start). An
instant belongs to the window of its local date, so that a day of 23 or 25 hours is one window. Hours are whole hours of
the local clock; the hour that daylight saving repeats is two windows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_QUARTER_MS = HOUR_MS // 4
_CACHE_MAX = 100_000

T = TypeVar("T")

WindowStart = Callable[[int], int]
"""From an event time to the start of its window, both in ms since the epoch, UTC."""


def window_start(period: str, zone: str, span_ms: int = 0, origin_ms: int = 0) -> WindowStart:
    """The function that finds the window of an instant.

    Args:
      period: "lifetime" (always 0), "hour", "day", "week" (ISO, from Monday), "month", or "span": tumbling windows of
        span_ms that count from origin_ms, backwards too.
      zone: IANA name.

    Raises:
      KeyError: for another period. zoneinfo.ZoneInfoNotFoundError: for an unknown zone.
    """
    if period == "lifetime":
        return lambda time_ms: 0
    if period == "span":
        return lambda time_ms: time_ms - (time_ms - origin_ms) % span_ms
    find = _START_OF_PERIOD[period]
    if zone == "UTC" and period in ("hour", "day"):
        length = HOUR_MS if period == "hour" else DAY_MS
        return lambda time_ms: time_ms - time_ms % length
    info = ZoneInfo(zone)
    return by_quarter(lambda time_ms: _instant(find(datetime.fromtimestamp(time_ms // 1000, info))))


def window_end(period: str, zone: str, start_ms: int, span_ms: int = 0) -> int | None:
    """The first instant after the day, week, month or span that begins at start_ms; None for "lifetime"."""
    if period == "lifetime":
        return None
    if period == "span":
        return start_ms + span_ms
    longest = {"day": 30 * HOUR_MS, "week": 8 * DAY_MS, "month": 33 * DAY_MS}[period]
    return window_start(period, zone)(start_ms + longest)


def by_quarter(find: Callable[[int], T]) -> Callable[[int], T]:
    """Remember what follows from the windows of an instant, by its quarter of an hour.

    Since 1970 every zone has changed its clock on a full quarter, so all windows of the calendar begin on one.
    """
    known: dict[int, T] = {}

    def found_at(time_ms: int) -> T:
        quarter = time_ms // _QUARTER_MS
        found = known.get(quarter)
        if found is None:
            if len(known) >= _CACHE_MAX:
                known.clear()
            found = known[quarter] = find(quarter * _QUARTER_MS)
        return found

    return found_at


def _instant(local: datetime) -> int:
    return int(local.astimezone(UTC).timestamp()) * 1000


def _hour(local: datetime) -> datetime:
    """Counted back from the instant, so that each of two equal local hours is one of its own."""
    return local.astimezone(UTC) - timedelta(minutes=local.minute, seconds=local.second)


def _midnight(day: date, local: datetime) -> datetime:
    """fold=0: the first of two midnights; in a gap, the instant at which the gap begins."""
    return datetime(day.year, day.month, day.day, tzinfo=local.tzinfo)


_START_OF_PERIOD: dict[str, Callable[[datetime], datetime]] = {
    "hour": _hour,
    "day": lambda local: _midnight(local.date(), local),
    "week": lambda local: _midnight(local.date() - timedelta(days=local.weekday()), local),
    "month": lambda local: _midnight(local.date().replace(day=1), local),
}
