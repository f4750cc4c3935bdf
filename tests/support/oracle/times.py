"""When: schedules, and the windows of calendar and span that an instant lies in."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from schemas.campaign_parts import WEEKDAYS, Active


@lru_cache(maxsize=100_000)
def local(time_ms: int, zone: str) -> dt.datetime:
    """What clock and calendar of the zone show."""
    seconds, ms = divmod(time_ms, 1000)
    return dt.datetime.fromtimestamp(seconds, ZoneInfo(zone)).replace(microsecond=ms * 1000)


def instant_ms(moment: dt.datetime | None, zone: str) -> int | None:
    """The instant that a date or time in a file means; without an offset it is of the zone."""
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
    return (aware - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)


def is_active(active: Active, time_ms: int) -> bool:
    """[from less the lookback, to), a weekday, and hours that belong to the day they begin."""
    start, end = instant_ms(active.start, active.zone), instant_ms(active.end, active.zone)
    start = start - (active.lookback or 0) if start is not None else None
    if (start is not None and time_ms < start) or (end is not None and time_ms >= end):
        return False
    now = local(time_ms, active.zone)
    minute, today = now.hour * 60 + now.minute, now.date()
    if not active.hours:
        return _is_day(active, today)
    return any(
        _is_day(active, today - begun) for hours in active.hours if (begun := _days_since(hours, minute)) is not None
    )


def is_looked_back_at(active: Active, time_ms: int) -> bool:
    """Whether an event counts and gives nothing, because it comes before `from`."""
    start = instant_ms(active.start, active.zone)
    return active.lookback is not None and start is not None and time_ms < start


def _days_since(hours: tuple[int, int], minute: int) -> dt.timedelta | None:
    """How many days ago the hours began that a minute of the day lies in; None if it lies outside."""
    begins, ends = hours
    if begins < ends:
        return dt.timedelta(0) if begins <= minute < ends else None
    return dt.timedelta(0) if minute >= begins else dt.timedelta(1) if minute < ends else None


def _is_day(active: Active, day: dt.date) -> bool:
    return not active.days or WEEKDAYS[day.weekday()] in active.days


@lru_cache(maxsize=100_000)
def period(kind: str, time_ms: int, zone: str) -> Any:
    """Which hour, day, week or month of the zone an instant lies in, as something to compare."""
    now = local(time_ms, zone)
    if kind == "hour":
        return now.replace(minute=0, second=0, microsecond=0, tzinfo=None), now.utcoffset()
    if kind == "day":
        return now.date()
    if kind == "week":
        return now.date() - dt.timedelta(days=now.weekday())
    return now.date().replace(day=1)


def period_number(kind: str, time_ms: int, zone: str) -> int:
    """The same, as consecutive numbers."""
    day = local(time_ms, zone).date()
    if kind == "day":
        return day.toordinal()
    if kind == "week":
        return (day.toordinal() - 1) // 7
    return day.year * 12 + day.month
