"""What an operator sees of the ledger's accounts: rows, limits, the audit, and how fast a budget is going."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence
from typing import Any

from runners.ledgers import RedisLedgerAddress
from runners.tenants import the_tenant
from schemas.errors import UsageError
from schemas.grant_operations import GrantState
from schemas.grants import rfc3339
from schemas.operations import AuditEntry, ChangedGrant, Terms
from schemas.pacing import paced_cap
from schemas.proposals import AccountSnapshot, LimitSpec, Pace, Use
from schemas.redis_connection import connect
from schemas.results import Outcome
from transforms.budget.ports import Ledger


def the_ledger(url: str, tenant: str | None) -> Ledger:
    """The ledger of the tenant that was named, or of the only one there is."""
    return RedisLedgerAddress(url)(the_tenant(connect(url), tenant))


def clock_ms() -> int:
    """Now, for what people are shown; it decides nothing."""
    return round(time.time() * 1000)


def account_rows(ledger: Ledger, names: Sequence[str], slices: bool, now_ms: int) -> list[dict[str, Any]]:
    """A row an account (and, if asked, a slice of time): use and caps, amounts in minor units of the row's unit.

    Args:
      now_ms: the moment for which `paced_cap` is told.

    Raises:
      UsageError: an account that is not there.
    """
    rows = []
    for account in named(ledger.snapshot(), names):
        for use in account.uses if slices else account.uses[:1]:
            rows.append(account_row(account, use, now_ms))
    return rows


def named(accounts: list[AccountSnapshot], names: Sequence[str]) -> list[AccountSnapshot]:
    """The accounts of these names, all without any. Raises UsageError for one that is not there."""
    by_name = {account.name: account for account in accounts}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise UsageError(f"no account {unknown[0]!r}; there is {', '.join(by_name) or 'none'}")
    return [by_name[name] for name in names or by_name]


def account_row(account: AccountSnapshot, use: Use, now_ms: int | None = None) -> dict[str, Any]:
    """One row; without a moment no paced cap is told."""
    is_total = use.period == "total"
    place = "" if is_total else f" {use.period} {rfc3339(use.start_ms)}"
    cap, pace = use.amount_cap, _pace(account) if is_total else None
    return {
        "account": f"{account.name}{place}",
        "state": account.state if is_total else "closed" if use.closed else "open",
        "unit": account.unit,
        "amount": use.amount,
        "held": use.held,
        "committed": use.amount - use.held,
        "cap_amount": cap,
        "left": None if cap is None else cap - use.amount,
        "paced_cap": None if cap is None or pace is None or now_ms is None else paced_cap(pace, cap, now_ms),
        "grants": use.grants,
        "cap_grants": use.grants_cap,
        "closed": use.closed,
        "version": account.version,
    }


def _pace(account: AccountSnapshot) -> Pace | None:
    return next((limit.pace for limit in account.limits if limit.period == "total"), None)


def limit_text(limit: LimitSpec, unit: str) -> str:
    """`in total: 5,000 points, 10 grants; cut; even 2017-03-01T00:00:00Z to ...`."""
    if limit.cooldown_ms is not None:
        return f"cool-down of {limit.cooldown_ms / 1000:,.0f} s"
    caps = [
        f"{cap:,} {of}"
        for cap, of in ((limit.amount, unit), (limit.grants, "grants"))
        if cap is not None
    ]  # fmt: skip
    parts = [", ".join(caps) or "no cap", f"when full: {limit.when_full}"]
    if limit.pace is not None:
        parts.append(f"pace: {pace_text(limit.pace)}")
    return f"{period_text(limit.period)}: {'; '.join(parts)}"


def period_text(period: str) -> str:
    """`in total`, `per day`, `per user and day`."""
    return "in total" if period == "total" else f"per {period.replace('/', ' and ')}"


def pace_text(pace: Pace) -> str:
    """`even, 2017-03-01T00:00:00Z to 2017-06-01T00:00:00Z, head start 500`."""
    start = f", head start {pace.head_start:,}" if pace.head_start else ""
    curve = f" {' '.join(map(str, pace.weights))} ({pace.zone})" if pace.shape == "curve" else ""
    return f"{pace.shape}{curve}, {rfc3339(pace.start_ms)} to {rfc3339(pace.end_ms)}{start}"


def audit_rows(ledger: Ledger, account: str | None, limit: int) -> list[dict[str, Any]]:
    """The newest changes, of one account or of all, newest first."""
    entries = (entry for entry in ledger.audit() if account is None or entry.account == account)
    return audit_rows_of(itertools.islice(entries, limit))


def audit_rows_of(entries: Iterable[AuditEntry]) -> list[dict[str, Any]]:
    """A row an entry."""
    return [_audit_row(entry) for entry in entries]


def grant_difference(changed: ChangedGrant) -> str:
    """`held 900 -> committed 400`, `denied -> granted 120`."""
    return " -> ".join(standing_text(state) for state in (changed.old, changed.new))


def standing_text(state: GrantState) -> str:
    """What a grant is, and how much of it stands."""
    if state.outcome is Outcome.DENIED:
        return state.outcome
    return f"{state.outcome} {state.stands:,}"


def _audit_row(entry: AuditEntry) -> dict[str, Any]:
    changes = [] if entry.new is None else differences(entry.old, entry.new)
    if entry.grant is not None:
        changes = [f"grant {entry.grant.grant.grant_id.hex()}: {grant_difference(entry.grant)}"]
    return {
        "at": rfc3339(entry.at_ms),
        "what": entry.what,
        "account": entry.account,
        "version": entry.version,
        "changes": changes,
        "who": entry.who,
        "why": entry.why,
        "id": entry.operation_id,
    }


def differences(old: Terms | None, new: Terms) -> list[str]:
    """What has become other, a text each: `amount in total: 5,000 -> 6,000 points`."""
    before = {limit.period: limit for limit in old.spec.limits} if old else {}
    after, unit = {limit.period: limit for limit in new.spec.limits}, new.spec.unit
    if old is None:
        return [f"made; {limit_text(limit, unit)}" for limit in after.values()] or ["made, without limits"]
    found = []
    for period in [*before, *(period for period in after if period not in before)]:
        found += _limit_differences(before.get(period) or LimitSpec(period), after.get(period), unit)
    if old.state != new.state:
        found.append(f"{old.state} -> {new.state}")
    return found


def _limit_differences(old: LimitSpec, new: LimitSpec | None, unit: str) -> list[str]:
    place = period_text(old.period)
    if new is None:
        return [f"no limit {place} any more"]
    found = [
        f"{what} {place}: {cap_text(one)} -> {cap_text(other)}{of}"
        for what, one, other, of in (
            ("amount", old.amount, new.amount, f" {unit}" if unit else ""),
            ("grants", old.grants, new.grants, ""),
            ("cool-down", old.cooldown_ms, new.cooldown_ms, " ms"),
        )
        if one != other
    ]
    if old.when_full != new.when_full:
        found.append(f"when full {place}: {old.when_full} -> {new.when_full}")
    if old.pace != new.pace:
        paces = (pace_text(pace) if pace else "none" for pace in (old.pace, new.pace))
        found.append(f"pace: {' -> '.join(paces)}")
    return found


def cap_text(cap: int | None) -> str:
    """`5,000`, or `no cap`."""
    return "no cap" if cap is None else f"{cap:,}"


class Rates:
    """How fast amounts grow since the first reading, and when what is left will be gone at that rate."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[int, int]] = {}

    def add(self, rows: Sequence[dict[str, Any]], at_ms: int) -> list[dict[str, Any]]:
        """The rows with per_hour (None: not known yet) and gone_at (None: not at this rate)."""
        found = []
        for row in rows:
            first_ms, first = self._first.setdefault(row["account"], (at_ms, row["amount"]))
            per_hour, gone_at = None, None
            if at_ms > first_ms:
                grown, passed = row["amount"] - first, at_ms - first_ms
                per_hour = grown * 3_600_000 // passed
                if grown > 0 and row["left"] is not None:
                    gone_at = rfc3339((at_ms + max(0, row["left"]) * passed // grown) // 1000 * 1000)
            found.append(row | {"per_hour": per_hour, "gone_at": gone_at})
        return found
