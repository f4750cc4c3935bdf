"""Holds: budget in use from the approval on, and a stated end that event time brings."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.proposals import AMOUNT_LIMIT, Hold, LimitSpec
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
from transforms.budget.ports import BATCH_MAX

USER = (("user", 0), ("day", DAY_MS))


def told(also: Any) -> list[tuple[str, Any, tuple[int, ...]]]:
    """(first grant's id, outcome, amounts) of what a call brought about."""
    return [(request.offers[0].grants[0].grant_id, decision.outcome, decision.amounts) for request, decision in also]


def named(*occurrences: str) -> list[bytes]:
    return [a_grant(occurrence, 1).grant_id for occurrence in occurrences]


def test_what_is_held_is_in_use_up_to_the_cap_exactly(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", 3, 10))
    decisions = ledger.decide([a_held("a", 4, 50), a_held("b", 6, 50), a_single("c", 1)])
    assert amounts(decisions) == [4, 6, Reason.AMOUNT]
    assert [decision.outcome for decision in decisions] == [Outcome.HELD, Outcome.HELD, Outcome.DENIED]
    assert total(ledger) == (2, 10)


def test_a_hold_is_cut_like_a_grant(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10, WhenFull.CUT))
    assert amounts(ledger.decide([a_held("a", 8, 50), a_held("b", 8, 50)])) == [8, 2]
    assert told(ledger.mature(50)) == [(*named("a"), Outcome.COMMITTED, (8,)), (*named("b"), Outcome.COMMITTED, (2,))]


def test_a_hold_that_is_due_is_committed_before_the_next_request(ledger: Any) -> None:
    capped(ledger)
    held = a_held("a", 4, 10)
    ledger.decide([held])
    before, at = ledger.decide([a_single("b", 1, at_ms=9), a_single("c", 1, at_ms=10)])
    assert before.also == ()
    ((request, decision),) = at.also
    assert request == held and decision.outcome is Outcome.COMMITTED and decision.amounts == (4,)
    assert (decision.offer, decision.entry, decision.unpublished, decision.repeated) == (0, at.entry, True, False)
    assert total(ledger) == (3, 6)


def test_a_released_hold_gives_everything_back_and_a_closed_campaign_stays_closed(ledger: Any) -> None:
    limits = (LimitSpec("total", None, 10, WhenFull.CLOSE), LimitSpec("user", 1), LimitSpec("day", 1))
    capped(ledger, *limits)
    ledger.decide([a_held("a", 4, 10, "release", slices=USER)])
    refused = [a_single("b", 1, slices=USER), a_single("c", 1, "u2", slices=USER)]
    assert amounts(ledger.decide(refused)) == [Reason.USER_GRANTS, Reason.GRANTS]
    assert told(ledger.mature(10)) == [(*named("a"), Outcome.RELEASED, (0,))]
    assert total(ledger) == (0, 0)
    assert amounts(ledger.decide([a_single("d", 9, slices=USER)])) == [9]
    ledger.decide([a_held("e", 1, 20, "release"), a_single("closes", 2)])
    assert ledger.mature(20) and total(ledger) == (1, 9)
    assert amounts(ledger.decide([a_single("f", 1)])) == [Reason.CLOSED]


def test_a_hold_due_in_its_own_batch_ends_before_the_next_request(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", 1))
    batch = [a_held("a", 1, 5, "release", at_ms=1), a_single("b", 1, at_ms=4), a_single("c", 1, at_ms=5)]
    held, refused, granted = ledger.decide(batch)
    assert (held.outcome, refused.reason, granted.outcome) == (Outcome.HELD, Reason.GRANTS, Outcome.GRANTED)
    assert refused.also == () and told(granted.also) == [(*named("a"), Outcome.RELEASED, (0,))]


def test_a_hold_that_is_due_when_it_is_made_is_held_until_the_next_request(ledger: Any) -> None:
    capped(ledger)
    assert ledger.decide([a_held("a", 1, 5, at_ms=9)])[0].outcome is Outcome.HELD
    assert [also for _, also, _ in told(ledger.decide([a_single("b", 1, at_ms=0)])[0].also)] == [Outcome.COMMITTED]


def test_time_is_the_greatest_the_root_has_seen(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_held("a", 1, 5)])
    assert ledger.mature(4) == []
    ledger.decide([a_held("b", 1, 3, at_ms=-9)])
    assert told(ledger.decide([a_single("late", 1, at_ms=-9)])[0].also) == [(*named("b"), Outcome.COMMITTED, (1,))]
    assert ledger.mature(5) and ledger.mature(5) == ledger.mature(10**15) == []


@pytest.mark.parametrize("due", [(3, 1, 2), (-1, -(2**40), 0), (2**32, 2**32 - 1, 2**33), (1, 1, 1)])
def test_holds_end_in_the_order_of_their_due_times_then_of_their_keys(ledger: Any, due: tuple[int, ...]) -> None:
    capped(ledger)
    names = ["é", "b", "b\x00"]
    holds = [a_proposal((a_grant(name, 1),), event=name, hold=Hold(at)) for name, at in zip(names, due, strict=True)]
    ledger.decide([a_reversal("before all", at_ms=-(2**41))])
    ended = [request for hold in holds for request, _ in ledger.decide([hold])[0].also]
    ended += [request for request, _ in ledger.mature(max(due))]
    if len(set(due)) == 1:
        assert ended == sorted(holds, key=lambda hold: hold.key)
    assert sorted(named(*names)) == sorted(hold.offers[0].grants[0].grant_id for hold in ended)


def test_holds_of_one_batch_end_in_order_beside_older_ones(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_held("a", 1, 20), a_held("b", 1, 40)])
    *_, last = ledger.decide([a_held("c", 1, 30), a_held("d", 1, 10), a_held("e", 1, 50), a_single("f", 1, at_ms=45)])
    assert [grant for grant, _, _ in told(last.also)] == named("d", "a", "c", "b")


def test_a_hold_asked_again_answers_as_it_stands(ledger: Any) -> None:
    capped(ledger)
    commits, releases = a_held("a", 4, 10), a_held("b", 5, 10, "release")
    first = ledger.decide([commits, releases])
    again = ledger.decide([commits, releases])
    assert [(one.outcome, one.amounts, one.repeated) for one in again] == [(Outcome.HELD, (n,), True) for n in (4, 5)]
    assert {one.entry for one in again} == {first[0].entry}
    at = ledger.decide([a_single("c", 1, at_ms=10)])[0]
    again = ledger.decide([commits, releases])
    assert [(one.outcome, one.amounts) for one in again] == [(Outcome.COMMITTED, (4,)), (Outcome.RELEASED, (0,))]
    assert all(one.repeated and one.entry == at.entry and one.unpublished and one.also == () for one in again)
    other = ledger.decide([a_held("a", 5, 10)])[0]
    assert other.conflicting and other.outcome is Outcome.COMMITTED


def test_a_held_list_answers_by_its_offer_whoever_asks(ledger: Any) -> None:
    ledger.define([an_account("tenant"), an_account("campaign/c1", LimitSpec("total", 2)), an_account("campaign/c2")])
    pair = (a_grant("x", 3), a_grant("y", 7, "u2"))
    held = a_proposal((a_grant("big", 1), *pair), pair, event="e1", hold=Hold(10))
    first = ledger.decide([held])[0]
    assert (first.outcome, first.offer, first.amounts) == (Outcome.HELD, 1, (3, 7))
    other = a_proposal((a_grant("z", 1, campaign="c2"), pair[1]), event="e2")
    alias = ledger.decide([other, a_proposal((pair[1],), event="e3")])
    assert [(one.outcome, one.offer, one.amounts) for one in alias] == [
        (Outcome.HELD, 0, (0, 7)),
        (Outcome.HELD, 1, (7,)),
    ]
    ledger.decide([a_reversal("r", "y")])
    assert told(ledger.mature(10)) == [(held.offers[0].grants[0].grant_id, Outcome.COMMITTED, (3, 0))]
    again = ledger.decide([held, other])
    assert [(one.outcome, one.amounts) for one in again] == [(Outcome.COMMITTED, (3, 0)), (Outcome.COMMITTED, (0, 0))]
    assert total(ledger) == (1, 3)


def test_what_stands_of_a_hold_is_committed(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_held("a", 9, 10)])
    lessened = ledger.decide([a_reversal("r", "a", share=(1, 2))])[0]
    assert (lessened.outcome, lessened.amounts, lessened.also) == (Outcome.UNCHANGED, (0,), ())
    assert total(ledger) == (1, 5)
    assert amounts(ledger.decide([a_held("a", 9, 10)])) == [9]
    assert told(ledger.mature(10)) == [(*named("a"), Outcome.COMMITTED, (5,))]
    more = ledger.decide([a_reversal("r2", "a", share=(2, 3))])[0]
    assert (more.outcome, more.amounts) == (Outcome.REVERSED, (2,))
    assert total(ledger) == (1, 3)
    assert amounts(ledger.decide([a_held("a", 9, 10)])) == [5]


@pytest.mark.parametrize("end", ["commit", "release"])
def test_a_hold_that_is_wholly_reversed_is_released_at_once(ledger: Any, end: Any) -> None:
    capped(ledger)
    held = a_proposal((a_grant("a", 4), a_grant("b", 5, "u2")), hold=Hold(10, end))
    ledger.decide([held])
    one, other = ledger.decide([a_reversal("r1", "a"), a_reversal("r2", "b", amount=9)])
    assert (one.outcome, one.also) == (Outcome.UNCHANGED, ())
    assert (other.outcome, other.amounts) == (Outcome.UNCHANGED, (0,))
    ((request, decision),) = other.also
    assert (request, decision.outcome, decision.amounts) == (held, Outcome.RELEASED, (0, 0))
    assert total(ledger) == (0, 0) and ledger.mature(10) == []
    assert ledger.decide([held])[0].outcome is Outcome.RELEASED


def test_a_hold_of_which_nothing_stands_at_its_end_gives_back_once(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_proposal((a_grant("a", 4), a_grant("b", 5, "u2")), hold=Hold(10, "release")), a_single("c", 7)])
    ledger.decide([a_reversal("r", "a")])
    assert total(ledger) == (2, 12)
    assert told(ledger.mature(10)) == [(*named("a"), Outcome.RELEASED, (0, 0))]
    assert total(ledger) == (1, 7)


def test_a_refused_hold_holds_nothing(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", 0))
    assert amounts(ledger.decide([a_held("a", 1, 5)])) == [Reason.GRANTS]
    assert ledger.mature(5) == [] and amounts(ledger.decide([a_held("a", 1, 5)])) == [Reason.GRANTS]


def test_maturing_is_bounded_and_goes_on(ledger: Any) -> None:
    capped(ledger)
    for first in (0, BATCH_MAX):
        ledger.decide([a_held(f"{first + i}", 1, 5) for i in range(BATCH_MAX)])
    ledger.decide([a_held("last", 1, 6)])
    found = [ledger.mature(5) for _ in range(3)]
    assert [len(ended) for ended in found] == [BATCH_MAX, BATCH_MAX, 0]
    assert len(ledger.mature(6)) == 1


def test_the_log_tells_all_that_a_call_brought_about(ledger: Any) -> None:
    capped(ledger)
    batch = [a_held("a", 4, 5), a_held("b", 4, 7), a_single("c", 1, at_ms=6)]
    decisions = ledger.decide(batch)
    entry = ledger.entry(decisions[0].entry)
    assert entry is not None and (entry.requests, entry.decisions, entry.also) == (batch, decisions, ())
    assert told(entry.decisions[2].also) == [(*named("a"), Outcome.COMMITTED, (4,))]
    ended = ledger.mature(7)
    *_, last = ledger.unpublished(10)
    assert (last.requests, last.decisions, list(last.also)) == ([], [], ended)
    assert {decision.entry for _, decision in ended} == {last.entry}
    ledger.unmark([last.entry])
    assert ledger.entry(last.entry) == last and len(ledger.unpublished(10)) == 1


def test_a_repeat_that_finds_a_hold_due_is_logged_for_it(ledger: Any) -> None:
    capped(ledger)
    batch = [a_single("a", 1, at_ms=9), a_held("b", 1, 5)]
    first = ledger.decide(batch)
    again = ledger.decide(batch)
    assert again[0].repeated and again[0].entry == first[0].entry
    ((_, decision),) = again[0].also
    assert decision.outcome is Outcome.COMMITTED and decision.entry not in ("", first[0].entry)
    assert ledger.entry(decision.entry).decisions == again
    assert [one.also for one in ledger.decide(batch)] == [(), ()]


def test_the_greatest_amount_is_held_and_given_back(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_held("a", AMOUNT_LIMIT - 1, 5, "release"), a_held("b", AMOUNT_LIMIT - 1, 5)])
    assert total(ledger) == (2, 2 * (AMOUNT_LIMIT - 1))
    ledger.mature(5)
    assert total(ledger) == (1, AMOUNT_LIMIT - 1)
