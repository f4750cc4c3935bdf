"""Draft a schema file from what events look like: an Avro header, a Parquet schema, or JSON lines."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import fastavro

from schemas.attributes import type_text
from schemas.errors import SchemaError
from schemas.events import ENVELOPE
from transforms.language.infer_headers import avro_types, parquet_types
from transforms.language.infer_types import Inferred, declarable, either, type_of

RECORDS_MAX = 50_000
"""So many records of each file are looked at."""
_TYPES_MAX = 200
_LIKELY = {
    "event_id": re.compile(r"(^|_)(id|uuid|guid|key)$"),
    "event_type": re.compile(r"(^|_)(type|kind|action|name|event)$"),
    "user_id": re.compile(r"user|customer|member|account|household|client|person|player|profile"),
    "event_time": re.compile(r"time|date|(^|_)(ts|at|when)($|_)"),
}
"""What fields of the envelope are called elsewhere."""


def infer(events: Sequence[str], users: Sequence[str]) -> str:
    """The text of a schema file; comments say what is to be looked at.

    Raises:
      SchemaError: a file that holds no records.
    """
    attributes, types = _looked_at(events)
    if not attributes:
        raise SchemaError(f"{', '.join(events)}: no record to look at")
    lines = ["# Drafted from the data: read it, mend it. Amounts are integers in minor units (cents, points)."]
    lines += _envelope_notes(attributes, ENVELOPE, "events")
    if not types:
        lines.append("# No event types were found: name yours.")
    elif len(types) > _TYPES_MAX:
        lines.append(f"# More than {_TYPES_MAX} event types: is event_type the right field? These are some of them.")
    named = ", ".join(_word(name) for name in sorted(types)[:_TYPES_MAX] or ["event"])
    lines += ["schema: events", f"types: [{named}]"]
    lines += _attribute_lines({name: of for name, of in attributes.items() if name not in ENVELOPE})
    if users:
        known, _ = _looked_at(users)
        lines += ["---", *_envelope_notes(known, ("user_id",), "users"), "schema: users"]
        lines += _attribute_lines({name: of for name, of in known.items() if name != "user_id"})
    return "\n".join(lines) + "\n"


def _looked_at(paths: Sequence[str]) -> tuple[dict[str, Inferred], set[str]]:
    """The attributes of files, from their headers where they have one, and the event types in them."""
    found: dict[str, Inferred] = {}
    types: set[str] = set()
    for path in paths:
        header = _header(path)
        for name, of in (header or {}).items():
            found[name] = either(found.get(name), of)
        for record in _records(path):
            if len(types) <= _TYPES_MAX and isinstance(record.get("event_type"), str):
                types.add(record["event_type"])
            if header is None:
                for name, value in record.items():
                    found[name] = either(found.get(name), type_of(value))
    return found, types


def _envelope_notes(attributes: dict[str, Inferred], wanted: Sequence[str], what: str) -> list[str]:
    """Comments that name the likely fields of an envelope that stands under other names."""
    missing = [name for name in wanted if name not in attributes]
    if not missing:
        return []
    notes, chosen = [], []
    for name in missing:
        likely = [field for field in sorted(attributes) if _likely(name, field)]
        told = f"perhaps it is {' or '.join(likely)}" if likely else f"which of {', '.join(sorted(attributes))} is it?"
        notes.append(f"# The {what} have no {name}: {told}")
        chosen.append(f"{name}: {_word(likely[0]) if likely else 'NAME'}")
    where = [] if what == "events" else ["# The envelope: of the events names it for both:"]
    return [*notes, *where, f"# envelope: {{{', '.join(chosen)}}}"]


def _likely(name: str, field: str) -> bool:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", field).lower()
    of_user = bool(_LIKELY["user_id"].search(words))
    return bool(_LIKELY[name].search(words)) and of_user is (name == "user_id") and field not in ENVELOPE


def _attribute_lines(attributes: dict[str, Inferred]) -> list[str]:
    lines, any_declared = [], False
    for name, found in sorted(attributes.items()):
        of = declarable(found)
        if of is None:
            lines.append(f"  # {_word(name)}: always null or empty here")
        elif isinstance(of, str):
            lines.append(f"  # {_word(name)}: {of}")
        else:
            any_declared, text = True, type_text(of)
            hint = "  # an amount? then produce it as an integer in minor units" if "double" in text else ""
            lines.append(f"  {_word(name)}: {text}{hint}")
    return ["attributes:" if any_declared else "attributes: {}", *lines]


def _word(name: str) -> str:
    plain = name.replace("_", "").replace("-", "").replace(".", "").isalnum()
    return name if plain else json.dumps(name)


def _records(path: str) -> Iterator[dict[str, Any]]:
    reader = _avro if path.endswith(".avro") else _parquet if path.endswith(".parquet") else _json_lines
    yield from itertools.islice(reader(path), RECORDS_MAX)


def _header(path: str) -> dict[str, Inferred] | None:
    """What the file itself declares; None where a format declares nothing."""
    if path.endswith(".avro"):
        with open(path, "rb") as file:
            try:
                schema: Any = fastavro.reader(file).writer_schema
            except (ValueError, EOFError, TypeError, LookupError) as error:
                raise SchemaError(f"{path}: cannot be read as Avro: {error}") from error
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise SchemaError(f"{path}: its records are no records with fields")
        return avro_types(schema)
    if path.endswith(".parquet"):
        import pyarrow
        import pyarrow.parquet

        try:
            return parquet_types(pyarrow.parquet.read_schema(path))
        except pyarrow.ArrowException as error:
            raise SchemaError(f"{path}: cannot be read as Parquet: {error}") from error
    return None


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
