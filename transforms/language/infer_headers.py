"""Types that a file declares about itself: an Avro header, a Parquet schema.

A header knows what records do not show: attributes that are null throughout, and maps, which look like records.
"""

from __future__ import annotations

from typing import Any

from schemas.attributes import ListOf, MapOf, Record, Scalar
from transforms.language.infer_types import Inferred, either

_AVRO = {
    "null": None, "boolean": Scalar("bool"), "int": Scalar("int"), "long": Scalar("int"), "float": Scalar("double"),
    "double": Scalar("double"), "string": Scalar("string"), "enum": Scalar("string"),
}  # fmt: skip
_AVRO_TIMES = ("date", "timestamp-millis", "timestamp-micros", "local-timestamp-millis", "local-timestamp-micros")


def avro_types(schema: Any) -> dict[str, Inferred]:
    """By name the type of each field of a writer's record schema."""
    named: dict[str, Any] = {}
    return {field["name"]: _avro(field["type"], named, ()) for field in schema["fields"]}


def _avro(schema: Any, named: dict[str, Any], inside: tuple[str, ...]) -> Inferred:
    if isinstance(schema, list):
        found: Inferred = None
        for branch in schema:
            found = either(found, _avro(branch, named, inside))
        return found
    if isinstance(schema, str):
        if schema in inside:
            return "a record within itself cannot be declared"
        if schema in named:
            return _avro(named[schema], named, inside)
        return _AVRO.get(schema, f"values of Avro type {schema} cannot be declared")
    if "name" in schema:
        named[schema["name"]] = schema
    kind, logical = schema["type"], schema.get("logicalType")
    if logical in _AVRO_TIMES:
        return Scalar("timestamp")
    if logical and logical != "uuid":
        return f"values of Avro type {logical} cannot be declared"
    if kind == "array":
        element = _avro(schema["items"], named, inside)
        return ListOf(element) if element is not None and not isinstance(element, str) else element
    if kind == "map":
        value = _avro(schema["values"], named, inside)
        return MapOf(value) if value is not None and not isinstance(value, str) else value
    if kind == "record":
        fields = {f["name"]: _avro(f["type"], named, (*inside, schema["name"])) for f in schema["fields"]}
        return _record(fields)
    return _avro(kind, named, inside)


def parquet_types(schema: Any) -> dict[str, Inferred]:
    """By name the type of each column of an Arrow schema."""
    return {field.name: _arrow(field.type) for field in schema}


def _arrow(of: Any) -> Inferred:
    import pyarrow.types as is_

    if is_.is_dictionary(of):
        return _arrow(of.value_type)
    if is_.is_struct(of):
        return _record({field.name: _arrow(field.type) for field in of})
    if is_.is_list(of) or is_.is_large_list(of):
        element = _arrow(of.value_type)
        return ListOf(element) if element is not None and not isinstance(element, str) else element
    for matches, kind in (
        (is_.is_boolean, Scalar("bool")), (is_.is_integer, Scalar("int")), (is_.is_floating, Scalar("double")),
        (is_.is_string, Scalar("string")), (is_.is_large_string, Scalar("string")),
        (is_.is_timestamp, Scalar("timestamp")), (is_.is_date, Scalar("timestamp")), (is_.is_null, None),
    ):  # fmt: skip
        if matches(of):
            return kind
    return f"values of Parquet type {of} cannot be declared"


def _record(fields: dict[str, Inferred]) -> Record:
    known = [(name, of) for name, of in fields.items() if of is not None and not isinstance(of, str)]
    return Record(tuple(sorted(known, key=lambda field: field[0])))
