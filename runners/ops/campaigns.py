"""Put a folder of campaigns in force: accounts first, then the set."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from runners.ledgers import RedisLedgerAddress
from runners.tenants import note_tenant
from schemas.errors import UsageError
from schemas.grants import rfc3339
from schemas.plans import Plan, PlanSet
from schemas.redis_connection import connect
from transforms.plan_source import POLL_S
from transforms.registry.ports import numbered, same_content
from transforms.registry.redis_registry import RedisRegistry

SKEW_MS = 60_000
"""How far ahead of the clock an event may be at a live source."""


class Applied(NamedTuple):
    """number: of the set that is now the latest. published: that set, None where nothing had changed.

    cold: campaigns that look back, and whose history nobody has counted yet.
    """

    number: int
    published: PlanSet | None
    cold: Sequence[Plan] = ()


def apply_folder(plan_set: PlanSet, url: str, from_ms: int | None, who: str) -> Applied:
    """Make or change the set's accounts, then publish it.

    Raises:
      UsageError: from_ms is earlier than every worker could know of the set, or so late that a campaign would fire
        before its history could be counted.
    """
    client = connect(url)
    registry = RedisRegistry(client, plan_set.tenant)
    earlier = registry.sets()
    if earlier and same_content(plan_set, earlier[-1]):
        return Applied(earlier[-1].number, None)
    ready = numbered(plan_set, earlier, _in_force_from(from_ms) if earlier else None)
    cold = _cold(ready, earlier[-1]) if earlier else []
    RedisLedgerAddress(url)(plan_set.tenant).define(plan_set.accounts, who=who)
    registry.publish(ready)
    note_tenant(client, plan_set.tenant)
    return Applied(ready.number, ready, cold)


def _cold(ready: PlanSet, before: PlanSet) -> list[Plan]:
    """Campaigns that look back and begin to count with this set."""
    known = {(plan.campaign, plan.series) for plan in before.plans}
    found = [plan for plan in ready.plans if plan.lookback_ms and (plan.campaign, plan.series) not in known]
    for plan in found:
        start_ms, in_force_ms = plan.schedule.start_ms or 0, ready.in_force_from_ms or 0
        if start_ms <= in_force_ms:
            raise UsageError(
                f"{plan.campaign}: the set is in force from {rfc3339(in_force_ms)}, the campaign fires from"
                f" {rfc3339(start_ms)}: too soon to count its lookback:; right would be a later from:, or no lookback:"
            )
    return found


def _in_force_from(from_ms: int | None) -> int:
    earliest = int(time.time() * 1000) + SKEW_MS + int(2 * POLL_S * 1000)
    if from_ms is not None and from_ms < earliest:
        raise UsageError(f"--from is too early: workers can know of the set by {rfc3339(earliest)}")
    return from_ms or earliest
