"""What every ledger owes to operators about one grant: commit, release, reverse, decide again; each once, each told."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.errors import LedgerUnavailableError
from schemas.grant_operations import Commit, GrantAnswer, GrantChange, GrantState, Redecide, Release, TakeBack
from schemas.operations import Freeze, SetCap
from schemas.order_keys import OrderKind
from schemas.proposals import AMOUNT_LIMIT, Hold, LimitSpec, Lock, Occurrence, Proposal, Reversal
from schemas.results import GrantOutcome, Outcome, Reason, WhenFull
from tests.support.ledgers import (
    TENANT,
    a_grant,
    a_grant_operation,
    a_held,
    a_proposal,
    a_reversal,
    a_single,
    amounts,
    an_account,
    an_operation,
    capped,
    the_occurrence,
    total,
)
from transforms.budget.memory import MemoryLedger

A, B = the_occurrence("a"), the_occurrence("b")
IS = GrantOutcome
USER = (("user", 0), ("day", 0))


def change(ledger: Any, what: GrantChange, operation_id: str = "") -> GrantAnswer:
    answer = ledger.change_grant(a_grant_operation(what, operation_id))
    assert isinstance(answer, GrantAnswer)
    return answer


def back(grant: Any, amount: int | None = None, **more: Any) -> TakeBack:
    return TakeBack(grant, amount, user="u1", unit="points", **more)


def told(ledger: Any, answer: GrantAnswer) -> list[tuple[Any, Any, tuple[int, ...]]]:
    """(request, outcome, amounts) of what the operation's log entry tells."""
    return [(request, decision.outcome, decision.amounts) for request, decision in ledger.entry(answer.entry).also]


def refusal(ledger: Any, request: Proposal) -> Redecide:
    """Of a proposal that is refused."""
    decision = ledger.decide([request])[0]
    assert decision.outcome is Outcome.DENIED
    grant = request.offers[-1].grants[0]
    return Redecide(Occurrence(grant.grant_id, grant.generation, grant.campaign), decision.entry)


# Commit and release.


def test_a_commit_makes_the_grant_before_its_time(ledger: Any) -> None:
    capped(ledger)
    held = a_held("a", 9, 50, "release")
    ledger.decide([held])
    answer = change(ledger, Commit(A))
    assert answer == GrantAnswer(IS.APPLIED, Outcome.COMMITTED, 9, answer.entry)
    assert told(ledger, answer) == [(held, Outcome.COMMITTED, (9,))]
    assert [entry.entry for entry in ledger.unpublished(9)][-1] == answer.entry
    assert total(ledger) == (1, 9) and ledger.mature(50) == []
    assert [account.uses[0].held for account in ledger.snapshot()] == [0, 0]
    assert ledger.decide([held])[0].outcome is Outcome.COMMITTED


def test_a_commit_of_less_gives_the_rest_back_once_to_every_account_and_to_the_user(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10), LimitSpec("user", None, 10), LimitSpec("day", None, 10))
    held = a_held("a", 10, 50, slices=USER)
    ledger.decide([held])
    answer = change(ledger, Commit(A, 4))
    assert (answer.outcome, answer.amount, told(ledger, answer)) == (IS.APPLIED, 4, [(held, Outcome.COMMITTED, (4,))])
    assert total(ledger) == total(ledger, "tenant") == (1, 4)
    assert amounts(ledger.decide([a_single("c", 7, slices=USER), a_single("d", 6, slices=USER)])) == [
        Reason.USER_AMOUNT,
        6,
    ]
    assert ledger.grant_state(A) == GrantState(Outcome.COMMITTED, "u1", 10, 10, 6, answer.entry, "operator")
    assert amounts(ledger.decide([held])) == [4]


def test_a_commit_of_nothing_gives_all_back(ledger: Any) -> None:
    capped(ledger, LimitSpec("user", 1))
    lock = Lock("g")
    ledger.define([an_account("campaign/c2")])
    held = a_held("a", 10, 50, slices=(("user", 0),), lock=lock, cost=3)
    ledger.decide([held])
    assert total(ledger, "tenant") == (1, 3)
    answer = change(ledger, Commit(A, 0))
    assert (answer.became, answer.amount) == (Outcome.RELEASED, 0)
    assert told(ledger, answer) == [(held, Outcome.RELEASED, (0,))]
    assert total(ledger) == total(ledger, "tenant") == (0, 0)
    assert amounts(ledger.decide([a_single("c", 1, lock=lock, campaign="c2")])) == [1]


@pytest.mark.parametrize("amount", [-1, AMOUNT_LIMIT, 2**53 + 1, 2**70, 1.5, "7", True, float("nan")])
def test_an_amount_out_of_range_changes_nothing_and_spends_no_id(ledger: Any, amount: Any) -> None:
    capped(ledger)
    ledger.decide([a_held("a", 9, 50), a_single("b", 9)])
    for what in (Commit(A, amount), back(A, amount), back(B, amount), back(B, 0)):
        assert change(ledger, what, "op") == GrantAnswer(IS.OUT_OF_RANGE)
    assert total(ledger) == (2, 18)
    assert change(ledger, Commit(A), "op").outcome is IS.APPLIED


def test_a_commit_never_takes_more_than_stands(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 100))
    ledger.decide([a_held("a", 10, 50)])
    assert change(ledger, Commit(A, 11)).outcome is IS.ABOVE
    ledger.decide([a_reversal("r", "a", amount=4)])
    assert change(ledger, Commit(A, 7)) == GrantAnswer(IS.ABOVE, Outcome.HELD, 6)
    assert change(ledger, Commit(A, 6)).outcome is IS.APPLIED
    assert total(ledger) == (1, 6)


def test_a_release_gives_everything_back(ledger: Any) -> None:
    capped(ledger, LimitSpec("user", 1))
    held = a_held("a", 9, 50, slices=(("user", 0),))
    ledger.decide([held])
    answer = change(ledger, Release(A))
    assert (answer.outcome, answer.became, answer.amount) == (IS.APPLIED, Outcome.RELEASED, 0)
    assert told(ledger, answer) == [(held, Outcome.RELEASED, (0,))]
    assert total(ledger) == (0, 0)
    assert amounts(ledger.decide([a_single("b", 1, slices=(("user", 0),))])) == [1]
    assert ledger.decide([held])[0].outcome is Outcome.RELEASED


def test_grants_that_stand_or_fall_together_end_together(ledger: Any) -> None:
    capped(ledger)
    pair = a_proposal((a_grant("a", 4), a_grant("b", 5, "u2")), hold=Hold(50))
    ledger.decide([pair])
    answer = change(ledger, Commit(B, 2))
    assert told(ledger, answer) == [(pair, Outcome.COMMITTED, (4, 2))]
    assert total(ledger) == (2, 6) and change(ledger, Release(A)).outcome is IS.ALREADY_COMMITTED
    other = a_proposal((a_grant("c", 4), a_grant("d", 5, "u2")), hold=Hold(50))
    ledger.decide([other])
    assert told(ledger, change(ledger, Release(the_occurrence("d")))) == [(other, Outcome.RELEASED, (0, 0))]
    assert total(ledger) == (2, 6)


@pytest.mark.parametrize("swept", [False, True])
@pytest.mark.parametrize("end", ["commit", "release"])
def test_a_hold_that_is_due_answers_as_due_swept_or_not(ledger: Any, swept: bool, end: Any) -> None:
    capped(ledger)
    ledger.decide([a_held("a", 9, 50, end)])
    if swept:
        ledger.mature(50)
    else:
        ledger.decide([a_held("late", 1, 60, at_ms=49)])
        ledger.decide([a_held("b", 1, 40, at_ms=50, campaign="c1")])
    became = Outcome.COMMITTED if end == "commit" else Outcome.RELEASED
    for what in (Commit(A), Commit(A, 3), Release(A)):
        answer = change(ledger, what)
        assert (answer.outcome, answer.became, answer.entry) == (IS.DUE, became, "")
    assert change(ledger, Commit(A, 10)).outcome is IS.ABOVE


def test_holds_that_are_due_end_first_and_the_log_tells_them(ledger: Any) -> None:
    capped(ledger)
    due, held = a_held("a", 9, 5, at_ms=7), a_held("b", 1, 50)
    ledger.decide([held, due])
    assert ledger.grant_state(A).outcome is Outcome.HELD
    assert change(ledger, Release(A)) == GrantAnswer(IS.DUE, Outcome.COMMITTED, 9)
    (*_, last) = ledger.unpublished(9)
    assert [(request, decision.outcome) for request, decision in last.also] == [(due, Outcome.COMMITTED)]
    ledger.decide([a_held("c", 2, 6, at_ms=7)])
    answer = change(ledger, Commit(B))
    assert [outcome for _, outcome, _ in told(ledger, answer)] == [Outcome.COMMITTED, Outcome.COMMITTED]


def test_the_wrong_state_is_named(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 20))
    ledger.decide([a_single("a", 5), a_held("b", 5, 50), a_held("c", 5, 50), a_held("d", 5, 50), a_single("e", 1)])
    c, d, e = (the_occurrence(name) for name in "cde")
    change(ledger, Commit(B)), change(ledger, Release(c)), ledger.decide([a_reversal("r", "d")])
    for grant, outcome in (
        (the_occurrence("never"), IS.UNKNOWN),
        (e, IS.DENIED),
        (A, IS.NOT_HELD),
        (B, IS.ALREADY_COMMITTED),
        (c, IS.ALREADY_RELEASED),
        (d, IS.ALREADY_RELEASED),
    ):
        assert [change(ledger, what(grant)).outcome for what in (Commit, Release)] == [outcome] * 2
    assert [change(ledger, back(grant)).outcome for grant in (the_occurrence("never"), e, c)] == [
        IS.UNKNOWN,
        IS.DENIED,
        IS.ABOVE,
    ]
    assert total(ledger) == (2, 10)


def test_a_grant_that_a_reversal_waits_for_is_unknown(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_reversal("r", "a")])
    assert change(ledger, Commit(A), "op") == change(ledger, back(A), "op") == GrantAnswer(IS.UNKNOWN)
    assert ledger.grant_state(A) is None
    ledger.decide([a_single("b", 1)])
    assert change(ledger, back(B), "op").outcome is IS.APPLIED


# Reverse.


def test_a_reversal_takes_exactly_what_it_says_and_is_published(ledger: Any) -> None:
    capped(ledger, LimitSpec("user", 1, 10))
    ledger.decide([a_single("a", 10, slices=(("user", 0),)), a_single("t", 1, "u2", at_ms=-7)])
    assert change(ledger, back(A, 11)).outcome is IS.ABOVE
    answer = change(ledger, back(A, 4), "because-of-me")
    ((reversal, outcome, parts),) = told(ledger, answer)
    assert isinstance(reversal, Reversal) and (outcome, parts) == (Outcome.REVERSED, (4,))
    assert (reversal.tenant, reversal.campaign, reversal.user, reversal.unit) == (TENANT, "c1", "u1", "points")
    assert (reversal.event_id, reversal.event_time_ms, reversal.occurrences) == ("because-of-me", 0, (A,))
    assert (reversal.key.time_ms, reversal.key.kind, reversal.amount) == (0, OrderKind.OPERATION, 4)
    assert (answer.became, answer.amount) == (Outcome.GRANTED, 6)
    assert total(ledger) == (2, 7)
    assert change(ledger, back(A, 7)).outcome is IS.ABOVE
    assert change(ledger, back(A)).amount == 0 and total(ledger) == (1, 1)
    assert change(ledger, back(A)) == GrantAnswer(IS.ABOVE, Outcome.GRANTED, 0)
    assert amounts(ledger.decide([a_single("b", 10, slices=(("user", 0),))])) == [10]


@pytest.mark.parametrize("at_ms", [-(2**40) - 1, -1, 0, 2**31, 2**32 - 1, 2**40 + 1])
def test_a_reversal_is_dated_by_the_greatest_time_seen(ledger: Any, at_ms: int) -> None:
    capped(ledger)
    ledger.decide([a_single("a", 1, at_ms=at_ms)])
    ((reversal, *_),) = told(ledger, change(ledger, back(A)))
    assert reversal.event_time_ms == reversal.key.time_ms == at_ms


def test_a_reversal_gives_back_what_it_names(ledger: Any) -> None:
    capped(ledger, LimitSpec("user", 1))
    slices = (("user", 0),)
    ledger.decide([a_single("a", 5, slices=slices)])
    change(ledger, back(A, gives_back=("limits",)))
    assert total(ledger) == (1, 5)
    assert amounts(ledger.decide([a_single("b", 5, slices=slices)])) == [5]
    change(ledger, back(B, gives_back=("budget",)))
    assert total(ledger) == (1, 5)
    assert amounts(ledger.decide([a_single("c", 5, slices=slices)])) == [Reason.USER_GRANTS]


def test_a_hold_that_an_operator_takes_back_is_released(ledger: Any) -> None:
    capped(ledger)
    held = a_held("a", 9, 50)
    ledger.decide([held])
    answer = change(ledger, back(A, 4))
    ((reversal, outcome, parts),) = told(ledger, answer)
    assert (answer.became, answer.amount, outcome, parts) == (Outcome.HELD, 5, Outcome.UNCHANGED, (0,))
    assert total(ledger) == (1, 5)
    answer = change(ledger, back(A))
    assert told(ledger, answer)[1] == (held, Outcome.RELEASED, (0,))
    assert (answer.became, answer.amount) == (Outcome.RELEASED, 0)
    assert total(ledger) == (0, 0) and ledger.mature(50) == []


def test_nobody_can_give_back_what_is_not_there(ledger: Any) -> None:
    with pytest.raises(ValueError, match="give back"):
        change(ledger, back(A, gives_back=("glory",)))
    with pytest.raises(ValueError, match="whose"):
        change(ledger, TakeBack(A))


# Decide again.


def test_a_spent_refusal_is_decided_anew_with_what_was_asked(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10))
    asked = a_single("a", 12)
    again = refusal(ledger, asked)
    first = change(ledger, again)
    assert (first.outcome, first.became, first.amount) == (IS.APPLIED, Outcome.DENIED, 0)
    assert ledger.entry(first.entry).decisions[0].reason is Reason.AMOUNT
    ledger.operate(an_operation(SetCap("campaign/c1", "total", "amount", 20)))
    assert change(ledger, again).outcome is IS.NOT_DENIED
    answer = change(ledger, Redecide(A, first.entry), "op")
    assert answer == GrantAnswer(IS.APPLIED, Outcome.GRANTED, 12, answer.entry)
    entry = ledger.entry(answer.entry)
    assert (entry.requests, entry.decisions[0].amounts) == ([asked], (12,))
    assert answer.entry in [entry.entry for entry in ledger.unpublished(9)]
    assert total(ledger) == (1, 12)
    known = ledger.decide([asked])[0]
    assert (known.outcome, known.repeated, known.entry) == (Outcome.GRANTED, True, answer.entry)
    again = change(ledger, Redecide(A, "77"), "op")
    assert again == GrantAnswer(IS.APPLIED, Outcome.GRANTED, 12, answer.entry, repeated=True)
    assert change(ledger, Redecide(A, answer.entry)).outcome is IS.UNKNOWN
    assert total(ledger) == (1, 12)


def test_it_is_decided_at_the_greatest_time_seen_in_its_own_slices(ledger: Any) -> None:
    capped(ledger, LimitSpec("user/cooldown", cooldown_ms=10), LimitSpec("day", 2))
    slices = (("user/cooldown", 0), ("day", 0))
    ledger.decide([a_single("first", 1, slices=slices)])
    again = refusal(ledger, a_single("a", 1, at_ms=9, slices=slices))
    assert change(ledger, again).became is Outcome.DENIED
    ledger.decide([a_single("other", 1, "u2", at_ms=10)])
    (entry,) = (one.entry for one in ledger.told_of(A.grant_id) if one.entry != again.entry)
    assert change(ledger, Redecide(A, entry)).became is Outcome.GRANTED
    assert amounts(ledger.decide([a_single("b", 1, "u3", slices=slices)])) == [Reason.GRANTS]


def test_a_refused_list_and_a_refused_hold_are_decided_anew(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", 0, None, WhenFull.SKIP))
    listed = a_proposal((a_grant("big", 9),), (a_grant("a", 3), a_grant("b", 4, "u2")), hold=Hold(50))
    again = refusal(ledger, listed)
    assert ledger.grant_state(A) is None
    ledger.operate(an_operation(SetCap("campaign/c1", "total", "grants", 9)))
    assert change(ledger, again) == GrantAnswer(IS.APPLIED, Outcome.HELD, 9, "2")
    assert ledger.decide([listed])[0].offer == 0
    held = a_held("h", 5, 50, campaign="new")
    again = refusal(ledger, held)
    ledger.define([an_account("campaign/new")])
    assert change(ledger, again).became is Outcome.HELD
    assert [request for request, _ in ledger.mature(50)] == [listed, held]


def test_what_was_taken_back_before_it_came_stays_refused(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_reversal("r", "a")])
    again = refusal(ledger, a_single("a", 5))
    assert change(ledger, again) == GrantAnswer(IS.TAKEN_BACK, Outcome.DENIED)
    assert total(ledger) == (0, 0)


def test_a_refusal_whose_content_is_unknown_is_not_decided(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", 0))
    again = refusal(ledger, a_single("a", 5))
    assert change(ledger, Redecide(A, "77")) == GrantAnswer(IS.UNKNOWN)
    assert change(ledger, Redecide(B, again.entry)) == GrantAnswer(IS.UNKNOWN)


# What all owe.


def test_an_operation_happens_once_whatever_happens_between(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_held("a", 9, 50), a_single("b", 9)])
    for number, what in enumerate((Commit(A, 5), back(B, 5), Release(A))):
        first = change(ledger, what, f"op{number}")
        ledger.decide([a_single(f"between{number}", 1, at_ms=60 + number)])
        before = ledger.snapshot()
        again = change(ledger, what, f"op{number}")
        assert again == GrantAnswer(first.outcome, first.became, first.amount, first.entry, repeated=True)
        other = change(ledger, Commit(A, 6), f"op{number}")
        assert other.conflicting and other.outcome is first.outcome and ledger.snapshot() == before


def test_the_audit_has_each_with_what_the_grant_was_before(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10))
    ledger.decide([a_held("a", 9, 50, at_ms=3)])
    refused = refusal(ledger, a_single("b", 2, at_ms=4))
    for what in (Commit(A, 5), Commit(A, 5), back(A, 2), refused):
        change(ledger, what)
    redecide, reverse, commit, *_ = ledger.audit()
    assert [entry.what for entry in (commit, reverse, redecide)] == ["commit", "reverse", "redecide"]
    assert (commit.account, commit.who, commit.why, commit.old, commit.new) == (
        "campaign/c1", "ann", "because", None, None
    )  # fmt: skip
    assert commit.after == a_single("b", 2, at_ms=4).key.packed()
    assert [(one.grant.grant, one.grant.old.outcome, one.grant.old.stands, one.grant.new.stands) for one in (
        commit, reverse, redecide
    )] == [(A, Outcome.HELD, 9, 5), (A, Outcome.COMMITTED, 5, 3), (B, Outcome.DENIED, 0, 2)]  # fmt: skip
    assert redecide.grant.new.outcome is Outcome.GRANTED


def test_while_the_root_is_frozen_nothing_is_done(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_held("a", 9, 50), a_single("x", 0)])
    refused = refusal(ledger, a_single("b", 1, campaign="gone"))
    ledger.operate(an_operation(Freeze(True)))
    if not isinstance(ledger, MemoryLedger):
        ledger._wait = give_up
    for what in (Commit(A), Release(A), back(A), refused):
        with pytest.raises(LedgerUnavailableError):
            change(ledger, what)
    assert ledger.grant_state(A).outcome is Outcome.HELD
    ledger.operate(an_operation(Freeze(False)))
    assert change(ledger, Commit(A)).outcome is IS.APPLIED


def give_up(attempt: int) -> None:
    raise TimeoutError


def test_the_log_is_searched_for_a_grant(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_held("a", 9, 50)])
    for first in range(0, 220, 2):
        ledger.decide([a_single(f"{first}", 1, at_ms=1)])
    change(ledger, Commit(A))
    ledger.decide([a_reversal("r", "a", amount=1)])
    assert [entry.entry for entry in ledger.told_of(A.grant_id)] == ["113", "112", "1"]
    assert ledger.occurrences(A.grant_id) == [A] and ledger.occurrences(B.grant_id) == []
