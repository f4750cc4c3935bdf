"""Draft a schema file from what events look like: an Avro header, a Parquet schema, or JSON lines."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any

import fastavro

from schemas.attributes import (
    AttributeType,
    ListOf,
    MapOf,
    Record,
    Scalar,
    type_text,
)
from schemas.errors import SchemaError
from schemas.events import ENVELOPE

RECORDS_MAX = 50_000
"""So many records of each file are looked at."""
_TYPES_MAX = 200


def infer(events: Sequence[str], users: Sequence[str]) -> str:
    """The text of a schema file; comments say what is to be looked at.

    Raises:
      SchemaError: a file that holds no records.
    """
    attributes, types, notes = _event_attributes(events)
    lines = ["# Drafted from the data: read it, mend it. Amounts are integers in minor units (cents, points)."]
    lines += notes
    lines += ["schema: events", f"types: [{', '.join(_word(name) for name in sorted(types))}]", "attributes:"]
    lines += _attribute_lines(attributes)
    if users:
        known = _merged(itertools.chain.from_iterable(_records(path) for path in users))
        lines += ["---", "schema: users", "attributes:"]
        lines += _attribute_lines({name: of for name, of in known.items() if name != "user_id"})
    return "\n".join(lines) + "\n"


def _event_attributes(paths: Sequence[str]) -> tuple[dict[str, Any], set[str], list[str]]:
    types: set[str] = set()

    def noted(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for record in records:
            if len(types) <= _TYPES_MAX and isinstance(record.get("event_type"), str):
                types.add(record["event_type"])
            yield record

    found = _merged(noted(itertools.chain.from_iterable(_records(path) for path in paths)))
    if not found:
        raise SchemaError(f"{', '.join(paths)}: no record to look at")
    missing = [name for name in ENVELOPE if name not in found]
    notes = []
    if missing:
        rest = ", ".join(sorted(found))
        notes.append(f"# The events have no {', '.join(missing)}. Name the fields they stand in (of {rest}), e.g.")
        notes.append(f"# envelope: {{{', '.join(f'{name}: NAME' for name in missing)}}}")
    if not types:
        types.add("event")
        notes.append("# No event types were found: name yours.")
    return {name: of for name, of in found.items() if name not in ENVELOPE}, types, notes


def _attribute_lines(attributes: dict[str, Any]) -> list[str]:
    lines = []
    for name, of in sorted(attributes.items()):
        if of is None:
            lines.append(f"  # {name}: always null here")
        elif isinstance(of, str):
            lines.append(f"  # {name}: {of}")
        else:
            hint = "  # an amount? then produce it as an integer in minor units" if of == Scalar("double") else ""
            lines.append(f"  {_word(name)}: {type_text(of)}{hint}")
    return lines or ["  {}"]


def _word(name: str) -> str:
    plain = name.replace("_", "").replace("-", "").replace(".", "").isalnum()
    return name if plain else json.dumps(name)


def _records(path: str) -> Iterator[dict[str, Any]]:
    reader = _avro if path.endswith(".avro") else _parquet if path.endswith(".parquet") else _json_lines
    yield from itertools.islice(reader(path), RECORDS_MAX)


def _avro(path: str) -> Iterator[dict[str, Any]]:
    try:
        with open(path, "rb") as file:
            for record in fastavro.reader(file):
                assert isinstance(record, dict)
                yield record
    except (ValueError, EOFError, TypeError, LookupError) as error:
        raise SchemaError(f"{path}: cannot be read as Avro: {error}") from error


def _parquet(path: str) -> Iterator[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise SchemaError(f"{path}: cannot be read as Parquet: {error}") from error


def _json_lines(path: str) -> Iterator[dict[str, Any]]:
    import gzip

    with gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if not isinstance(record, dict):
                raise SchemaError(f"{path}:{number}: no JSON object")
            yield record


def _merged(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """By name the type that fits all values: an AttributeType, None (only nulls), or text saying why there is none."""
    found: dict[str, Any] = {}
    for record in records:
        for name, value in record.items():
            found[name] = _either(found.get(name), _type_of(value))
    return found


def _type_of(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, bool):
        return Scalar("bool")
    if isinstance(value, int):
        return Scalar("int")
    if isinstance(value, float):
        return Scalar("double")
    if isinstance(value, datetime | date):
        return Scalar("timestamp")
    if isinstance(value, str):
        return Scalar("string")
    if isinstance(value, list):
        element = None
        for item in value:
            element = _either(element, _type_of(item))
        return ListOf(element) if element is not None and not isinstance(element, str) else element
    if isinstance(value, dict):
        fields = {name: _type_of(item) for name, item in value.items()}
        return Record(
            tuple(sorted((name, of) for name, of in fields.items() if of is not None and not isinstance(of, str)))
        )
    return f"values of type {type(value).__name__} cannot be declared"


def _either(one: Any, other: Any) -> Any:
    """The type that fits both."""
    if one is None or other is None or one == other:
        return other if one is None else one
    if isinstance(one, str) or isinstance(other, str):
        return one if isinstance(one, str) else other
    if isinstance(one, Scalar) and isinstance(other, Scalar):
        if {one.kind, other.kind} == {"int", "double"}:
            return Scalar("double")
    elif isinstance(one, ListOf) and isinstance(other, ListOf):
        element = _either(one.element, other.element)
        return element if isinstance(element, str) else ListOf(element)
    elif isinstance(one, Record) and isinstance(other, Record):
        fields: dict[str, AttributeType] = dict(one.fields)
        for name, of in other.fields:
            merged = _either(fields.get(name), of)
            if isinstance(merged, str):
                return merged
            fields[name] = merged
        return Record(tuple(sorted(fields.items())))
    return f"sometimes {_told(one)}, sometimes {_told(other)}: declare it once its producer is mended"


def _told(of: Any) -> str:
    return type_text(of) if isinstance(of, Scalar | ListOf | MapOf | Record) else str(of)
