"""Dead letters: the limit that stops a job, and their archive."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import apache_beam as beam
import msgspec
from apache_beam.io.gcp.pubsub import PubsubMessage, WriteToPubSub
from apache_beam.pvalue import PCollection

from schemas.codec import ContainerWriter, RecordCodec, own_schema
from schemas.dead_letters import OUTSIDE_LIMIT, DeadLetter
from schemas.errors import DeadLetterLimitError


@dataclass(frozen=True)
class DeadLetterLimit:
    """When a job stops instead of draining its source into dead letters.

    Attributes:
      consecutive: so many refused inputs in a row. ratio: this share of at least `after` inputs.
    """

    consecutive: int = 1_000
    ratio: float = 0.1
    after: int = 10_000


class DeadLetterWatch:
    """Counts one reader's inputs against the limit. Late and too old inputs stand outside it."""

    def __init__(self, limit: DeadLetterLimit) -> None:
        self._limit = limit
        self._seen = self._refused = self._in_a_row = 0

    def accepted(self, inputs: int = 1) -> None:
        """So many inputs became events."""
        self._seen += inputs
        if inputs:
            self._in_a_row = 0

    def refused(self, letter: DeadLetter) -> None:
        """An input became a dead letter.

        Raises:
          DeadLetterLimitError: the limit is passed; the message quotes this dead letter's.
        """
        if letter.reason in OUTSIDE_LIMIT:
            return
        self._seen += 1
        self._refused += 1
        self._in_a_row += 1
        limit = self._limit
        if self._in_a_row >= limit.consecutive:
            raise DeadLetterLimitError(f"{self._in_a_row} inputs in a row are no events; the last: {letter.message}")
        if self._seen >= limit.after and self._refused > limit.ratio * self._seen:
            raise DeadLetterLimitError(
                f"{self._refused} of {self._seen} inputs are no events (limit {limit.ratio:.0%}); "
                f"the last: {letter.message}"
            )


class ArchiveDeadLetters(beam.PTransform):  # type: ignore[misc]
    """Write dead_letters.jsonl and dead_letters.avro, also when there are none."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    def expand(self, letters: PCollection[DeadLetter]) -> PCollection[None]:
        return (
            letters
            | "Gather" >> beam.combiners.ToList()
            | "WriteDeadLetters" >> beam.ParDo(_ArchiveDeadLettersFn(self._folder)).with_output_types(None)
        )


class _ArchiveDeadLettersFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def process(self, letters: list[DeadLetter]) -> Iterator[None]:
        letters = sorted(letters, key=lambda letter: (letter.event_time_ms or 0, letter.event_id or "", letter.payload))
        lines, container = self._folder / "dead_letters.jsonl", self._folder / "dead_letters.avro"
        writer = ContainerWriter(Path(f"{container}.part"), "dead_letter")
        with open(f"{lines}.part", "wb") as out:
            write_dead_letters(letters, out, writer)
        writer.close()
        for path in (lines, container):
            os.replace(f"{path}.part", path)
        yield from ()


class PublishDeadLetters(beam.PTransform):  # type: ignore[misc]
    """Publish dead letters as Avro to a topic, `projects/P/topics/T`, with their reason as an attribute."""

    def __init__(self, topic: str) -> None:
        super().__init__()
        self._topic = topic

    def expand(self, letters: PCollection[DeadLetter]) -> PCollection[None]:
        messages = letters | "EncodeDeadLetter" >> beam.Map(_as_message).with_output_types(PubsubMessage)
        return messages | "WriteDeadLetter" >> WriteToPubSub(self._topic, with_attributes=True)


def _as_message(letter: DeadLetter) -> PubsubMessage:
    data = RecordCodec(own_schema("dead_letter")).encode_binary(letter.record())
    return PubsubMessage(data, {"reason": str(letter.reason), "stage": letter.stage})


class AppendDeadLetters(beam.PTransform):  # type: ignore[misc]
    """Append dead letters to a file of JSON lines as they come; synced before the bundle ends."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def expand(self, letters: PCollection[DeadLetter]) -> PCollection[None]:
        return letters | "AppendDeadLetter" >> beam.ParDo(_AppendDeadLettersFn(self._path))


class _AppendDeadLettersFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: list[bytes] = []

    def start_bundle(self) -> None:
        self._lines = []

    def process(self, letter: DeadLetter) -> Iterator[None]:
        self._lines.append(dead_letter_json(letter) + b"\n")
        yield from ()

    def finish_bundle(self) -> None:
        if self._lines:
            with open(self._path, "ab") as out:
                out.write(b"".join(self._lines))
                out.flush()
                os.fsync(out.fileno())


def write_dead_letters(letters: list[DeadLetter], lines: IO[bytes], container: ContainerWriter) -> None:
    """Append letters as JSON lines and as Avro records."""
    for letter in letters:
        lines.write(dead_letter_json(letter) + b"\n")
    container.write([letter.record() for letter in letters])


def dead_letter_json(letter: DeadLetter) -> bytes:
    """A JSON object; the payload as text where it is UTF-8, else as payload_base64."""
    record: dict[str, Any] = letter.record()
    payload = record.pop("payload")
    try:
        record["payload"] = payload.decode()
    except UnicodeDecodeError:
        record["payload_base64"] = base64.b64encode(payload).decode()
    return msgspec.json.encode(record)
