"""The worst case of each construct, computed by hand; and streams that bring it about, or show that there is none."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from runners.ops.liability import Liability, Total, worst_cases
from tests.support.campaigns import a_plan_set
from tests.support.product_run import run_product

SCHEMA = """
schema: events
types: [purchase, refund, login, mailing]
attributes: {amount: int, referrer_id: string, country: string, categories: [{category: string, amount: int}]}
---
schema: users
attributes: {tier: string}
"""
DAY_MS = 86_400_000
START_MS = 1_772_323_200_000
"""2026-03-01, a Sunday."""
MARCH = "active: {from: 2026-03-01, to: 2026-04-01}\n"
ONE = "grant: {points: 10}\n"


def worst(tmp_path: Path, text: str) -> tuple[dict[str, Liability], dict[str, Total]]:
    found = worst_cases(a_plan_set(tmp_path, text, SCHEMA))
    return {one.campaign: one for one in found.campaigns}, {one.unit: one for one in found.totals}


def amounts(tmp_path: Path, text: str) -> tuple[int | None, int | None, int | None]:
    one = worst(tmp_path, "campaign: c\n" + text)[0]["c"]
    return one.a_grant.amount, one.a_user.amount, one.in_all.amount


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("trigger: {on: purchase}\n" + ONE, (10, None, None)),
        ("trigger: {on: purchase}\n" + ONE + MARCH, (10, None, None)),
        ("trigger: {on: purchase, count: events, reach: 3}\n" + ONE, (10, 10, None)),
        ("trigger: {on: purchase, count: events, reach: 3, restart: true}\n" + ONE + MARCH, (10, None, None)),
        ("trigger: {on: purchase, count: events, every: 3}\n" + ONE + MARCH, (10, None, None)),
        ("trigger: {on: purchase, count: events, from: 3}\n" + ONE + MARCH, (10, None, None)),
        ("trigger: {on: purchase, sum: event.amount, per: month, reach: 3}\n" + ONE, (10, None, None)),
        ("trigger: {on: purchase, sum: event.amount, per: month, reach: 3}\n" + ONE + MARCH, (10, 10, None)),
        # 1 March is a Sunday: six ISO weeks touch the month.
        ("trigger: {on: purchase, sum: event.amount, per: week, reach: 3}\n" + ONE + MARCH, (10, 60, None)),
        ("trigger: {on: purchase, sum: event.amount, per: day, reach: 3}\n" + ONE + MARCH, (10, 310, None)),
        ("trigger: {on: purchase, sum: event.amount, per: 14d, reach: 3}\n" + ONE + MARCH, (10, 30, None)),
        ("trigger: {on: purchase, sum: event.amount, last: 7d, reach: 3}\n" + ONE + MARCH, (10, None, None)),
        ("trigger: {on: purchase, distinct: event.country, reach: 2}\n" + ONE, (10, 10, None)),
        ("trigger: {on: purchase, streak: days, reach: 4}\n" + ONE + MARCH, (10, 70, None)),
        ("trigger: {on: purchase, streak: days, every: 4}\n" + ONE + MARCH, (10, 70, None)),
        ("trigger: {on: purchase, streak: days, from: 4}\n" + ONE + MARCH, (10, 280, None)),
        ("trigger: {on: purchase, streak: days, reach: 4}\n" + ONE, (10, None, None)),
        ("trigger: {on: purchase, silence: 10d}\n" + ONE + MARCH, (10, None, None)),
        ("trigger: {on: purchase, after: {on: mailing, within: 1d}}\n" + ONE + MARCH, (10, None, None)),
        ("trigger: {on: purchase, unless: {on: login, within: 1d}}\n" + ONE + MARCH, (10, None, None)),
        ("trigger: {on: purchase}\ngrant: {points: {percent: 5, of: event.amount, max: 60}}\n", (60, None, None)),
        ("trigger: {on: purchase}\ngrant: {points: {percent: 5, of: event.amount}}\n", (None, None, None)),
        ("trigger: {on: purchase}\ngrant: {points: {of: event.amount, tiers: [{from: 1, value: 5}, {from: 9, value: 3}]}}\n", (5, None, None)),
        ("trigger: {on: purchase}\ngrant: {points: {of: event.amount, tiers: [{from: 1, value: 5}, {from: 9, percent: 3}]}}\n", (None, None, None)),
        ("trigger: {on: purchase}\n" + ONE + "limits: [{per: user, grants: 5}]\n", (10, 50, None)),
        ("trigger: {on: purchase}\n" + ONE + "limits: [{per: user, grants: 5, amount: 42}]\n", (10, 42, None)),
        ("trigger: {on: purchase}\n" + ONE + "limits: [{per: user and day, grants: 2}]\n" + MARCH, (10, 620, None)),
        ("trigger: {on: purchase}\n" + ONE + "limits: [{per: user and day, grants: 2}]\n", (10, None, None)),
        ("trigger: {on: purchase}\n" + ONE + "limits: [{per: hour, amount: 25}]\n" + MARCH, (10, 25 * 24 * 31, 25 * 24 * 31)),
        ("trigger: {on: purchase}\n" + ONE + "limits: [{grants: 7}, {per: month, amount: 65}]\n" + MARCH, (10, 65, 65)),
        ("trigger: {on: purchase}\n" + ONE + "limits: [{cooldown: 10d}]\n" + MARCH, (10, 40, None)),
        ("trigger: {on: purchase}\ngrant: {points: {of: event.amount}}\nlimits: [{amount: 500, when_full: cut}]\n", (500, 500, 500)),
        ("trigger: {on: purchase}\ngrant: {points: {of: event.amount}}\nlimits: [{grants: 5}]\n", (None, None, None)),
        ("trigger: {on: purchase}\ngrant: {points: {of: event.amount}}\nlimits: [{grants: 0}]\n", (None, 0, 0)),
        ("audience: {include: [a, b, x], exclude: [x]}\ntrigger: {on: purchase, count: events, reach: 1}\n" + ONE, (10, 10, 20)),
        ("trigger: {on: purchase, count: events, reach: 1}\ngrant: {points: 10, to: event.referrer_id}\n", (10, None, None)),
        ("trigger: {on: purchase, count: events, reach: 1}\ngrant: [{points: 10, to: event.referrer_id}]\nlimits: [{per: user, grants: 3}]\n", (10, 30, None)),
        ("trigger: {on: purchase, count: events, reach: 1}\ngrant: {points: 10, to: event.user_id}\n", (10, 10, None)),
        ("hold: 2d\ntrigger: {on: purchase, count: events, reach: 1}\n" + ONE, (10, 10, None)),
    ],
)  # fmt: skip
def test_a_campaign(tmp_path: Path, text: str, wanted: tuple[int | None, ...]) -> None:
    assert amounts(tmp_path, text) == wanted


LADDER = "trigger: {on: purchase, sum: event.amount, pick: %s, steps: [{reach: 10, grant: {points: 1}}, {reach: 20, grant: {points: 5}}]}\n"


@pytest.mark.parametrize(("pick", "by_event"), [("every", 6), ("highest", 5)])
def test_a_ladder_is_climbed_step_by_step_whatever_one_event_picks(tmp_path: Path, pick: str, by_event: int) -> None:
    one = worst(tmp_path, "campaign: c\n" + LADDER % pick)[0]["c"]
    assert (one.a_grant.amount, one.a_user.amount, one.by_event) == (5, 6, by_event)
    assert standing(tmp_path, LADDER % pick, [(0, "purchase", 10), (1, "purchase", 10)])["u1"] == 6


@pytest.mark.parametrize(
    ("refunds", "a_user"),
    [
        ("", 10),
        ("refunds: {on: refund, amount: event.amount}", 10),
        ("refunds: {on: refund, amount: event.amount, grants: stand}", 10),
        ("refunds: {on: refund, amount: event.amount, grants: pro-rata}", 10),
        ("refunds: {on: refund, amount: event.amount, grants: stand, again: false}", 10),
        ("refunds: {on: refund, amount: event.amount, grants: stand, counter: stays}", 10),
    ],
)
def test_a_step_that_was_not_taken_back_two_way_is_not_earned_again(tmp_path: Path, refunds: str, a_user: int) -> None:
    text = "trigger: {on: purchase, sum: event.amount, reach: 10}\n" + ONE + refunds
    happened = [(0, "purchase", 10)] + [(day, kind, 10) for day in range(20, 80, 20) for kind in ("refund", "purchase")]
    assert amounts(tmp_path, text)[1] == a_user
    assert standing(tmp_path, text, happened)["u1"] <= a_user


def test_what_was_forgotten_for_taking_back_may_stand_beside_its_successor(tmp_path: Path) -> None:
    text = (
        "trigger: {on: purchase, sum: event.amount, steps: [{reach: 10, grant: {points: 1}}, {reach: 20, grant: {points: 1}}]}\n"
        "refunds: {on: refund, amount: event.amount, within: 1d}\n"
    )
    happened = [(0, "purchase", 10), (20, "purchase", 10), (40, "refund", 20), (60, "purchase", 20)]
    assert standing(tmp_path, text, happened)["u1"] == 3
    assert amounts(tmp_path, text)[1] is None


@pytest.mark.parametrize(
    ("trigger", "days"),
    [
        ("{on: purchase, streak: days, reach: 2}", (0, 1, 3, 4)),
        ("{on: purchase, streak: days, every: 2}", (0, 1, 2, 3, 4)),
        ("{on: purchase, streak: days, from: 2}", (0, 1, 2, 3, 4)),
        ("{on: purchase, sum: event.amount, per: 2d, reach: 10}", (0, 2, 4)),
        ("{on: purchase, sum: event.amount, per: week, reach: 10}", (0, 1)),
    ],
)
def test_a_bound_is_attained(tmp_path: Path, trigger: str, days: tuple[int, ...]) -> None:
    text = f"trigger: {trigger}\n" + ONE + "active: {from: 2026-03-01, to: 2026-03-06}\n"
    given = standing(tmp_path, text, [(day, "purchase", 10) for day in days])["u1"]
    assert given == amounts(tmp_path, text)[1]


def test_a_streak_may_have_begun_in_the_lookback(tmp_path: Path) -> None:
    text = "trigger: {on: purchase, streak: days, reach: 4}\n" + ONE
    text += "active: {from: 2026-03-04, to: 2026-03-06, lookback: 3d}\n"
    assert standing(tmp_path, text, [(day, "purchase", 10) for day in range(4)])["u1"] == 10
    assert amounts(tmp_path, text)[1] == 10


def test_other_users_events_may_name_one_user_again_and_again(tmp_path: Path) -> None:
    text = "trigger: {on: purchase, count: events, reach: 1}\ngrant: {points: 10, to: event.referrer_id}\n"
    given = standing(tmp_path, text, [(0, "purchase", 1, f"u{i}") for i in range(5)], referrer_id="r")
    assert given == {"r": 50}


def test_silence_bounds_where_late_events_are_not_decided(tmp_path: Path) -> None:
    text = "trigger: {on: purchase, silence: 10d}\n" + ONE + MARCH + "---\ntenant: t\norder: event_time\nwait: 6h\n"
    assert amounts(tmp_path, text)[1] is None
    # Day 0, 10, 20 and 30.
    assert amounts(tmp_path, text + "late: dead-letter\n")[1] == 40


def test_themes_and_the_tenant_cap_the_sum(tmp_path: Path) -> None:
    text = (
        "campaign: a\ntheme: t\ntrigger: {on: purchase}\ngrant: {points: 10}\nlimits: [{amount: 700}]\n---\n"
        "campaign: b\ntheme: t\ntrigger: {on: purchase}\ngrant: {points: 10}\nlimits: [{amount: 600}]\n---\n"
        "campaign: c\ntrigger: {on: purchase}\ngrant: {points: 10}\nlimits: [{amount: 50}, {per: user, grants: 1}]\n---\n"
        "campaign: d\ntheme: t\ntrigger: {on: login}\ngrant: {coupon: {code: X}}\ncost: {amount: 3, unit: points}\n---\n"
        "theme: t\nlimits: [{amount: 1_000, unit: points}]\n"
    )
    campaigns, totals = worst(tmp_path, text)
    assert (totals["points"].a_user.amount, totals["points"].in_all.amount) == (1_010, 1_050)
    assert (campaigns["d"].in_all.amount, totals["coupon"].in_all.amount) == (333, 333)
    assert campaigns["d"].in_all.why == "theme t: 1,000 points at 3 a grant in all"
    assert campaigns["a"].all_to_one and not campaigns["c"].all_to_one
    capped = worst(tmp_path, text + "---\ntenant: shop\nlimits: [{amount: 800, unit: points}]\n")[1]
    assert (capped["points"].in_all.amount, capped["points"].in_all.why) == (800, "tenant: 800 in all")
    assert capped["coupon"].in_all.amount == 266


def test_no_mixture_of_costs_gives_more(tmp_path: Path) -> None:
    """Under a cap of 10 USD: 20 points at 3 USD are 66 at most, 5 points at 1 USD are 50."""
    texts = (
        f"campaign: {name}\ntheme: t\ntrigger: {{on: purchase}}\ngrant: {{points: {points}}}\ncost: {{amount: {cost}, unit: USD}}\n---\n"
        for name, points, cost in (("a", 20, 3), ("b", 5, 1))
    )
    campaigns, totals = worst(tmp_path, "".join(texts) + "theme: t\nlimits: [{amount: 10, unit: USD}]\n")
    assert (campaigns["a"].in_all.amount, campaigns["b"].in_all.amount) == (60, 50)
    assert totals["points"].in_all.amount == 66


def test_a_campaign_without_bound_is_named_in_the_total(tmp_path: Path) -> None:
    _, totals = worst(tmp_path, "campaign: a\ntrigger: {on: purchase}\ngrant: {points: 10}\n")
    assert totals["points"].in_all == (None, "no bound: a")


@pytest.mark.parametrize(
    ("pick", "a_user"), [("one per user", 30), ("one per user and month", 50), ("one per event", 50)]
)
def test_a_lock_that_never_ends_leaves_a_user_one_offer(tmp_path: Path, pick: str, a_user: int) -> None:
    text = (
        f"group: g\npick: {pick}\noffers: [a, b]\n---\n"
        "campaign: a\ntrigger: {on: purchase, count: events, reach: 1}\ngrant: {points: 30}\n---\n"
        "campaign: b\ntrigger: {on: login, count: events, reach: 1}\ngrant: {points: 20}\n"
    )
    assert worst(tmp_path, text)[1]["points"].a_user.amount == a_user


def test_units_have_rows_of_their_own(tmp_path: Path) -> None:
    text = (
        "campaign: c\ntrigger: {on: purchase, count: events, reach: 1}\n"
        "grant: [{points: 10}, {product: {sku: tea, quantity: 2}, to: event.referrer_id}]\nlimits: [{per: user, grants: 4}]\n"
    )
    found = worst_cases(a_plan_set(tmp_path, text, SCHEMA))
    assert [(one.unit, one.a_user.amount) for one in found.campaigns] == [("points", 10), ("product", 8)]


def standing(tmp_path: Path, campaign: str, happened: list[Any], **attributes: Any) -> dict[str, int]:
    """What users hold after (day, type, amount[, user]), which came in this order as far as days are equal."""
    plan_set = a_plan_set(tmp_path, "campaign: c\n" + campaign, SCHEMA)
    events = [
        {"event_id": f"e{i:02d}", "event_type": kind, "user_id": (*user, "u1")[0], "event_time": START_MS + day * DAY_MS}
        | {"amount": amount, **attributes}
        for i, (day, kind, amount, *user) in enumerate(happened)
    ]  # fmt: skip
    outcome, found = run_product(plan_set, events, {}), defaultdict[str, int](int)
    for one in outcome.grants:
        found[one["user_id"]] += one["amount"]
    for back in outcome.reversals:
        found[back["user_id"]] -= back["amount"]
    return dict(found)
