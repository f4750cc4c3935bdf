"""The ledger as a plain model: obviously right, slow, in one process's memory. The oracle of the Redis store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from schemas.order_keys import OrderKey
from schemas.proposals import (
    AMOUNT_LIMIT,
    CAP_LIMIT,
    AccountSnapshot,
    AccountSpec,
    Decision,
    GrantRequest,
    Offer,
    Proposal,
    Use,
)
from schemas.results import Outcome, Reason, WhenFull
from transforms.budget.ports import LogEntry, require_valid_accounts, require_valid_batch

_Slice = tuple[str, int]


@dataclass
class _Count:
    grants: int = 0
    amount: int = 0
    closed: bool = False


@dataclass
class _Account:
    spec: AccountSpec
    version: int
    counts: dict[_Slice, _Count] = field(default_factory=dict)
    users: dict[tuple[str, int, str], _Count] = field(default_factory=dict)


@dataclass(frozen=True)
class _Check:
    """One counter a grant would move, with the limit that watches it."""

    account: str
    period: str
    count: _Count
    grants_cap: int
    amount_cap: int
    when_full: WhenFull
    cost: int | None

    @property
    def of_user(self) -> bool:
        return self.period.startswith("user")

    def charged(self, amount: int) -> int:
        return amount if self.cost is None else self.cost


@dataclass(frozen=True)
class _Refusal:
    reason: Reason
    account: str = ""
    period: str = ""
    use: int = 0
    cap: int = 0
    check: _Check | None = None


class MemoryLedger:
    """`Ledger` of one tenant in memory."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._accounts: dict[str, _Account] = {}
        self._records: dict[tuple[str, str, bytes], tuple[str, int, Decision]] = {}
        self._log: dict[str, LogEntry] = {}
        self._unpublished: dict[str, None] = {}
        self.newest: OrderKey | None = None

    def define(self, accounts: Sequence[AccountSpec], who: str = "") -> int:
        require_valid_accounts(accounts)
        changed = 0
        for spec in accounts:
            known = self._accounts.get(spec.name)
            if known is None:
                self._accounts[spec.name] = _Account(spec, 1)
            elif known.spec != spec:
                known.spec, known.version = spec, known.version + 1
            else:
                continue
            changed += 1
        return changed

    def decide(self, proposals: Sequence[Proposal]) -> list[Decision]:
        require_valid_batch(proposals, self._tenant)
        entry = str(len(self._log) + 1)
        decisions = [self._decide(proposal, entry) for proposal in proposals]
        fresh = any(decision.entry == entry and not decision.repeated for decision in decisions)
        if fresh:
            self._unpublished[entry] = None
        told = [
            msgspec.structs.replace(decision, unpublished=decision.entry in self._unpublished) for decision in decisions
        ]
        if fresh:
            self._log[entry] = LogEntry(entry, list(proposals), told)
        for proposal in proposals:
            self.newest = proposal.key if self.newest is None else max(self.newest, proposal.key)
        return told

    def unmark(self, entries: Sequence[str]) -> None:
        for entry in entries:
            self._unpublished.pop(entry, None)

    def unpublished(self, limit: int) -> list[LogEntry]:
        return [self._log[entry] for entry in list(self._unpublished)[:limit]]

    def entry(self, entry: str) -> LogEntry | None:
        return self._log.get(entry)

    def snapshot(self) -> list[AccountSnapshot]:
        order = {"tenant": 0, "theme": 1, "campaign": 2}
        names = sorted(self._accounts, key=lambda name: (order[name.split("/")[0]], name))
        return [_snapshot(name, self._accounts[name]) for name in names]

    def _decide(self, proposal: Proposal, entry: str) -> Decision:
        single = len(proposal.offers) == 1 and len(proposal.offers[0].grants) == 1
        first = proposal.offers[0].grants[0]
        home = (first.campaign, first.generation, first.grant_id) if single else ("", "", proposal.decision_id)
        content = (first.recipient, first.amount)
        known = self._records.get(home)
        if known is not None:
            return _again(known, content)
        refusal: _Refusal | None = None
        for index, offer in enumerate(proposal.offers if not single else ()):
            granted = self._granted_already(offer, index)
            if granted is not None:
                self._records[home] = (*content, granted)
                return _again((*content, granted), content)
        for index, offer in enumerate(proposal.offers):
            outcome = self._denied_already(offer) or self._try(offer)
            if not isinstance(outcome, _Refusal):
                decision = Decision(Outcome.GRANTED, index, tuple(outcome), entry=entry)
                self._keep(home, content, decision, offer, single)
                return decision
            refusal = outcome
        assert refusal is not None
        return self._denied(home, content, refusal, entry)

    def _granted_already(self, offer: Offer, index: int) -> Decision | None:
        """The answer of an offer with a grant that another decision has made; 0 for its grants that none has."""
        known = [self._records.get((grant.campaign, grant.generation, grant.grant_id)) for grant in offer.grants]
        granted = [found[2] if found and found[2].outcome is Outcome.GRANTED else None for found in known]
        first = next((decision for decision in granted if decision is not None), None)
        if first is None:
            return None
        amounts = tuple(decision.amounts[0] if decision else 0 for decision in granted)
        return msgspec.structs.replace(first, offer=index, amounts=amounts)

    def _denied_already(self, offer: Offer) -> _Refusal | None:
        """The refusal that has spent the id of one of the offer's grants."""
        for grant in offer.grants:
            known = self._records.get((grant.campaign, grant.generation, grant.grant_id))
            if known is not None and known[2].reason is not None:
                told = known[2]
                assert told.reason is not None
                return _Refusal(told.reason, told.account, told.period, told.use, told.cap)
        return None

    def _keep(
        self, home: tuple[str, str, bytes], content: tuple[str, int], decision: Decision, offer: Offer, single: bool
    ) -> None:
        self._records[home] = (*content, decision)
        if not single:
            for grant, amount in zip(offer.grants, decision.amounts, strict=True):
                own = msgspec.structs.replace(decision, amounts=(amount,))
                self._records[grant.campaign, grant.generation, grant.grant_id] = (grant.recipient, grant.amount, own)

    def _denied(
        self, home: tuple[str, str, bytes], content: tuple[str, int], refusal: _Refusal, entry: str
    ) -> Decision:
        recorded = refusal.reason is not Reason.INVALID_AMOUNT
        decision = Decision(
            Outcome.DENIED,
            reason=refusal.reason,
            account=refusal.account,
            period=refusal.period,
            use=refusal.use,
            cap=refusal.cap,
            entry=entry if recorded else "",
        )
        if recorded:
            self._records[home] = (*content, decision)
        return decision

    def _try(self, offer: Offer) -> list[int] | _Refusal:
        """Charge all grants of the offer, or none of them."""
        done: list[tuple[_Check, int]] = []
        amounts = []
        for grant in offer.grants:
            checks = self._checks(grant)
            outcome = checks if isinstance(checks, _Refusal) else _fitting(checks, grant.amount, len(offer.grants) == 1)
            if isinstance(outcome, _Refusal):
                for check, amount in done:
                    check.count.grants -= 1
                    check.count.amount -= check.charged(amount)
                if outcome.check is not None and outcome.check.when_full is WhenFull.CLOSE:
                    outcome.check.count.closed = True
                return outcome
            assert not isinstance(checks, _Refusal)
            for check in checks:
                check.count.grants += 1
                check.count.amount += check.charged(outcome)
                done.append((check, outcome))
            amounts.append(outcome)
        return amounts

    def _checks(self, grant: GrantRequest) -> list[_Check] | _Refusal:
        """Every counter the grant would move: users' first, then from the tenant down."""
        if type(grant.amount) is not int or not 1 <= grant.amount < AMOUNT_LIMIT:
            return _Refusal(Reason.INVALID_AMOUNT)
        for charge in grant.charges:
            if charge.account not in self._accounts:
                return _Refusal(Reason.ACCOUNT_UNKNOWN, charge.account)
        checks = []
        for charge in grant.charges:
            account = self._accounts[charge.account]
            for period, start in (("total", 0), *charge.slices):
                checks.append(_check(account, period, start, grant.recipient, charge.cost))
        for check in checks:
            if check.count.closed:
                return _Refusal(Reason.CLOSED, check.account, check.period)
        return sorted(checks, key=lambda check: not check.of_user)


def _again(known: tuple[str, int, Decision], content: tuple[str, int]) -> Decision:
    conflicting = known[:2] != content
    return msgspec.structs.replace(known[2], repeated=True, conflicting=conflicting)


def _check(account: _Account, period: str, start: int, user: str, cost: int | None) -> _Check:
    if period.startswith("user"):
        count = account.users.setdefault((period, start, user), _Count())
    else:
        count = account.counts.setdefault((period, start), _Count())
    limit = next((limit for limit in account.spec.limits if limit.period == period), None)
    grants = limit.grants if limit and limit.grants is not None else CAP_LIMIT
    amount = limit.amount if limit and limit.amount is not None else CAP_LIMIT
    return _Check(account.spec.name, period, count, grants, amount, limit.when_full if limit else WhenFull.SKIP, cost)


def _fitting(checks: list[_Check], asked: int, cuttable: bool) -> int | _Refusal:
    """The amount that fits every limit, at most what is asked."""
    amount, emptied = asked, None
    if cuttable:
        for check in checks:
            if check.when_full is WhenFull.CUT and check.cost is None:
                left = max(0, check.amount_cap - check.count.amount)
                if left < amount:
                    amount, emptied = left, check if left == 0 else None
    for of_user, by_count, reason in (
        (True, True, Reason.USER_GRANTS),
        (True, False, Reason.USER_AMOUNT),
        (False, True, Reason.GRANTS),
        (False, False, Reason.AMOUNT),
    ):
        for check in checks:
            if check.of_user is not of_user:
                continue
            use, cap = (check.count.grants, check.grants_cap) if by_count else (check.count.amount, check.amount_cap)
            more = 1 if by_count else check.charged(amount)
            if use + more > cap or (not by_count and check is emptied):
                return _Refusal(reason, check.account, check.period, use, cap, check)
    return amount


def _snapshot(name: str, account: _Account) -> AccountSnapshot:
    limits = {limit.period: limit for limit in account.spec.limits}
    uses = []
    for period, start in sorted({("total", 0), *account.counts}, key=lambda slice_: (slice_[0] != "total", slice_)):
        count, limit = account.counts.get((period, start), _Count()), limits.get(period)
        if (count.grants, count.amount, count.closed) != (0, 0, False) or period == "total":
            caps = (limit.grants, limit.amount) if limit else (None, None)
            uses.append(Use(period, start, count.grants, count.amount, *caps, count.closed))
    return AccountSnapshot(name, account.spec.unit, account.version, tuple(uses))
