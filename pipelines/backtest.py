"""The backtest's graph: history through the same engine and the same ledger, paying nobody.

Read once into shards of users, advance each user in total order, settle all proposals in OrderKey order at one root.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.pvalue import PCollection

from schemas.plans import PlanSet, encode_plan_set
from transforms.advance_shards import AdvanceShards, ShardBlob, encode_shard, shard_of
from transforms.archive_records import ArchiveSettled
from transforms.dead_letter import ArchiveDeadLetters, DeadLetterLimit
from transforms.event_files import FilePart
from transforms.progress import Progress
from transforms.read_shards import ReadShards
from transforms.settle_budgets import LedgerInTurnAddress, SettleRuns


@dataclass(frozen=True)
class BacktestInput:
    """What a backtest judges.

    Attributes:
      parts: of the event files. profiles: (user id, attributes), whole and from the beginning of time.
      plan_sets: in force one after the other; a folder is one set.
      until_ms: where time ends; None = at the greatest event time of the input.
    """

    parts: tuple[FilePart, ...]
    profiles: tuple[tuple[str, dict[str, object]], ...]
    plan_sets: tuple[PlanSet, ...]
    until_ms: int | None = None


@dataclass(frozen=True)
class BacktestOutput:
    """What a built backtest gives beside its files.

    Attributes:
      tally: one encoded Tally. matched: (campaign, events that met it).
    """

    tally: PCollection[bytes]
    matched: PCollection[tuple[str, int]]


def build_backtest(
    pipeline: beam.Pipeline,
    given: BacktestInput,
    ledger: LedgerInTurnAddress,
    folder: str,
    scratch: str,
    limit: DeadLetterLimit,
) -> BacktestOutput:
    """Wire the backtest; its files are written to the folder when the pipeline runs, its progress to scratch."""
    parts = pipeline | "Parts" >> beam.Create(given.parts, reshuffle=False)
    plan_sets = [encode_plan_set(plan_set) for plan_set in given.plan_sets]
    read = parts | ReadShards(plan_sets, limit, Progress(scratch, "read"))
    ends = read.newest_ms | "Ends" >> beam.CombineGlobally(_latest).without_defaults()
    until_ms = beam.pvalue.AsSingleton(ends, default_value=None) if given.until_ms is None else given.until_ms
    profiles = pipeline | "Profiles" >> beam.Create(_profile_shards(given.profiles), reshuffle=False)
    shards = (read.shards, profiles) | "Shards" >> beam.Flatten()
    advanced = shards | AdvanceShards(plan_sets, Progress(scratch, "advanced"), until_ms)
    settled = advanced.runs | SettleRuns(ledger, Progress(scratch, "settled"), until_ms)
    tally = settled | ArchiveSettled(folder)
    letters = (read.dead_letter, advanced.dead_letter) | "DeadLetters" >> beam.Flatten()
    letters | ArchiveDeadLetters(folder)
    return BacktestOutput(tally, advanced.matched | "SumMatched" >> beam.CombinePerKey(sum))


def _latest(times_ms: Iterable[int]) -> int | None:
    return max(times_ms, default=None)


def _profile_shards(profiles: tuple[tuple[str, dict[str, object]], ...]) -> list[tuple[int, bytes]]:
    shards: dict[int, ShardBlob] = {}
    for user, attributes in profiles:
        shards.setdefault(shard_of(user), ShardBlob([], [])).profiles.append((user, attributes))
    return [(number, encode_shard(blob)) for number, blob in sorted(shards.items())]
