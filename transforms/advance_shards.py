"""Advance whole histories: users in shards, each shard's events in total order, state as live objects.

A backtest's place of user state. Sorting by user first lets one user's state be dropped before the next one's begins;
the proposals leave as runs, cut into slices of time so that the settler never holds more than a slice.
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any, NamedTuple

import apache_beam as beam
import msgspec
import pyarrow
from apache_beam.pvalue import PCollection, TaggedOutput

from schemas.dead_letters import DeadLetter, DeadLetterReason
from schemas.events import Event
from schemas.plans import DAY_MS, decode_plan_set
from schemas.proposals import Request
from transforms.engine import Advanced, Profile, Tick, Timeline, UserState, Verdict, advance
from transforms.metrics import Count, count
from transforms.progress import Progress
from transforms.rare_collections import collect_rarely

SHARDS = 128
SLICE_MS = 7 * DAY_MS
"""Proposals of one slice are settled together, in memory: a week of proposals must fit."""

DEAD_LETTER = "dead_letter"
MATCHED = "matched"


class ShardBlob(msgspec.Struct, frozen=True, array_like=True):
    """What one reader found for one shard."""

    profiles: list[tuple[str, dict[str, Any]]]
    events: list[Event]


class AdvancedShards(NamedTuple):
    """runs: (tenant, a run of encode_run). matched: (campaign, how many events met it). dead_letter: events too old."""

    runs: PCollection[tuple[str, bytes]]
    matched: PCollection[tuple[str, int]]
    dead_letter: PCollection[DeadLetter]


def shard_of(user_id: str) -> int:
    """The shard of a user, 0 .. SHARDS - 1; the same in every process."""
    return zlib.crc32(user_id.encode()) % SHARDS


_SNAPPY = pyarrow.Codec("snappy")
"""A tenth of a microsecond an event; carrying it between workers as it is costs ten times that."""

_encode = msgspec.msgpack.Encoder().encode
_decode_shard = msgspec.msgpack.Decoder(ShardBlob).decode
_decode_requests = msgspec.msgpack.Decoder(list[Request]).decode


def encode_shard(blob: ShardBlob) -> bytes:
    """A ShardBlob as bytes."""
    return _shrunk(_encode(blob))


def encode_run(slice_number: int, requests: list[Request]) -> bytes:
    """Requests of one shard within one slice of time, in OrderKey order, as bytes."""
    return slice_number.to_bytes(8, "big", signed=True) + _shrunk(_encode(requests))


def run_slice(run: bytes) -> int:
    """The slice of time of a run's bytes."""
    return int.from_bytes(run[:8], "big", signed=True)


def decode_run(run: bytes) -> list[Request]:
    """The requests of a run's bytes."""
    return _decode_requests(_whole(memoryview(run)[8:]))


def _shrunk(raw: bytes) -> bytes:
    return len(raw).to_bytes(8, "big") + _SNAPPY.compress(raw, asbytes=True)


def _whole(shrunk: bytes | memoryview) -> bytes:
    return _SNAPPY.decompress(shrunk[8:], decompressed_size=int.from_bytes(shrunk[:8], "big"), asbytes=True)


class AdvanceShards(beam.PTransform):  # type: ignore[misc]
    """From (shard, encoded ShardBlob) to runs of requests.

    Args:
      until_ms: a singleton: where time ends; absences due up to then fire. None = nothing was read.
    """

    def __init__(self, plan_sets: Iterable[bytes], progress: Progress, until_ms: Any) -> None:
        super().__init__()
        self._plan_sets, self._progress, self._until_ms = tuple(plan_sets), progress, until_ms

    def expand(self, shards: PCollection[tuple[int, bytes]]) -> AdvancedShards:
        advanced = (
            shards
            | "GroupByShard" >> beam.GroupByKey()
            | "AdvanceShard"
            >> beam.ParDo(_AdvanceShardFn(self._plan_sets, self._progress), self._until_ms).with_outputs(
                MATCHED, DEAD_LETTER, main="runs"
            )
        )
        return AdvancedShards(advanced.runs, advanced[MATCHED], advanced[DEAD_LETTER])


class _AdvanceShardFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, plan_sets: tuple[bytes, ...], progress: Progress) -> None:
        self._plan_sets, self._progress = plan_sets, progress
        self._timeline: Timeline | None = None

    def setup(self) -> None:
        collect_rarely()
        self._timeline = Timeline([decode_plan_set(raw) for raw in self._plan_sets])

    def process(self, element: tuple[int, Iterable[bytes]], until_ms: int | None) -> Iterator[Any]:
        assert self._timeline is not None
        profiles, events = _unpacked(element[1])
        shard = _Shard(self._timeline, profiles, until_ms)
        shard.advance(events)
        yield from shard.runs()
        for campaign, times in sorted(shard.matched.items()):
            yield TaggedOutput(MATCHED, (campaign, times))
        for letter in shard.refused:
            yield TaggedOutput(DEAD_LETTER, letter)
        shard.count()
        self._progress.add(len(events))


class _Shard:
    """One shard's users, advanced one after the other."""

    def __init__(self, timeline: Timeline, profiles: dict[str, dict[str, Any]], until_ms: int | None) -> None:
        self._timeline, self._profiles, self._until_ms = timeline, profiles, until_ms
        self._requests: list[Request] = []
        self._open = 0
        self._verdicts: Counter[Verdict] = Counter()
        self._over_limit = 0
        self._with_match = 0
        self.matched: Counter[str] = Counter()
        self.refused: list[DeadLetter] = []

    def advance(self, events: list[Event]) -> None:
        """Events of all the shard's users, sorted by user and total order."""
        state, subject, timeline = UserState(), None, self._timeline
        requests, verdicts, matched = self._requests, self._verdicts, self.matched
        advanced = 0  # by far the most: counted apart, since an enum is slow to hash
        for event in events:
            if (event.given_subject or event.user_id) != subject:
                self._end(state)
                subject = event.given_subject or event.user_id
                state = self._fresh(subject)
            done = advance(state, event, timeline)
            state = done.state
            if done.requests:
                requests.extend(done.requests)
            if event.given_subject:
                pass
            elif done.verdict is Verdict.ADVANCED:
                advanced += 1
            else:
                verdicts[done.verdict] += 1
            if done.matched:
                self._with_match += 1
                for campaign in done.matched:
                    matched[campaign] += 1
                self._over_limit += len(done.over_limit)
            elif done.verdict is not Verdict.ADVANCED and done.verdict in REFUSED:
                self.refused.append(refused_letter(event, done))
        self._end(state)
        verdicts[Verdict.ADVANCED] += advanced

    def _fresh(self, subject: str) -> UserState:
        profile = self._profiles.get(subject)
        state = UserState()
        return advance(state, Profile(subject, profile), self._timeline).state if profile else state

    def _end(self, state: UserState) -> None:
        """Time has come to its end for this user: what falls due by then fires, the rest stays open."""
        if state.due_ms is not None and self._until_ms is not None:
            done = advance(state, Tick(self._until_ms), self._timeline)
            self._requests.extend(done.requests)
            self._open += self._timeline.latest_compiled.open_absences(done.state)

    def runs(self) -> Iterator[tuple[str, bytes]]:
        """The requests, a run a slice of time."""
        slices: dict[int, list[Request]] = defaultdict(list)
        for request in self._requests:
            slices[request.key.time_ms // SLICE_MS].append(request)
        for number, requests in sorted(slices.items()):
            requests.sort(key=attrgetter("key"))
            yield self._timeline.latest.tenant, encode_run(number, requests)

    def count(self) -> None:
        """Tell the metrics what this shard came to."""
        for verdict, name in VERDICT_COUNTS.items():
            count(name, self._verdicts[verdict])
        count(Count.EVENTS_MATCHED, self._with_match)
        count(Count.COUNTERS_OVER_LIMIT, self._over_limit)
        count(Count.ABSENCES_OPEN, self._open)
        count(Count.PROPOSALS_MADE, len(self._requests))


VERDICT_COUNTS = {
    Verdict.ADVANCED: Count.EVENTS_ADVANCED,
    Verdict.DUPLICATE: Count.EVENTS_DUPLICATE,
    Verdict.CONFLICTING_DUPLICATE: Count.EVENTS_CONFLICTING_DUPLICATE,
    Verdict.TOO_OLD: Count.EVENTS_TOO_OLD,
    Verdict.LATE: Count.EVENTS_LATE,
    Verdict.TOO_LATE: Count.EVENTS_TOO_LATE,
    Verdict.SEED_REFUSED: Count.SEEDS_REFUSED,
}

REFUSED = {
    Verdict.TOO_OLD: DeadLetterReason.TOO_OLD,
    Verdict.TOO_LATE: DeadLetterReason.TOO_LATE,
    Verdict.SEED_REFUSED: DeadLetterReason.SEED_REFUSED,
}
"""Verdicts that make the event a dead letter."""


def refused_letter(event: Event, done: Advanced) -> DeadLetter:
    """The dead letter of an event at or below its user's floor, later than the wait, or a seed that is refused."""
    if done.verdict is Verdict.SEED_REFUSED:
        message = done.why
    elif done.verdict is Verdict.TOO_OLD:
        message = f"event_time {event.time_ms} ms is at or before {done.state.floor_ms} ms: ids there are forgotten"
    else:
        message = f"event_time {event.time_ms} ms is later than the tenant's wait:"
    return DeadLetter(
        stage="AdvanceUsers",
        reason=REFUSED[done.verdict],
        message=message,
        payload=msgspec.json.encode(event),
        attributes={},
        event_id=event.event_id,
        event_time_ms=event.time_ms,
    )


def _unpacked(blobs: Iterable[bytes]) -> tuple[dict[str, dict[str, Any]], list[Event]]:
    profiles: dict[str, dict[str, Any]] = {}
    events: list[Event] = []
    for blob in blobs:
        read = _decode_shard(_whole(blob))
        profiles.update(read.profiles)
        events += read.events
    events.sort(key=lambda event: (event.given_subject or event.user_id, event.time_ms, event.event_id, event.user_id))
    return profiles, events
