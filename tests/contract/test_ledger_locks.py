"""Cool-downs and locks: what one approved grant of a user keeps others of the same user from."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.proposals import Charge, GrantRequest, Hold, LimitSpec, Lock, digest, packed_route
from schemas.results import Outcome, Reason, WhenFull
from tests.support.ledgers import (
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
from transforms.budget.ports import COOLDOWN

SLICES = ((COOLDOWN, 0),)
WEEK, NEXT_WEEK = Lock("g", 0), Lock("g", 7)


def cooled(ledger: Any, cooldown_ms: int = 10, *more: LimitSpec) -> None:
    capped(ledger, LimitSpec(COOLDOWN, cooldown_ms=cooldown_ms), *more)


def two_campaigns(ledger: Any, *limits: LimitSpec) -> None:
    ledger.define([an_account("tenant"), an_account("campaign/c1", *limits), an_account("campaign/c2")])


def locked(occurrence: str, campaign: str = "c1", lock: Lock = WEEK, user: str = "u1", **more: Any) -> Any:
    return a_single(occurrence, 5, user, campaign=campaign, lock=lock, **more)


def test_a_cool_down_refuses_until_it_is_over(ledger: Any) -> None:
    cooled(ledger)
    batch = [a_single(f"{at}", 1, at_ms=at, slices=SLICES) for at in (0, 9, 10, 19, 20)]
    decisions = ledger.decide(batch)
    assert amounts(decisions) == [1, Reason.COOLDOWN, 1, Reason.COOLDOWN, 1]
    refused = decisions[1]
    assert (refused.account, refused.period, refused.use, refused.cap) == ("campaign/c1", COOLDOWN, 9, 10)
    assert amounts(ledger.decide([a_single("other", 1, "u2", at_ms=20, slices=SLICES)])) == [1]


def test_a_late_grant_meets_the_cool_down_of_a_later_one(ledger: Any) -> None:
    cooled(ledger)
    batch = [a_single(f"{at}", 1, at_ms=at, slices=SLICES) for at in (100, 50, 109, 110)]
    decisions = ledger.decide(batch)
    assert amounts(decisions) == [1, Reason.COOLDOWN, Reason.COOLDOWN, 1]
    assert decisions[1].use == -50


def test_an_instant_before_the_epoch_cools_down_too(ledger: Any) -> None:
    cooled(ledger, 100)
    assert amounts(ledger.decide([a_single("a", 1, at_ms=-50, slices=SLICES)])) == [1]
    batch = [a_single("b", 1, at_ms=49, slices=SLICES), a_single("c", 1, at_ms=50, slices=SLICES)]
    assert amounts(ledger.decide(batch)) == [Reason.COOLDOWN, 1]


def test_a_cool_down_counts_approvals_alone_and_from_before_it_was_set(ledger: Any) -> None:
    capped(ledger, LimitSpec("total", None, 10))
    assert amounts(ledger.decide([a_single("a", 5, at_ms=0, slices=SLICES)])) == [5]
    cooled(ledger, 10, LimitSpec("total", None, 10))
    batch = [
        a_single("big", 6, at_ms=10, slices=SLICES),
        a_single("soon", 1, at_ms=9, slices=SLICES),
        a_single("fits", 5, at_ms=11, slices=SLICES),
    ]
    assert amounts(ledger.decide(batch)) == [Reason.AMOUNT, Reason.COOLDOWN, 5]


def test_a_hold_starts_a_cool_down_and_no_reversal_or_release_ends_it(ledger: Any) -> None:
    cooled(ledger)
    ledger.decide(
        [a_held("a", 5, 3, "release", at_ms=1, slices=SLICES), a_single("x", 5, "u2", at_ms=1, slices=SLICES)]
    )
    ledger.decide([a_reversal("r", "x", at_ms=2)])
    batch = [a_single("b", 5, at_ms=10, slices=SLICES), a_single("y", 5, "u2", at_ms=10, slices=SLICES)]
    assert amounts(ledger.decide(batch)) == [Reason.COOLDOWN, Reason.COOLDOWN]
    assert total(ledger) == (0, 0)


@pytest.mark.parametrize("account", ["tenant", "theme/t", "campaign/c1"])
def test_every_account_of_the_path_can_cool_down(ledger: Any, account: str) -> None:
    names = ["tenant", "theme/t", "campaign/c1"]
    cooldown = LimitSpec(COOLDOWN, cooldown_ms=10)
    ledger.define([an_account(name, *([cooldown] if name == account else [])) for name in names])

    def at(time_ms: int) -> Any:
        route = packed_route(tuple(Charge(name, SLICES) for name in names))
        name = digest(("at", str(time_ms)))
        return a_proposal((GrantRequest(name, "", "c1", "v", "u1", 1, "points", route),), at_ms=time_ms)

    decisions = ledger.decide([at(0), at(9), at(10)])
    assert amounts(decisions) == [1, Reason.COOLDOWN, 1] and decisions[1].account == account


def test_the_grants_of_one_offer_do_not_cool_each_other_down(ledger: Any) -> None:
    cooled(ledger)
    both = a_proposal((a_grant("a", 1, slices=SLICES), a_grant("b", 2, slices=SLICES)))
    assert ledger.decide([both])[0].amounts == (1, 2)
    assert amounts(ledger.decide([a_single("c", 1, at_ms=9, slices=SLICES)])) == [Reason.COOLDOWN]


@pytest.mark.parametrize(
    "limit",
    [
        LimitSpec(COOLDOWN),
        LimitSpec(COOLDOWN, cooldown_ms=0),
        LimitSpec(COOLDOWN, 1, None, cooldown_ms=5),
        LimitSpec(COOLDOWN, None, None, WhenFull.CUT, cooldown_ms=5),
        LimitSpec("user", 1, cooldown_ms=5),
    ],
)
def test_a_cool_down_says_how_long_and_nothing_else(ledger: Any, limit: LimitSpec) -> None:
    with pytest.raises(ValueError, match="cooldown_ms"):
        capped(ledger, limit)


def test_the_campaign_that_is_approved_first_keeps_the_others_out(ledger: Any) -> None:
    two_campaigns(ledger)
    batch = [locked("a"), locked("b", "c2"), locked("c"), locked("d", "c2", NEXT_WEEK), locked("e", "c2", user="u2")]
    decisions = ledger.decide(batch)
    assert amounts(decisions) == [5, Reason.LOCKED, 5, 5, 5]
    assert (decisions[1].account, decisions[1].period, decisions[1].use) == ("campaign/c1", "", 0)
    assert amounts(ledger.decide([locked("f", "c2"), locked("g")])) == [Reason.LOCKED, 5]


def test_a_refusal_takes_no_lock_and_a_lock_closes_nothing(ledger: Any) -> None:
    two_campaigns(ledger, LimitSpec("total", None, 7, WhenFull.CLOSE))
    ledger.decide([locked("b", "c2")])
    assert amounts(ledger.decide([locked("a"), locked("c")])) == [Reason.LOCKED, Reason.LOCKED]
    assert not ledger.snapshot()[1].uses[0].closed
    ledger.decide([a_reversal("r", "b", campaign="c2")])
    assert amounts(ledger.decide([locked("d"), locked("e"), locked("f", "c2")])) == [5, Reason.AMOUNT, Reason.LOCKED]


def test_an_offer_that_is_locked_out_is_passed_over(ledger: Any) -> None:
    two_campaigns(ledger)
    ledger.decide([locked("a", "c2")])
    offers = a_proposal((a_grant("x", 9, lock=WEEK),), (a_grant("y", 3, campaign="c2", lock=WEEK),))
    decision = ledger.decide([offers])[0]
    assert (decision.offer, decision.amounts) == (1, (3,))
    alone = a_proposal((a_grant("v", 9, lock=WEEK),), (a_grant("w", 9, lock=WEEK),))
    assert ledger.decide([alone])[0].reason is Reason.LOCKED


def test_an_offer_of_two_campaigns_cannot_share_a_lock_and_leaves_none(ledger: Any) -> None:
    two_campaigns(ledger)
    both = a_proposal((a_grant("a", 1, lock=WEEK), a_grant("b", 1, campaign="c2", lock=WEEK)))
    assert ledger.decide([both])[0].reason is Reason.LOCKED
    assert total(ledger) == (0, 0) and amounts(ledger.decide([locked("c", "c2")])) == [5]


def test_the_lock_ends_with_the_last_of_its_grants(ledger: Any) -> None:
    two_campaigns(ledger)
    ledger.decide([locked("a"), locked("b")])
    ledger.decide([a_reversal("r1", "a")])
    ledger.decide([a_reversal("r2", "b", share=(1, 2))])
    assert amounts(ledger.decide([locked("x", "c2")])) == [Reason.LOCKED]
    ledger.decide([a_reversal("r3", "b")])
    assert amounts(ledger.decide([locked("y", "c2"), locked("z")])) == [5, Reason.LOCKED]


def test_a_reversal_that_keeps_the_lock_keeps_it(ledger: Any) -> None:
    two_campaigns(ledger)
    ledger.decide([locked("a"), a_reversal("r", "a", gives_back=("budget", "limits"))])
    assert total(ledger) == (0, 0)
    assert amounts(ledger.decide([locked("b", "c2")])) == [Reason.LOCKED]


@pytest.mark.parametrize(("end", "later"), [("commit", Reason.LOCKED), ("release", 5)])
def test_a_hold_takes_the_lock_and_gives_it_back_when_it_is_released(ledger: Any, end: Any, later: Any) -> None:
    two_campaigns(ledger)
    held = a_proposal((a_grant("a", 5, lock=WEEK),), hold=Hold(10, end))
    assert ledger.decide([held])[0].outcome is Outcome.HELD
    assert amounts(ledger.decide([locked("b", "c2", at_ms=9)])) == [Reason.LOCKED]
    assert amounts(ledger.decide([locked("c", "c2", at_ms=10)])) == [later]


def test_reasons_come_in_their_order(ledger: Any) -> None:
    ledger.define([
        an_account("tenant"),
        an_account("campaign/c1", LimitSpec(COOLDOWN, cooldown_ms=10), LimitSpec("user", 1), LimitSpec("total", 1)),
        an_account("campaign/c2"),
    ])  # fmt: skip
    slices = (("user", 0), (COOLDOWN, 0))
    ledger.decide([a_single("first", 1, slices=slices), locked("lock", "c2")])
    ledger.decide([a_reversal("r", "denied")])
    batch = [
        a_single("denied", 1, campaign="c1", slices=slices, lock=WEEK),
        a_single("b", 1, slices=slices, lock=WEEK),
        a_single("c", 1, slices=slices, at_ms=9),
        a_single("d", 1, slices=slices, at_ms=10),
        a_single("e", 1, "u2", slices=slices, at_ms=10),
    ]
    expected = [Reason.REVERSED, Reason.LOCKED, Reason.COOLDOWN, Reason.USER_GRANTS, Reason.GRANTS]
    assert amounts(ledger.decide(batch)) == expected == sorted(expected, key=list(Reason).index)
