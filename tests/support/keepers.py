"""A ledger whose log waits to be kept, keepers with a clock of their own, and what they have published and exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from pipelines.sinks import LinesSink
from runners.keeper import Keeper, KeeperPolicy, KeptTenant, Step, say_nothing
from runners.ops.log_files import LogFiles
from schemas.proposals import LimitSpec
from tests.support.campaigns import a_plan_set
from tests.support.ledgers import TENANT, a_held, a_reversal, a_single, an_account
from transforms.budget.redis_ledger import RedisLedger
from transforms.budget.redis_log import Logged, RedisLog

CAMPAIGN = """
tenant: shop
horizon: 2d
---
campaign: c1
trigger: {on: purchase}
grant: {points: 10}
hold: 1d
"""
KINDS = ("grant", "denial", "reversal")
POLICY = KeeperPolicy(export_entries=3)


class Kept:
    """One tenant's ledger, the folder of its files, and the clock of those who keep it."""

    def __init__(self, client: redis.Redis, folder: Path) -> None:
        self.client, self.folder = client, folder
        self.ledger, self.log = RedisLedger(client, TENANT), RedisLog(client, TENANT)
        self.files = LogFiles(folder / "exported", TENANT)
        self.late_ms = 0
        self.sets = [a_plan_set(folder / "campaigns", CAMPAIGN)]

    def clock(self) -> int:
        return self.log.clock_ms() + self.late_ms

    def keeper(
        self, owner: str, on_step: Callable[[Step], None] = say_nothing, kinds: tuple[str, ...] = KINDS
    ) -> Keeper:
        sink = LinesSink({kind: str(self.folder / f"{kind}.jsonl") for kind in kinds})
        kept = KeptTenant(self.ledger, self.log, lambda: self.sets, sink, frozenset(kinds), self.files)
        return Keeper(kept, owner, POLICY, self.clock, on_step)

    def published(self, kind: str) -> list[dict[str, Any]]:
        path = self.folder / f"{kind}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def fill(self) -> None:
        """Seven entries of a log that nobody has published, some of them of holds that the watermark has passed."""
        self.ledger.define(
            [an_account("tenant"), an_account("campaign/c1", LimitSpec("total", None, 100))], "ann", "new"
        )
        for number in range(6):
            held = a_held(f"h{number}", 3, due_ms=10, at_ms=number)
            self.ledger.decide([a_single(f"g{number}", 10, at_ms=number), a_single(f"big{number}", 500), held])
        self.ledger.decide([a_reversal("r", "g0", at_ms=6)])
        self.log.note_watermark(20)


def as_exported(entries: list[Logged]) -> list[Logged]:
    return [entry._replace(fields=dict(sorted(entry.fields.items()))) for entry in entries]
