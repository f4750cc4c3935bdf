"""The model's operations: what operators change of its accounts, the answers they got, and the audit."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.grant_operations import GrantOperation, GrantState
from schemas.operations import (
    AuditEntry,
    ChangedGrant,
    Freeze,
    Move,
    Operation,
    OperationAnswer,
    SetCap,
    SetPace,
    SetState,
    Terms,
)
from schemas.pacing import is_valid_pace
from schemas.proposals import CAP_LIMIT, AccountSpec, LimitSpec
from schemas.results import OperationOutcome
from transforms.budget.memory_accounts import Account, Accounts
from transforms.budget.ports import COOLDOWN


class Operations:
    """Operations on the accounts of one root. frozen: why it is, None if it is not. audit: oldest first."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts.by_name
        self._answers: dict[str, tuple[Operation, OperationAnswer]] = {}
        self.frozen: str | None = None
        self.audit: list[AuditEntry] = []

    def define(self, spec: AccountSpec, who: str, why: str, after: bytes) -> bool:
        """Make an account or change its limits; False if it is so already. after: what the root has seen."""
        known = self._accounts.get(spec.name)
        if known is not None and known.spec == spec:
            return False
        old = _terms(known) if known else None
        account = self._accounts.setdefault(spec.name, Account(spec, 0))
        account.spec, account.version = spec, account.version + 1
        self._tell(AuditEntry("", 0, "define", spec.name, "", who, why, account.version, old, _terms(account), after))
        return True

    def operate(self, operation: Operation, after: bytes) -> OperationAnswer:
        """As `Ledger.operate`. after: what the root has seen."""
        if operation.operation_id in self._answers:
            first, answer = self._answers[operation.operation_id]
            return msgspec.structs.replace(answer, repeated=True, conflicting=first.change != operation.change)
        if not _is_in_range(operation):
            return OperationAnswer(OperationOutcome.OUT_OF_RANGE)
        changed = [self._accounts[name] for name in operation.accounts if name in self._accounts]
        old = [_terms(account) for account in changed]
        outcome = self._refused(operation) or self._apply(operation)
        if outcome is OperationOutcome.APPLIED:
            self._note(operation, changed, old, after)
        versions = [self._accounts[name].version if name in self._accounts else 0 for name in operation.accounts]
        answer = OperationAnswer(outcome, tuple(versions))
        self._answers[operation.operation_id] = operation, answer
        return answer

    def _note(self, operation: Operation, changed: list[Account], old: list[Terms], after: bytes) -> None:
        entry = AuditEntry("", 0, operation.what, "", operation.operation_id, operation.who, operation.why, after=after)
        for account, before in zip(changed, old, strict=True):
            account.version += 1
            name, version = account.spec.name, account.version
            told = msgspec.structs.replace(entry, account=name, version=version, old=before, new=_terms(account))
            self._tell(told)
        if not changed:
            self._tell(entry)

    def note_grant(self, operation: GrantOperation, old: GrantState, new: GrantState, after: bytes) -> None:
        """Audit an operation on a grant."""
        grant, account = operation.change.grant, f"campaign/{operation.change.grant.campaign}"
        who, why, changed = operation.who, operation.why, ChangedGrant(grant, old, new)
        self._tell(
            AuditEntry("", 0, operation.what, account, operation.operation_id, who, why, after=after, grant=changed)
        )

    def _tell(self, entry: AuditEntry) -> None:
        self.audit.append(msgspec.structs.replace(entry, entry=str(len(self.audit) + 1)))

    def _refused(self, operation: Operation) -> OperationOutcome | None:
        if any(name not in self._accounts for name in operation.accounts):
            return OperationOutcome.ACCOUNT_UNKNOWN
        return None if self.are_at(operation.expected) else OperationOutcome.VERSION_CONFLICT

    def are_at(self, expected: Sequence[tuple[str, int]]) -> bool:
        """Whether each account is at this version, 0 = there is none."""
        found = (self._accounts.get(name) for name, _ in expected)
        return [account.version if account else 0 for account in found] == [version for _, version in expected]

    def _apply(self, operation: Operation) -> OperationOutcome:
        change = operation.change
        if isinstance(change, Freeze):
            self.frozen = operation.why if change.frozen else None
            return OperationOutcome.APPLIED
        if isinstance(change, Move):
            return _move(self._accounts[change.source], self._accounts[change.target], change.amount)
        account = self._accounts[change.account]
        if isinstance(change, SetCap):
            return _set_cap(account, change)
        if isinstance(change, SetPace):
            limit = _limit(account, "total")
            if limit is None or limit.amount is None:
                return OperationOutcome.NO_SUCH_LIMIT
            _keep(account, msgspec.structs.replace(limit, pace=change.pace))
        else:
            _set_state(account, change)
        return OperationOutcome.APPLIED


def _is_in_range(operation: Operation) -> bool:
    change = operation.change
    if isinstance(change, SetCap):
        return change.cap is None or (type(change.cap) is int and 0 <= change.cap <= CAP_LIMIT)
    if isinstance(change, Move):
        return type(change.amount) is int and 1 <= change.amount <= CAP_LIMIT
    return not isinstance(change, SetPace) or change.pace is None or is_valid_pace(change.pace)


def _set_cap(account: Account, change: SetCap) -> OperationOutcome:
    limit = _limit(account, change.period)
    if change.period == COOLDOWN or (limit is None and change.period != "total"):
        return OperationOutcome.NO_SUCH_LIMIT
    if change.counts == "amount" and change.cap is not None and not account.spec.unit:
        return OperationOutcome.UNITS_DIFFER
    limit = limit or LimitSpec("total")
    old, new = (
        CAP_LIMIT + 1 if cap is None else cap
        for cap in (limit.grants if change.counts == "grants" else limit.amount, change.cap)
    )
    if (change.direction == "raise" and new <= old) or (change.direction == "lower" and new >= old):
        return OperationOutcome.WRONG_DIRECTION
    _keep(account, msgspec.structs.replace(limit, **{change.counts: change.cap}))
    return OperationOutcome.APPLIED


def _set_state(account: Account, change: SetState) -> None:
    if change.state == "paused":
        account.paused = True
    elif change.state == "closed":
        account.total.closed = True
    elif account.paused:
        account.paused = False
    else:
        for count in account.counts.values():
            count.closed = False


def _move(source: Account, target: Account, amount: int) -> OperationOutcome:
    lowered, raised = _limit(source, "total"), _limit(target, "total")
    if lowered is None or raised is None or lowered.amount is None or raised.amount is None:
        return OperationOutcome.NO_SUCH_LIMIT
    if source.spec.unit != target.spec.unit:
        return OperationOutcome.UNITS_DIFFER
    if amount > lowered.amount - source.total.amount or raised.amount + amount > CAP_LIMIT:
        return OperationOutcome.NOT_LEFT
    _keep(source, msgspec.structs.replace(lowered, amount=lowered.amount - amount))
    _keep(target, msgspec.structs.replace(raised, amount=raised.amount + amount))
    return OperationOutcome.APPLIED


def _limit(account: Account, period: str) -> LimitSpec | None:
    return next((limit for limit in account.spec.limits if limit.period == period), None)


def _keep(account: Account, changed: LimitSpec) -> None:
    """Put a limit in the place of the one of its period, or after all others."""
    limits = account.spec.limits
    if any(limit.period == changed.period for limit in limits):
        limits = tuple(changed if limit.period == changed.period else limit for limit in limits)
    else:
        limits = (*limits, changed)
    account.spec = msgspec.structs.replace(account.spec, limits=limits)


def _terms(account: Account) -> Terms:
    if account.paused:
        return Terms(account.spec, "paused")
    return Terms(account.spec, "closed" if account.total.closed else "open")
