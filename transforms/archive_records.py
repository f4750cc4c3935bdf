"""Archive what was settled as files: grants, denials and reversals, in the order in which they were decided.

Written under a temporary name and renamed when the bundle ends, so that a file with its final name is whole and a
retried bundle starts over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import apache_beam as beam
import msgspec
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindows

from schemas.codec import ContainerWriter
from schemas.grants import RECORDS, Settled, denial_records, grant_records, reversal_records
from schemas.results import Outcome
from transforms.tally import Tally

_to_lines = msgspec.json.Encoder().encode_lines


class ArchiveSettled(beam.PTransform):  # type: ignore[misc]
    """Write grants, denials and reversals, each as .jsonl and .avro; gives one encoded Tally.

    Meant for one settler: a second bundle with anything in it would replace the first one's files. An empty bundle
    (a runner of several workers makes one for each) writes nothing.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    def expand(self, settled: PCollection[list[Settled]]) -> PCollection[bytes]:
        return settled | "WriteSettled" >> beam.ParDo(_ArchiveSettledFn(self._folder)).with_output_types(bytes)


class _ArchiveSettledFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files: dict[str, RecordFiles] | None = None
        self._tally = Tally()

    def start_bundle(self) -> None:
        self._files = None
        self._tally = Tally()

    def process(self, batch: list[Settled]) -> Iterator[bytes]:
        if self._files is None:
            folder = Path(self._folder)
            self._files = {kind: RecordFiles(folder, f"{kind}s", kind) for kind in RECORDS}
        made: list[dict[str, Any]] = []
        denied: list[dict[str, Any]] = []
        reversed_: list[dict[str, Any]] = []
        for settled in batch:
            outcome = settled.decision.outcome
            if outcome is Outcome.GRANTED or outcome is Outcome.COMMITTED:
                made += grant_records(settled)
            elif outcome is Outcome.DENIED:
                denied += denial_records(settled)
            else:
                reversed_ += reversal_records(settled)
        for kind, records in (("grant", made), ("denial", denied), ("reversal", reversed_)):
            self._files[kind].write(records)
        self._tally.reverse(reversed_)
        self._tally.grant(made)
        self._tally.deny(denied)
        yield from ()

    def finish_bundle(self) -> Iterator[Any]:
        if self._files is not None:
            for files in self._files.values():
                files.close()
            yield GlobalWindows.windowed_value(self._tally.encoded())


class RecordFiles:
    """One kind of record as NAME.jsonl and NAME.avro, whole or not there."""

    def __init__(self, folder: Path, name: str, schema: str) -> None:
        self._paths = [folder / f"{name}.jsonl", folder / f"{name}.avro"]
        self._lines: IO[bytes] = open(f"{self._paths[0]}.part", "wb", buffering=1 << 20)  # noqa: SIM115
        self._container = ContainerWriter(Path(f"{self._paths[1]}.part"), schema)

    def write(self, records: list[dict[str, Any]]) -> None:
        """Append records."""
        self._lines.write(_to_lines(records))
        self._container.write(records)

    def close(self) -> None:
        """Finish both files and give them their names."""
        self._lines.close()
        self._container.close()
        for path in self._paths:
            os.replace(f"{path}.part", path)
