"""What every ledger owes to operators: limits, pauses, paces and moves while it runs, each once, each in the audit."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.errors import LedgerUnavailableError, VersionConflictError
from schemas.operations import Change, Freeze, Move, Operation, OperationAnswer, SetCap, SetPace, SetState
from schemas.proposals import CAP_LIMIT, LimitSpec, Pace
from schemas.results import OperationOutcome, Outcome, Reason, WhenFull
from tests.support.ledgers import (
    DAY_MS,
    a_grant,
    a_held,
    a_proposal,
    a_reversal,
    a_single,
    amounts,
    an_account,
    an_operation,
    capped,
    total,
)

APPLIED = OperationOutcome.APPLIED
C1 = "campaign/c1"


def operate(ledger: Any, change: Change, operation_id: str = "", **more: Any) -> OperationAnswer:
    answer = ledger.operate(an_operation(change, operation_id, **more))
    assert isinstance(answer, OperationAnswer)
    return answer


def outcome(ledger: Any, change: Change, operation_id: str = "", **more: Any) -> OperationOutcome:
    return operate(ledger, change, operation_id, **more).outcome


def cap(ledger: Any, name: str = C1, period: str = "total") -> int | None:
    (account,) = (account for account in ledger.snapshot() if account.name == name)
    return next((limit.amount for limit in account.limits if limit.period == period), None)


def test_a_raised_cap_is_in_force_for_the_next_request_and_revives_nothing(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10))
    assert amounts(ledger.decide([a_single("a", 8), a_single("b", 8)])) == [8, Reason.AMOUNT]
    answer = operate(ledger, SetCap(C1, "total", "amount", 16, "raise"))
    assert (answer.outcome, answer.versions) == (APPLIED, (2,))
    assert amounts(ledger.decide([a_single("b", 8), a_single("c", 8), a_single("d", 1)])) == [
        Reason.AMOUNT,
        8,
        Reason.AMOUNT,
    ]


def test_a_cap_below_its_use_stops_grants_and_is_shown(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10))
    ledger.decide([a_single("a", 8)])
    assert outcome(ledger, SetCap(C1, "total", "amount", 3, "lower")) is APPLIED
    assert amounts(ledger.decide([a_single("b", 1)])) == [Reason.AMOUNT]
    use = ledger.snapshot()[1].uses[0]
    assert (use.amount, use.amount_cap) == (8, 3)


def test_a_period_and_a_user_have_caps_that_can_be_set(ledger: Any) -> None:
    capped(ledger, LimitSpec("day", 5), LimitSpec("user", 5))
    slices = (("day", 0), ("user", 0))
    assert outcome(ledger, SetCap(C1, "day", "grants", 2)) is APPLIED
    assert outcome(ledger, SetCap(C1, "user", "grants", 1)) is APPLIED
    batch = [a_single(f"{i}", 1, user, slices=slices) for i, user in enumerate(["u1", "u1", "u2", "u3"])]
    assert amounts(ledger.decide(batch)) == [1, Reason.USER_GRANTS, 1, Reason.GRANTS]
    assert outcome(ledger, SetCap(C1, "day", "grants", None)) is APPLIED
    assert amounts(ledger.decide([a_single("more", 1, "u4", slices=slices)])) == [1]


def test_only_what_is_counted_can_be_capped(ledger: Any) -> None:
    capped(ledger, LimitSpec("day", 5))
    assert outcome(ledger, SetCap(C1, "week", "grants", 2)) is OperationOutcome.NO_SUCH_LIMIT
    assert outcome(ledger, SetCap(C1, "user/cooldown", "grants", 2)) is OperationOutcome.NO_SUCH_LIMIT
    assert outcome(ledger, SetCap(C1, "total", "amount", 5)) is APPLIED
    assert amounts(ledger.decide([a_single("a", 5), a_single("b", 1)])) == [5, Reason.AMOUNT]


@pytest.mark.parametrize("number", [0, 1, 10**14, CAP_LIMIT])
def test_a_cap_from_0_to_2_to_the_52_is_kept_exactly(ledger: Any, number: int) -> None:
    capped(ledger, LimitSpec("total", None, 5))
    assert outcome(ledger, SetCap(C1, "total", "amount", number)) is APPLIED
    assert cap(ledger) == number


@pytest.mark.parametrize("number", [-1, CAP_LIMIT + 1, 2**53 + 1, 2**63, 2**70, 1.5, 5.0, "5", "", True, float("nan")])
def test_a_number_out_of_range_changes_nothing_and_spends_no_id(ledger: Any, number: Any) -> None:
    capped(ledger, LimitSpec("total", None, 5))
    ledger.define([an_account("campaign/c2", LimitSpec("total", None, 5))])
    for change in (SetCap(C1, "total", "amount", number), Move(C1, "campaign/c2", number)):
        assert operate(ledger, change, "op") == OperationAnswer(OperationOutcome.OUT_OF_RANGE)
    assert (cap(ledger), ledger.snapshot()[1].version) == (5, 1)
    assert outcome(ledger, SetCap(C1, "total", "amount", 6), "op") is APPLIED


def test_raise_only_raises_and_lower_only_lowers(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 5))
    wrong = OperationOutcome.WRONG_DIRECTION
    assert outcome(ledger, SetCap(C1, "total", "amount", 5, "raise")) is wrong
    assert outcome(ledger, SetCap(C1, "total", "amount", 5, "lower")) is wrong
    assert outcome(ledger, SetCap(C1, "total", "grants", CAP_LIMIT, "raise")) is wrong
    assert outcome(ledger, SetCap(C1, "total", "grants", CAP_LIMIT, "lower")) is APPLIED
    assert outcome(ledger, SetCap(C1, "total", "amount", None, "raise")) is APPLIED
    assert (cap(ledger), ledger.snapshot()[1].version) == (None, 3)


def test_an_operation_happens_once(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 5))
    first = operate(ledger, SetCap(C1, "total", "amount", 6), "op")
    operate(ledger, SetCap(C1, "total", "amount", 9), "other")
    again = operate(ledger, SetCap(C1, "total", "amount", 6), "op", why="asked again")
    assert again == OperationAnswer(first.outcome, first.versions, repeated=True)
    other = operate(ledger, SetCap(C1, "total", "amount", 7), "op")
    assert (other.outcome, other.repeated, other.conflicting) == (APPLIED, True, True)
    assert operate(ledger, SetState(C1, "paused"), "op").conflicting
    assert (cap(ledger), len(list(ledger.audit()))) == (9, 4)


def test_a_refused_operation_spends_its_id(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 5))
    assert outcome(ledger, SetCap(C1, "total", "amount", 5, "raise"), "op") is OperationOutcome.WRONG_DIRECTION
    operate(ledger, SetCap(C1, "total", "amount", 1))
    again = operate(ledger, SetCap(C1, "total", "amount", 5, "raise"), "op")
    assert (again.outcome, again.versions, again.repeated) == (OperationOutcome.WRONG_DIRECTION, (1,), True)


def test_a_change_of_what_the_operator_has_not_seen_is_refused(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 5))
    operate(ledger, SetCap(C1, "total", "amount", 6))
    stale = operate(ledger, SetCap(C1, "total", "amount", 7), expected=((C1, 1),))
    assert (stale.outcome, stale.versions) == (OperationOutcome.VERSION_CONFLICT, (2,))
    assert outcome(ledger, SetCap(C1, "total", "amount", 7), expected=((C1, 2), ("tenant", 1))) is APPLIED
    assert outcome(ledger, Freeze(True), expected=(("gone", 1),)) is OperationOutcome.VERSION_CONFLICT


def test_an_account_that_is_not_there_cannot_be_changed(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 5))
    unknown = OperationOutcome.ACCOUNT_UNKNOWN
    for change in (
        SetCap("campaign/no", "total", "amount", 5),
        SetState("campaign/no", "paused"),
        SetPace("campaign/no", None),
    ):
        assert operate(ledger, change) == OperationAnswer(unknown, (0,))
    assert operate(ledger, Move(C1, "campaign/no", 1)) == OperationAnswer(unknown, (1, 0))


@pytest.mark.parametrize("name", ["tenant", C1])
def test_while_an_account_of_its_path_is_paused_a_grant_is_refused(ledger: Any, name: str) -> None:
    capped(ledger, LimitSpec("total", None, 10, WhenFull.CLOSE))
    ledger.decide([a_single("a", 4), a_held("held", 2, due_ms=5)])
    assert outcome(ledger, SetState(name, "paused")) is APPLIED
    (denied,) = ledger.decide([a_single("b", 100)])
    assert (denied.reason, denied.account, denied.entry != "") == (Reason.PAUSED, name, True)
    assert ledger.decide([a_reversal("r", "a")])[0].outcome is Outcome.REVERSED
    assert [decision.outcome for _, decision in ledger.mature(5)] == [Outcome.COMMITTED]
    assert [account.state for account in ledger.snapshot()] == (
        ["paused", "open"] if name == "tenant" else ["open", "paused"]
    )
    assert outcome(ledger, SetState(name, "open")) is APPLIED
    assert amounts(ledger.decide([a_single("b", 100), a_single("c", 3)])) == [Reason.PAUSED, 3]


def test_a_paused_offer_is_passed_over(ledger: Any) -> None:
    ledger.define([an_account("tenant"), an_account(C1), an_account("campaign/c2")])
    operate(ledger, SetState(C1, "paused"))
    offers = (a_grant("x", 5),), (a_grant("y", 3, campaign="c2"),)
    assert ledger.decide([a_proposal(*offers)])[0].offer == 1


def test_closed_is_closed_until_it_is_resumed(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10))
    assert outcome(ledger, SetState(C1, "closed")) is APPLIED
    assert amounts(ledger.decide([a_single("a", 1)])) == [Reason.CLOSED]
    assert outcome(ledger, SetCap(C1, "total", "amount", 100, "raise")) is APPLIED
    assert amounts(ledger.decide([a_single("b", 1)])) == [Reason.CLOSED]
    assert outcome(ledger, SetState(C1, "open")) is APPLIED
    assert amounts(ledger.decide([a_single("c", 1)])) == [1]


def test_resume_ends_a_pause_and_then_opens_what_was_full(ledger: Any) -> None:
    today, tomorrow = (("day", 0),), (("day", DAY_MS),)
    capped(ledger, LimitSpec("total", None, 20, WhenFull.CLOSE), LimitSpec("day", None, 10, WhenFull.CLOSE))
    ledger.decide([a_single("a", 8, slices=today), a_single("b", 3, slices=today), a_single("c", 8, slices=tomorrow)])
    ledger.decide([a_single("d", 5, slices=(("day", 2 * DAY_MS),))])
    operate(ledger, SetState(C1, "paused"))
    operate(ledger, SetState(C1, "open"))
    assert ledger.snapshot()[1].state == "closed"
    operate(ledger, SetState(C1, "open"))
    assert amounts(ledger.decide([a_single("e", 2, slices=today), a_single("f", 2, slices=tomorrow)])) == [2, 2]
    assert total(ledger) == (4, 20)


def test_a_move_lowers_one_cap_and_raises_another_by_the_same(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10))
    ledger.define([an_account("campaign/c2", LimitSpec("total", None, 5))])
    ledger.decide([a_single("a", 4)])
    assert operate(ledger, Move(C1, "campaign/c2", 7)).outcome is OperationOutcome.NOT_LEFT
    assert operate(ledger, Move(C1, "campaign/c2", 6)) == OperationAnswer(APPLIED, (2, 2))
    assert (cap(ledger), cap(ledger, "campaign/c2")) == (4, 11)
    assert amounts(ledger.decide([a_single("b", 1), a_single("c", 11, campaign="c2")])) == [Reason.AMOUNT, 11]


def test_a_move_that_cannot_be_moves_nothing(ledger: Any) -> None:
    ledger.define(
        [
            an_account("tenant", LimitSpec("total", None, CAP_LIMIT)),
            an_account(C1, LimitSpec("total", None, 10)),
            an_account("campaign/c2", LimitSpec("total", 10)),
            an_account("campaign/usd", LimitSpec("total", None, 10), unit="USD"),
        ]
    )
    assert outcome(ledger, Move(C1, "campaign/c2", 1)) is OperationOutcome.NO_SUCH_LIMIT
    assert outcome(ledger, Move(C1, "campaign/usd", 1)) is OperationOutcome.UNITS_DIFFER
    assert outcome(ledger, Move(C1, "tenant", 1)) is OperationOutcome.NOT_LEFT
    assert [account.version for account in ledger.snapshot()] == [1, 1, 1, 1]
    with pytest.raises(ValueError, match="itself"):
        operate(ledger, Move(C1, C1, 1))


def test_an_account_without_a_unit_caps_no_amounts(ledger: Any) -> None:
    ledger.define([an_account("tenant", unit="")])
    assert outcome(ledger, SetCap("tenant", "total", "amount", 5)) is OperationOutcome.UNITS_DIFFER
    assert outcome(ledger, SetCap("tenant", "total", "grants", 5)) is APPLIED


def test_while_the_root_is_frozen_nothing_is_decided_and_nothing_refused(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10))
    ledger.decide([a_single("a", 4), a_held("held", 2, due_ms=5)])
    assert outcome(ledger, Freeze(True), "stop", why="double grants reported") is APPLIED
    assert ledger.frozen() == "double grants reported"
    for call in (lambda: ledger.decide([a_single("a", 4), a_single("b", 1)]), lambda: ledger.mature(5)):
        with pytest.raises(LedgerUnavailableError, match="unfrozen"):
            call()
    assert outcome(ledger, SetCap(C1, "total", "amount", 7)) is APPLIED
    assert outcome(ledger, Freeze(False), "go") is APPLIED
    assert operate(ledger, Freeze(True), "stop").repeated and ledger.frozen() is None
    assert amounts(ledger.decide([a_single("a", 4), a_single("b", 1)])) == [4, 1]
    assert [decision.outcome for _, decision in ledger.mature(5)] == [Outcome.COMMITTED]


def test_an_operation_says_who_and_why(ledger: Any) -> None:
    for wrong in ({"who": " "}, {"why": ""}):
        with pytest.raises(ValueError, match="who and why"):
            operate(ledger, Freeze(True), "op", **wrong)
    with pytest.raises(ValueError, match="1 to 128 bytes"):
        ledger.operate(Operation("", Freeze(True), "ann", "because"))


def test_the_audit_has_every_change_with_what_it_was_before(ledger: Any) -> None:
    ledger.define([an_account("tenant")], who="ann", why="spring")
    ledger.define([an_account(C1, LimitSpec("total", None, 10))], who="ann", why="spring")
    ledger.define([an_account(C1, LimitSpec("total", None, 10))], who="ann", why="spring")
    ledger.decide([a_single("a", 4, at_ms=7)])
    operate(ledger, SetCap(C1, "total", "amount", 12, "raise"), "op1", who="bob", why="it sells")
    operate(ledger, SetCap(C1, "total", "amount", 12, "raise"), "op1")
    operate(ledger, SetCap(C1, "total", "amount", 12, "raise"), "op2")
    operate(ledger, SetState(C1, "paused"), "op3")
    operate(ledger, Freeze(True), "op4")
    entries = list(ledger.audit())
    assert [(entry.what, entry.account, entry.version) for entry in entries] == [
        ("freeze", "", 0),
        ("pause", C1, 3),
        ("raise", C1, 2),
        ("define", C1, 1),
        ("define", "tenant", 1),
    ]
    raised, defined = entries[2], entries[3]
    assert (raised.operation_id, raised.who, raised.why) == ("op1", "bob", "it sells")
    assert raised.old is not None and raised.new is not None and entries[1].new is not None
    assert (raised.old.spec, raised.old.state) == (an_account(C1, LimitSpec("total", None, 10)), "open")
    assert raised.new.spec == an_account(C1, LimitSpec("total", None, 12))
    assert entries[1].new.state == "paused"
    assert (defined.old, defined.who, defined.why, defined.after) == (None, "ann", "spring", b"")
    assert raised.after == a_single("a", 4, at_ms=7).key.packed()


def test_the_audit_is_longer_than_a_page(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 0))
    for number in range(1, 251):
        operate(ledger, SetCap(C1, "total", "amount", number))
    assert [entry.new.spec.limits[0].amount for entry in ledger.audit() if entry.what == "set"] == list(
        range(250, 0, -1)
    )


def test_a_definition_of_what_has_changed_since_is_refused_whole(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10))
    operate(ledger, SetCap(C1, "total", "amount", 12))
    specs = [an_account("tenant", LimitSpec("total", 1)), an_account(C1, LimitSpec("total", None, 20))]
    before = ledger.snapshot()
    for expected in ([("tenant", 1), (C1, 1)], [(C1, 0)], [("campaign/no", 1)]):
        with pytest.raises(VersionConflictError):
            ledger.define(specs, "ann", "spring", expected)
    assert ledger.snapshot() == before
    assert ledger.define(specs, "ann", "spring", [("tenant", 1), (C1, 2), ("campaign/no", 0)]) == 2


def test_a_definition_keeps_a_pause(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10))
    operate(ledger, SetState(C1, "paused"))
    capped(ledger, LimitSpec("total", None, 20))
    assert amounts(ledger.decide([a_single("a", 1)])) == [Reason.PAUSED]


def test_what_is_held_is_told_apart(ledger: Any) -> None:
    ledger.define([an_account("tenant"), an_account(C1)])
    ledger.decide([a_single("a", 4), a_held("b", 5, 10, cost=2), a_held("c", 7, 20, "release"), a_held("d", 3, 30)])

    def held() -> list[tuple[int, int]]:
        return [(account.uses[0].held, account.uses[0].amount) for account in ledger.snapshot()]

    assert held() == [(2 + 7 + 3, 4 + 2 + 7 + 3), (15, 19)]
    ledger.decide([a_reversal("r", "b", "d", amount=6)])
    assert held() == [(7 + 2, 4 + 7 + 2), (9, 13)]
    ledger.mature(20)
    assert held() == [(2, 6), (2, 6)]
    ledger.mature(30)
    assert held() == [(0, 6), (0, 6)]


EVEN = Pace("even", 0, 1_000)


def paced(ledger: Any, pace: Pace, amount: int = 100, when_full: WhenFull = WhenFull.SKIP) -> None:
    capped(ledger, LimitSpec("total", None, amount, when_full, pace=pace))


def test_a_pace_lets_go_of_a_cap_evenly(ledger: Any) -> None:
    paced(ledger, EVEN)
    batch = [a_single("a", 50, at_ms=499), a_single("b", 50, at_ms=500), a_single("c", 1, at_ms=509)]
    denied, granted, also = ledger.decide(batch)
    assert (denied.reason, denied.account, denied.period) == (Reason.PACED, C1, "total")
    assert (denied.use, denied.cap) == (0, 49)
    assert (granted.amounts, also.reason, also.use, also.cap) == ((50,), Reason.PACED, 50, 50)
    assert amounts(ledger.decide([a_single("d", 50, at_ms=1_000), a_single("e", 1, at_ms=2_000)])) == [
        50,
        Reason.AMOUNT,
    ]


def test_event_time_alone_moves_a_pace(ledger: Any) -> None:
    paced(ledger, EVEN)
    assert amounts(ledger.decide([a_single("a", 1, at_ms=5_000), a_single("b", 10, at_ms=50)])) == [1, Reason.PACED]


def test_a_head_start_is_there_from_the_first_moment_on_and_never_above_the_cap(ledger: Any) -> None:
    paced(ledger, Pace("even", 0, 1_000, head_start=30))
    batch = [a_single("a", 31, at_ms=-5), a_single("b", 30, at_ms=-5), a_single("c", 71, at_ms=999)]
    assert amounts(ledger.decide(batch)) == [Reason.PACED, 30, Reason.AMOUNT]
    assert amounts(ledger.decide([a_single("d", 70, at_ms=800)])) == [70]


def test_a_pace_closes_nothing_and_cuts_nothing(ledger: Any) -> None:
    paced(ledger, EVEN, when_full=WhenFull.CLOSE)
    assert amounts(ledger.decide([a_single("a", 50, at_ms=10), a_single("b", 1, at_ms=10)])) == [Reason.PACED, 1]
    paced(ledger, EVEN, when_full=WhenFull.CUT)
    batch = [a_single("c", 50, at_ms=10), a_single("d", 500, at_ms=1_000)]
    assert amounts(ledger.decide(batch)) == [Reason.PACED, 99]


def test_weights_let_go_of_more_first(ledger: Any) -> None:
    paced(ledger, Pace("front-loaded", 0, 1_000, weights=(4, 3, 2, 1)))
    asked = [(125, 21), (125, 20), (249, 20), (250, 20), (500, 30), (624, 10), (625, 10), (875, 16), (875, 15)]
    batch = [a_single(f"{i}", amount, at_ms=at_ms) for i, (at_ms, amount) in enumerate(asked)]
    expected = [Reason.PACED, 20, Reason.PACED, 20, 30, Reason.PACED, 10, Reason.PACED, 15]
    assert amounts(ledger.decide(batch)) == expected


HOUR_MS = 3_600_000
NIGHT = (*(0 for _ in range(12)), *(1 for _ in range(12)))
"""Half a day of nothing, then an equal share an hour."""


def test_a_curve_follows_the_hours_of_local_days(ledger: Any) -> None:
    two_days = Pace("curve", -HOUR_MS, -HOUR_MS + 2 * DAY_MS, 0, NIGHT, ((-HOUR_MS, HOUR_MS),))
    paced(ledger, two_days, 240)
    hours = [(11, 1), (12, 10), (12, 1), (23, 110), (35, 1), (35.5, 5), (46, 105), (46, 1), (47, 10)]
    batch = [a_single(f"{i}", amount, at_ms=int(hour * HOUR_MS)) for i, (hour, amount) in enumerate(hours)]
    expected = [Reason.PACED, 10, Reason.PACED, 110, Reason.PACED, 5, 105, Reason.PACED, 10]
    assert amounts(ledger.decide(batch)) == expected


def test_a_repeated_hour_gives_nothing_twice(ledger: Any) -> None:
    paced(ledger, Pace("curve", 0, DAY_MS, 0, (1,) * 24, ((0, 0), (2 * HOUR_MS, -HOUR_MS))), 23)
    batch = [a_single(f"{i}", 1, at_ms=at * HOUR_MS) for i, at in enumerate([1, 2, 2, 3, 4])]
    assert amounts(ledger.decide(batch)) == [1, 1, Reason.PACED, Reason.PACED, 1]


def test_a_skipped_hour_gives_all_at_once(ledger: Any) -> None:
    paced(ledger, Pace("curve", 0, DAY_MS, 0, (1,) * 24, ((0, 0), (2 * HOUR_MS, HOUR_MS))), 25)
    asked = [(2 * HOUR_MS - 1, 1), (2 * HOUR_MS - 1, 1), (2 * HOUR_MS, 2), (2 * HOUR_MS, 1)]
    batch = [a_single(f"{i}", amount, at_ms=at_ms) for i, (at_ms, amount) in enumerate(asked)]
    assert amounts(ledger.decide(batch)) == [1, Reason.PACED, 2, Reason.PACED]


def test_a_pace_is_exact_at_the_greatest_cap(ledger: Any) -> None:
    paced(ledger, Pace("even", 0, 3), CAP_LIMIT)
    (denied,) = ledger.decide([a_single("a", 10**14 - 1, at_ms=0)])
    assert (denied.reason, denied.cap) == (Reason.PACED, 0)
    operate(ledger, SetPace(C1, Pace("even", 0, 10 * 366 * DAY_MS)))
    assert amounts(ledger.decide([a_single("b", 14_242, at_ms=1), a_single("c", 14_241, at_ms=1)])) == [
        Reason.PACED,
        14_241,
    ]


@pytest.mark.parametrize("days", [3660, 265, 266])
def test_a_pace_is_exact_where_its_numbers_are_greatest(ledger: Any, days: int) -> None:
    """Also on both sides of a whole of 2^36, from which on the script divides in smaller steps."""
    weights = (100, 100, 99) if days == 3660 else (1, 1, 1)
    span, late, last = days * DAY_MS, days * DAY_MS * 99 // 100 + 1, weights[2]
    paced(ledger, Pace("front-loaded", 0, span, weights=weights), CAP_LIMIT - 1)
    ledger.decide([a_single(f"{i}", 10**14 - 1, at_ms=span) for i in range(45)])
    (denied,) = ledger.decide([a_single("late", 1, at_ms=late)])
    passed, whole = 2 * weights[0] * span + last * (3 * late - 2 * span), sum(weights) * span
    assert (whole < 2**36) is (days == 265)
    assert (denied.reason, denied.use) == (Reason.PACED, 45 * (10**14 - 1))
    assert denied.cap == (CAP_LIMIT - 1) * passed // whole


def test_a_pace_is_set_and_taken_off_while_it_runs(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 100))
    assert outcome(ledger, SetPace(C1, EVEN)) is APPLIED
    assert amounts(ledger.decide([a_single("a", 50, at_ms=10)])) == [Reason.PACED]
    assert outcome(ledger, SetPace(C1, None)) is APPLIED
    assert amounts(ledger.decide([a_single("b", 50, at_ms=10)])) == [50]
    assert outcome(ledger, SetPace("tenant", EVEN)) is OperationOutcome.NO_SUCH_LIMIT


@pytest.mark.parametrize(
    "pace",
    [
        Pace("even", 5, 5),
        Pace("even", 0, 10**13),
        Pace("even", 0, 5, -1),
        Pace("even", 0, 5, CAP_LIMIT + 1),
        Pace("even", 0, 5, 2**70),
        Pace("even", 0, 5, weights=()),
        Pace("even", 0, 5, weights=(0, 0)),
        Pace("even", 0, 5, weights=(1, 101)),
        Pace("even", 0, 5, weights=(1, -1)),
        Pace("even", 0, 5, weights=(1,) * 25),
        Pace("even", 0, 10**12, weights=(100,)),
        Pace("curve", 0, 5, weights=(1,) * 23, offsets=((0, 0),)),
        Pace("curve", 0, 5, weights=NIGHT, offsets=((0, 0),)),
        Pace("curve", 0, 5, weights=(1,) * 24, offsets=((1, 0),)),
        Pace("curve", 0, 5, weights=(1,) * 24, offsets=((0, 0), (0, 0))),
        Pace("curve", 0, 5, weights=(1,) * 24, offsets=((0, DAY_MS + 1),)),
    ],
)
def test_a_pace_that_cannot_be_is_refused_by_every_door(ledger: Any, pace: Pace) -> None:
    capped(ledger, LimitSpec("total", None, 100))
    assert operate(ledger, SetPace(C1, pace)) == OperationAnswer(OperationOutcome.OUT_OF_RANGE)
    with pytest.raises(ValueError, match="no pace can be"):
        paced(ledger, pace)


def test_a_pace_goes_with_a_cap_on_the_total_amount(ledger: Any) -> None:
    for limit in (LimitSpec("day", None, 5, pace=EVEN), LimitSpec("total", 5, pace=EVEN)):
        with pytest.raises(ValueError, match="in total"):
            capped(ledger, limit)
