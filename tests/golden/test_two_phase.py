"""Two-phase cases of TigerBeetle's documentation, as data: each step, told in our words, answers as theirs, on both stores.

A reservation is a hold that is released when it is due; to post is to commit, to void is to release. What their `void`
says of an amount has no counterpart: a release has none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.grant_operations import Commit, GrantOperation, Release
from schemas.proposals import Decision, LimitSpec
from schemas.redis_connection import connect
from schemas.results import GrantOutcome, Outcome
from tests.support.ledgers import TENANT, a_held, a_single, capped, the_occurrence
from transforms.budget.memory import MemoryLedger
from transforms.budget.redis_ledger import RedisLedger

CASES = yaml.safe_load((Path(__file__).parent / "two_phase.yaml").read_text())["cases"]
NEVER_MS = 10**12

RESULTS = {
    GrantOutcome.APPLIED: "ok",
    GrantOutcome.UNKNOWN: "pending_transfer_not_found",
    GrantOutcome.NOT_HELD: "pending_transfer_not_pending",
    GrantOutcome.ABOVE: "exceeds_pending_transfer_amount",
    GrantOutcome.ALREADY_COMMITTED: "pending_transfer_already_posted",
    GrantOutcome.ALREADY_RELEASED: "pending_transfer_already_voided",
    GrantOutcome.DUE: "pending_transfer_expired",
}


@pytest.fixture(params=["memory", "redis"])
def ledger(request: pytest.FixtureRequest) -> Any:
    if request.param == "memory":
        return MemoryLedger(TENANT)
    request.getfixturevalue("clean_redis")
    return RedisLedger(connect(request.getfixturevalue("redis_url")), TENANT)


class Bank:
    """Their words, done with ours."""

    def __init__(self, ledger: Any, credits: int | None) -> None:
        self._ledger = ledger
        self._first: dict[str, dict[str, Any]] = {}
        capped(ledger, LimitSpec("total", None, credits))

    def do(self, step: dict[str, Any]) -> str | None:
        """What they answer."""
        if "at" in step:
            self._ledger.mature(step["at"])
            return None
        if "pending" in step:
            due_ms = step.get("timeout", NEVER_MS)
            return _reserved(self._ledger.decide([a_held(step["pending"], step["amount"], due_ms, "release")])[0])
        if "single" in step:
            return _reserved(self._ledger.decide([a_single(step["single"], step["amount"])])[0])
        return self._resolve(step)

    def _resolve(self, step: dict[str, Any]) -> str:
        amount = None if step.get("amount") == "max" else step.get("amount")
        grant = the_occurrence(step.get("post") or step["void"])
        change = Commit(grant, amount) if "post" in step else Release(grant)
        answer = self._ledger.change_grant(GrantOperation(step["id"], change, "bank", "told so"))
        first = self._first.setdefault(step["id"], step)
        if answer.conflicting:
            return f"exists_with_different_{_difference(first, step)}"
        return "exists" if answer.repeated else RESULTS[answer.outcome]

    @property
    def balance(self) -> list[int]:
        (use,) = (account.uses[0] for account in self._ledger.snapshot() if account.name == "campaign/c1")
        return [use.held, use.amount - use.held]


def _reserved(decision: Decision) -> str:
    if decision.conflicting:
        return "exists_with_different_amount"
    if decision.repeated:
        return "exists"
    return "exceeds_credits" if decision.outcome is Outcome.DENIED else "ok"


def _difference(first: dict[str, Any], step: dict[str, Any]) -> str:
    if ("post" in first) != ("post" in step):
        return "flags"
    return "amount" if first.get("amount") != step.get("amount") else "pending_id"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_each_step_answers_as_documented(ledger: Any, case: dict[str, Any]) -> None:
    bank = Bank(ledger, case.get("credits"))
    for number, step in enumerate(case["steps"], 1):
        assert (number, bank.do(step)) == (number, step.get("gives"))
        if "balance" in step:
            assert (number, bank.balance) == (number, step["balance"])
