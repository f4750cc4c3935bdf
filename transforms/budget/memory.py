"""The ledger as a plain model: obviously right, slow, in one process's memory. The oracle of the Redis store.

What was decided is kept per grant. The answer to a list of offers names the grants it took and is told from them, so
that a grant has one state, whichever decision is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

import msgspec

from schemas.errors import LedgerUnavailableError, VersionConflictError
from schemas.grant_operations import (
    Commit,
    EndedBy,
    GrantAnswer,
    GrantOperation,
    GrantState,
    Redecide,
    TakeBack,
    reversal_of,
)
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
from schemas.results import GrantOutcome, Outcome, Reason
from transforms.budget.floors import Floors
from transforms.budget.memory_accounts import Accounts, Refusal, is_valid
from transforms.budget.memory_floors import DroppedSoFar
from transforms.budget.memory_grants import is_in_range, refusal
from transforms.budget.memory_operations import Operations
from transforms.budget.memory_records import (
    Denied,
    Held,
    Home,
    Listed,
    Made,
    Waiting,
    again,
    home_of,
    is_greater,
    names,
    share_of,
)
from transforms.budget.ports import (
    BATCH_MAX,
    LogEntry,
    refused_proposal,
    require_valid_accounts,
    require_valid_batch,
    require_valid_grant_operation,
    require_valid_operation,
)

_ALL = ("budget", "limits", "lock")
_TOO_OLD = Decision(Outcome.DENIED, reason=Reason.TOO_OLD)

class MemoryLedger:
    """`Ledger` of one tenant in memory."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._dropped = DroppedSoFar()
        self._accounts = Accounts(self._dropped)
        self._operations = Operations(self._accounts)
        self._grants: dict[Home, Made | Denied | Waiting] = {}
        self._lists: dict[bytes, Listed | Denied] = {}
        self._reversals: dict[bytes, tuple[Reversal, Decision]] = {}
        self._grant_answers: dict[str, tuple[GrantOperation, GrantAnswer]] = {}
        self._held: list[Held] = []
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

    def change_grant(self, operation: GrantOperation) -> GrantAnswer:
        require_valid_grant_operation(operation)
        self._require_unfrozen()
        if operation.operation_id in self._grant_answers:
            first, answer = self._grant_answers[operation.operation_id]
            return msgspec.structs.replace(answer, repeated=True, conflicting=first.content != operation.content)
        if not is_in_range(operation.change):
            return GrantAnswer(GrantOutcome.OUT_OF_RANGE)
        self._entry, self._also = str(len(self._log) + 1), []
        redecides = isinstance(operation.change, Redecide)
        answer = self._redecide(operation) if redecides else self._change(operation)
        if answer.outcome is not GrantOutcome.UNKNOWN:
            self._grant_answers[operation.operation_id] = operation, answer
        return answer

    def occurrences(self, grant_id: bytes) -> list[Occurrence]:
        found = sorted(home for home in self._grants if home[2] == grant_id)
        return [Occurrence(grant_id, generation, campaign) for campaign, generation, _ in found]

    def grant_state(self, grant: Occurrence) -> GrantState | None:
        record = self._grants.get(home_of(grant))
        return None if record is None or isinstance(record, Waiting) else record.state

    def told_of(self, grant_id: bytes) -> Iterator[LogEntry]:
        return (entry for entry in reversed(list(self._log.values())) if names(entry, grant_id))

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
            if isinstance(request, Reversal):
                decision = self._reverse(request)
            else:
                decision = self._decide(request, request.key.time_ms)
            decisions.append(msgspec.structs.replace(decision, also=tuple(self._also)))
        return self._keep(requests, decisions)

    def _keep(self, requests: Sequence[Request], decisions: list[Decision]) -> list[Decision]:
        """Log and mark a call's decisions, if any of them is new or brought something about."""
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
        self._log_also()
        return self._also

    def _log_also(self) -> None:
        if self._also:
            self._unpublished[self._entry] = None
            self._log[self._entry] = LogEntry(self._entry, [], [], tuple(self._also))

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
                held[charge.account] += charge.charged(record.stands)
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

    def _decide(self, proposal: Proposal, time_ms: int) -> Decision:
        first = proposal.offers[0].grants[0]
        content = (first.recipient, first.amount)
        if self._is_dropped(proposal):
            return _TOO_OLD
        known = self._known(proposal)
        if isinstance(known, Listed) and any(made and self._dropped.has_grant(made.grant) for made in known.grants):
            return _TOO_OLD
        if known is not None:
            return again(known, content)
        refusal: Refusal | None = None
        for index, offer in enumerate(proposal.offers):
            outcome = self._refused_before(offer) or self._accounts.charge(offer, time_ms)
            if not isinstance(outcome, Refusal):
                return self._approve(proposal, index, outcome)
            refusal = outcome
        assert refusal is not None
        return self._deny(proposal, refusal)

    def _is_dropped(self, proposal: Proposal) -> bool:
        """Whether the record that it would have, or has, is below a floor."""
        if _is_single(proposal):
            return self._dropped.has_grant(proposal.offers[0].grants[0])
        return self._dropped.has_list(proposal)

    def _known(self, proposal: Proposal) -> Made | Denied | Listed | None:
        """What answers the proposal already: its own record, or a grant of the list that another decision has made."""
        if _is_single(proposal):
            known = self._grants.get(home_of(proposal.offers[0].grants[0]))
            return None if isinstance(known, Waiting) else known
        if proposal.decision_id not in self._lists:
            first = proposal.offers[0].grants[0]
            for index, offer in enumerate(proposal.offers):
                records = [self._grants.get(home_of(grant)) for grant in offer.grants]
                made = [record if isinstance(record, Made) else None for record in records]
                if any(made):
                    self._lists[proposal.decision_id] = Listed((first.recipient, first.amount), index, made)
                    break
        return self._lists.get(proposal.decision_id)

    def _refused_before(self, offer: Offer) -> Refusal | None:
        """Why the offer cannot be taken whatever is left: a spent id, age, an amount that is none, or a reversal."""
        records = [self._grants.get(home_of(grant)) for grant in offer.grants]
        for record in records:
            if isinstance(record, Denied):
                told = record.decision
                assert told.reason is not None
                return Refusal(told.reason, told.account, told.period, told.use, told.cap)
        if any(self._dropped.has_route(grant) for grant in offer.grants):
            return Refusal(Reason.TOO_OLD)
        if not all(is_valid(grant.amount) for grant in offer.grants):
            return Refusal(Reason.INVALID_AMOUNT)
        if any(isinstance(record, Waiting) and record.whole for record in records):
            return Refusal(Reason.REVERSED)
        return None

    def _approve(self, proposal: Proposal, index: int, amounts: list[int]) -> Decision:
        outcome = Outcome.GRANTED if proposal.hold is None else Outcome.HELD
        grants = proposal.offers[index].grants
        made = [
            Made(grant, outcome, index, amount, amount, self._entry)
            for grant, amount in zip(grants, amounts, strict=True)
        ]
        if proposal.hold is not None:
            self._holds_made += 1
            held = Held(proposal, proposal.hold, self._holds_made, index, made)
            self._held.append(held)
            for record in made:
                record.hold = held
        for record in made:
            waiting = self._grants.get(home_of(record.grant))
            self._grants[home_of(record.grant)] = record
            if isinstance(waiting, Waiting):
                self._overtaken(record, waiting)
        if not _is_single(proposal):
            first = proposal.offers[0].grants[0]
            self._lists[proposal.decision_id] = Listed((first.recipient, first.amount), index, [*made])
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
        denied = Denied((first.recipient, first.amount), decision)
        if recorded and _is_single(proposal):
            self._grants[home_of(first)] = denied
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
            self._end(held, "due")

    def _end(self, held: Held, by: EndedBy = "") -> None:
        if held.hold.end == "release":
            for record in held.grants:
                self._take(record, record.stands, _ALL)
        amounts = tuple(record.stands for record in held.grants)
        outcome = Outcome.COMMITTED if any(amounts) else Outcome.RELEASED
        for record in held.grants:
            record.outcome, record.told, record.entry, record.hold = outcome, record.stands, self._entry, None
            record.ended_by = by
        self._held.remove(held)
        self._tell(held.proposal, Decision(outcome, held.offer, amounts))

    def _tell(self, request: Request, decision: Decision) -> None:
        self._also.append((request, msgspec.structs.replace(decision, entry=self._entry, unpublished=True)))

    # Operations on grants.

    def _change(self, operation: GrantOperation) -> GrantAnswer:
        if self.newest is not None:
            self._end_due()
        record = self._grants.get(home_of(operation.change.grant))
        if not isinstance(record, Made):
            self._log_also()
            denied = isinstance(record, Denied)
            return GrantAnswer(GrantOutcome.DENIED, Outcome.DENIED) if denied else GrantAnswer(GrantOutcome.UNKNOWN)
        old, entry = record.state, ""
        outcome = refusal(operation.change, old)
        if outcome is GrantOutcome.APPLIED:
            self._do(operation, record)
            entry = self._entry
            self._operations.note_grant(operation, old, record.state, self._after)
        self._log_also()
        return GrantAnswer(outcome, record.outcome, record.stands, entry)

    def _do(self, operation: GrantOperation, record: Made) -> None:
        change, held = operation.change, record.hold
        if isinstance(change, TakeBack):
            part = record.stands if change.amount is None else change.amount
            self._take(record, part, change.gives_back)
            told = 0 if held else part
            assert self.newest is not None
            reversal = reversal_of(self._tenant, operation, self.newest.time_ms)
            self._tell(reversal, Decision(Outcome.REVERSED if told else Outcome.UNCHANGED, amounts=(told,)))
            if held and not any(one.stands for one in held.grants):
                self._end(held, "operator")
            return
        assert held is not None
        end: Literal["commit", "release"] = "release"
        if isinstance(change, Commit):
            end = "commit"
            self._take(record, record.stands - (record.stands if change.amount is None else change.amount), _ALL)
        held.hold = Hold(held.hold.due_ms, end)
        self._end(held, "operator")

    def _redecide(self, operation: GrantOperation) -> GrantAnswer:
        change = operation.change
        assert isinstance(change, Redecide)
        entry = self._log.get(change.entry)
        proposal = refused_proposal(entry, change.grant) if entry else None
        if proposal is None or self._is_dropped(proposal):
            return GrantAnswer(GrantOutcome.UNKNOWN)
        records: dict[Any, Any] = self._grants if _is_single(proposal) else self._lists
        name = home_of(proposal.offers[0].grants[0]) if _is_single(proposal) else proposal.decision_id
        record = records.get(name)
        if record is None:
            return GrantAnswer(GrantOutcome.UNKNOWN)
        if not isinstance(record, Denied) or record.decision.entry != change.entry:
            return GrantAnswer(GrantOutcome.NOT_DENIED)
        if record.decision.reason is Reason.REVERSED:
            return GrantAnswer(GrantOutcome.TAKEN_BACK, Outcome.DENIED)
        assert self.newest is not None
        del records[name]
        self._end_due()
        decision = self._decide(proposal, self.newest.time_ms)
        self._keep([proposal], [msgspec.structs.replace(decision, also=tuple(self._also))])
        given, entry_id = sum(decision.amounts), decision.entry
        new = GrantState(decision.outcome, *record.content, given, entry=entry_id)
        self._operations.note_grant(operation, record.state, new, self._after)
        return GrantAnswer(GrantOutcome.APPLIED, decision.outcome, given, entry_id)

    # Reversals.

    def _reverse(self, reversal: Reversal) -> Decision:
        if self._dropped.has_day(reversal.key.time_ms):
            return _TOO_OLD
        known = self._reversals.get(reversal.reversal_id)
        if known is not None:
            return msgspec.structs.replace(known[1], repeated=True, conflicting=known[0] != reversal)
        amounts, left = [], reversal.amount or 0
        for place, occurrence in enumerate(reversal.occurrences):
            home = home_of(occurrence)
            record = self._grants.get(home)
            counted = 0
            if isinstance(record, Made):
                if reversal.share is None:
                    part = min(left, record.stands)
                    left -= part
                else:
                    part = max(0, share_of(record.amount, reversal.share) - record.taken)
                counted = 0 if record.hold else part
                self._take(record, part, reversal.gives_back)
                if record.hold and not any(one.stands for one in record.hold.grants):
                    self._end(record.hold)
            elif (
                reversal.share is not None
                and not isinstance(record, Denied)
                and not self._dropped.has_grant(occurrence)
            ):
                waiting = Waiting(reversal, place)
                if record is None or is_greater(waiting.share, record.share):
                    self._grants[home] = waiting
            amounts.append(counted)
        outcome = Outcome.REVERSED if any(amounts) else Outcome.UNCHANGED
        decision = Decision(outcome, amounts=tuple(amounts), entry=self._entry)
        self._reversals[reversal.reversal_id] = reversal, decision
        return decision

    def _overtaken(self, record: Made, waiting: Waiting) -> None:
        """Take the part back for which a reversal has waited; a part is forgotten with its reversal."""
        if self._dropped.has_day(waiting.reversal.key.time_ms):
            return
        part = share_of(record.amount, waiting.share)
        self._take(record, part, waiting.reversal.gives_back)
        if part and not record.hold:
            amounts = [0] * len(waiting.reversal.occurrences)
            amounts[waiting.place] = part
            self._tell(waiting.reversal, Decision(Outcome.REVERSED, amounts=tuple(amounts)))

    def _take(self, record: Made, part: int, gives_back: Collection[str]) -> None:
        if part:
            record.taken += part
            counted = {name: record.stands + record.kept[name] for name in ("budget", "limits")}
            self._accounts.give_back(record.grant, part, record.stands == 0, gives_back, counted)
            record.kept.update({name: part for name in counted if name not in gives_back})


def _is_single(proposal: Proposal) -> bool:
    """Remembered under its grant's id alone."""
    return len(proposal.offers) == 1 and len(proposal.offers[0].grants) == 1


def _named(home: Home) -> Occurrence:
    campaign, generation, grant_id = home
    return Occurrence(grant_id, generation, campaign)
