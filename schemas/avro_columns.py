"""Avro records encoded a batch at a time, column by column.

fastavro asks the schema anew at every value, which made one archived grant cost as much as all of reading an event
(docs/benchmarks.md). Our own records are flat, and within a batch most of their texts repeat: each is encoded once.
Framing, compression and reading stay fastavro's, and a property test reads by fastavro what is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Column = Callable[[list[Any]], list[bytes]]


def column_encoder(schema: Mapping[str, Any]) -> Callable[[Sequence[Mapping[str, Any]]], bytes] | None:
    """The function from records of a schema (parsed by fastavro) to their bytes, one behind the other.

    None for a schema with other fields than strings, longs, maps of strings and optional strings: that is fastavro's.
    """
    fields = [(field["name"], _column(field["type"])) for field in schema["fields"]]
    covered = [(name, column) for name, column in fields if column is not None]
    if len(covered) < len(fields):
        return None

    def encoded(records: Sequence[Mapping[str, Any]]) -> bytes:
        columns = [column([record[name] for record in records]) for name, column in covered]
        return b"".join([part for parts in zip(*columns, strict=True) for part in parts])

    return encoded


def _column(of: Any) -> Column | None:
    if of == "string":
        return _each_once(_text, _texts)
    if of == "long":
        return _each_once(_long)
    if of == ["null", "string"]:
        return _each_once(lambda value: b"\x00" if value is None else b"\x02" + _text(value))
    if isinstance(of, dict) and of.get("type") == "map" and of.get("values") == "string":
        return lambda values: [_map(value) if value else b"\x00" for value in values]
    return None


def _each_once(encode: Callable[[Any], bytes], encode_all: Column | None = None) -> Column:
    """Encode a column's different values where they repeat, else each."""

    def column(values: list[Any]) -> list[bytes]:
        different = set(values)
        if 2 * len(different) > len(values):
            return [encode(value) for value in values] if encode_all is None else encode_all(values)
        known = {value: encode(value) for value in different}
        return [known[value] for value in values]

    return column


def _text(text: str) -> bytes:
    raw = text.encode()
    length = len(raw)
    return (_SHORT[length] if length < len(_SHORT) else _long(length)) + raw


def _texts(texts: list[str]) -> list[bytes]:
    """`_text` of each, without a call for each where all are short."""
    raws = [text.encode() for text in texts]
    if max([len(raw) for raw in raws]) < len(_SHORT):
        return [_SHORT[len(raw)] + raw for raw in raws]
    return [_text(text) for text in texts]


def _long(number: int) -> bytes:
    """Zigzag, then seven bits a byte, the lowest first."""
    rest = number << 1 if number >= 0 else (-number << 1) - 1
    if rest < 0x80:
        return bytes((rest,))
    found = bytearray()
    while rest >= 0x80:
        found.append(rest & 0x7F | 0x80)
        rest >>= 7
    found.append(rest)
    return bytes(found)


def _map(values: Mapping[str, str]) -> bytes:
    items = b"".join([_text(name) + _text(value) for name, value in values.items()])
    return _long(len(values)) + items + b"\x00"


_SHORT = [_long(length) for length in range(256)]
