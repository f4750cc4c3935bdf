"""The model's accounts: what a grant is checked against and charged to, and how it is given back.

Every counter is a number in a dictionary; a check is a counter beside the limit that watches it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.pacing import paced_cap
from schemas.proposals import (
    AMOUNT_LIMIT,
    CAP_LIMIT,
    AccountSnapshot,
    AccountSpec,
    Charge,
    GrantRequest,
    Lock,
    Offer,
    Pace,
    Use,
)
from schemas.results import Reason, WhenFull
from transforms.budget.memory_floors import DroppedSoFar
from transforms.budget.ports import COOLDOWN

_NOTHING = {"budget": 0, "limits": 0}


@dataclass
class Count:
    """Use of one account, slice of time or user."""

    grants: int = 0
    amount: int = 0
    closed: bool = False


@dataclass
class Account:
    """An account with everything that counts in it. last_ms: per user the greatest time of an approval."""

    spec: AccountSpec
    version: int
    paused: bool = False
    counts: dict[tuple[str, int], Count] = field(default_factory=dict)
    users: dict[tuple[str, int, str], Count] = field(default_factory=dict)
    last_ms: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> Count:
        """The counter of everything that was charged to it."""
        return self.count("total", 0, "")

    def count(self, period: str, start: int, user: str) -> Count:
        """The counter of a slice, made when it is first asked for."""
        if period.startswith("user"):
            return self.users.setdefault((period, start, user), Count())
        return self.counts.setdefault((period, start), Count())


@dataclass(frozen=True)
class Check:
    """One counter a grant would move, with the limit that watches it."""

    account: str
    period: str
    count: Count
    grants_cap: int
    amount_cap: int
    when_full: WhenFull
    charge: Charge
    pace: Pace | None

    @property
    def of_user(self) -> bool:
        """Whether it counts one user's grants."""
        return self.period.startswith("user")

    def charged(self, amount: int) -> int:
        """What a grant of this amount adds to the counter."""
        return self.charge.charged(amount)

    @property
    def cuts(self) -> bool:
        """Whether it cuts a grant to what is left: not what is charged a fixed cost, nor a share."""
        return self.when_full is WhenFull.CUT and self.charge.cost is None and self.charge.share is None


@dataclass(frozen=True)
class Refusal:
    """Why not, as a decision tells it; check is the limit that is closed by it if it says `close`."""

    reason: Reason
    account: str = ""
    period: str = ""
    use: int = 0
    cap: int = 0
    check: Check | None = None


class Accounts:
    """All accounts and locks of one root."""

    def __init__(self, dropped: DroppedSoFar | None = None) -> None:
        self._dropped = dropped or DroppedSoFar()
        self._accounts: dict[str, Account] = {}
        self._locks: dict[tuple[Lock, str], list[str]] = {}

    @property
    def by_name(self) -> dict[str, Account]:
        """The accounts themselves, for those who make and change them."""
        return self._accounts

    def charge(self, offer: Offer, time_ms: int) -> list[int] | Refusal:
        """Charge all grants of the offer and tell their amounts, or charge none of them."""
        amounts: list[int] = []
        for grant in offer.grants:
            outcome = self._fitting(grant, time_ms, cuttable=len(offer.grants) == 1)
            if isinstance(outcome, Refusal):
                for made, amount in zip(offer.grants, amounts, strict=False):
                    self.give_back(made, amount, True, ("budget", "limits", "lock"), _NOTHING)
                if outcome.check is not None and outcome.check.when_full is WhenFull.CLOSE:
                    outcome.check.count.closed = True
                return outcome
            for check in self._checks(grant):
                check.count.grants += 1
                check.count.amount += check.charged(outcome)
            if grant.lock is not None:
                self._locks.setdefault((grant.lock, grant.recipient), []).append(grant.campaign)
            amounts.append(outcome)
        for grant in offer.grants:
            for account in self._cooldowns(grant):
                account.last_ms[grant.recipient] = max(time_ms, account.last_ms.get(grant.recipient, time_ms))
        return amounts

    def give_back(
        self, grant: GrantRequest, part: int, whole: bool, gives_back: Collection[str], counted: Mapping[str, int]
    ) -> None:
        """Take a part of a grant off the counters that are named and still there.

        Args:
          whole: nothing is left of the grant now.
          counted: by "budget" and "limits", what then still counts of it there: what stands, and what was taken back
            without being given back.
        """
        for charge, period, start in _counters(grant):
            if self._dropped.has_slice(charge.account, period, start):
                continue
            counter = "limits" if period.startswith("user") else "budget"
            if counter in gives_back:
                count = self._accounts[charge.account].count(period, start, grant.recipient)
                left = counted[counter]
                back = charge.charged(left + part) - charge.charged(left)
                if charge.cost is not None:
                    back = charge.cost if whole else 0
                count.amount = max(0, count.amount - back)
                count.grants = max(0, count.grants - whole)
        if whole and grant.lock is not None and "lock" in gives_back and not self._dropped.has_lock(grant.lock):
            holders = self._locks[grant.lock, grant.recipient]
            holders.remove(grant.campaign)

    def drop(self) -> None:
        """Forget the slices of time that lie below the floor; nobody asks for users' counters and locks there."""
        for name, account in self._accounts.items():
            gone = [slice_ for slice_ in account.counts if self._dropped.has_slice(name, *slice_)]
            for slice_ in gone:
                del account.counts[slice_]

    def limits(self, grant: GrantRequest) -> list[tuple[str, Use]]:
        """(account, use) of every counter that the grant would move and a limit watches, users' own too."""
        found = []
        for charge, period, start in _counters(grant):
            account = self._accounts.get(charge.account)
            limit = next((limit for limit in account.spec.limits if limit.period == period), None) if account else None
            if account is not None and limit is not None:
                count = account.count(period, start, grant.recipient)
                use = Use(period, start, count.grants, count.amount, limit.grants, limit.amount, count.closed)
                found.append((account.spec.name, use))
        return found

    def snapshot(self, held: Mapping[str, int]) -> list[AccountSnapshot]:
        """As `Ledger.snapshot`. held: by account, what is held of its amount."""
        order = {"tenant": 0, "theme": 1, "partner": 2, "campaign": 3}
        names = sorted(self._accounts, key=lambda name: (order[name.split("/")[0]], name))
        return [_snapshot(self._accounts[name], held.get(name, 0)) for name in names]

    def _fitting(self, grant: GrantRequest, time_ms: int, cuttable: bool) -> int | Refusal:
        """The amount that fits every limit, at most what is asked."""
        for charge in grant.charges:
            if charge.account not in self._accounts:
                return Refusal(Reason.ACCOUNT_UNKNOWN, charge.account)
        for charge in grant.charges:
            if self._accounts[charge.account].paused:
                return Refusal(Reason.PAUSED, charge.account)
        checks = self._checks(grant)
        for check in checks:
            if check.count.closed:
                return Refusal(Reason.CLOSED, check.account, check.period)
        barred = self._barred(grant, time_ms)
        outcome = barred if barred is not None else _fitting(checks, grant.amount, cuttable)
        return outcome if isinstance(outcome, Refusal) else _paced(checks, outcome, time_ms) or outcome

    def _checks(self, grant: GrantRequest) -> list[Check]:
        """Every counter the grant would move: users' first, then from the tenant down."""
        checks = []
        for charge, period, start in _counters(grant):
            account = self._accounts[charge.account]
            checks.append(_check(account, period, account.count(period, start, grant.recipient), charge))
        return sorted(checks, key=lambda check: not check.of_user)

    def _barred(self, grant: GrantRequest, time_ms: int) -> Refusal | None:
        """The lock or the cool-down that keeps this user's grant out."""
        holders = self._locks.get((grant.lock, grant.recipient)) if grant.lock is not None else None
        if holders and grant.campaign not in holders:
            return Refusal(Reason.LOCKED, f"campaign/{holders[0]}")
        for account in self._cooldowns(grant):
            last_ms = account.last_ms.get(grant.recipient)
            for limit in account.spec.limits:
                if limit.cooldown_ms is not None and last_ms is not None and time_ms - last_ms < limit.cooldown_ms:
                    return Refusal(Reason.COOLDOWN, account.spec.name, COOLDOWN, time_ms - last_ms, limit.cooldown_ms)
        return None

    def _cooldowns(self, grant: GrantRequest) -> list[Account]:
        return [
            self._accounts[charge.account]
            for charge in grant.charges
            for period, _ in charge.slices
            if period == COOLDOWN
        ]


def is_valid(amount: object) -> bool:
    """Whether an amount can be asked for at all."""
    return type(amount) is int and 1 <= amount < AMOUNT_LIMIT


def _counters(grant: GrantRequest) -> list[tuple[Charge, str, int]]:
    """(charge, period, start) of every counter on the grant's path."""
    return [
        (charge, period, start)
        for charge in grant.charges
        for period, start in (("total", 0), *charge.slices)
        if period != COOLDOWN
    ]


def _check(account: Account, period: str, count: Count, charge: Charge) -> Check:
    limit = next((limit for limit in account.spec.limits if limit.period == period), None)
    grants = limit.grants if limit and limit.grants is not None else CAP_LIMIT
    amount = limit.amount if limit and limit.amount is not None else CAP_LIMIT
    when_full = limit.when_full if limit else WhenFull.SKIP
    pace = limit.pace if limit and limit.amount is not None else None
    return Check(account.spec.name, period, count, grants, amount, when_full, charge, pace)


def _paced(checks: Sequence[Check], amount: int, time_ms: int) -> Refusal | None:
    for check in checks:
        if check.pace is not None:
            cap = paced_cap(check.pace, check.amount_cap, time_ms)
            if check.count.amount + check.charged(amount) > cap:
                return Refusal(Reason.PACED, check.account, check.period, check.count.amount, cap)
    return None


def _fitting(checks: Sequence[Check], asked: int, cuttable: bool) -> int | Refusal:
    amount, emptied = asked, None
    if cuttable:
        for check in checks:
            if check.cuts:
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
                return Refusal(reason, check.account, check.period, use, cap, check)
    return amount


def _snapshot(account: Account, held: int) -> AccountSnapshot:
    spec = account.spec
    limits = {limit.period: limit for limit in spec.limits}
    uses = []
    for period, start in sorted({("total", 0), *account.counts}, key=lambda slice_: (slice_[0] != "total", slice_)):
        count, limit = account.counts.get((period, start), Count()), limits.get(period)
        if (count.grants, count.amount, count.closed) != (0, 0, False) or period == "total":
            caps = (limit.grants, limit.amount) if limit else (None, None)
            is_total = period == "total"
            uses.append(Use(period, start, count.grants, count.amount, *caps, count.closed, held if is_total else 0))
    return AccountSnapshot(spec.name, spec.unit, account.version, tuple(uses), spec.limits, account.paused)
