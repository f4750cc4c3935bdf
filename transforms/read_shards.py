"""Read event files into shards: decode once, pack by user, and let no bad record stop the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import PCollection, TaggedOutput

from schemas.dead_letters import DeadLetter
from schemas.events import Event
from schemas.plans import decode_plan_set
from transforms.advance_shards import SHARDS, ShardBlob, encode_shard, shard_of
from transforms.dead_letter import DeadLetterLimit, DeadLetterWatch
from transforms.engine import Timeline
from transforms.event_files import FilePart, read
from transforms.event_parser import EventParser
from transforms.metrics import Count, count
from transforms.progress import UNIT, Progress
from transforms.rare_collections import collect_rarely

DEAD_LETTER = "dead_letter"
NEWEST = "newest"
_BLOB_EVENTS = 200_000
"""Events held before shards are packed: bounds a reader's memory to some 200 MB."""


class ReadShardsResult(NamedTuple):
    """shards: (shard, encoded ShardBlob). newest_ms: the greatest event time of each part that has events."""

    shards: PCollection[tuple[int, bytes]]
    dead_letter: PCollection[DeadLetter]
    newest_ms: PCollection[int]


class ReadShards(beam.PTransform):  # type: ignore[misc]
    """From parts of files to shards of events."""

    def __init__(self, plan_sets: Sequence[bytes], limit: DeadLetterLimit, progress: Progress) -> None:
        super().__init__()
        self._plan_sets, self._limit, self._progress = tuple(plan_sets), limit, progress

    def expand(self, parts: PCollection[FilePart]) -> ReadShardsResult:
        read_parts = (
            parts
            | "Reshuffle" >> beam.Reshuffle()
            | "ReadPart"
            >> beam.ParDo(_ReadPartFn(self._plan_sets, self._limit, self._progress)).with_outputs(
                DEAD_LETTER, NEWEST, main="shards"
            )
        )
        return ReadShardsResult(read_parts.shards, read_parts[DEAD_LETTER], read_parts[NEWEST])


class _ReadPartFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, plan_sets: Sequence[bytes], limit: DeadLetterLimit, progress: Progress) -> None:
        self._plan_sets, self._limit, self._progress = plan_sets, limit, progress
        self._timeline: Timeline | None = None

    def setup(self) -> None:
        collect_rarely()
        self._timeline = Timeline([decode_plan_set(raw) for raw in self._plan_sets])

    def process(self, part: FilePart) -> Iterator[Any]:
        assert self._timeline is not None
        parser, watch = EventParser(self._timeline.latest.schema), DeadLetterWatch(self._limit)
        subjects = self._timeline.subjects if self._timeline.names_subjects else None
        newest_ms = -1
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
            if found.time_ms > newest_ms:
                newest_ms = found.time_ms
            if subjects is not None:
                for subject in subjects(found)[1:]:
                    shards[shard_of(subject)].append(found._replace(given_subject=subject))
            held += 1
            if not held % UNIT:
                self._progress.add(UNIT)
                if held == _BLOB_EVENTS:
                    yield from _packed(shards)
                    parsed, held = parsed + held, 0
        yield from _packed(shards)
        if newest_ms >= 0:
            yield TaggedOutput(NEWEST, newest_ms)
        count(Count.EVENTS_PARSED, parsed + held)
        count(Count.EVENTS_DEAD_LETTERED, refused)


def _packed(shards: list[list[Event]]) -> Iterator[tuple[int, bytes]]:
    for number, events in enumerate(shards):
        if events:
            yield number, encode_shard(ShardBlob([], events))
            events.clear()
