"""Event files: Avro containers, JSON lines and Parquet, split into parts and read record by record.

What cannot be read becomes a dead letter with its bytes and its place; what stands before it is kept.
"""

from __future__ import annotations

import glob
import gzip
import math
import os
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import IO, Any, NamedTuple, cast

import fastavro
import msgspec

from schemas.codec import READ_ERRORS
from schemas.dead_letters import DeadLetter, DeadLetterReason
from schemas.errors import InvalidEventError, SchemaError, UsageError
from schemas.events import Event
from transforms.event_parser import EventParser

FORMATS = {
    ".avro": "avro", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet",
    ".jsonl.gz": "jsonl.gz", ".ndjson.gz": "jsonl.gz", ".json.gz": "jsonl.gz",
}  # fmt: skip
KEPT_BYTES_MAX = 1 << 20
"""Of a payload larger than this the beginning is kept; the file itself has the rest."""
_STAGE = "ReadEvents"


class FilePart(NamedTuple):
    """A part of a file: bytes [start, end) of JSON lines, the blocks of an Avro container that begin in it, or row
    groups [start, end) of Parquet."""

    path: str
    format: str
    start: int
    end: int


def expand(patterns: Sequence[str]) -> list[str]:
    """The files of paths and globs, each once, sorted within a pattern.

    Raises:
      UsageError: a pattern matches nothing, or a file's ending is unknown.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        matches = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
        if not matches:
            raise UsageError(f"no file matches {pattern!r}")
        for path in matches:
            _format(path)
            found[path] = None
    return list(found)


def _format(path: str) -> str:
    for ending in sorted(FORMATS, key=len, reverse=True):
        if path.endswith(ending):
            return FORMATS[ending]
    raise UsageError(f"{path}: what is it? right would be a name that ends with {', '.join(FORMATS)}")


def split(path: str, part_bytes: int) -> list[FilePart]:
    """The file in parts of about part_bytes that can be read apart from each other."""
    kind = _format(path)
    size = os.path.getsize(path)
    if kind == "parquet":
        return _row_groups(path)
    if kind == "jsonl.gz" or size <= part_bytes:
        return [FilePart(path, kind, 0, size)]
    return [FilePart(path, kind, start, min(start + part_bytes, size)) for start in range(0, size, part_bytes)]


def _row_groups(path: str) -> list[FilePart]:
    import pyarrow
    import pyarrow.parquet

    try:
        groups = pyarrow.parquet.ParquetFile(path).num_row_groups
    except (pyarrow.ArrowException, OSError):
        groups = 1  # reading it tells what is wrong
    return [FilePart(path, "parquet", group, group + 1) for group in range(groups)]


def read(part: FilePart, parser: EventParser) -> Iterator[Event | DeadLetter]:
    """The events of a part, and a dead letter for each record that is none."""
    try:
        if part.format == "avro":
            yield from _parsed(_avro_records(part), part, parser)
        elif part.format == "parquet":
            yield from _parsed(_parquet_records(part), part, parser)
        else:
            yield from _lines(part, parser)
    except _DamagedError as error:
        yield _unreadable(part, str(error))


class _DamagedError(Exception):
    """A file that cannot be read on."""


def read_users(path: str, parser: EventParser) -> Iterator[tuple[str, dict[str, Any]]]:
    """(user id, attributes) of a users' file.

    Raises:
      SchemaError: a record that is none: it names file, record and value.
    """
    number = 0
    for part in split(path, 1 << 62):
        for record in _plain_records(part):
            number += 1
            try:
                yield parser.user_profile(record)
            except InvalidEventError as error:
                raise SchemaError(f"{path}: record {number}: {error.detail}") from error


def _plain_records(part: FilePart) -> Iterator[dict[str, Any]]:
    if part.format in ("avro", "parquet"):
        records = _avro_records(part) if part.format == "avro" else _parquet_records(part)
        try:
            yield from (record for _, record in records)
        except _DamagedError as error:
            raise SchemaError(f"{part.path}: {error}") from error
        return
    with _opened(part) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield msgspec.json.decode(line, type=dict[str, Any])
                except msgspec.DecodeError as error:
                    raise SchemaError(f"{part.path}:{number}: no JSON object: {error}") from error


def _opened(part: FilePart) -> IO[bytes]:
    if part.format == "jsonl.gz":
        return cast("IO[bytes]", gzip.open(part.path, "rb"))
    return open(part.path, "rb", buffering=1 << 20)


def _lines(part: FilePart, parser: EventParser) -> Iterator[Event | DeadLetter]:
    """The lines that begin in [start, end). Numbers of lines are known only where reading begins at the first."""
    try:
        with _opened(part) as file:
            place = part.start
            if part.start:
                file.seek(part.start - 1)
                place += len(file.readline()) - 1
            number, end = 0, part.end if part.format == "jsonl" else math.inf
            parse = parser.from_json
            for line in file:
                if place >= end:
                    return
                number += 1
                at, place = place, place + len(line)
                if line.isspace():
                    continue
                try:
                    yield parse(line)
                except InvalidEventError as error:
                    where = {"line": str(number)} if not part.start else {"byte": str(at)}
                    yield _letter(error, line.rstrip(b"\r\n"), part, where)
    except (OSError, EOFError) as error:
        raise _DamagedError(f"cannot be read on: {error}") from error


def _parsed(
    records: Iterator[tuple[str, dict[str, Any]]], part: FilePart, parser: EventParser
) -> Iterator[Event | DeadLetter]:
    for place, record in records:
        try:
            yield parser.from_record(record)
        except InvalidEventError as error:
            yield _letter(error, _as_json(record), part, {"record": place})


def _avro_records(part: FilePart) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    try:
        with open(part.path, "rb", buffering=1 << 20) as file:
            blocks = fastavro.block_reader(file)
            for block in blocks:
                if not part.start <= block.offset < part.end:
                    if block.offset >= part.end:
                        return
                    continue
                for record in block:
                    number += 1
                    yield (str(number) if not part.start else f"{number} behind byte {part.start}"), record
    except READ_ERRORS as error:
        what = "is no Avro file" if not number and not part.start else f"is damaged behind record {number}"
        raise _DamagedError(f"{what}: {error or type(error).__name__}") from error


def _parquet_records(part: FilePart) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(part.path).read_row_groups(range(part.start, part.end))
        rows = table.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _DamagedError(f"is no Parquet file: {error}") from error
    for number, record in enumerate(rows, start=1):
        yield f"{number} of row group {part.start}", record


def _as_json(record: Any) -> bytes:
    def plain(value: Any) -> str:
        return value.isoformat() if isinstance(value, datetime | date) else repr(value)

    return msgspec.json.encode(record, enc_hook=plain)


def _letter(error: InvalidEventError, payload: bytes, part: FilePart, where: dict[str, str]) -> DeadLetter:
    place = " ".join(f"{name} {value}" for name, value in where.items())
    cut = f" (the first {KEPT_BYTES_MAX:,} bytes are kept)" if len(payload) > KEPT_BYTES_MAX else ""
    return DeadLetter(
        stage=_STAGE,
        reason=error.reason,
        message=f"{part.path}: {place}: {error.detail}{cut}",
        payload=payload[:KEPT_BYTES_MAX],
        attributes={"file": part.path, **where},
        exception_class=type(error).__name__,
    )


def _unreadable(part: FilePart, message: str) -> DeadLetter:
    return DeadLetter(
        stage=_STAGE,
        reason=DeadLetterReason.UNREADABLE_FILE,
        message=f"{part.path} {message}",
        payload=b"",
        attributes={"file": part.path},
    )
