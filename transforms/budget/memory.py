"""The ledger as a plain model: obviously right, slow, in one process's memory. The oracle of the Redis store.

What was decided is kept per grant. The answer to a list of offers names the grants it took and is told from them, so
that a grant has one state, whichever decision is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from schemas.errors import LedgerUnavailableError, VersionConflictError
from schemas.operations import AuditEntry, Operation, OperationAnswer
from schemas.order_keys import OrderKey, OrderKind
from schemas.proposals import (
    AccountSnapshot,
    AccountSpec,
    Decision,
    GrantRequest,
    Hold,
    Occurrence,
    Offer,
    Proposal,
    Request,
    Reversal,
    Use,
)
from schemas.results import Outcome, Reason
from transforms.budget.floors import Floors
from transforms.budget.memory_accounts import Accounts, Refusal, is_valid
from transforms.budget.memory_floors import DroppedSoFar
from transforms.budget.memory_operations import Operations
from transforms.budget.ports import (
    BATCH_MAX,
    LogEntry,
    require_valid_accounts,
    require_valid_batch,
    require_valid_operation,
)

_ALL = ("budget", "limits", "lock")
_TOO_OLD = Decision(Outcome.DENIED, reason=Reason.TOO_OLD)

_Home = tuple[str, str, bytes]
"""Campaign, generation and id of a grant."""

_Content = tuple[str, int]
"""What must be the same when an id is asked again: the first grant's recipient and amount."""


@dataclass
class _Made:
    """A grant or hold that was approved. told: its amount in the answer; taken: taken back of it so far."""

    grant: GrantRequest
    outcome: Outcome
    offer: int
    amount: int
    told: int
    entry: str
    taken: int = 0
    hold: _Held | None = None

    @property
    def stands(self) -> int:
        return self.amount - self.taken


@dataclass
class _Held:
    """A proposal that is held. number: holds of one OrderKey end in the order they were made."""

    proposal: Proposal
    hold: Hold
    number: int
    offer: int
    grants: list[_Made]

    @property
    def ends_at(self) -> tuple[OrderKey, int]:
        return self.proposal.key._replace(time_ms=self.hold.due_ms, kind=OrderKind.TIMER), self.number


@dataclass
class _Denied:
    content: _Content
    decision: Decision


@dataclass
class _Listed:
    """A list of offers that was answered by these grants; None for one that nobody had made."""

    content: _Content
    offer: int
    grants: list[_Made | None]


@dataclass
class _Waiting:
    """A reversal by share that came before its grant."""

    reversal: Reversal
    place: int

    @property
    def share(self) -> tuple[int, int]:
        assert self.reversal.share is not None
        return self.reversal.share

    @property
    def whole(self) -> bool:
        return self.share[0] == self.share[1]


class MemoryLedger:
    """`Ledger` of one tenant in memory."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._dropped = DroppedSoFar()
        self._accounts = Accounts(self._dropped)
        self._operations = Operations(self._accounts)
        self._grants: dict[_Home, _Made | _Denied | _Waiting] = {}
        self._lists: dict[bytes, _Listed | _Denied] = {}
        self._reversals: dict[bytes, tuple[Reversal, Decision]] = {}
        self._held: list[_Held] = []
        self._holds_made = 0
        self._log: dict[str, LogEntry] = {}
        self._unpublished: dict[str, None] = {}
        self._entry = ""
        self._also: list[tuple[Request, Decision]] = []
        self.newest: OrderKey | None = None

    def define(
        self,
        accounts: Sequence[AccountSpec],
        who: str = "",
        why: str = "",
        expected: Sequence[tuple[str, int]] = (),
    ) -> int:
        require_valid_accounts(accounts)
        if not self._operations.are_at(expected):
            raise VersionConflictError("an account is at another version than expected")
        return sum([self._operations.define(spec, who, why, self._after) for spec in accounts])

    def operate(self, operation: Operation) -> OperationAnswer:
        require_valid_operation(operation)
        return self._operations.operate(operation, self._after)

    def audit(self) -> Iterator[AuditEntry]:
        return reversed(list(self._operations.audit))

    def frozen(self) -> str | None:
        return self._operations.frozen

    def decide(self, requests: Sequence[Request]) -> list[Decision]:
        require_valid_batch(requests, self._tenant)
        self._require_unfrozen()
        self._entry = str(len(self._log) + 1)
        decisions = []
        for request in requests:
            self._see(request.key)
            self._also = []
            self._end_due()
            decision = self._reverse(request) if isinstance(request, Reversal) else self._decide(request)
            decisions.append(msgspec.structs.replace(decision, also=tuple(self._also)))
        if any((one.entry == self._entry and not one.repeated) or one.also for one in decisions):
            self._unpublished[self._entry] = None
            decisions = [self._with_mark(decision) for decision in decisions]
            self._log[self._entry] = LogEntry(self._entry, list(requests), decisions)
            return decisions
        return [self._with_mark(decision) for decision in decisions]

    def mature(self, until_ms: int) -> list[tuple[Request, Decision]]:
        self._require_unfrozen()
        self._entry = str(len(self._log) + 1)
        self._see(OrderKey(until_ms, OrderKind.OPERATION, "", "", 0, ""))
        self._also = []
        self._end_due(until_ms, BATCH_MAX)
        if self._also:
            self._unpublished[self._entry] = None
            self._log[self._entry] = LogEntry(self._entry, [], [], tuple(self._also))
        return self._also

    def unmark(self, entries: Sequence[str]) -> None:
        for entry in entries:
            self._unpublished.pop(entry, None)

    def unpublished(self, limit: int) -> list[LogEntry]:
        return [self._log[entry] for entry in list(self._unpublished)[:limit]]

    def entry(self, entry: str) -> LogEntry | None:
        return self._log.get(entry)

    def snapshot(self) -> list[AccountSnapshot]:
        held: Counter[str] = Counter()
        for record in (record for one in self._held for record in one.grants if record.stands):
            for charge in record.grant.charges:
                held[charge.account] += record.stands if charge.cost is None else charge.cost
        return self._accounts.snapshot(held)

    def drop(self, floors: Floors) -> None:
        held = {(record.grant.campaign, record.grant.generation) for one in self._held for record in one.grants}
        self._dropped.rise(floors, held)
        self._grants = {home: one for home, one in self._grants.items() if not self._dropped.has_grant(_named(home))}
        self._accounts.drop()

    def floors(self) -> Floors | None:
        return self._dropped.floors()

    @property
    def _after(self) -> bytes:
        return self.newest.packed() if self.newest else b""

    def _require_unfrozen(self) -> None:
        if self._operations.frozen is not None:
            raise LedgerUnavailableError("nothing is decided until the ledger is unfrozen")

    def limits(self, grant: GrantRequest) -> list[tuple[str, Use]]:
        """(account, use) of every limit on the grant's path as it stands now, the recipient's own too."""
        return self._accounts.limits(grant)

    def _see(self, key: OrderKey) -> None:
        self.newest = key if self.newest is None else max(self.newest, key)

    def _with_mark(self, decision: Decision) -> Decision:
        return msgspec.structs.replace(decision, unpublished=decision.entry in self._unpublished)

    # Proposals.

    def _decide(self, proposal: Proposal) -> Decision:
        first = proposal.offers[0].grants[0]
        content = (first.recipient, first.amount)
        if self._dropped.has_grant(first) if _is_single(proposal) else self._dropped.has_list(proposal):
            return _TOO_OLD
        known = self._known(proposal)
        if isinstance(known, _Listed) and any(made and self._dropped.has_grant(made.grant) for made in known.grants):
            return _TOO_OLD
        if known is not None:
            return _again(known, content)
        refusal: Refusal | None = None
        for index, offer in enumerate(proposal.offers):
            outcome = self._refused_before(offer) or self._accounts.charge(offer, proposal.key.time_ms)
            if not isinstance(outcome, Refusal):
                return self._approve(proposal, index, outcome)
            refusal = outcome
        assert refusal is not None
        return self._deny(proposal, refusal)

    def _known(self, proposal: Proposal) -> _Made | _Denied | _Listed | None:
        """What answers the proposal already: its own record, or a grant of the list that another decision has made."""
        if _is_single(proposal):
            known = self._grants.get(_home(proposal.offers[0].grants[0]))
            return None if isinstance(known, _Waiting) else known
        if proposal.decision_id not in self._lists:
            first = proposal.offers[0].grants[0]
            for index, offer in enumerate(proposal.offers):
                records = [self._grants.get(_home(grant)) for grant in offer.grants]
                made = [record if isinstance(record, _Made) else None for record in records]
                if any(made):
                    self._lists[proposal.decision_id] = _Listed((first.recipient, first.amount), index, made)
                    break
        return self._lists.get(proposal.decision_id)

    def _refused_before(self, offer: Offer) -> Refusal | None:
        """Why the offer cannot be taken whatever is left: a spent id, age, an amount that is none, or a reversal."""
        records = [self._grants.get(_home(grant)) for grant in offer.grants]
        for record in records:
            if isinstance(record, _Denied):
                told = record.decision
                assert told.reason is not None
                return Refusal(told.reason, told.account, told.period, told.use, told.cap)
        if any(self._dropped.has_route(grant) for grant in offer.grants):
            return Refusal(Reason.TOO_OLD)
        if not all(is_valid(grant.amount) for grant in offer.grants):
            return Refusal(Reason.INVALID_AMOUNT)
        if any(isinstance(record, _Waiting) and record.whole for record in records):
            return Refusal(Reason.REVERSED)
        return None

    def _approve(self, proposal: Proposal, index: int, amounts: list[int]) -> Decision:
        outcome = Outcome.GRANTED if proposal.hold is None else Outcome.HELD
        grants = proposal.offers[index].grants
        made = [
            _Made(grant, outcome, index, amount, amount, self._entry)
            for grant, amount in zip(grants, amounts, strict=True)
        ]
        if proposal.hold is not None:
            self._holds_made += 1
            held = _Held(proposal, proposal.hold, self._holds_made, index, made)
            self._held.append(held)
            for record in made:
                record.hold = held
        for record in made:
            waiting = self._grants.get(_home(record.grant))
            self._grants[_home(record.grant)] = record
            if isinstance(waiting, _Waiting):
                self._overtaken(record, waiting)
        if not _is_single(proposal):
            first = proposal.offers[0].grants[0]
            self._lists[proposal.decision_id] = _Listed((first.recipient, first.amount), index, [*made])
        return Decision(outcome, index, tuple(amounts), entry=self._entry)

    def _deny(self, proposal: Proposal, refusal: Refusal) -> Decision:
        recorded = refusal.reason not in (Reason.TOO_OLD, Reason.INVALID_AMOUNT)
        decision = Decision(
            Outcome.DENIED,
            reason=refusal.reason,
            account=refusal.account,
            period=refusal.period,
            use=refusal.use,
            cap=refusal.cap,
            entry=self._entry if recorded else "",
        )
        first = proposal.offers[0].grants[0]
        denied = _Denied((first.recipient, first.amount), decision)
        if recorded and _is_single(proposal):
            self._grants[_home(first)] = denied
        elif recorded:
            self._lists[proposal.decision_id] = denied
        return decision

    # Holds.

    def _end_due(self, until_ms: int | None = None, at_most: int | None = None) -> None:
        """Bring what is due to its end, oldest first; without an instant by the greatest time the root has seen."""
        if until_ms is None:
            assert self.newest is not None
            until_ms = self.newest.time_ms
        due = [held for held in self._held if held.hold.due_ms <= until_ms]
        for held in sorted(due, key=lambda held: held.ends_at)[:at_most]:
            self._end(held)

    def _end(self, held: _Held) -> None:
        if held.hold.end == "release":
            for record in held.grants:
                self._take(record, record.stands, _ALL)
        amounts = tuple(record.stands for record in held.grants)
        outcome = Outcome.COMMITTED if any(amounts) else Outcome.RELEASED
        for record in held.grants:
            record.outcome, record.told, record.entry, record.hold = outcome, record.stands, self._entry, None
        self._held.remove(held)
        self._tell(held.proposal, Decision(outcome, held.offer, amounts))

    def _tell(self, request: Request, decision: Decision) -> None:
        self._also.append((request, msgspec.structs.replace(decision, entry=self._entry, unpublished=True)))

    # Reversals.

    def _reverse(self, reversal: Reversal) -> Decision:
        if self._dropped.has_day(reversal.key.time_ms):
            return _TOO_OLD
        known = self._reversals.get(reversal.reversal_id)
        if known is not None:
            return msgspec.structs.replace(known[1], repeated=True, conflicting=known[0] != reversal)
        amounts, left = [], reversal.amount or 0
        for place, occurrence in enumerate(reversal.occurrences):
            home = _home(occurrence)
            record = self._grants.get(home)
            counted = 0
            if isinstance(record, _Made):
                if reversal.share is None:
                    part = min(left, record.stands)
                    left -= part
                else:
                    part = max(0, _share(record.amount, reversal.share) - record.taken)
                counted = 0 if record.hold else part
                self._take(record, part, reversal.gives_back)
                if record.hold and not any(one.stands for one in record.hold.grants):
                    self._end(record.hold)
            elif (
                reversal.share is not None
                and not isinstance(record, _Denied)
                and not self._dropped.has_grant(occurrence)
            ):
                waiting = _Waiting(reversal, place)
                if record is None or _is_greater(waiting.share, record.share):
                    self._grants[home] = waiting
            amounts.append(counted)
        outcome = Outcome.REVERSED if any(amounts) else Outcome.UNCHANGED
        decision = Decision(outcome, amounts=tuple(amounts), entry=self._entry)
        self._reversals[reversal.reversal_id] = reversal, decision
        return decision

    def _overtaken(self, record: _Made, waiting: _Waiting) -> None:
        """Take the part back for which a reversal has waited; a part is forgotten with its reversal."""
        if self._dropped.has_day(waiting.reversal.key.time_ms):
            return
        part = _share(record.amount, waiting.share)
        self._take(record, part, waiting.reversal.gives_back)
        if part and not record.hold:
            amounts = [0] * len(waiting.reversal.occurrences)
            amounts[waiting.place] = part
            self._tell(waiting.reversal, Decision(Outcome.REVERSED, amounts=tuple(amounts)))

    def _take(self, record: _Made, part: int, gives_back: Collection[str]) -> None:
        if part:
            record.taken += part
            self._accounts.give_back(record.grant, part, record.stands == 0, gives_back)


def _is_single(proposal: Proposal) -> bool:
    """Remembered under its grant's id alone."""
    return len(proposal.offers) == 1 and len(proposal.offers[0].grants) == 1


def _home(grant: GrantRequest | Occurrence) -> _Home:
    return grant.campaign, grant.generation, grant.grant_id


def _named(home: _Home) -> Occurrence:
    campaign, generation, grant_id = home
    return Occurrence(grant_id, generation, campaign)


def _share(amount: int, share: tuple[int, int]) -> int:
    return amount * share[0] // share[1]


def _is_greater(share: tuple[int, int], other: tuple[int, int]) -> bool:
    return share[0] * other[1] > other[0] * share[1]


def _again(known: _Made | _Denied | _Listed, content: _Content) -> Decision:
    if isinstance(known, _Denied):
        return msgspec.structs.replace(known.decision, repeated=True, conflicting=known.content != content)
    if isinstance(known, _Made):
        known = _Listed((known.grant.recipient, known.grant.amount), known.offer, [known])
    first = next(made for made in known.grants if made is not None)
    amounts = tuple(made.told if made else 0 for made in known.grants)
    return Decision(
        first.outcome, known.offer, amounts, entry=first.entry, repeated=True, conflicting=known.content != content
    )
