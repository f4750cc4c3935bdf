"""Where a window begins: the only place that decides a window's bound.

Calendar windows begin at the first instant of the local day, ISO week or month; a window is [start, next start). An
instant belongs to the window of its local date, so that a day of 23 or 25 hours is one window. Hours are whole hours of
the local clock; the hour that daylight saving repeats is two windows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
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


@lru_cache(maxsize=10_000)
def windows_touched(period: str, zone: str, start_ms: int, end_ms: int, span_ms: int = 0, origin_ms: int = 0) -> int:
    """How many windows have an instant of [start_ms, end_ms), which is not empty; period as for `window_start`.

    Never fewer than there are, for spans that do not end within a night in which a clock goes back over midnight. Where
    a zone left out a whole local day, that one is counted too.
    """
    last_ms = end_ms - 1
    if period == "lifetime":
        return 1
    if period == "span":
        return (last_ms - origin_ms) // span_ms - (start_ms - origin_ms) // span_ms + 1
    if period == "hour":
        first_ms = window_start("hour", zone)(start_ms)
        return (last_ms - first_ms) // HOUR_MS + 1 + _broken_hours(zone, start_ms, last_ms)
    first, last = (datetime.fromtimestamp(instant // 1000, ZoneInfo(zone)).date() for instant in (start_ms, last_ms))
    first, last = min(first, last), max(first, last)
    if period == "month":
        return (last.year - first.year) * 12 + last.month - first.month + 1
    if period == "week":
        return (last.toordinal() - 1) // 7 - (first.toordinal() - 1) // 7 + 1
    return last.toordinal() - first.toordinal() + 1


def _broken_hours(zone: str, start_ms: int, last_ms: int) -> int:
    """How often a zone may have moved its clock by less than an hour: each makes one window more."""
    first, last = (datetime.fromtimestamp(instant // 1000, UTC).year for instant in (start_ms, last_ms))
    return sum(_odd_changes(zone, year) for year in range(first, last + 1))


@lru_cache(maxsize=10_000)
def _odd_changes(zone: str, year: int) -> int:
    days = (datetime(year, 1, 1, tzinfo=UTC) + timedelta(day) for day in range(-1, 368))
    minutes = [day.astimezone(ZoneInfo(zone)).minute for day in days]
    return sum(one != other for one, other in itertools.pairwise(minutes))


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
