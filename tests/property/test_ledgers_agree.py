"""The Redis ledger answers and counts as the plain model does, on any sequence of operations, each delivered twice."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from schemas.proposals import AccountSpec, Decision, Proposal
from schemas.redis_connection import connect
from schemas.results import Outcome, Reason
from tests.support.ledgers import TENANT, accounts, proposals
from transforms.budget.memory import MemoryLedger
from transforms.budget.redis_ledger import RedisLedger


class LedgersAgree(RuleBasedStateMachine):
    url = ""

    @initialize(specs=accounts())
    def start(self, specs: list[AccountSpec]) -> None:
        client = connect(self.url)
        client.flushall()
        self.model, self.ledger = MemoryLedger(TENANT), RedisLedger(client, TENANT)
        self.granted: dict[str, int] = defaultdict(int)
        self.caps: dict[tuple[str, str], tuple[int | None, int | None]] = {}
        self.lowered = False
        self.define(specs)

    @rule(specs=accounts())
    def redefine(self, specs: list[AccountSpec]) -> None:
        self.lowered = True
        self.define(specs)

    def define(self, specs: list[AccountSpec]) -> None:
        assert self.model.define(specs) == self.ledger.define(specs)
        assert self.ledger.define(specs) == 0

    @rule(batch=st.lists(proposals(), min_size=1, max_size=12))
    def decide(self, batch: list[Proposal]) -> None:
        expected = self.model.decide(batch)
        assert self.ledger.decide(batch) == expected
        self.count(batch, expected)
        again = self.ledger.decide(batch)
        assert again == self.model.decide(batch)
        for first, second in zip(expected, again, strict=True):
            if first.reason is not Reason.INVALID_AMOUNT:
                assert (first.outcome, first.amounts, first.reason) == (second.outcome, second.amounts, second.reason)
                assert second.repeated

    def count(self, batch: list[Proposal], decisions: list[Decision]) -> None:
        for proposal, decision in zip(batch, decisions, strict=True):
            if decision.outcome is Outcome.GRANTED and not decision.repeated:
                assert decision.offer is not None
                for grant, amount in zip(proposal.offers[decision.offer].grants, decision.amounts, strict=True):
                    assert 1 <= amount <= grant.amount
                    self.granted[grant.campaign] += amount

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
        assert [list(account.uses) for account in snapshot] == [list(account.uses) for account in self.model.snapshot()]
        for account in snapshot:
            total = account.uses[0]
            if account.name.startswith("campaign/"):
                assert total.amount == self.granted[account.name.removeprefix("campaign/")]
            for use in account.uses if not self.lowered else ():
                assert use.amount_cap is None or use.amount <= use.amount_cap
                assert use.grants_cap is None or use.grants <= use.grants_cap


@pytest.mark.usefixtures("clean_redis")
def test_redis_and_the_model_agree_on_any_sequence(redis_url: str) -> None:
    LedgersAgree.url = redis_url
    run_state_machine_as_test(
        LedgersAgree,
        settings=settings(
            max_examples=100,
            stateful_step_count=10,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
