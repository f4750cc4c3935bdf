"""Avro by fastavro: our own schemas, container files, and single records as Pub/Sub carries them.

fastavro resolves a writer's schema to a reader's anew at every record, at twice the cost of reading. Here the writer's
schema alone is read, and what the parser does not know is left aside: defaults and order are the parser's business.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib import resources
from pathlib import Path
from typing import IO, Any, NamedTuple

import fastavro
from fastavro.schema import SchemaParseException
from fastavro.write import Writer

from schemas.avro_columns import column_encoder
from schemas.dead_letters import DeadLetterReason
from schemas.errors import InvalidEventError, SchemaError

READ_ERRORS = (EOFError, ValueError, TypeError, LookupError, ArithmeticError, SchemaParseException, OSError)
"""What fastavro raises for bytes that are not what their schema says."""

ENCODING_ATTRIBUTE = "googclient_schemaencoding"
REVISION_ATTRIBUTE = "googclient_schemarevisionid"

_BLOCK_BYTES = 64_000
"""Of a container's block before it is compressed; a reader holds one in memory."""


@cache
def own_schema(name: str) -> Any:
    """A schema of schemas/avro, parsed: "event", "grant", "denial", "reversal" or "dead_letter"."""
    text = (resources.files("schemas") / "avro" / f"{name}.avsc").read_text()
    return fastavro.parse_schema(json.loads(text))


def parse_avro_schema(text: str | bytes) -> Any:
    """A producer's schema.

    Raises:
      SchemaError: it is no Avro record schema.
    """
    try:
        parsed = fastavro.parse_schema(json.loads(text))
    except (ValueError, SchemaParseException, TypeError, KeyError) as error:
        raise SchemaError(f"no Avro schema: {error}") from error
    if not isinstance(parsed, dict) or parsed.get("type") != "record":
        raise SchemaError("an event's Avro schema is a record")
    return parsed


class RecordCodec:
    """Single records of one schema, as one Pub/Sub message carries them."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema

    def encode_binary(self, record: Mapping[str, Any]) -> bytes:
        """Avro binary, without a header."""
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._schema, dict(record))
        return out.getvalue()

    def encode_json(self, record: Mapping[str, Any]) -> bytes:
        """Avro's JSON encoding."""
        out = io.StringIO()
        fastavro.json_writer(out, self._schema, [dict(record)])
        return out.getvalue().encode()

    def decode_binary(self, data: bytes) -> dict[str, Any]:
        """Raises InvalidEventError(undecodable) for bytes that are not one whole record."""
        source = io.BytesIO(data)
        try:
            record = fastavro.schemaless_reader(source, self._schema, None)
        except READ_ERRORS as error:
            raise InvalidEventError(DeadLetterReason.UNDECODABLE, f"not of the named Avro schema: {error}") from error
        if source.read(1):
            raise InvalidEventError(DeadLetterReason.UNDECODABLE, "bytes are left behind the Avro record")
        assert isinstance(record, dict)
        return record

    def decode_json(self, data: bytes) -> dict[str, Any]:
        """Raises InvalidEventError(undecodable) for text that is not one record."""
        try:
            records = list(fastavro.json_reader(io.StringIO(data.decode()), self._schema))
        except READ_ERRORS as error:
            raise InvalidEventError(DeadLetterReason.UNDECODABLE, f"not of the named Avro schema: {error}") from error
        if len(records) != 1 or not isinstance(records[0], dict):
            raise InvalidEventError(DeadLetterReason.UNDECODABLE, "not one Avro record")
        return records[0]


def decode_message(
    data: bytes, attributes: Mapping[str, str], codecs: Mapping[str, RecordCodec]
) -> dict[str, Any] | None:
    """The record of a message under Pub/Sub's schema conventions; None for one without a schema (then it is JSON).

    Raises:
      InvalidEventError: unknown revision, or bytes that are not of its schema.
    """
    encoding = attributes.get(ENCODING_ATTRIBUTE)
    if encoding is None:
        return None
    revision = attributes.get(REVISION_ATTRIBUTE, "")
    codec = codecs.get(revision)
    if codec is None:
        known = ", ".join(sorted(codecs)) or "none"
        raise InvalidEventError(
            DeadLetterReason.UNKNOWN_REVISION, f"revision {revision!r} is not declared (known: {known})"
        )
    if encoding not in ("BINARY", "JSON"):
        raise InvalidEventError(DeadLetterReason.UNDECODABLE, f"encoding {encoding!r} is neither BINARY nor JSON")
    return codec.decode_binary(data) if encoding == "BINARY" else codec.decode_json(data)


class ContainerWriter:
    """A container file of one of our schemas, deflated: a block behind the caller's back, who goes on meanwhile."""

    def __init__(self, path: Path, schema: str) -> None:
        self._out: IO[bytes] = open(path, "wb", buffering=1 << 20)  # noqa: SIM115 - closed by close()
        self._writer = Writer(self._out, own_schema(schema), codec="deflate", compression_level=1)
        self._encode = column_encoder(own_schema(schema))
        self._waiting: list[bytes] = []
        self._count = self._bytes = 0
        self._deflating = ThreadPoolExecutor(1)  # zlib lets other threads run
        self._block: Future[None] | None = None

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Append records."""
        if self._encode is None:
            for record in records:
                self._writer.write(record)
        elif records:
            self._waiting.append(self._encode(records))
            self._count += len(records)
            self._bytes += len(self._waiting[-1])
            if self._bytes >= _BLOCK_BYTES:
                self._end_block()

    def close(self) -> None:
        """Finish the last block and close the file."""
        self._end_block()
        self._deflating.shutdown()
        if self._block is not None:
            self._block.result()
        self._writer.flush()
        self._out.close()

    def _end_block(self) -> None:
        if self._block is not None:
            self._block.result()
        if self._count:
            block = _Block(self._count, io.BytesIO(b"".join(self._waiting)))
            self._block = self._deflating.submit(self._writer.write_block, block)
        self._waiting, self._count, self._bytes = [], 0, 0


class _Block(NamedTuple):
    """A block as fastavro's writer takes it, to be compressed by it."""

    num_records: int
    bytes_: io.BytesIO
    codec: str = "null"


def read_container(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    """The records of a container file. Raises one of READ_ERRORS where it is damaged, after the records before that."""
    for record in fastavro.reader(file):
        assert isinstance(record, dict)
        yield record
