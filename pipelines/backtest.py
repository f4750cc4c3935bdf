"""The backtest's graph: history through the same engine and the same ledger, paying nobody.

Read once into shards of users, advance each user in total order, settle all proposals in OrderKey order at one root.
"""

from __future__ import annotations

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
    """

    parts: tuple[FilePart, ...]
    profiles: tuple[tuple[str, dict[str, object]], ...]
    plan_sets: tuple[PlanSet, ...]


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
    read = parts | ReadShards(given.plan_sets[-1].schema, limit, Progress(scratch, "read"))
    profiles = pipeline | "Profiles" >> beam.Create(_profile_shards(given.profiles), reshuffle=False)
    shards = (read.shards, profiles) | "Shards" >> beam.Flatten()
    plan_sets = [encode_plan_set(plan_set) for plan_set in given.plan_sets]
    advanced = shards | AdvanceShards(plan_sets, Progress(scratch, "advanced"))
    settled = advanced.runs | SettleRuns(ledger, Progress(scratch, "settled"))
    tally = settled | ArchiveSettled(folder)
    letters = (read.dead_letter, advanced.dead_letter) | "DeadLetters" >> beam.Flatten()
    letters | ArchiveDeadLetters(folder)
    return BacktestOutput(tally, advanced.matched | "SumMatched" >> beam.CombinePerKey(sum))


def _profile_shards(profiles: tuple[tuple[str, dict[str, object]], ...]) -> list[tuple[int, bytes]]:
    shards: dict[int, ShardBlob] = {}
    for user, attributes in profiles:
        shards.setdefault(shard_of(user), ShardBlob([], [])).profiles.append((user, attributes))
    return [(number, encode_shard(blob)) for number, blob in sorted(shards.items())]
