"""Read event files into shards: decode once, pack by user, and let no bad record stop the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import PCollection, TaggedOutput

from schemas.attributes import AttributeSchema
from schemas.dead_letters import DeadLetter
from schemas.events import Event
from transforms.advance_shards import SHARDS, ShardBlob, encode_shard, shard_of
from transforms.dead_letter import DeadLetterLimit, DeadLetterWatch
from transforms.event_files import FilePart, read
from transforms.event_parser import EventParser
from transforms.metrics import Count, count
from transforms.progress import UNIT, Progress
from transforms.rare_collections import collect_rarely

DEAD_LETTER = "dead_letter"
_BLOB_EVENTS = 200_000
"""Events held before shards are packed: bounds a reader's memory to some 200 MB."""


class ReadShardsResult(NamedTuple):
    """shards: (shard, encoded ShardBlob)."""

    shards: PCollection[tuple[int, bytes]]
    dead_letter: PCollection[DeadLetter]


class ReadShards(beam.PTransform):  # type: ignore[misc]
    """From parts of files to shards of events."""

    def __init__(self, schema: AttributeSchema, limit: DeadLetterLimit, progress: Progress) -> None:
        super().__init__()
        self._schema, self._limit, self._progress = schema, limit, progress

    def expand(self, parts: PCollection[FilePart]) -> ReadShardsResult:
        read_parts = (
            parts
            | "Reshuffle" >> beam.Reshuffle()
            | "ReadPart"
            >> beam.ParDo(_ReadPartFn(self._schema, self._limit, self._progress)).with_outputs(
                DEAD_LETTER, main="shards"
            )
        )
        return ReadShardsResult(read_parts.shards, read_parts[DEAD_LETTER])


class _ReadPartFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, schema: AttributeSchema, limit: DeadLetterLimit, progress: Progress) -> None:
        self._schema, self._limit, self._progress = schema, limit, progress

    def setup(self) -> None:
        collect_rarely()

    def process(self, part: FilePart) -> Iterator[Any]:
        parser, watch = EventParser(self._schema), DeadLetterWatch(self._limit)
        shards: list[list[Event]] = [[] for _ in range(SHARDS)]
        told = held = parsed = refused = 0
        known_shards: dict[str, list[Event]] = {}
        for found in read(part, parser):
            if isinstance(found, DeadLetter):
                refused += 1
                watch.accepted(parsed + held - told)
                told = parsed + held
                watch.refused(found)
                yield TaggedOutput(DEAD_LETTER, found)
                continue
            user = found.user_id
            shard = known_shards.get(user)
            if shard is None:
                shard = known_shards[user] = shards[shard_of(user)]
            shard.append(found)
            held += 1
            if not held % UNIT:
                self._progress.add(UNIT)
                if held == _BLOB_EVENTS:
                    yield from _packed(shards)
                    parsed, held = parsed + held, 0
        yield from _packed(shards)
        count(Count.EVENTS_PARSED, parsed + held)
        count(Count.EVENTS_DEAD_LETTERED, refused)


def _packed(shards: list[list[Event]]) -> Iterator[tuple[int, bytes]]:
    for number, events in enumerate(shards):
        if events:
            yield number, encode_shard(ShardBlob([], events))
            events.clear()
