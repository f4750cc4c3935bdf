"""The ledger's log and audit as Avro files: a file per stretch of entries, named by its first and last.

A file is written under a temporary name and renamed, so that one with its final name is whole. Stretches may overlap
where two keepers wrote for a moment, and then say the same; a gap between them is an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from schemas.codec import ContainerWriter, read_container
from schemas.errors import LogGapError
from transforms.budget.redis_log import Logged

Stream = Literal["log", "audit"]

_NAME = re.compile(r"(log|audit)-(\d+)\.(\d+)-(\d+)\.(\d+)\.avro")


class Stretch(NamedTuple):
    """A file, and the entries that it goes from and to, as (number, number behind the dash)."""

    first: tuple[int, int]
    last: tuple[int, int]
    path: Path


class LogFiles:
    """One tenant's exported log and audit: DIR/<tenant>/log-*.avro and audit-*.avro."""

    def __init__(self, folder: Path, tenant: str) -> None:
        self._folder = folder / tenant

    def stretches(self, stream: Stream) -> list[Stretch]:
        """The files that are here, in their order; older ones may have been moved away.

        Raises:
          LogGapError: between two of them entries of the log are missing.
        """
        found = sorted(self._named(stream))
        for before, after in zip(found, found[1:], strict=False):
            if stream == "log" and after.first[0] > before.last[0] + 1:
                missing = f"entries {before.last[0] + 1} to {after.first[0] - 1}"
                raise LogGapError(f"{missing} are missing between {before.path.name} and {after.path.name}")
        return found

    def last(self, stream: Stream) -> str:
        """Id of the last entry that is here; "" = none is."""
        stretches = self.stretches(stream)
        return "-".join(map(str, max(stretch.last for stretch in stretches))) if stretches else ""

    def read(self, stream: Stream) -> Iterator[Logged]:
        """Every entry that is here, once, in its order."""
        reached = (-1, -1)
        for stretch in self.stretches(stream):
            with open(stretch.path, "rb") as file:
                for record in read_container(file):
                    if _place(record["entry"]) > reached:
                        reached = _place(record["entry"])
                        fields = {name.encode(): value for name, value in record["fields"].items()}
                        yield Logged(record["entry"], record["at_ms"], record["kind"], fields)

    def begin(self, stream: Stream, token: int) -> PartFile:
        """A file for the next stretch; what keepers before left unfinished goes.

        Args:
          token: of the lease, so that two keepers never write one temporary file.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob(f"{stream}.*.part"):
            if path.name != _part_name(stream, token):
                path.unlink(missing_ok=True)
        return PartFile(self._folder, stream, token)

    def _named(self, stream: Stream) -> Iterator[Stretch]:
        for path in self._folder.glob(f"{stream}-*.avro"):
            match = _NAME.fullmatch(path.name)
            if match:
                first, first_n, last, last_n = (int(number) for number in match.groups()[1:])
                yield Stretch((first, first_n), (last, last_n), path)


class PartFile:
    """A stretch that is being written. Nothing of it counts before `name`."""

    def __init__(self, folder: Path, stream: Stream, token: int) -> None:
        self._folder, self._stream = folder, stream
        self._path = folder / _part_name(stream, token)
        self._writer = ContainerWriter(self._path, "log_entry")
        self._first = self._last = ""

    def write(self, entries: Sequence[Logged]) -> None:
        """Append entries, in their order."""
        self._first = self._first or entries[0].entry
        self._last = entries[-1].entry
        self._writer.write([_record(entry) for entry in entries])

    def close(self) -> None:
        """On disk when it returns, under the temporary name."""
        self._writer.close()
        _sync(self._path)

    def name(self) -> bool:
        """Give it its name: from now on these entries are exported. False = another keeper has put it away."""
        name = f"{self._stream}-{_in_name(self._first)}-{_in_name(self._last)}.avro"
        try:
            os.replace(self._path, self._folder / name)
        except FileNotFoundError:
            return False
        _sync(self._folder)
        return True


def _part_name(stream: Stream, token: int) -> str:
    return f"{stream}.{token}.part"


def _record(entry: Logged) -> dict[str, object]:
    fields = {name.decode(): value for name, value in entry.fields.items()}
    return {"entry": entry.entry, "at_ms": entry.at_ms, "kind": entry.kind, "fields": fields}


def _place(entry: str) -> tuple[int, int]:
    number, _, rest = entry.partition("-")
    return int(number), int(rest)


def _in_name(entry: str) -> str:
    """Names sort as entries do."""
    number, n = _place(entry)
    return f"{number:016d}.{n}"


def _sync(path: Path) -> None:
    place = os.open(path, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)
