"""Explain what the ledger said to an event's proposals: offers, limits at that moment, what came of the grant later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from runners.ops.refusals import TAKEN, Refusal
from schemas.grants import Settled
from schemas.plans import PlanSet
from schemas.proposals import Decision, Offer, Proposal, Request, Reversal
from schemas.results import Outcome
from transforms.budget.memory import MemoryLedger
from transforms.budget.ports import BATCH_MAX
from transforms.engine.explained import instant


class Limit(msgspec.Struct, frozen=True):
    """A limit on a grant's path as it stood before the decision; a cap of None = none."""

    account: str
    period: str
    start_ms: int
    grants: int
    grants_cap: int | None
    amount: int
    amount_cap: int | None
    closed: bool
    unit: str


class Offered(msgspec.Struct, frozen=True):
    """An offer of the list: "granted", "held", "denied" with the reason, or "not reached"."""

    campaign: str
    gives: str
    answer: str


class Ruling(msgspec.Struct, frozen=True):
    """The ledger's answer to one proposal.

    Attributes:
      outcome: for the campaign that is explained: "granted", "held", "denied", "passed over", "not reached".
      told: the answer in a sentence. offers: best first. limits: of the explained campaign's offer.
      needs: what would have to be otherwise. later: what came of it, in order.
      amounts, grants: of the grants that were made or held, and their ids.
      reason, account, period, use, cap: of a refusal, as the ledger's Decision tells them.
    """

    outcome: str
    told: str
    offers: tuple[Offered, ...]
    limits: tuple[Limit, ...]
    needs: tuple[str, ...]
    later: tuple[str, ...]
    amounts: tuple[int, ...] = ()
    grants: tuple[str, ...] = ()
    reason: str | None = None
    account: str = ""
    period: str = ""
    use: int = 0
    cap: int = 0


class Rulings:
    """What the ledger decided over a whole stream, to be asked about some of it."""

    def __init__(self, plan_set: PlanSet, requests: Sequence[Request], settled: Sequence[Settled]) -> None:
        self._plan_set, self._requests, self._settled = plan_set, requests, settled
        self._plans = {plan.campaign: plan for plan in plan_set.plans}
        self._reading: MemoryLedger | None = None
        self._read = 0
        self._answers: dict[tuple[int, int], Decision | None] = {}

    def proposals(self, campaign: str, event_id: str, subject: str) -> list[int]:
        """Which requests are the campaign's proposals that an event of this subject caused."""
        return [
            number
            for number, one in enumerate(self._requests)
            if one.key.event_id == event_id
            and one.key.subject == subject
            and isinstance(one, Proposal)
            and any(grant.campaign == campaign for offer in one.offers for grant in offer.grants)
        ]

    def ruling(self, campaign: str, number: int) -> Ruling:
        """What was said to one proposal."""
        proposal = self._requests[number]
        assert isinstance(proposal, Proposal)
        place = next(i for i, one in enumerate(self._settled) if one.request is proposal)
        decision = self._settled[place].decision
        own = next(i for i, offer in enumerate(proposal.offers) if offer.grants[0].campaign == campaign)
        answers = [self._answer_known(proposal, i, number, decision) for i in range(len(proposal.offers))]
        offers = tuple(
            Offered(offer.grants[0].campaign, _gives(offer), _outcome(answer))
            for offer, answer in zip(proposal.offers, answers, strict=True)
        )
        answer, offer = answers[own], proposal.offers[own]
        refusal = None
        if answer and answer.outcome is Outcome.DENIED:
            refusal = Refusal(self._plan_set, self._settled[:place], proposal.key.time_ms, offer, answer)
        outcome = answer.outcome.value if answer else "not reached"
        if refusal and decision.outcome is not Outcome.DENIED:
            outcome = "passed over"
        told, needs = self._told(offer, answer, refusal, proposal, decision)
        made = answer if answer and answer.outcome in TAKEN else None
        refused = answer if refusal else None
        return Ruling(
            outcome,
            told,
            offers,
            tuple(self._limits(offer, number)),
            tuple(needs),
            tuple(self._later(proposal, place, self._plans[campaign].zone)) if made else (),
            made.amounts if made else (),
            tuple(grant.grant_id.hex() for grant in offer.grants) if made else (),
            *(refused.reason, refused.account, refused.period, refused.use, refused.cap) if refused else (),
        )

    def _limits(self, offer: Offer, number: int) -> Iterator[Limit]:
        units = {one.name: one.unit for one in self._plan_set.accounts}
        ledger = self._read_before(number)
        for grant in offer.grants:
            for account, use in ledger.limits(grant):
                caps = use.grants, use.grants_cap, use.amount, use.amount_cap, use.closed
                yield Limit(account, use.period, use.start_ms, *caps, units[account])

    def _told(
        self, offer: Offer, answer: Decision | None, refusal: Refusal | None, proposal: Proposal, decision: Decision
    ) -> tuple[str, list[str]]:
        if answer is None:
            assert decision.offer is not None
            taken = proposal.offers[decision.offer].grants[0].campaign
            told = f"the better offer {taken} was taken"
            return told, [f"{told}: one offer of the group {proposal.key.campaign} is granted per event"]
        if refusal is not None:
            return refusal.told, list(refusal.needs())
        cut = [
            f"cut from {grant.amount:,} to what a limit had left"
            for grant, amount in zip(offer.grants, answer.amounts, strict=True)
            if amount < grant.amount
        ]
        got = ", ".join(
            f"{amount:,} {grant.unit} to {grant.recipient}"
            for grant, amount in zip(offer.grants, answer.amounts, strict=True)
        )
        if answer.outcome is Outcome.HELD and proposal.hold is not None:
            zone = self._plans[offer.grants[0].campaign].zone
            got += f", until {instant(proposal.hold.due_ms, zone)}"
        again = ["decided before: this is the first answer again"] if answer.repeated else []
        return ", ".join([f"{answer.outcome.value} {got}", *cut, *again]), []

    def _answer_known(self, proposal: Proposal, index: int, number: int, decision: Decision) -> Decision | None:
        """`_answer`, which may cost a ledger of its own, once."""
        if (number, index) not in self._answers:
            self._answers[number, index] = self._answer(proposal, index, number, decision)
        return self._answers[number, index]

    def _answer(self, proposal: Proposal, index: int, number: int, decision: Decision) -> Decision | None:
        """The ledger's answer to one offer of a list; None = it was not reached.

        A decision tells the offer that was taken, or why the last one was refused. One that was passed over is asked
        by itself, of a ledger in the state in which it was passed over.
        """
        if decision.offer is not None and index >= decision.offer:
            return decision if index == decision.offer else None
        if decision.outcome is Outcome.DENIED and index == len(proposal.offers) - 1:
            return decision
        alone = msgspec.structs.replace(proposal, offers=(proposal.offers[index],))
        return self._ledger_before(number).decide([alone])[0]

    def _ledger_before(self, number: int) -> MemoryLedger:
        """A ledger of its own that has decided all that was asked before a request."""
        ledger = MemoryLedger(self._plan_set.tenant)
        ledger.define(self._plan_set.accounts)
        self._decide(ledger, 0, number)
        return ledger

    def _read_before(self, number: int) -> MemoryLedger:
        """The same, only to be read: it goes on from where it was read last."""
        if self._reading is None or self._read > number:
            self._reading, self._read = self._ledger_before(number), number
        self._decide(self._reading, self._read, number)
        self._read = number
        return self._reading

    def _decide(self, ledger: MemoryLedger, first: int, end: int) -> None:
        for start in range(first, end, BATCH_MAX):
            ledger.decide(self._requests[start : min(start + BATCH_MAX, end)])

    def _later(self, proposal: Proposal, place: int, zone: str) -> Iterator[str]:
        """What came of an approved proposal: the end of its hold, and what was taken back."""
        ids = {grant.grant_id for offer in proposal.offers for grant in offer.grants}
        for one in self._settled[place + 1 :]:
            request, decision = one.request, one.decision
            if request is proposal:
                amounts = ", ".join(f"{amount:,}" for amount in decision.amounts)
                due = instant(proposal.hold.due_ms if proposal.hold else proposal.key.time_ms, zone)
                yield f"the hold ended at {due}: {decision.outcome.value} {amounts}"
            elif isinstance(request, Reversal) and decision.outcome is Outcome.REVERSED:
                named = zip(request.occurrences, decision.amounts, strict=True)
                taken = sum(amount for occurrence, amount in named if occurrence.grant_id in ids)
                if taken:
                    at = instant(request.event_time_ms, zone)
                    yield f"{taken:,} {request.unit} taken back by event {request.event_id} at {at}"


def _gives(offer: Offer) -> str:
    return ", ".join(f"{grant.amount:,} {grant.unit} to {grant.recipient}" for grant in offer.grants)


def _outcome(answer: Decision | None) -> str:
    if answer is None:
        return "not reached"
    return f"{answer.outcome.value}: {answer.reason.value}" if answer.reason else answer.outcome.value
