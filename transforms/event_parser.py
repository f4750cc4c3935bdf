"""One record of any source to an Event: envelope, declared attributes only, no nulls, every type checked.

msgspec does the checking, by a type made from the declared attributes: JSON lines are decoded and checked in one pass.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from schemas.attributes import AttributeSchema, AttributeType, ListOf, MapOf, Record, Scalar, type_text
from schemas.dead_letters import DeadLetterReason
from schemas.errors import InvalidEventError
from schemas.events import (
    ARRAY_LENGTH_MAX,
    COUNTER_SEEDED,
    ENVELOPE,
    EVENT_BYTES_MAX,
    ID_BYTES_MAX,
    PROFILE_TYPES,
    PROFILE_UPDATED,
    RESERVED_TYPES,
    TIME_MAX_MS,
    TIME_MIN_MS,
    Event,
)
from schemas.grants import rfc3339

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_to_msgpack = msgspec.msgpack.Encoder().encode
_NULL = b"\xc0"
"""msgpack's nil; no UTF-8 text has this byte."""

_SHOWN = 80
_SHORT = ID_BYTES_MAX // 4
"""Texts of so many characters fit in any case."""


class EventParser:
    """Parser of one tenant's events."""

    def __init__(self, schema: AttributeSchema) -> None:
        self._names = tuple(schema.source_name(name) for name in ENVELOPE)
        self._fields = dict(schema.event.fields)
        declared = {name: _python_type(of) for name, of in schema.event.fields}
        self._times = _timestamp_paths(schema.event)
        self._event_type = _optional("Attributes", declared)
        self._dropped = tuple(name for name in self._names if name not in self._fields)
        self._decode = msgspec.json.Decoder(_line_type(self._names, declared)).decode
        self._user_fields = dict(schema.user.fields)
        self._user_type = _optional("User", {name: _python_type(of) for name, of in schema.user.fields})
        self._user_times = _timestamp_paths(schema.user)
        self._time_cache: dict[str, int] = {}

    def from_json(self, line: bytes) -> Event:
        """An event from one JSON object.

        Raises:
          InvalidEventError: why it is none, naming field and value.
        """
        if len(line) > EVENT_BYTES_MAX:
            raise InvalidEventError(DeadLetterReason.TOO_LARGE, f"{len(line):,} bytes; at most {EVENT_BYTES_MAX:,}")
        try:
            record = self._decode(line)
        except msgspec.ValidationError:
            return self.from_record(_plain(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _no_json(error) from None
        if record[self._names[1]] in RESERVED_TYPES:
            return self.from_record(_plain(line))
        return self._checked(record)

    def from_record(self, record: Mapping[str, Any]) -> Event:
        """An event from a decoded record (Avro, Parquet); raises as `from_json`."""
        event_type = record.get(self._names[1])
        if isinstance(event_type, str) and event_type in RESERVED_TYPES:
            seed = event_type == COUNTER_SEEDED
            return self._event(record, _of_seed(record) if seed else self._of_profile(event_type, record))
        given = {name: record[name] for name in self._fields if record.get(name) is not None}
        for path in self._times:
            _times_to_ms(given, path)
        try:
            attributes = msgspec.convert(given, self._event_type)
        except msgspec.ValidationError as error:
            raise self._invalid(given, error) from None
        return self._event(record, attributes)

    def user_profile(self, record: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """(user id, attributes) from a record of a users' file; raises as `from_json`."""
        user_id = _identifier(record.get(self._names[2]), self._names[2])
        given = {name: record[name] for name in self._user_fields if record.get(name) is not None}
        try:
            return user_id, self._of_user(given)
        except msgspec.ValidationError as error:
            raise InvalidEventError(DeadLetterReason.INVALID_ATTRIBUTE, f"user {user_id!r}: {error}") from None

    def as_record(self, event: Event) -> dict[str, Any]:
        """An event of a reserved type as JSON would carry it, its envelope under the source's names."""
        values = (event.event_id, event.event_type, event.user_id, rfc3339(event.time_ms))
        return {**dict(zip(self._names, values, strict=True)), **event.attributes}

    def _of_profile(self, event_type: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """What an event says of its user: the segment it names, or the user's attributes, None for one removed."""
        if event_type != PROFILE_UPDATED:
            segment = record.get("segment")
            if not isinstance(segment, str) or not segment:
                raise InvalidEventError(DeadLetterReason.INVALID_ATTRIBUTE, f"segment = {segment!r} names no segment")
            return {"segment": segment}
        named = {name: record[name] for name in self._user_fields if name in record}
        given = {name: value for name, value in named.items() if value is not None}
        try:
            told = self._of_user(given)
        except msgspec.ValidationError as error:
            raise InvalidEventError(DeadLetterReason.INVALID_ATTRIBUTE, f"{PROFILE_UPDATED}: {error}") from None
        return {**told, **dict.fromkeys(named.keys() - given.keys())}

    def _of_user(self, given: dict[str, Any]) -> dict[str, Any]:
        """A user's attributes, checked; raises msgspec.ValidationError for one of another type."""
        for name in self._user_times:
            _times_to_ms(given, name)
        told = _without_nulls(msgspec.convert(given, self._user_type))
        for name in self._user_times:
            if name in told:
                told[name] = _timestamps(told[name], self._user_fields[name], name)
        return told

    def _checked(self, record: dict[str, Any]) -> Event:
        """From a line of the declared types: only what a type cannot say is left to check."""
        id_name, type_name, user_name, time_name = self._names
        event_id, event_type, user_id, time = record[id_name], record[type_name], record[user_name], record[time_name]
        for name in self._dropped:
            del record[name]
        if type(event_id) is not str or len(event_id) > _SHORT:
            event_id = _identifier(event_id, id_name)
        if type(user_id) is not str or len(user_id) > _SHORT:
            user_id = _identifier(user_id, user_name)
        if type(event_type) is not str or len(event_type) > _SHORT:
            event_type = _identifier(event_type, type_name)
        return self._made(event_id, event_type, user_id, time, record)

    def _event(self, record: Mapping[str, Any], attributes: dict[str, Any]) -> Event:
        id_name, type_name, user_name, time_name = self._names
        event_id, user_id = _identifier(record.get(id_name), id_name), _identifier(record.get(user_name), user_name)
        event_type = _identifier(record.get(type_name), type_name)
        return self._made(event_id, event_type, user_id, record.get(time_name), attributes)

    def _made(self, event_id: str, event_type: str, user_id: str, time: Any, attributes: dict[str, Any]) -> Event:
        time_ms = self._time_cache.get(time) if type(time) is str else None
        if time_ms is None:
            time_ms = _time_ms(time, self._names[3])
            if type(time) is str:
                self._remember(time, time_ms)
        kept = attributes
        if self._times and event_type not in PROFILE_TYPES:
            kept = _without_nulls(kept)
            for name in self._times:
                if name in kept:
                    kept[name] = _timestamps(kept[name], self._fields[name], name)
        packed = _to_msgpack((event_type, time_ms, kept))
        if _NULL in packed and event_type not in PROFILE_TYPES:  # or a number or a length that has this byte
            kept = _without_nulls(kept)
            packed = _to_msgpack((event_type, time_ms, kept))
        return Event(time_ms, event_id, event_type, user_id, kept, zlib.crc32(packed))

    def _remember(self, text: str, time_ms: int) -> None:
        if len(self._time_cache) >= 10_000:
            self._time_cache.clear()
        self._time_cache[text] = time_ms

    def _invalid(self, given: Mapping[str, Any], error: msgspec.ValidationError) -> InvalidEventError:
        """Name the attribute, its value and its declared type."""
        for name, value in given.items():
            try:
                msgspec.convert({name: value}, self._event_type)
            except msgspec.ValidationError as found:
                if "length <=" in str(found):
                    detail = f"{name} is longer than {ARRAY_LENGTH_MAX:,}"
                    return InvalidEventError(DeadLetterReason.TOO_LARGE, detail)
                wanted, shown = type_text(self._fields[name]), repr(value)[:_SHOWN]
                detail = f"{name} = {shown} is not of the declared type {wanted} ({found})"
                return InvalidEventError(DeadLetterReason.INVALID_ATTRIBUTE, detail)
        return InvalidEventError(DeadLetterReason.INVALID_ATTRIBUTE, str(error))


def _of_seed(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a seed says: its campaign, the number of its trigger's meaning, and bytes (base64 where it is text)."""
    try:
        seed = msgspec.convert({name: record.get(name) for name in _Seed.__struct_fields__}, _Seed)
    except msgspec.ValidationError as error:
        raise InvalidEventError(DeadLetterReason.INVALID_ATTRIBUTE, f"{COUNTER_SEEDED}: {error}") from None
    return msgspec.structs.asdict(seed)


class _Seed(msgspec.Struct):
    campaign: str
    series: int
    entries: bytes


def _optional(name: str, fields: dict[str, Any]) -> Any:
    return TypedDict(name, {field: of | None for field, of in fields.items()}, total=False)  # type: ignore[operator]


def _line_type(names: tuple[str, ...], declared: dict[str, Any]) -> Any:
    """A whole line: the envelope, which must be there, and attributes, which may."""
    an_id = Annotated[str, msgspec.Meta(min_length=1)] | int
    a_time = str | Annotated[int, msgspec.Meta(ge=TIME_MIN_MS, lt=TIME_MAX_MS)]
    attributes = {name: NotRequired[of | None] for name, of in declared.items()}
    envelope = dict(zip(names, (an_id, an_id, an_id, a_time), strict=True))
    return TypedDict("Line", {**attributes, **envelope})  # type: ignore[operator]


_INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_FINITE = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
_SCALARS: dict[str, Any] = {"bool": bool, "int": _INT64, "double": _FINITE, "string": str, "timestamp": int | str}


def _python_type(of: AttributeType, depth: int = 0) -> Any:
    if isinstance(of, Scalar):
        return _SCALARS[of.kind]
    if isinstance(of, ListOf):
        return Annotated[list[_python_type(of.element, depth + 1) | None], msgspec.Meta(max_length=ARRAY_LENGTH_MAX)]  # type: ignore[misc]
    if isinstance(of, MapOf):
        return Annotated[dict[str, _python_type(of.value) | None], msgspec.Meta(max_length=ARRAY_LENGTH_MAX)]  # type: ignore[misc]
    return _optional(f"Record{depth}", {name: _python_type(field, depth + 1) for name, field in of.fields})


def _plain(line: bytes) -> Mapping[str, Any]:
    """A line that is not of the declared types: decoded again to say which value is wrong."""
    try:
        record = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_json(error) from None
    if not isinstance(record, dict):
        raise InvalidEventError(DeadLetterReason.UNDECODABLE, "no JSON object: a record is {...}")
    return record


def _no_json(error: Exception) -> InvalidEventError:
    return InvalidEventError(DeadLetterReason.UNDECODABLE, f"no JSON object: {error}")


def _identifier(value: Any, name: str) -> str:
    """An id: text, or an integer as its decimal text."""
    text = str(value) if type(value) is int else value
    if isinstance(text, str) and text and (len(text) <= _SHORT or _fits(text)):
        return text
    if value is None:
        raise InvalidEventError(DeadLetterReason.MISSING_ENVELOPE, f"{name} is missing")
    what = f"{name} = {repr(value)[:_SHOWN]} is no text of 1 to {ID_BYTES_MAX} bytes"
    raise InvalidEventError(DeadLetterReason.MISSING_ENVELOPE, what)


def _fits(text: str) -> bool:
    try:
        return len(text.encode()) <= ID_BYTES_MAX
    except UnicodeEncodeError:
        return False


def _time_ms(value: Any, name: str) -> int:
    if value is None:
        raise InvalidEventError(DeadLetterReason.MISSING_ENVELOPE, f"{name} is missing")
    try:
        time_ms = _to_ms(value)
    except (ValueError, TypeError, OverflowError):
        detail = (
            f"{name} = {repr(value)[:_SHOWN]} is no time; right would be 2017-01-31T12:00:00Z or ms since the epoch"
        )
        raise InvalidEventError(DeadLetterReason.MISSING_ENVELOPE, detail) from None
    if not TIME_MIN_MS <= time_ms < TIME_MAX_MS:
        raise InvalidEventError(DeadLetterReason.ABSURD_TIME, f"{name} = {value!r} is not between 1970 and 2100")
    return time_ms


def _to_ms(value: Any) -> int:
    """ms since the epoch of a datetime, date, RFC 3339 text, or integer in ms; without an offset it is UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return (aware - _EPOCH) // _MILLISECOND
    if isinstance(value, date):
        return _to_ms(datetime(value.year, value.month, value.day))
    if type(value) is int:
        return value
    raise TypeError


_MILLISECOND = datetime(1970, 1, 1, 0, 0, 0, 1000) - datetime(1970, 1, 1)


def _timestamp_paths(record: Record) -> list[str]:
    """Attributes that are timestamps, or hold some at any depth."""

    def holds(of: AttributeType) -> bool:
        if isinstance(of, Scalar):
            return of.kind == "timestamp"
        if isinstance(of, ListOf):
            return holds(of.element)
        return holds(of.value) if isinstance(of, MapOf) else any(holds(field) for _, field in of.fields)

    return [name for name, of in record.fields if holds(of)]


def _times_to_ms(given: dict[str, Any], name: str) -> None:
    if name in given:
        given[name] = _converted(given[name])


def _timestamps(value: Any, of: AttributeType, name: str) -> Any:
    """Timestamps given as text become ms."""
    if isinstance(of, ListOf):
        return [_timestamps(item, of.element, name) for item in value]
    if isinstance(of, MapOf):
        return {key: _timestamps(item, of.value, name) for key, item in value.items()}
    if isinstance(of, Record):
        return {key: _timestamps(item, dict(of.fields)[key], name) for key, item in value.items()}
    if of.kind != "timestamp" or type(value) is not str:
        return value
    try:
        return _to_ms(value)
    except ValueError:
        detail = f"{name} = {value[:_SHOWN]!r} is no timestamp; right would be 2017-01-31T12:00:00Z"
        raise InvalidEventError(DeadLetterReason.INVALID_ATTRIBUTE, detail) from None


def _converted(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return _to_ms(value)
    if isinstance(value, list):
        return [_converted(item) for item in value]
    if isinstance(value, dict):
        return {key: _converted(item) for key, item in value.items()}
    return value


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    """Absent is the one form of missing, at every level."""
    return {
        key: _clean(item) if type(item) in (dict, list) else item for key, item in value.items() if item is not None
    }


def _clean(value: Any) -> Any:
    if type(value) is dict:
        return _without_nulls(value)
    return [_clean(item) if type(item) in (dict, list) else item for item in value if item is not None]
