"""What every ledger owes for proposals and limits, one behaviour a test; the other files beside it have the rest."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.order_keys import OrderKey
from schemas.proposals import AMOUNT_LIMIT, CAP_LIMIT, Charge, GrantRequest, LimitSpec, Offer, Proposal, packed_route
from schemas.results import Outcome, Reason, WhenFull
from tests.support.ledgers import DAY_MS, TENANT, a_grant, a_proposal, a_single, amounts, an_account, capped
from transforms.budget.ports import BATCH_MAX


def test_a_replayed_grant_gets_its_first_answer_again(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10, WhenFull.CUT))
    first = ledger.decide([a_single("a", 8), a_single("b", 8), a_single("c", 8)])
    assert amounts(first) == [8, 2, Reason.AMOUNT]
    capped(ledger, LimitSpec("total", None, 1_000))
    again = ledger.decide([a_single("a", 8), a_single("b", 8), a_single("c", 8)])
    assert amounts(again) == [8, 2, Reason.AMOUNT]
    assert all(decision.repeated and not decision.conflicting for decision in again)
    assert amounts(ledger.decide([a_single("d", 8)])) == [8]


def test_other_content_under_a_known_id_is_told_and_the_first_stands(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_single("a", 8)])
    again = ledger.decide([a_single("a", 9), a_single("a", 8, "u2")])
    assert amounts(again) == [8, 8] and all(decision.conflicting for decision in again)


@pytest.mark.parametrize("cap", [0, 1, 10**14, CAP_LIMIT])
def test_the_cap_exactly_fits_and_one_more_does_not(ledger: Any, cap: int) -> None:
    capped(ledger, LimitSpec("total", None, cap))
    spent, number = 0, 0
    while cap - spent >= AMOUNT_LIMIT - 1:
        ledger.decide(
            [
                a_single(f"big{number + i}", AMOUNT_LIMIT - 1)
                for i in range(20)
                if cap - spent >= (i + 1) * (AMOUNT_LIMIT - 1)
            ]
        )
        spent, number = ledger.snapshot()[1].uses[0].amount, number + 20
    if cap > spent:
        assert amounts(ledger.decide([a_single("rest", cap - spent)])) == [cap - spent]
    assert amounts(ledger.decide([a_single("more", 1)])) == [Reason.AMOUNT]
    assert ledger.snapshot()[1].uses[0].amount == cap


@pytest.mark.parametrize("amount", [0, -1, 1.5, AMOUNT_LIMIT, 2**53 + 1, 2**63 - 1])
def test_an_amount_out_of_bounds_is_recorded_nowhere(ledger: Any, amount: Any) -> None:
    capped(ledger)
    decision = ledger.decide([a_single("a", amount)])[0]
    assert decision.reason is Reason.INVALID_AMOUNT and decision.entry == ""
    assert amounts(ledger.decide([a_single("a", 5)])) == [5]


def test_user_limits_count_what_was_approved(ledger: Any) -> None:
    limits = (LimitSpec("user", 2), LimitSpec("total", None, 12))
    capped(ledger, *limits)
    slices = (("user", 0),)
    batch = [a_single(f"{i}", amount, slices=slices) for i, amount in enumerate([13, 5, 5, 1])]
    assert amounts(ledger.decide(batch)) == [Reason.AMOUNT, 5, 5, Reason.USER_GRANTS]
    assert amounts(ledger.decide([a_single("other", 2, "u2", slices=slices)])) == [2]


def test_a_day_has_a_cap_of_its_own(ledger: Any) -> None:
    capped(ledger, LimitSpec("day", 1))
    today, tomorrow = (("day", 0),), (("day", DAY_MS),)
    batch = [a_single("a", 1, slices=today), a_single("b", 1, slices=today), a_single("c", 1, slices=tomorrow)]
    decisions = ledger.decide(batch)
    assert amounts(decisions) == [1, Reason.GRANTS, 1]
    assert (decisions[1].account, decisions[1].period, decisions[1].use, decisions[1].cap) == (
        "campaign/c1",
        "day",
        1,
        1,
    )


@pytest.mark.parametrize(
    ("period", "slices", "later"),
    [("total", (), [Reason.CLOSED, Reason.CLOSED]), ("day", (("day", 0),), [Reason.CLOSED, 1])],
)
def test_close_denies_whole_and_closes(ledger: Any, period: str, slices: tuple[Any, ...], later: list[Any]) -> None:
    capped(ledger, LimitSpec(period, None, 10, WhenFull.CLOSE))
    assert amounts(ledger.decide([a_single("a", 8, slices=slices), a_single("b", 3, slices=slices)])) == [
        8,
        Reason.AMOUNT,
    ]
    next_day = tuple((name, DAY_MS) for name, _ in slices)
    assert amounts(ledger.decide([a_single("c", 1, slices=slices), a_single("d", 1, slices=next_day)])) == later
    capped(ledger, LimitSpec(period, None, 10**6, WhenFull.CLOSE))
    assert amounts(ledger.decide([a_single("e", 1, slices=slices)])) == [Reason.CLOSED]


def test_a_full_parent_closes_nothing(ledger: Any) -> None:
    ledger.define(
        [
            an_account("tenant", LimitSpec("total", None, 5)),
            an_account("campaign/c1", LimitSpec("total", None, 5, WhenFull.CLOSE)),
        ]
    )
    assert amounts(ledger.decide([a_single("a", 6), a_single("b", 5)])) == [Reason.AMOUNT, 5]
    assert not ledger.snapshot()[1].uses[0].closed


def test_the_first_offer_that_fits_is_taken(ledger: Any) -> None:
    ledger.define(
        [
            an_account("tenant"),
            an_account("campaign/c1", LimitSpec("total", 1)),
            an_account("campaign/c2", LimitSpec("total", 1)),
        ]
    )
    offers = [((a_grant(f"{i}x", 5, campaign="c1"),), (a_grant(f"{i}y", 3, campaign="c2"),)) for i in range(3)]
    batch = [a_proposal(*offer, event=f"e{i}") for i, offer in enumerate(offers)]
    decisions = ledger.decide(batch)
    assert [decision.offer for decision in decisions] == [0, 1, None]
    assert decisions[2].reason is Reason.GRANTS and decisions[2].account == "campaign/c2"
    assert [decision.offer for decision in ledger.decide(batch)] == [0, 1, None]


def test_a_grant_that_is_made_ends_any_list_and_a_spent_refusal_is_passed_over(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 20))
    assert amounts(ledger.decide([a_single("small", 3), a_single("huge", 50)])) == [3, Reason.AMOUNT]
    capped(ledger, LimitSpec("total", None, 1_000))
    large, small, huge = a_grant("large", 9), a_grant("small", 3), a_grant("huge", 50)
    made, spent, several = ledger.decide([
        a_proposal((large,), (small,), event="e1"),
        a_proposal((huge,), (a_grant("other", 4),), event="e2"),
        a_proposal((a_grant("fresh", 5), small), event="e3"),
    ])  # fmt: skip
    assert (made.offer, made.amounts, made.repeated) == (1, (3,), True)
    assert (spent.offer, spent.amounts, spent.repeated) == (1, (4,), False)
    assert (several.amounts, several.repeated) == ((0, 3), True)
    assert ledger.snapshot()[1].uses[0].amount == 7


def test_an_offers_grants_stand_or_fall_together(ledger: Any) -> None:
    ledger.define(
        [
            an_account("tenant"),
            an_account("campaign/c1"),
            an_account("campaign/c2", LimitSpec("total", None, 4, WhenFull.CUT)),
        ]
    )
    both = a_proposal((a_grant("a", 9, campaign="c1"), a_grant("b", 5, "u2", campaign="c2")))
    assert ledger.decide([both])[0].reason is Reason.AMOUNT
    assert [account.uses[0].grants for account in ledger.snapshot()] == [0, 0, 0]
    fits = a_proposal((a_grant("c", 9, campaign="c1"), a_grant("d", 4, "u2", campaign="c2")))
    assert ledger.decide([fits])[0].amounts == (9, 4)
    assert [account.uses[0].amount for account in ledger.snapshot()] == [13, 9, 4]


def test_a_cost_is_charged_in_the_accounts_own_unit(ledger: Any) -> None:
    ledger.define([an_account("tenant", LimitSpec("total", None, 20)), an_account("campaign/c1")])
    batch = [a_single(name, 1_000, cost=12) for name in "ab"]
    assert amounts(ledger.decide(batch)) == [1_000, Reason.AMOUNT]
    assert [account.uses[0].amount for account in ledger.snapshot()] == [12, 1_000]


def test_an_account_that_is_not_there_refuses(ledger: Any) -> None:
    assert ledger.decide([a_single("a", 1)])[0].reason is Reason.ACCOUNT_UNKNOWN
    capped(ledger)
    assert ledger.decide([a_single("a", 1)])[0].reason is Reason.ACCOUNT_UNKNOWN


def test_what_is_not_unmarked_can_be_published_again_as_it_was(ledger: Any) -> None:
    capped(ledger)
    batch = [a_single("a", 1), a_single("b", 2)]
    entry = ledger.decide(batch)[0].entry
    assert [found.entry for found in ledger.unpublished(10)] == [entry]
    assert ledger.entry(entry).requests == batch
    assert ledger.decide(batch[:1])[0].unpublished
    ledger.unmark([entry])
    ledger.unmark([entry])
    assert ledger.unpublished(10) == [] and not ledger.decide(batch[:1])[0].unpublished
    assert ledger.entry(entry).requests == batch


def test_a_batch_is_bounded_and_of_one_root(ledger: Any) -> None:
    with pytest.raises(ValueError, match="at most 250"):
        ledger.decide([a_single(str(i), 1) for i in range(BATCH_MAX + 1)])
    other = Proposal("elsewhere", OrderKey(0, 2, "e", "u", 1, "c"), (Offer((a_grant("a", 1),)),))
    with pytest.raises(ValueError, match="elsewhere"):
        ledger.decide([other])


def test_an_offer_has_each_grant_once(ledger: Any) -> None:
    with pytest.raises(ValueError, match="twice"):
        ledger.decide([a_proposal((a_grant("a", 1), a_grant("b", 1), a_grant("a", 2)))])


def test_a_users_limit_closes_nothing(ledger: Any) -> None:
    with pytest.raises(ValueError, match="closes nothing"):
        capped(ledger, LimitSpec("user", 1, None, WhenFull.CLOSE))


def test_user_ids_are_data(ledger: Any) -> None:
    capped(ledger, LimitSpec("user", 1))
    users = ["a:b", "a", "a:", "{x}", "\x00", "é" * 60]
    batch = [
        Proposal(TENANT, OrderKey(0, 2, user, user, 1, "c1"), (Offer((GrantRequest(
            bytes([i]) * 16, "", "c1", "v", user, 1, "points", packed_route((Charge("tenant"), Charge("campaign/c1", (("user", 0),))))),)),))
        for i, user in enumerate(users)
    ]  # fmt: skip
    assert all(decision.outcome is Outcome.GRANTED for decision in ledger.decide(batch))
