"""Put a folder of campaigns in force: accounts first, then the set."""

from __future__ import annotations

import time
from typing import NamedTuple

from runners.ledgers import RedisLedgerAddress
from runners.tenants import note_tenant
from schemas.errors import UsageError
from schemas.grants import rfc3339
from schemas.plans import PlanSet
from schemas.redis_connection import connect
from transforms.plan_source import POLL_S
from transforms.registry.ports import numbered, same_content
from transforms.registry.redis_registry import RedisRegistry

SKEW_MS = 60_000
"""How far ahead of the clock an event may be at a live source."""


class Applied(NamedTuple):
    """number: of the set that is now the latest. published: that set, None where nothing had changed."""

    number: int
    published: PlanSet | None


def apply_folder(plan_set: PlanSet, url: str, from_ms: int | None, who: str) -> Applied:
    """Make or change the set's accounts, then publish it.

    Raises:
      UsageError: from_ms is earlier than every worker could know of the set.
    """
    client = connect(url)
    registry = RedisRegistry(client, plan_set.tenant)
    earlier = registry.sets()
    if earlier and same_content(plan_set, earlier[-1]):
        return Applied(earlier[-1].number, None)
    ready = numbered(plan_set, earlier, _in_force_from(from_ms) if earlier else None)
    RedisLedgerAddress(url)(plan_set.tenant).define(plan_set.accounts, who=who)
    registry.publish(ready)
    note_tenant(client, plan_set.tenant)
    return Applied(ready.number, ready)


def _in_force_from(from_ms: int | None) -> int:
    earliest = int(time.time() * 1000) + SKEW_MS + int(2 * POLL_S * 1000)
    if from_ms is not None and from_ms < earliest:
        raise UsageError(f"--from is too early: workers can know of the set by {rfc3339(earliest)}")
    return from_ms or earliest
