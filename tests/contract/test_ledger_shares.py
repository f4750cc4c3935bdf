"""Split funding: one grant paid by two accounts in a stated proportion, whole or not at all, and given back so."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.grant_operations import Commit, TakeBack
from schemas.proposals import AMOUNT_LIMIT, Charge, Hold, LimitSpec, Pace, Proposal, packed_route
from schemas.results import GrantOutcome, Outcome, Reason, WhenFull
from tests.support.ledgers import (
    a_grant,
    a_grant_operation,
    a_proposal,
    a_reversal,
    amounts,
    an_account,
    the_occurrence,
    total,
)

X, Y, C1 = "partner/x", "partner/y", "campaign/c1"
SLICES = (("user", 0), ("day", 0))


def funded(ledger: Any, *of_x: LimitSpec, of_y: tuple[LimitSpec, ...] = ()) -> None:
    ledger.define([an_account("tenant"), an_account(X, *of_x), an_account(Y, *of_y), an_account(C1)])


def a_shared(
    occurrence: str, amount: int, share: tuple[int, int] = (2, 5), hold: Hold | None = None, **more: Any
) -> Proposal:
    """x pays its share and the odd units, y the rest; c1 and the tenant count it whole."""
    x, y = share
    first, second = Charge(X, SLICES, None, share, True), Charge(Y, SLICES, None, (y - x, y))
    route = packed_route((Charge("tenant"), first, second, Charge(C1)))
    grant = a_grant(occurrence, amount, **more)
    return a_proposal((type(grant)(*(getattr(grant, name) for name in grant.__struct_fields__[:7]), route),), hold=hold)


def paid(ledger: Any) -> list[int]:
    """By x, by y, by both as c1 counts it."""
    assert total(ledger) == total(ledger, "tenant")
    return [total(ledger, name)[1] for name in (X, Y, C1)]


@pytest.mark.parametrize(
    ("amount", "share", "parts"),
    [
        (10, (2, 5), [4, 6]),
        (1, (2, 5), [1, 0]),
        (99, (1, 3), [33, 66]),
        (100, (1, 3), [34, 66]),
        (7, (999_999, 1_000_000), [7, 0]),
        (AMOUNT_LIMIT - 1, (1, 3), [33333333333333, 66666666666666]),
        (AMOUNT_LIMIT - 1, (1, 10**6), [10**8, 10**14 - 1 - 10**8]),
    ],
)
def test_the_parts_add_up_and_the_odd_units_go_to_the_first(
    ledger: Any, amount: int, share: tuple[int, int], parts: list[int]
) -> None:
    funded(ledger)
    ledger.decide([a_shared("a", amount, share)])
    assert paid(ledger) == [*parts, amount]


def test_a_grant_fits_only_if_every_part_fits(ledger: Any) -> None:
    funded(ledger, LimitSpec("total", None, 8), of_y=(LimitSpec("total", None, 11),))
    decisions = ledger.decide([a_shared("a", 10), a_shared("b", 10), a_shared("c", 9), a_shared("d", 8)])
    assert amounts(decisions) == [10, Reason.AMOUNT, 9, Reason.AMOUNT]
    assert [(one.account, one.use, one.cap) for one in decisions[1::2]] == [(Y, 6, 11), (X, 8, 8)]
    assert paid(ledger) == [8, 11, 19]
    assert amounts(ledger.decide([a_shared("e", 1)])) == [Reason.AMOUNT]


def test_a_part_of_nothing_needs_no_room_but_counts_as_a_grant(ledger: Any) -> None:
    funded(ledger, of_y=(LimitSpec("total", 2, 0),))
    assert amounts(ledger.decide([a_shared("a", 1), a_shared("b", 2), a_shared("c", 1), a_shared("d", 1)])) == [
        1, Reason.AMOUNT, 1, Reason.GRANTS,
    ]  # fmt: skip


def test_a_users_limit_and_a_pace_of_a_payer_see_its_part(ledger: Any) -> None:
    paced = LimitSpec("total", None, 100, pace=Pace("even", 0, 100, 6))
    funded(ledger, LimitSpec("user", None, 4), of_y=(paced,))
    decisions = ledger.decide([a_shared("a", 10), a_shared("b", 1), a_shared("c", 5, user="u2")])
    assert amounts(decisions) == [10, Reason.USER_AMOUNT, Reason.PACED]


def test_a_payer_neither_cuts_nor_is_cut_alone(ledger: Any) -> None:
    funded(ledger, LimitSpec("total", None, 3, WhenFull.CUT))
    assert amounts(ledger.decide([a_shared("a", 10)])) == [Reason.AMOUNT]
    ledger.define([an_account(C1, LimitSpec("total", None, 6, WhenFull.CUT))])
    assert amounts(ledger.decide([a_shared("b", 10)])) == [6]
    assert paid(ledger) == [3, 3, 6]


def test_a_payer_can_close(ledger: Any) -> None:
    funded(ledger, LimitSpec("total", None, 5, WhenFull.CLOSE))
    assert amounts(ledger.decide([a_shared("a", 10), a_shared("b", 10), a_shared("c", 1)])) == [
        10,
        Reason.AMOUNT,
        Reason.CLOSED,
    ]


@pytest.mark.parametrize("steps", [[1] * 10, [3, 3, 3, 1], [9, 1], [10], [1, 8]])
def test_reversals_give_back_to_both_in_proportion_and_never_more_than_was_charged(
    ledger: Any, steps: list[int]
) -> None:
    funded(ledger)
    ledger.decide([a_shared("other", 10), a_shared("a", 10)])
    left = 10
    for number, step in enumerate(steps):
        ledger.decide([a_reversal(f"r{number}", "a", amount=step)])
        left -= step
        y = left * 3 // 5
        assert paid(ledger) == [4 + left - y, 6 + y, 10 + left]
    assert total(ledger, X)[0] == total(ledger, Y)[0] == (1 if left == 0 else 2)


def test_what_is_taken_and_not_given_back_stays_charged_in_proportion(ledger: Any) -> None:
    funded(ledger)
    ledger.decide([a_shared("a", 10)])
    for number, (step, gives, counted) in enumerate(
        [(1, (), 10), (3, ("budget",), 7), (2, ("limits",), 7), (4, ("budget",), 3)]
    ):
        ledger.decide([a_reversal(f"r{number}", "a", amount=step, gives_back=gives)])
        assert paid(ledger) == [counted - counted * 3 // 5, counted * 3 // 5, counted]


def test_a_hold_is_shared_and_a_commit_of_less_gives_back_to_both(ledger: Any) -> None:
    funded(ledger)
    ledger.decide([a_shared("a", 10, hold=Hold(50))])
    assert [account.uses[0].held for account in ledger.snapshot()] == [10, 4, 6, 10]
    ledger.decide([a_reversal("r", "a", amount=1)])
    assert [account.uses[0].held for account in ledger.snapshot()] == [9, 4, 5, 9]
    answer = ledger.change_grant(a_grant_operation(Commit(the_occurrence("a"), 6)))
    assert (answer.outcome, answer.became) == (GrantOutcome.APPLIED, Outcome.COMMITTED)
    assert [account.uses[0].held for account in ledger.snapshot()] == [0, 0, 0, 0]
    assert paid(ledger) == [3, 3, 6]
    ledger.change_grant(a_grant_operation(TakeBack(the_occurrence("a"), user="u1")))
    assert paid(ledger) == [0, 0, 0]


def test_an_offer_that_does_not_fit_whole_charges_nobody(ledger: Any) -> None:
    funded(ledger, LimitSpec("total", None, 6))
    pair = a_proposal((*a_shared("a", 9).offers[0].grants, *a_shared("b", 10).offers[0].grants))
    assert amounts(ledger.decide([pair])) == [Reason.AMOUNT]
    assert paid(ledger) == [0, 0, 0]


@pytest.mark.parametrize("share", [(0, 5), (5, 5), (6, 5), (-1, 5), (1, AMOUNT_LIMIT)])
def test_a_share_that_is_none_is_refused(ledger: Any, share: tuple[int, int]) -> None:
    funded(ledger)
    with pytest.raises(ValueError, match="a share is"):
        ledger.decide([a_shared("a", 10, share)])


def test_partners_stand_between_themes_and_campaigns(ledger: Any) -> None:
    funded(ledger)
    ledger.define([an_account("theme/z")])
    assert [account.name for account in ledger.snapshot()] == ["tenant", "theme/z", X, Y, C1]
