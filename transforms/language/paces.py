"""What `pace:` of a file means: a span of time, and how the hours of its days lie on the clock of UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from schemas.campaigns import PaceParts
from schemas.proposals import Pace

WEIGHTS = {"even": (1,), "front-loaded": (4, 3, 2, 1)}
"""Of equal parts of the span."""


def pace_of(parts: PaceParts, start_ms: int, end_ms: int, zone: str) -> Pace:
    """The pace over a span; a curve's hours are those of the zone."""
    if parts.curve is None:
        assert parts.by is not None
        return Pace(parts.by, start_ms, end_ms, parts.head_start, WEIGHTS[parts.by], (), zone)
    return Pace("curve", start_ms, end_ms, parts.head_start, parts.curve, offsets_of(zone, start_ms, end_ms), zone)


def offsets_of(zone: str, start_ms: int, end_ms: int) -> tuple[tuple[int, int], ...]:
    """(from ms, ms that local time is ahead of UTC) of each stretch of a span; the first begins with it."""
    first, last = _moment(start_ms), _moment(end_ms)
    found = [(start_ms, _ahead_ms(zone, first))]
    for year in range(first.year, last.year + 1):
        found += [(at, ahead) for at, ahead in _changes(zone, year) if start_ms < at < end_ms]
    return tuple(found)


@lru_cache(maxsize=1024)
def _changes(zone: str, year: int) -> tuple[tuple[int, int], ...]:
    """The instants of a year, in ms, at which the offset becomes another."""
    found = []
    day, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    while day < end:
        following = day + timedelta(days=1)
        if _ahead_ms(zone, day) != _ahead_ms(zone, following):
            at = _first_change(zone, day, following)
            found.append((round(at.timestamp() * 1000), _ahead_ms(zone, at)))
        day = following
    return tuple(found)


def _first_change(zone: str, before: datetime, after: datetime) -> datetime:
    """The second at which it changes, between two moments that differ."""
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=1) // 2)
        before, after = (middle, after) if _ahead_ms(zone, middle) == _ahead_ms(zone, before) else (before, middle)
    return after


def _ahead_ms(zone: str, moment: datetime) -> int:
    ahead = moment.astimezone(ZoneInfo(zone)).utcoffset()
    assert ahead is not None
    return round(ahead.total_seconds() * 1000)


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
