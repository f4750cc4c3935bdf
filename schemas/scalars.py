"""How the text of a campaign file is read: numbers, durations, dates, percentages. Each refusal says what is right."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field

from schemas.proposals import AMOUNT_LIMIT, CAP_LIMIT

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*(?:_[0-9]+)*)")
_DURATION = re.compile(r"([1-9][0-9]*)(s|m|h|d|w)")
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_ID = re.compile(r"[a-z0-9_-]{1,64}")
_UNIT = re.compile(r"points|coupon|product|free_shipping|message|[A-Z][A-Z0-9_]{1,15}")
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", re.ASCII)
_USER_ID_BYTES_MAX = 128
SPAN_MAX_MS = 10 * 366 * 86_400_000


def integer(value: Any) -> Any:
    """`3_000_000` and `500_000_00`; no leading zeros, no fractions."""
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            plain = value.lstrip("0")
            right = plain if _INTEGER.fullmatch(plain) else "e.g. 1000 or 3_000_000 (minor units)"
            raise ValueError(f"{value!r} is no integer; right would be {right}")
        return int(value.replace("_", ""))
    return _refuse_structure(value, "an integer")


def _refuse_structure(value: Any, wanted: str) -> Any:
    if isinstance(value, list | dict):
        raise ValueError(f"right would be {wanted}, not a {'list' if isinstance(value, list) else 'mapping'}")
    return value


def _bounded(low: int, high: int, what: str) -> Any:
    def bounded(value: Any) -> Any:
        number = integer(value)
        if isinstance(number, int) and not low <= number <= high:
            raise ValueError(f"{what} is from {low:,} to {high:,}, not {number:,}")
        return number

    return BeforeValidator(bounded)


def boolean(value: Any) -> Any:
    """true or false, nothing else."""
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise ValueError(f"{value!r} is neither true nor false")
    return value == "true"


def duration_ms(value: Any) -> Any:
    """`90s`, `15m`, `6h`, `7d`, `2w`: fixed seconds, in ms."""
    if isinstance(value, int):
        return value
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"{value!r} is no duration; right would be e.g. 90s, 15m, 6h, 7d or 2w")
    length = int(found[1]) * _UNITS_MS[found[2]]
    if length > SPAN_MAX_MS:
        raise ValueError("a duration is at most ten years long")
    return length


def decimal(value: Any) -> Any:
    """`2.5`: exact."""
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value) or len(value) > 16:
        raise ValueError(f"{value!r} is no percentage; right would be e.g. 5 or 2.5")
    found = Decimal(value)
    if not found:
        raise ValueError("0 percent gives nothing; leave the grant out, or name a rate")
    return found.normalize()


def share(value: Any) -> Any:
    """`0.25`: an exact share from 0 to 1."""
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value) or len(value) > 16 or Decimal(value) > 1:
        raise ValueError(f"{value!r} is no share; right would be from 0 to 1, e.g. 0.25")
    return Decimal(value).normalize()


def hours(value: Any) -> Any:
    """`17:00-20:00` as minutes of the day; `22:00-02:00` goes over midnight, `24:00` is the day's end."""
    if isinstance(value, tuple):
        return value
    found = _HOURS.fullmatch(value) if isinstance(value, str) else None
    start, end = (int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])) if found else (0, 0)
    if start == end or end > 24 * 60:
        raise ValueError(f"{value!r} are no hours; right would be e.g. 17:00-20:00")
    return start, end


def window(value: Any) -> Any:
    """`day`, `week`, `month`, or the length of a tumbling span as `14d`."""
    if value in ("day", "week", "month") or isinstance(value, int):
        return value
    try:
        return duration_ms(value)
    except ValueError:
        raise ValueError(f"{value!r} is no window; right would be day, week, month, or a span as 14d") from None


def expiry(value: Any) -> Any:
    """A duration after the grant, or a date."""
    if isinstance(value, str) and _DURATION.fullmatch(value) or isinstance(value, int):
        return duration_ms(value)
    try:
        return moment(value)
    except ValueError:
        raise ValueError(f"{value!r} is no expiry; right would be e.g. 30d, or a date as 2017-12-31") from None


def text(value: Any) -> Any:
    """Text that says something, at most 200 characters."""
    if not isinstance(value, str) or not value.strip() or len(value) > 200:
        raise ValueError("right would be a text of 1 to 200 characters")
    return value


def user_id(value: Any) -> Any:
    """A user's id."""
    if not isinstance(value, str) or not 0 < len(value.encode()) <= _USER_ID_BYTES_MAX:
        raise ValueError(f"{value!r} is no user id; right would be 1 to {_USER_ID_BYTES_MAX} bytes of text")
    return value


def identifier(value: Any) -> Any:
    """An id of a campaign, theme or tenant."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError(f"{value!r} is no id; right would be 1 to 64 of a-z, 0-9, - and _")
    return value


def unit(value: Any) -> Any:
    """points, a currency code, or a kind of grant that has no amount."""
    if not isinstance(value, str) or not _UNIT.fullmatch(value):
        raise ValueError(f"{value!r} is no unit; right would be points, or a currency code as USD")
    return value


def zone(value: Any) -> Any:
    """An IANA time zone."""
    try:
        if isinstance(value, str) and value:
            ZoneInfo(value)
            return value
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise ValueError(f"{value!r} is no time zone; right would be e.g. UTC or America/New_York")


def moment(value: Any) -> Any:
    """A date (its first instant in the zone) or a date and time, with an offset or in the zone."""
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        for read in (date.fromisoformat, datetime.fromisoformat):
            try:
                found = read(value)
            except ValueError:
                continue
            if 1970 <= found.year < 2100:
                return found if isinstance(found, datetime) else datetime(found.year, found.month, found.day)
            raise ValueError(f"{value!r} is not between 1970 and 2100")
    if isinstance(value, datetime):
        return value
    raise ValueError(f"{value!r} is no date; right would be 2017-01-31 or 2017-01-31T17:00:00Z")


def expression_text(value: Any) -> Any:
    """CEL text."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("right would be a condition, e.g. event.amount > 0")
    return value


Cap = Annotated[int, _bounded(0, CAP_LIMIT, "a cap")]
HourShare = Annotated[int, _bounded(0, 100, "an hour's share")]
GrantAmount = Annotated[int, _bounded(1, AMOUNT_LIMIT - 1, "an amount")]
Threshold = Annotated[int, _bounded(1, 2**62, "a threshold")]
TierStart = Annotated[int, _bounded(0, AMOUNT_LIMIT - 1, "a tier's start")]
Flag = Annotated[bool, BeforeValidator(boolean)]
DurationMs = Annotated[int, BeforeValidator(duration_ms), Field(json_schema_extra={"examples": ["7d", "6h"]})]
Percentage = Annotated[Decimal, BeforeValidator(decimal)]
Id = Annotated[str, BeforeValidator(identifier)]
Unit = Annotated[str, BeforeValidator(unit)]
Zone = Annotated[str, BeforeValidator(zone)]
Moment = Annotated[datetime, BeforeValidator(moment)]
Cel = Annotated[str, BeforeValidator(expression_text)]
Share = Annotated[Decimal, BeforeValidator(share)]
Hours = Annotated[tuple[int, int], BeforeValidator(hours), Field(json_schema_extra={"examples": ["17:00-20:00"]})]
WindowLength = Annotated[int | str, BeforeValidator(window), Field(json_schema_extra={"examples": ["month", "14d"]})]
Expiry = Annotated[
    int | datetime, BeforeValidator(expiry), Field(json_schema_extra={"examples": ["30d", "2017-12-31"]})
]
Text = Annotated[str, BeforeValidator(text)]
UserId = Annotated[str, BeforeValidator(user_id)]
Quantity = Annotated[int, _bounded(1, 1_000_000, "a quantity")]
