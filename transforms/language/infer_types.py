"""Types found in data: of one value, of two that must agree, and what of them a schema file can say."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from schemas.attributes import AttributeType, ListOf, MapOf, Record, Scalar, type_text

Inferred = AttributeType | str | None
"""A type; None = nothing seen but nulls; text = why there is none."""


def type_of(value: Any) -> Inferred:
    """The type of one value of a record."""
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
        element: Inferred = None
        for item in value:
            element = either(element, type_of(item))
        return ListOf(element) if element is not None and not isinstance(element, str) else element
    if isinstance(value, dict):
        fields = {name: type_of(item) for name, item in value.items()}
        known = [(name, of) for name, of in fields.items() if of is not None and not isinstance(of, str)]
        return Record(tuple(sorted(known, key=lambda field: field[0])))
    return f"values of type {type(value).__name__} cannot be declared"


def either(one: Inferred, other: Inferred) -> Inferred:
    """The type that fits both."""
    if one is None or other is None or one == other:
        return other if one is None else one
    if isinstance(one, str) or isinstance(other, str):
        return one if isinstance(one, str) else other
    if isinstance(one, Scalar) and isinstance(other, Scalar):
        if {one.kind, other.kind} == {"int", "double"}:
            return Scalar("double")
    elif isinstance(one, ListOf) and isinstance(other, ListOf):
        element = either(one.element, other.element)
        return element if element is None or isinstance(element, str) else ListOf(element)
    elif isinstance(one, Record) and isinstance(other, Record):
        return _both_records(one, other)
    return f"sometimes {type_text(one)}, sometimes {type_text(other)}: declare it once its producer is mended"


def _both_records(one: Record, other: Record) -> Record | str:
    fields: dict[str, AttributeType] = dict(one.fields)
    for name, of in other.fields:
        merged = either(fields.get(name), of)
        if isinstance(merged, str):
            return f"{name} in it is {merged}"
        assert merged is not None
        fields[name] = merged
    return Record(tuple(sorted(fields.items())))


def declarable(of: Inferred) -> Inferred:
    """What a schema file can say of it: fields that it cannot say fall out of records."""
    if isinstance(of, ListOf):
        element = declarable(of.element)
        if isinstance(element, ListOf | MapOf):
            return "an array of arrays or of maps cannot be declared; right would be an array of records"
        return element if element is None or isinstance(element, str) else ListOf(element)
    if isinstance(of, MapOf):
        return of if isinstance(of.value, Scalar) else "a map of anything but single values cannot be declared"
    if isinstance(of, Record):
        fields = [(name, declarable(field)) for name, field in of.fields]
        known = tuple((name, field) for name, field in fields if field is not None and not isinstance(field, str))
        return Record(known) if known else None
    return of
