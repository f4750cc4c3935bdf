"""Reversals: by share or by amount, what they give back, and those that come before their grants."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec
import pytest

from schemas.proposals import AMOUNT_LIMIT, CAP_LIMIT, Hold, LimitSpec
from schemas.results import Outcome, Reason, WhenFull
from tests.support.ledgers import (
    DAY_MS,
    a_grant,
    a_held,
    a_proposal,
    a_reversal,
    a_single,
    amounts,
    an_account,
    capped,
    total,
)

GREATEST = AMOUNT_LIMIT - 1
USER = (("user", 0), ("day", DAY_MS))
OUT_OF_RANGE = [(0, 1), (2, 1), (-1, 1), (1, AMOUNT_LIMIT)]


def took(decision: Any) -> tuple[Outcome, tuple[int, ...]]:
    return decision.outcome, decision.amounts


def test_a_whole_reversal_gives_everything_back_once(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", 1), LimitSpec("user", 1), LimitSpec("day", 1))
    grant, reversal = a_single("a", 7, slices=USER), a_reversal("r", "a")
    first = ledger.decide([grant, reversal])
    assert took(first[1]) == (Outcome.REVERSED, (7,)) and first[1].entry == first[0].entry
    again = ledger.decide([grant, reversal])
    assert amounts(again) == [7, 7] and all(one.repeated and one.unpublished and not one.conflicting for one in again)
    assert took(ledger.decide([a_reversal("other", "a")])[0]) == (Outcome.UNCHANGED, (0,))
    assert [account.uses[0].amount for account in ledger.snapshot()] == [0, 0]
    assert len(ledger.snapshot()[1].uses) == 1
    assert amounts(ledger.decide([a_single("b", 9, slices=USER)])) == [9]


def test_a_grant_made_earlier_in_the_batch_is_reversed_later_in_it(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10))
    batch = [
        a_single("a", 10),
        a_single("b", 1),
        a_reversal("r", "a", "b"),
        a_single("c", 10),
        a_reversal("s", "c", amount=3),
    ]
    decisions = ledger.decide(batch)
    assert [took(decision) for decision in decisions] == [
        (Outcome.GRANTED, (10,)),
        (Outcome.DENIED, ()),
        (Outcome.REVERSED, (10, 0)),
        (Outcome.GRANTED, (10,)),
        (Outcome.REVERSED, (3,)),
    ]
    assert total(ledger) == (1, 7)


def test_a_share_is_what_is_taken_in_all(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_single("a", 10)])
    shares = [(1, 3), (1, 3), (1, 4), (1, 2), (99, 100), (1, 1), (1, 1)]
    found = [ledger.decide([a_reversal(f"r{i}", "a", share=share)])[0] for i, share in enumerate(shares)]
    assert [decision.amounts[0] for decision in found] == [3, 0, 0, 2, 4, 1, 0]
    assert [decision.outcome is Outcome.REVERSED for decision in found] == [True, False, False, True, True, True, False]
    assert total(ledger) == (0, 0)


def test_a_share_is_of_what_was_granted_not_of_what_was_asked(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10, WhenFull.CUT))
    ledger.decide([a_single("a", 100)])
    assert took(ledger.decide([a_reversal("r", "a", share=(1, 2))])[0]) == (Outcome.REVERSED, (5,))
    assert amounts(ledger.decide([a_single("a", 100), a_single("b", 100)])) == [10, 5]


@pytest.mark.parametrize("amount", [1, 2, 31, 32, 33, 2**46 - 1, 2**46, 10**13 + 7, GREATEST - 1, GREATEST])
def test_shares_are_exact_at_the_edges(ledger: Any, amount: int) -> None:
    capped(ledger)
    edges = [1, 2, 3, 31, 32, 2**24 - 1, 2**24, 2**46 + 1, 7 * 10**13 + 3, GREATEST - 2, GREATEST - 1, GREATEST]
    shares = sorted({(x, y) for x in edges for y in edges if x <= y}, key=lambda share: Fraction(*share))
    ledger.decide([a_single("a", amount)])
    batch = [a_reversal(f"r{i}", "a", share=share) for i, share in enumerate(shares)]
    taken = 0
    for (x, y), decision in zip(shares, ledger.decide(batch), strict=True):
        taken += decision.amounts[0]
        assert taken == amount * x // y
    assert taken == amount and total(ledger) == (0, 0)


def test_an_amount_is_taken_in_order_each_at_most_what_stands(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 20))
    ledger.decide([a_single("a", 5), a_held("held", 4, 90), a_single("b", 6), a_single("denied", 9)])
    ledger.decide([a_reversal("r1", "a", share=(1, 2))])
    named = ("a", "unknown", "held", "denied", "b")
    assert took(ledger.decide([a_reversal("r2", *named, amount=9)])[0]) == (Outcome.REVERSED, (3, 0, 0, 0, 2))
    assert total(ledger) == (1, 4)
    assert took(ledger.decide([a_reversal("r3", *named, amount=CAP_LIMIT)])[0]) == (Outcome.REVERSED, (0, 0, 0, 0, 4))
    assert took(ledger.decide([a_reversal("r4", *named, amount=1)])[0]) == (Outcome.UNCHANGED, (0, 0, 0, 0, 0))
    assert total(ledger) == (0, 0)
    assert amounts(ledger.decide([a_single("unknown", 5)])) == [5]


def test_the_least_and_the_greatest_amount_are_taken_back(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_single("a", GREATEST), a_single("b", 1)])
    assert took(ledger.decide([a_reversal("r", "a", amount=GREATEST - 1)])[0]) == (Outcome.REVERSED, (GREATEST - 1,))
    assert total(ledger) == (2, 2)
    assert took(ledger.decide([a_reversal("s", "a", "b", amount=2)])[0]) == (Outcome.REVERSED, (1, 1))
    assert total(ledger) == (0, 0)


@pytest.mark.parametrize(
    ("gives_back", "later"),
    [
        (("budget", "limits", "lock"), [5, 5]),
        (("budget",), [Reason.USER_AMOUNT, 5]),
        (("limits",), [Reason.AMOUNT, Reason.AMOUNT]),
        ((), [Reason.USER_AMOUNT, Reason.AMOUNT]),
    ],
)
def test_only_what_is_named_is_given_back(ledger: Any, gives_back: Any, later: list[Any]) -> None:
    capped(ledger, LimitSpec("total", None, 9), LimitSpec("user", None, 9))
    ledger.decide([a_single("a", 9, slices=USER)])
    assert took(ledger.decide([a_reversal("r", "a", share=(8, 9), gives_back=gives_back)])[0])[1] == (8,)
    batch = [
        a_single("same user", 5, slices=USER),
        a_reversal("s", "same user"),
        a_single("other", 5, "u2", slices=USER),
    ]
    first, _, other = ledger.decide(batch)
    assert amounts([first, other]) == later


def test_a_grant_counts_until_it_is_wholly_reversed(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", 1), LimitSpec("user", 1))
    ledger.decide([a_single("a", 9, slices=USER), a_reversal("r", "a", share=(8, 9))])
    assert amounts(ledger.decide([a_single("b", 1, slices=USER)])) == [Reason.USER_GRANTS]
    assert amounts(ledger.decide([a_single("c", 1, "u2", slices=USER)])) == [Reason.GRANTS]
    ledger.decide([a_reversal("s", "a")])
    assert amounts(ledger.decide([a_single("d", 1, slices=USER)])) == [1]


def test_a_fixed_cost_goes_back_with_the_last_of_its_grant(ledger: Any) -> None:
    ledger.define([an_account("tenant", LimitSpec("total", None, 12)), an_account("campaign/c1")])
    ledger.decide([a_single("a", 1_000, cost=12)])
    ledger.decide([a_reversal("r", "a", share=(999, 1_000))])
    assert [account.uses[0].amount for account in ledger.snapshot()] == [12, 1]
    ledger.decide([a_reversal("s", "a", amount=5)])
    assert [(account.uses[0].grants, account.uses[0].amount) for account in ledger.snapshot()] == [(0, 0), (0, 0)]


def test_a_reversal_refills_but_opens_nothing(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 5, WhenFull.CLOSE))
    decisions = ledger.decide([a_single("a", 5), a_single("b", 1), a_reversal("r", "a"), a_single("c", 1)])
    assert decisions[3].reason is Reason.CLOSED and total(ledger) == (0, 0)


def test_the_grants_of_a_list_are_reversed_one_by_one(ledger: Any) -> None:
    capped(ledger, LimitSpec("user", None, 9))
    slices = (("user", 0),)
    several = a_proposal((a_grant("a", 4, slices=slices), a_grant("b", 5, "u2", slices=slices)))
    whole = a_proposal((a_grant("big", 99, slices=slices),), several.offers[0].grants, event="e")
    ledger.decide([whole])
    assert took(ledger.decide([a_reversal("r", "b", "big", "a", share=(1, 2))])[0]) == (Outcome.REVERSED, (2, 0, 2))
    assert total(ledger) == (2, 5)
    again = ledger.decide([whole])[0]
    assert (again.offer, again.amounts) == (1, (4, 5))
    assert amounts(ledger.decide([a_single("c", 8, "u2", slices=slices)])) == [Reason.USER_AMOUNT]
    assert amounts(ledger.decide([a_single("d", 6, "u2", slices=slices)])) == [6]


def test_counters_of_an_old_slice_are_found_again(ledger: Any) -> None:
    capped(ledger, LimitSpec("day", 1))
    ledger.decide([a_single("a", 1, slices=(("day", 0), ("user/day", 0)))])
    ledger.decide([a_single("b", 1, slices=(("day", DAY_MS), ("user/day", DAY_MS))), a_reversal("r", "a")])
    assert [(use.period, use.start_ms, use.grants) for use in ledger.snapshot()[1].uses] == [
        ("total", 0, 1),
        ("day", DAY_MS, 1),
    ]


def test_of_a_denied_grant_nothing_is_taken_and_nothing_waits(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", 0))
    unknown = a_single("x", 1, campaign="gone")
    assert amounts(ledger.decide([a_single("a", 1), unknown])) == [Reason.GRANTS, Reason.ACCOUNT_UNKNOWN]
    reversals = [a_reversal("r", "a"), a_reversal("s", "x", campaign="gone"), a_reversal("t")]
    assert [took(one) for one in ledger.decide(reversals)] == [
        (Outcome.UNCHANGED, (0,)),
        (Outcome.UNCHANGED, (0,)),
        (Outcome.UNCHANGED, ()),
    ]
    assert amounts(ledger.decide([a_single("a", 1), unknown])) == [Reason.GRANTS, Reason.ACCOUNT_UNKNOWN]


def test_a_reversal_that_takes_nothing_is_recorded_and_logged(ledger: Any) -> None:
    capped(ledger)
    reversal = a_reversal("r", "a", amount=5)
    first = ledger.decide([reversal])[0]
    assert first.entry and first.unpublished and not first.repeated
    assert ledger.entry(first.entry).requests == [reversal]
    ledger.decide([a_single("a", 5)])
    again = ledger.decide([reversal])[0]
    assert took(again) == (Outcome.UNCHANGED, (0,)) and again.repeated and again.entry == first.entry
    assert total(ledger) == (1, 5)


@pytest.mark.parametrize(
    "other",
    [
        {"share": (1, 2)},
        {"amount": 3, "share": None},
        {"gives_back": ("budget",)},
        {"event_time_ms": 1},
        {"occurrences": ()},
    ],
)
def test_other_content_of_a_known_reversal_is_told_and_the_first_stands(ledger: Any, other: dict[str, Any]) -> None:
    capped(ledger)
    reversal = a_reversal("r", "a", share=(1, 3))
    ledger.decide([a_single("a", 9), reversal])
    found = ledger.decide([msgspec.structs.replace(reversal, **other), reversal])
    assert [(took(one), one.repeated) for one in found] == [((Outcome.REVERSED, (3,)), True)] * 2
    assert [one.conflicting for one in found] == [True, False]
    assert total(ledger) == (1, 6)


def test_a_whole_reversal_that_came_first_denies_its_grant_and_closes_nothing(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 5, WhenFull.CLOSE))
    assert took(ledger.decide([a_reversal("r", "a", "b")])[0]) == (Outcome.UNCHANGED, (0, 0))
    denied, other = ledger.decide([a_single("a", 9), a_single("c", 5)])
    assert (denied.outcome, denied.reason, denied.also) == (Outcome.DENIED, Reason.REVERSED, ())
    assert (denied.account, denied.use, denied.cap) == ("", 0, 0)
    assert other.outcome is Outcome.GRANTED and total(ledger) == (1, 5)
    again = ledger.decide([a_single("a", 9), a_held("b", 1, 5)])
    assert amounts(again) == [Reason.REVERSED, Reason.REVERSED] and [one.repeated for one in again] == [True, False]
    assert took(ledger.decide([a_reversal("r", "a", "b")])[0]) == (Outcome.UNCHANGED, (0, 0))


def test_a_part_that_came_first_is_taken_as_soon_as_it_is_granted(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10, WhenFull.CUT), LimitSpec("user", None, 10))
    reversal = a_reversal("r", "x", "a", share=(1, 3), gives_back=("budget",))
    assert took(ledger.decide([reversal])[0]) == (Outcome.UNCHANGED, (0, 0))
    grant = a_single("a", 100, slices=USER)
    granted = ledger.decide([grant])[0]
    assert took(granted) == (Outcome.GRANTED, (10,))
    ((request, decision),) = granted.also
    assert request == reversal and took(decision) == (Outcome.REVERSED, (0, 3))
    assert (decision.entry, decision.unpublished, decision.repeated) == (granted.entry, True, False)
    assert total(ledger) == (1, 7)
    again = ledger.decide([grant, reversal])
    assert [one.also for one in again] == [(), ()] and amounts(again) == [10, 0]
    assert ledger.entry(granted.entry).decisions == [granted]
    more = ledger.decide([a_reversal("s", "a", share=(1, 2))])[0]
    assert took(more) == (Outcome.REVERSED, (2,))
    assert amounts(ledger.decide([a_single("b", 9, slices=USER)])) == [Reason.USER_AMOUNT]


def test_a_part_that_came_first_is_taken_within_one_batch(ledger: Any) -> None:
    capped(ledger)
    _, granted, other = ledger.decide([a_reversal("r", "a", share=(1, 2)), a_single("a", 8), a_single("b", 1)])
    assert [took(decision) for _, decision in granted.also] == [(Outcome.REVERSED, (4,))] and other.also == ()


def test_a_part_that_comes_to_less_than_one_takes_nothing(ledger: Any) -> None:
    capped(ledger)
    granted = ledger.decide([a_reversal("r", "a", share=(1, GREATEST)), a_single("a", GREATEST - 1)])[1]
    assert granted.also == () and total(ledger) == (1, GREATEST - 1)


def test_a_part_that_came_first_lessens_a_hold(ledger: Any) -> None:
    capped(ledger)
    held = ledger.decide([a_reversal("r", "a", share=(1, 2)), a_held("a", 9, 5)])[1]
    assert took(held) == (Outcome.HELD, (9,)) and held.also == () and total(ledger) == (1, 5)
    assert [decision.amounts for _, decision in ledger.mature(5)] == [(5,)]


@pytest.mark.parametrize(
    ("shares", "left"),
    [
        (((1, 3), (1, 2), (2, 5)), 5),
        (((1, 2), (1, 3)), 5),
        (((1, 2), (1, 1), (2, 3)), None),
        (((GREATEST - 2, GREATEST - 1), (GREATEST - 1, GREATEST)), 1),
    ],
)
def test_of_several_that_wait_the_greatest_share_counts(ledger: Any, shares: Any, left: int | None) -> None:
    capped(ledger)
    reversals = [a_reversal(f"r{i}", "a", share=share) for i, share in enumerate(shares)]
    ledger.decide(reversals)
    granted = ledger.decide([a_single("a", 10)])[0]
    if left is None:
        assert granted.reason is Reason.REVERSED
        return
    ((request, _),) = granted.also
    assert request == max(reversals, key=lambda reversal: Fraction(*reversal.share))
    assert total(ledger) == (1, left)


def test_shares_that_wait_are_compared_exactly(ledger: Any) -> None:
    capped(ledger)
    near = [(GREATEST - 2, GREATEST - 1), (GREATEST - 1, GREATEST), (GREATEST - 3, GREATEST - 2)]
    near += [(7 * 10**13, GREATEST), (7 * 10**13 - 1, GREATEST - 1), (2**24 + 1, 2**47 // 2 + 1), (2**24, 2**47 // 2)]
    batch, expected = [], []
    for i, one in enumerate(near):
        for j, other in enumerate(near):
            pair = [a_reversal(f"{i}-{j}-{n}", f"{i}-{j}", share=share) for n, share in enumerate((one, other))]
            batch += [*pair, a_single(f"{i}-{j}", GREATEST)]
            expected.append(pair[1] if Fraction(*other) > Fraction(*one) else pair[0])
    assert [decision.also[0][0] for decision in ledger.decide(batch)[2::3]] == expected


def test_an_offer_that_was_reversed_before_it_came_is_passed_over(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_reversal("r", "b"), a_reversal("s", "d", share=(1, 2))])
    offers = a_proposal((a_grant("a", 1), a_grant("b", 2)), (a_grant("c", 4), a_grant("d", 8)))
    decision = ledger.decide([offers])[0]
    assert (decision.offer, decision.amounts) == (1, (4, 8))
    assert [(request.event_id, took(one)) for request, one in decision.also] == [("s", (Outcome.REVERSED, (4,)))]
    assert total(ledger) == (2, 8)
    alone = a_proposal((a_grant("x", 1), a_grant("b", 2)), event="alone")
    assert ledger.decide([alone])[0].reason is Reason.REVERSED
    assert amounts(ledger.decide([a_single("x", 1), a_single("b", 2)])) == [1, Reason.REVERSED]


def test_a_contradictory_amount_neither_meets_nor_ends_what_waits(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_reversal("r", "a")])
    assert amounts(ledger.decide([a_single("a", 0), a_single("a", 5)])) == [Reason.INVALID_AMOUNT, Reason.REVERSED]


def test_a_reversal_can_name_a_grant_twice(ledger: Any) -> None:
    capped(ledger)
    found = ledger.decide(
        [a_single("a", 9), a_reversal("r", "a", "a", share=(1, 2)), a_reversal("s", "a", "a", amount=9)]
    )
    assert [one.amounts for one in found[1:]] == [(4, 0), (5, 0)]


def test_a_reversal_can_name_many_grants(ledger: Any) -> None:
    capped(ledger)
    names = [f"n{i}" for i in range(9_000)]
    reversal = a_reversal("r", *names, share=(1, 2))
    _, granted = ledger.decide([reversal, a_single(names[-1], 8)])
    assert granted.also[0][1].amounts == (0,) * 8_999 + (4,)
    assert ledger.decide([reversal])[0].amounts == (0,) * 9_000


@pytest.mark.parametrize("share", OUT_OF_RANGE)
def test_a_share_is_a_part(ledger: Any, share: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="a share is"):
        ledger.decide([a_reversal("r", "a", share=share)])


def test_a_reversal_says_how_much_and_what_it_gives_back(ledger: Any) -> None:
    reversal = a_reversal("r", "a")
    for other in ({"amount": 1}, {"share": None}, {"share": None, "amount": 0}, {"gives_back": ("all",)}):
        with pytest.raises(ValueError):
            ledger.decide([msgspec.structs.replace(reversal, **other)])


def test_counters_are_what_the_answers_add_up_to(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 60, WhenFull.CUT))
    batch = [
        *(a_single(f"g{i}", i + 1) for i in range(8)),
        *(a_held(f"h{i}", i + 1, 5) for i in range(8)),
        *(a_reversal(f"r{i}", f"g{i}", f"h{i}", share=(i + 1, 8)) for i in range(0, 8, 2)),
        a_reversal("s", *(f"{kind}{i}" for kind in "gh" for i in range(8)), amount=11),
    ]
    decisions = ledger.decide(batch)
    ended = ledger.mature(5)
    made = sum(sum(one.amounts) for one in decisions if one.outcome is Outcome.GRANTED)
    made += sum(sum(decision.amounts) for _, decision in ended)
    taken = sum(sum(one.amounts) for one in decisions if one.outcome is Outcome.REVERSED)
    assert taken > 0 and total(ledger)[1] == made - taken


def test_a_hold_and_its_reversal_in_one_batch(ledger: Any) -> None:
    capped(ledger)
    held = a_proposal((a_grant("a", 4),), hold=Hold(5))
    _, reversed_, later = ledger.decide([held, a_reversal("r", "a", at_ms=4), a_single("b", 1, at_ms=9)])
    assert [(request, decision.outcome) for request, decision in reversed_.also] == [(held, Outcome.RELEASED)]
    assert later.also == () and ledger.mature(9) == [] and total(ledger) == (1, 1)
