"""What has left the ledger's server: its exported log (DIR/<tenant>/log-*.avro), and the grants that were published."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from schemas.codec import read_container
from schemas.errors import UsageError


def exported_entries(folder: Path, tenant: str) -> Iterator[tuple[int, dict[bytes, bytes]]]:
    """(sequence, fields) of every entry that was exported, once, in order.

    Raises:
      UsageError: nothing of the tenant was exported there.
    """
    paths = sorted((folder / tenant).glob("log-*.avro"))
    if not paths:
        raise UsageError(f"no log-*.avro in {folder / tenant}: name the folder that the keeper exports to")
    reached = 0
    for path in paths:
        with open(path, "rb") as file:
            for record in read_container(file):
                sequence = int(record["entry"].partition("-")[0])
                if sequence > reached:
                    reached = sequence
                    yield sequence, {name.encode(): value for name, value in record["fields"].items()}


def published_grants(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Grant records of .jsonl (.gz) and .avro files.

    Raises:
      UsageError: a file that is none of these, or a line that is no grant.
    """
    for path in paths:
        if path.suffix == ".avro":
            with open(path, "rb") as file:
                yield from read_container(file)
            continue
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    record = json.loads(line)
                    bytes.fromhex(record["grant_id"])
                except (ValueError, KeyError, TypeError) as error:
                    raise UsageError(f"{path}:{number}: no grant record with a grant_id in hex: {error}") from None
                yield record
