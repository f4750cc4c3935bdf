"""The Redis ledger answers and counts as the plain model does, on any sequence of operations, each delivered twice."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from schemas.errors import LedgerUnavailableError
from schemas.operations import AuditEntry, Freeze, Move, Operation, SetCap
from schemas.proposals import AccountSnapshot, AccountSpec, Decision, Proposal, Request, Reversal
from schemas.redis_connection import connect
from schemas.results import OperationOutcome, Outcome, Reason
from tests.support.ledgers import TENANT, TIMES, a_single, accounts, an_operation, batches, operations
from transforms.budget.memory import MemoryLedger
from transforms.budget.ports import Ledger
from transforms.budget.redis_books import RedisBooks
from transforms.budget.redis_ledger import RedisLedger

ENDS = {Outcome.COMMITTED, Outcome.RELEASED}


class LedgersAgree(RuleBasedStateMachine):
    url = ""

    @initialize(specs=accounts())
    def start(self, specs: list[AccountSpec]) -> None:
        client = connect(self.url)
        client.flushall()
        self.model, self.ledger = MemoryLedger(TENANT), RedisLedger(client, TENANT)
        self.impatient = RedisLedger(client, TENANT, wait=give_up)
        self.granted: dict[str, int] = defaultdict(int)
        self.held: list[Proposal] = []
        self.countable = True
        self.lowered = False
        self.freezes = itertools.count()
        self.define(specs)

    @rule(specs=accounts())
    def redefine(self, specs: list[AccountSpec]) -> None:
        self.lowered = True
        self.define(specs)

    def define(self, specs: list[AccountSpec]) -> None:
        assert self.model.define(specs) == self.ledger.define(specs)
        assert self.ledger.define(specs) == 0

    @rule(batch=batches())
    def decide(self, batch: list[Request]) -> None:
        expected = self.model.decide(batch)
        assert self.ledger.decide(batch) == expected
        for request, decision in zip(batch, expected, strict=True):
            self.count(request, decision)
        for entry in {decision.entry for decision in expected} - {""}:
            assert self.ledger.entry(entry) == self.model.entry(entry)
        again = self.ledger.decide(batch)
        assert again == self.model.decide(batch)
        for request, first, second in zip(batch, expected, again, strict=True):
            self.count(request, second)
            if first.reason is not Reason.INVALID_AMOUNT:
                assert second.repeated
                if first.outcome is Outcome.HELD and second.outcome in ENDS:
                    continue
                assert (first.outcome, first.amounts, first.reason) == (second.outcome, second.amounts, second.reason)

    @rule(until_ms=TIMES)
    def mature(self, until_ms: int) -> None:
        expected = self.model.mature(until_ms)
        assert self.ledger.mature(until_ms) == expected
        self.count_also(expected)
        assert self.ledger.mature(until_ms) == self.model.mature(until_ms) == []

    @rule(found=st.lists(operations(), min_size=1, max_size=6))
    def operate(self, found: list[Operation]) -> None:
        for operation in found:
            self.operate_twice(operation)

    def operate_twice(self, operation: Operation) -> None:
        before = self.ledger.snapshot()
        answer = self.model.operate(operation)
        assert self.ledger.operate(operation) == answer
        again = self.ledger.operate(operation)
        assert again == self.model.operate(operation)
        if answer.outcome is OperationOutcome.OUT_OF_RANGE:
            assert again == answer and self.ledger.snapshot() == before
            return
        assert again.repeated and (again.outcome, again.versions) == (answer.outcome, answer.versions)
        if answer.repeated or answer.outcome is not OperationOutcome.APPLIED:
            assert self.ledger.snapshot() == before
        elif isinstance(operation.change, SetCap):
            self.lowered = True
        elif isinstance(operation.change, Move):
            assert caps(self.ledger.snapshot()) == caps(before)

    @rule()
    def freeze(self) -> None:
        """Nothing comes of what is asked meanwhile."""
        before = self.ledger.snapshot()
        for frozen in (True, False):
            operation = an_operation(Freeze(frozen), f"freeze{next(self.freezes)}")
            for _ in range(2):
                assert self.model.operate(operation) == self.ledger.operate(operation)
            if frozen:
                for ledger in (self.model, self.impatient):
                    with pytest.raises(LedgerUnavailableError):
                        ledger.decide([a_single("frozen", 1, campaign="c2")])
            assert self.model.frozen() == self.ledger.frozen() == ("because" if frozen else None)
        assert self.ledger.snapshot() == before

    def count(self, request: Request, decision: Decision) -> None:
        """Add up what a call told, and nothing else: what stands on a hold is known when it ends."""
        self.count_also(decision.also)
        if decision.repeated:
            return
        if isinstance(request, Proposal) and decision.outcome is Outcome.GRANTED:
            self.add(request, decision, 1)
        if decision.outcome is Outcome.HELD:
            assert isinstance(request, Proposal)
            self.held.append(request)
        if isinstance(request, Reversal):
            # A hold may have been lessened whose counters were not: no answer tells.
            self.countable &= "budget" in request.gives_back
            self.take(request, decision)

    def count_also(self, also: Sequence[tuple[Request, Decision]]) -> None:
        for request, decision in also:
            if isinstance(request, Proposal):
                assert decision.outcome in ENDS
                self.held.remove(request)
                self.add(request, decision, 0)
            else:
                assert decision.outcome is Outcome.REVERSED and sum(decision.amounts) > 0
                self.take(request, decision)

    def add(self, proposal: Proposal, decision: Decision, least: int) -> None:
        assert decision.offer is not None
        for grant, amount in zip(proposal.offers[decision.offer].grants, decision.amounts, strict=True):
            assert least <= amount <= grant.amount
            self.granted[grant.campaign] += amount

    def take(self, reversal: Reversal, decision: Decision) -> None:
        for occurrence, amount in zip(reversal.occurrences, decision.amounts, strict=True):
            self.granted[occurrence.campaign] -= amount

    @rule()
    def publish(self) -> None:
        waiting = self.ledger.unpublished(3)
        assert waiting == self.model.unpublished(3)
        for _ in range(2):
            self.ledger.unmark([entry.entry for entry in waiting])
            self.model.unmark([entry.entry for entry in waiting])

    @invariant()
    def counters_agree(self) -> None:
        if not hasattr(self, "ledger"):
            return
        snapshot = self.ledger.snapshot()
        assert snapshot == self.model.snapshot()
        assert RedisBooks(connect(self.url), TENANT).verify() == []
        for account in snapshot:
            total = account.uses[0]
            if account.name.startswith("campaign/") and self.countable and not self.held:
                assert total.amount == self.granted[account.name.removeprefix("campaign/")]
            for use in account.uses:
                assert use.amount >= 0 and use.grants >= 0
                if not self.lowered:
                    assert use.amount_cap is None or use.amount <= use.amount_cap
                    assert use.grants_cap is None or use.grants <= use.grants_cap

    def teardown(self) -> None:
        """Let all holds end: then the answers add up to the counters."""
        if hasattr(self, "ledger"):
            self.mature(10**6)
            assert not self.held
            self.counters_agree()
            assert not any(account.uses[0].held for account in self.ledger.snapshot())
            assert audit(self.ledger) == audit(self.model)


def give_up(attempt: int) -> None:
    raise TimeoutError


def caps(snapshot: list[AccountSnapshot]) -> int:
    return sum(account.uses[0].amount_cap or 0 for account in snapshot)


def audit(ledger: Ledger) -> list[AuditEntry]:
    """Without what only a server has: its clock."""
    return [msgspec.structs.replace(entry, entry="", at_ms=0) for entry in ledger.audit()]


@pytest.mark.usefixtures("clean_redis")
def test_redis_and_the_model_agree_on_any_sequence(redis_url: str) -> None:
    LedgersAgree.url = redis_url
    run_state_machine_as_test(
        LedgersAgree,
        settings=settings(
            max_examples=150,
            stateful_step_count=15,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
