"""Put a folder of campaigns in force: accounts first, then the set. What operators changed live stands."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from runners.ledgers import RedisLedgerAddress
from runners.ops.budgets import cap_text, differences, pace_text, period_text
from runners.tenants import note_tenant
from schemas.errors import ChangeRefusedError, UsageError, VersionConflictError
from schemas.grants import rfc3339
from schemas.operations import Terms
from schemas.plans import Plan, PlanSet
from schemas.proposals import AccountSnapshot, AccountSpec, LimitSpec, Pace
from schemas.redis_connection import connect
from transforms.budget.merging import Difference, Merged, Side, merge
from transforms.budget.ports import Ledger
from transforms.plan_source import POLL_S
from transforms.registry.ports import numbered, same_content
from transforms.registry.redis_registry import RedisRegistry

SKEW_MS = 60_000
"""How far ahead of the clock an event may be at a live source."""

TRIES = 5
"""How often accounts are read again because someone changed one meanwhile."""


class Applied(NamedTuple):
    """What was done, or would be.

    Attributes:
      number: of the set that is now the latest. published: that set, None where nothing had changed.
      changes: of accounts, a text each. kept: live changes that stand, a text each.
      cold: campaigns that look back, and whose history nobody has counted yet.
    """

    number: int
    published: PlanSet | None
    changes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    cold: Sequence[Plan] = ()


def apply_folder(
    plan_set: PlanSet,
    url: str,
    from_ms: int | None,
    who: str,
    wins: Side | None = None,
    why: str = "",
    dry_run: bool = False,
) -> Applied:
    """Make or change the set's accounts, then publish it.

    Args:
      why: for the audit; "" = the set's number.
      wins: which side, where a file and an operator changed the same cap since the last set.

    Raises:
      UsageError: from_ms is earlier than every worker could know of the set, or so late that a campaign would fire
        before its history could be counted.
      ChangeRefusedError: files and live changes are in conflict and nobody has chosen; all of them are told.
    """
    client = connect(url)
    registry = RedisRegistry(client, plan_set.tenant)
    earlier = registry.sets()
    if earlier and same_content(plan_set, earlier[-1]):
        return Applied(earlier[-1].number, None)
    ready = numbered(plan_set, earlier, _in_force_from(from_ms) if earlier else None)
    cold = _cold(ready, earlier[-1]) if earlier else []
    ledger = RedisLedgerAddress(url)(plan_set.tenant)
    changes, kept = _merged(ledger, plan_set.accounts, earlier, wins, (who, why or f"set {ready.number}"), dry_run)
    if not dry_run:
        registry.publish(ready)
        note_tenant(client, plan_set.tenant)
    return Applied(ready.number, ready, changes, kept, cold)


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


def _merged(
    ledger: Ledger,
    accounts: Sequence[AccountSpec],
    earlier: Sequence[PlanSet],
    wins: Side | None,
    signed: tuple[str, str],
    dry_run: bool,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Bring the accounts to what file and live say together: what changed, and what was kept."""
    applied = {account.name: account.limits for plan_set in earlier for account in plan_set.accounts}
    for _ in range(TRIES):
        live = {account.name: account for account in ledger.snapshot()}
        merges = [_merge(applied.get(spec.name), spec, live.get(spec.name), wins) for spec in accounts]
        conflicts = [difference for merged in merges for difference in merged.conflicts]
        if conflicts and wins is None:
            told = "\n".join(f"  {_told(difference)}" for difference in conflicts)
            raise ChangeRefusedError(
                f"changed both in the files and live:\n{told}\nsay which stands: --take file, or --take live; "
                "nothing was changed"
            )
        changes = [text for merged in merges for text in _changes(merged.spec, live.get(merged.spec.name))]
        kept = [_told(difference) for merged in merges for difference in merged.kept]
        if not dry_run:
            expected = [(spec.name, live[spec.name].version if spec.name in live else 0) for spec in accounts]
            try:
                ledger.define([merged.spec for merged in merges], *signed, expected)
            except VersionConflictError:
                continue
        return tuple(changes), tuple(kept)
    raise ChangeRefusedError("budgets are being changed all the time: try again")


def _merge(
    applied: Sequence[LimitSpec] | None, file: AccountSpec, live: AccountSnapshot | None, wins: Side | None
) -> Merged:
    return merge(applied, file, live.limits, wins) if live else Merged(file, (), ())


def _changes(spec: AccountSpec, live: AccountSnapshot | None) -> list[str]:
    if live is None:
        return []
    old = Terms(AccountSpec(spec.name, None, live.unit, live.limits), live.state)
    return [f"{spec.name}: {change}" for change in differences(old, Terms(spec, live.state))]


def _told(difference: Difference) -> str:
    """`campaign/c, amount in total: 60,000 live, 55,000 in the file, 50,000 applied last`."""
    field = difference.field.replace("_", " ").removesuffix(" ms")
    live, file, applied = (_value(value) for value in (difference.live, difference.file, difference.applied))
    place = f"{difference.account}, {field} {period_text(difference.period)}"
    if difference.file == difference.applied:
        return f"{place}: {live} live, {file} in the file"
    return f"{place}: {live} live, {file} in the file, {applied} applied last"


def _value(value: Any) -> str:
    if isinstance(value, Pace):
        return pace_text(value)
    return cap_text(value) if value is None or isinstance(value, int) else str(value)


def _in_force_from(from_ms: int | None) -> int:
    earliest = int(time.time() * 1000) + SKEW_MS + int(2 * POLL_S * 1000)
    if from_ms is not None and from_ms < earliest:
        raise UsageError(f"--from is too early: workers can know of the set by {rfc3339(earliest)}")
    return from_ms or earliest
