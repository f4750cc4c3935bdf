"""Export a ledger's log as the keeper does: DIR/<tenant>/log-<first>.0-<last>.0.avro, entries as they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fastavro

from tests.support.ledgers import TENANT
from transforms.budget.redis_books import RedisBooks

_SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "LogEntry",
        "fields": [
            {"name": "entry", "type": "string"},
            {"name": "at_ms", "type": "long"},
            {"name": "kind", "type": "string"},
            {"name": "fields", "type": {"type": "map", "values": "bytes"}},
        ],
    }
)


def export_log(client: Any, folder: Path, after: int = 0) -> int:
    """Entries behind a sequence, into one file; the sequence of the last one."""
    entries = [(sequence, fields) for sequence, fields in RedisBooks(client, TENANT).log() if sequence > after]
    records = [
        {
            "entry": f"{sequence}-0",
            "at_ms": int(fields[b"ms"]),
            "kind": fields[b"kind"].decode(),
            "fields": {name.decode(): value for name, value in fields.items()},
        }
        for sequence, fields in entries
    ]
    first, last = entries[0][0], entries[-1][0]
    (folder / TENANT).mkdir(parents=True, exist_ok=True)
    with open(folder / TENANT / f"log-{first:016d}.0-{last:016d}.0.avro", "wb") as out:
        fastavro.writer(out, _SCHEMA, records)
    return last
