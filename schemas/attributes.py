"""Types of attributes: what a schema file declares, and what conditions are checked against.

Written in YAML as `int`, `string`, `[string]`, `{city: string}`, `[{category: string, amount: int}]`, and
`{"*": int}` for a map with text keys.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

from schemas.errors import SchemaError
from schemas.events import ENVELOPE

ScalarKind = Literal["bool", "int", "double", "string", "timestamp"]
SCALARS: tuple[str, ...] = get_args(ScalarKind)


class Scalar(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """A single value. "timestamp" is kept as ms since the epoch, UTC; "int" has 64 bits."""

    kind: ScalarKind


class ListOf(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """An array of values of one type."""

    element: AttributeType


class Record(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """Named fields, sorted by name; any of them may be missing."""

    fields: tuple[tuple[str, AttributeType], ...]


class MapOf(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    """Text keys to values of one type."""

    value: AttributeType


AttributeType = Scalar | ListOf | Record | MapOf


class AttributeSchema(msgspec.Struct, frozen=True, array_like=True):
    """What events and users of one tenant have.

    Attributes:
      event_types: all that campaigns may name.
      event, user: attributes, sorted by name.
      envelope: canonical envelope name -> the source's own name, only where they differ.
    """

    event_types: tuple[str, ...]
    event: Record
    user: Record
    envelope: tuple[tuple[str, str], ...] = ()

    def source_name(self, canonical: str) -> str:
        """What the source calls an envelope field."""
        return dict(self.envelope).get(canonical, canonical)


def parse_type(text: Any) -> AttributeType:
    """A type from its YAML form (text, list or mapping).

    Raises:
      SchemaError: says what would be right.
    """
    if isinstance(text, str):
        if text not in SCALARS:
            raise SchemaError(
                f"{text!r} is no type; right would be one of {', '.join(SCALARS)}, [TYPE] or {{name: TYPE}}"
            )
        return Scalar(text)  # type: ignore[arg-type]
    if isinstance(text, list):
        if len(text) != 1:
            raise SchemaError("an array names the type of its elements once: [string] or [{name: TYPE}]")
        element = parse_type(text[0])
        if isinstance(element, ListOf | MapOf):
            raise SchemaError("an array of arrays or of maps is not supported; declare a record inside: [{name: TYPE}]")
        return ListOf(element)
    if isinstance(text, dict) and set(text) == {"*"}:
        value = parse_type(text["*"])
        if not isinstance(value, Scalar):
            raise SchemaError('a map has single values: {"*": int}')
        return MapOf(value)
    if isinstance(text, dict) and text:
        return Record(tuple(sorted((str(name), parse_type(kind)) for name, kind in text.items())))
    raise SchemaError(f"{text!r} is no type; right would be one of {', '.join(SCALARS)}, [TYPE] or {{name: TYPE}}")


def type_text(kind: AttributeType) -> str:
    """The YAML form, in one line."""
    if isinstance(kind, Scalar):
        return kind.kind
    if isinstance(kind, ListOf):
        return f"[{type_text(kind.element)}]"
    if isinstance(kind, MapOf):
        return f'{{"*": {type_text(kind.value)}}}'
    return "{" + ", ".join(f"{name}: {type_text(field)}" for name, field in kind.fields) + "}"


ENVELOPE_TYPES: tuple[tuple[str, Scalar], ...] = tuple(
    (name, Scalar("timestamp" if name == "event_time" else "string")) for name in ENVELOPE
)
"""What conditions see of the envelope."""
