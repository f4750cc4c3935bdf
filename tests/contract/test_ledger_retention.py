"""What every ledger owes for what was dropped: it is refused, told apart, and nothing is decided anew."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.grant_operations import GrantOperation, Redecide
from schemas.proposals import Decision, LimitSpec, Lock, Occurrence, Proposal, digest
from schemas.results import GrantOutcome, Outcome, Reason
from tests.support.ledgers import (
    DAY_MS,
    HOUR_MS,
    a_grant,
    a_held,
    a_proposal,
    a_reversal,
    a_single,
    amounts,
    capped,
    total,
)
from transforms.budget.floors import CampaignFloor, Floors

TOO_OLD = Decision(Outcome.DENIED, reason=Reason.TOO_OLD)
"""No entry of the log, not repeated."""

C1_GONE = Floors(0, (CampaignFloor("c1", 2 * DAY_MS),))


def test_a_fresh_ledger_has_no_floor(ledger: Any) -> None:
    capped(ledger)
    assert ledger.floors() is None
    assert amounts(ledger.decide([a_single("a", 5, at_ms=-(10**12))])) == [5]


def test_an_id_below_the_floor_is_too_old_and_recorded_nowhere(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_single("a", 5), a_single("b", 10**14)])
    ledger.drop(C1_GONE)
    for name in ("a", "b", "never asked"):
        assert ledger.decide([a_single(name, 5)]) == [TOO_OLD]
    assert total(ledger) == (1, 5), "what was given counts for good"


def test_another_campaign_and_a_younger_generation_go_on(ledger: Any) -> None:
    capped(ledger)
    first = ledger.decide([a_single("a", 5)])
    ledger.drop(Floors(0, (CampaignFloor("c1", DAY_MS), CampaignFloor("c2", 9 * DAY_MS))))
    again = ledger.decide([a_single("a", 5)])
    assert again[0].repeated and amounts(again) == amounts(first) == [5]


def test_a_floor_never_falls(ledger: Any) -> None:
    ledger.drop(Floors(50, (CampaignFloor("c1", 2 * DAY_MS, True),)))
    ledger.drop(Floors(20, (CampaignFloor("c1", DAY_MS),)))
    assert ledger.floors() == Floors(50, (CampaignFloor("c1", 2 * DAY_MS, True),))


def test_a_generation_in_which_a_hold_stands_is_kept_until_the_hold_has_ended(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_held("a", 5, due_ms=100)])
    ledger.drop(C1_GONE)
    assert ledger.floors() == Floors(0, (CampaignFloor("c1", DAY_MS),))
    assert [decision.outcome for _, decision in ledger.mature(100)] == [Outcome.COMMITTED]
    ledger.drop(C1_GONE)
    assert amounts(ledger.decide([a_held("a", 5, due_ms=100)])) == [Reason.TOO_OLD]


@pytest.mark.parametrize("period", ["day", "user/day"])
def test_a_slice_of_time_goes_when_it_has_ended_in_every_zone(ledger: Any, period: str) -> None:
    capped(ledger, LimitSpec(period, 1))
    asked = a_single("a", 5, slices=((period, 0),)), a_single("b", 5, slices=((period, 0),))
    ledger.decide(asked[:1])
    ledger.drop(Floors(25 * HOUR_MS - 1))
    reason = Reason.USER_GRANTS if period.startswith("user") else Reason.GRANTS
    assert amounts(ledger.decide(asked[1:])) == [reason]
    ledger.drop(Floors(25 * HOUR_MS))
    again = ledger.decide(
        [*asked, a_single("c", 5, slices=((period, 0),)), a_single("d", 5, slices=((period, DAY_MS),))]
    )
    assert amounts(again) == [5, reason, Reason.TOO_OLD, 5], "known ids are answered while their records are there"
    assert again[2] == TOO_OLD and ledger.decide([a_single("c", 5, slices=((period, 0),))]) == [TOO_OLD]
    (campaign,) = (account for account in ledger.snapshot() if account.name == "campaign/c1")
    assert [(use.period, use.start_ms) for use in campaign.uses[1:]] == ([("day", DAY_MS)] if period == "day" else [])


def test_the_lifetime_goes_when_the_campaign_is_over(ledger: Any) -> None:
    capped(ledger, LimitSpec("user", 1))
    mine = (("user", 0),)
    ledger.decide([a_single("a", 5, slices=mine)])
    ledger.drop(Floors(0, (CampaignFloor("c1", 0, over=True),)))
    assert amounts(ledger.decide([a_single("b", 5, slices=mine), a_single("c", 5)])) == [Reason.TOO_OLD, 5]


def test_a_list_is_too_old_with_its_day_or_with_one_of_its_grants(ledger: Any) -> None:
    capped(ledger)
    a_list = a_proposal((a_grant("a", 10**13),), (a_grant("b", 5, campaign="c2"),))
    assert amounts(ledger.decide([a_list])) == [10**13]
    ledger.drop(Floors(0, (CampaignFloor("c2", 2 * DAY_MS),)))
    assert amounts(ledger.decide([a_list])) == [Reason.TOO_OLD]
    other = a_proposal((a_grant("x", 5),), (a_grant("y", 5),))
    assert amounts(ledger.decide([other])) == [5]
    ledger.drop(Floors(DAY_MS))
    assert amounts(ledger.decide([other])) == [Reason.TOO_OLD]


def test_a_list_asked_again_with_other_grants_is_too_old_when_those_that_answered_it_were_dropped(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_proposal((a_grant("a", 3), a_grant("b", 4)), event="e")])
    ledger.drop(C1_GONE)
    grants = (msgspec.structs.replace(a_grant(name, 3), generation="d9") for name in "ab")
    assert ledger.decide([a_proposal(tuple(grants), event="e")]) == [TOO_OLD]


def test_a_reversal_takes_nothing_below_the_floor_and_does_not_wait_there(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_single("a", 5)])
    ledger.drop(C1_GONE)
    decision = ledger.decide([a_reversal("r", "a", "never", at_ms=1)])[0]
    assert (decision.outcome, decision.amounts) == (Outcome.UNCHANGED, (0, 0))
    assert total(ledger) == (1, 5)


def test_a_reversal_asked_again_after_its_day_takes_nothing(ledger: Any) -> None:
    capped(ledger)
    taking = a_reversal("r", "a", amount=2)
    ledger.decide([a_single("a", 5), taking])
    ledger.drop(Floors(DAY_MS))
    assert ledger.decide([taking]) == [TOO_OLD]
    assert total(ledger) == (1, 3)


def test_a_reversal_gives_nothing_back_to_what_was_dropped(ledger: Any) -> None:
    capped(ledger, LimitSpec("day", 1), LimitSpec("user/day", 1))
    slices = (("day", 0), ("user/day", 0))
    ledger.decide([a_proposal((a_grant("a", 5, slices=slices, lock=Lock("g", 1)),))])
    ledger.drop(Floors(40 * DAY_MS))
    assert amounts(ledger.decide([a_reversal("r", "a", at_ms=40 * DAY_MS)])) == [5]
    assert total(ledger) == (0, 0)
    (campaign,) = (account for account in ledger.snapshot() if account.name == "campaign/c1")
    assert len(campaign.uses) == 1


def test_a_waiting_part_is_forgotten_with_its_reversal_and_a_whole_one_denies(ledger: Any) -> None:
    capped(ledger)
    ledger.decide([a_reversal("r", "a", share=(1, 2)), a_reversal("s", "b")])
    ledger.drop(Floors(DAY_MS))
    later: list[Proposal] = [a_single("a", 6, at_ms=DAY_MS), a_single("b", 6, at_ms=DAY_MS)]
    assert amounts(ledger.decide(later)) == [6, Reason.REVERSED]
    assert total(ledger) == (1, 6)


def test_what_is_decided_again_below_the_floor_is_too_old_and_told_so(ledger: Any) -> None:
    capped(ledger, LimitSpec("user", 0))
    refused = ledger.decide([a_single("a", 5, slices=(("user", 0),))])[0]
    ledger.drop(Floors(0, (CampaignFloor("c1", DAY_MS, True),)))
    grant = Occurrence(digest(("test", "a")), "d1", "c1")
    answer = ledger.change_grant(GrantOperation("again", Redecide(grant, refused.entry), "ann", "a test"))
    assert (answer.outcome, answer.became, answer.entry) == (GrantOutcome.APPLIED, Outcome.DENIED, "")
    changed = next(iter(ledger.audit())).grant
    assert changed is not None and (changed.old.entry, changed.new.entry) == (refused.entry, "")
