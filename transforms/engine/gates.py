"""When and for whom beyond dates and conditions: weekdays, hours of the local clock, lists and shares of users."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from schemas.plans import AudiencePlan, Schedule, UserShare

_QUARTER_MS = 900_000
_MINUTE_MS = 60_000
_DAY_MINUTES = 24 * 60
_CACHE_MAX = 100_000


def gate_of(schedule: Schedule, zone: str, audience: AudiencePlan) -> Callable[[str, int], bool] | None:
    """(subject, event time in ms) -> whether the campaign is open to it; None where it is to all, at all hours."""
    users, clock = _users(audience), _clock(schedule, zone)
    if users is None:
        return None if clock is None else lambda subject, time_ms: clock(time_ms)
    if clock is None:
        return lambda subject, time_ms: users(subject)
    return lambda subject, time_ms: clock(time_ms) and users(subject)


def user_place(share: UserShare, user: str) -> int:
    """A user's place in units of the hash's scale: [0, 2^32) or [0, 10000)."""
    return _hashed(share.hash, share.seed, user)


@lru_cache(maxsize=10_000)
def _hashed(algorithm: str, seed: str, user: str) -> int:
    """Remembered: campaigns that share a seed ask for the same place at the same event."""
    if algorithm == "sha256":
        return int(hashlib.sha256(f"{seed}:{user}".encode()).hexdigest()[:8], 16)
    return _fnv1a32(str(_fnv1a32(seed + user))) % 10_000


def _fnv1a32(text: str) -> int:
    found = 0x811C9DC5
    for byte in text.encode():
        found = (found ^ byte) * 0x01000193 & 0xFFFFFFFF
    return found


def _users(audience: AudiencePlan) -> Callable[[str], bool] | None:
    if audience.include is None and not audience.exclude and not audience.shares:
        return None
    include = None if audience.include is None else frozenset(audience.include)
    exclude = frozenset(audience.exclude)
    shares = [(share, share.start, share.end, share.held_out) for share in audience.shares]

    def takes_part(user: str) -> bool:
        if (include is not None and user not in include) or user in exclude:
            return False
        # No generator, which would cost as much as the rest.
        for share, start, end, held_out in shares:  # noqa: SIM110
            if (start <= user_place(share, user) < end) is held_out:
                return False
        return True

    return takes_part


def _clock(schedule: Schedule, zone: str) -> Callable[[int], bool] | None:
    if not schedule.days and not schedule.hours:
        return None
    days, hours = frozenset(schedule.days or range(7)), schedule.hours or ((0, _DAY_MINUTES),)
    local = _local_minutes(zone)

    def is_open(time_ms: int) -> bool:
        weekday, minute = local(time_ms)
        for start, end in hours:
            if start < end:
                if start <= minute < end and weekday in days:
                    return True
            elif minute >= start and weekday in days or minute < end and (weekday - 1) % 7 in days:
                return True
        return False

    return is_open


def _local_minutes(zone: str) -> Callable[[int], tuple[int, int]]:
    """Weekday and minute of the local day; remembered by the quarter of an hour, on which all zones change clocks."""
    info = ZoneInfo(zone)
    known: dict[int, tuple[int, int]] = {}

    def local(time_ms: int) -> tuple[int, int]:
        quarter = time_ms // _QUARTER_MS
        found = known.get(quarter)
        if found is None:
            if len(known) >= _CACHE_MAX:
                known.clear()
            begins = datetime.fromtimestamp(quarter * 900, info)
            found = known[quarter] = (begins.weekday(), begins.hour * 60 + begins.minute)
        return found[0], found[1] + time_ms % _QUARTER_MS // _MINUTE_MS

    return local
