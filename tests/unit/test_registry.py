"""What a new set takes over: which changes of a campaign let its counters go on, and which start them anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.errors import UsageError
from schemas.plans import PlanSet
from tests.support.campaigns import a_plan_set
from transforms.registry.ports import numbered

SCHEMA = """
schema: events
types: [purchase, refund, login, mailing]
attributes:
  amount: int
  net: int
  country: string
  currency: string
  referrer_id: string
  categories: [{category: string, amount: int}]
  extras: [{category: string, amount: int}]
---
schema: users
attributes: {tier: string}
"""
SUM = "{on: purchase, where: event.amount > 0, sum: event.amount, reach: 20}"
MONTH = "{on: purchase, sum: event.amount, per: month, reach: 20}"
SPAN = "{on: purchase, sum: event.amount, per: 14d, reach: 20}"
ITEMS = "{on: purchase, distinct: {of: item.category, in: event.categories}, reach: 2}"
AFTER = "{on: purchase, after: {on: mailing, within: 7d, same: event.country}, count: events, reach: 2}"
UNLESS = "{on: login, unless: {on: purchase, within: 1d, same: event.country}}"
SILENT = "{on: purchase, silence: 30d}"


def a_campaign(trigger: str, rest: str = "", grant: str = "grant: {points: 1}") -> str:
    return f"campaign: c\ntrigger: {trigger}\n{grant}\n{rest}\n"


def series(tmp_path: Path, *versions: str) -> list[int]:
    """The campaign's series in one set after the other; "" = a set without it."""
    sets: list[PlanSet] = []
    for number, text in enumerate(versions):
        plan_set = a_plan_set(tmp_path / str(number), text or WHOLE.replace("campaign: c", "campaign: d"), SCHEMA)
        sets.append(numbered(plan_set, sets, 1_000 * number))
    return [plan.series for plan_set in sets for plan in plan_set.plans if plan.campaign == "c"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (SUM, SUM.replace("purchase", "[purchase, login]")),
        (SUM, SUM.replace("amount > 0", "amount > 1")),
        (SUM, SUM.replace("on:", "currency: USD, on:")),
        (SUM, SUM.replace("on:", "subject: event.referrer_id, on:")),
        (SUM, SUM.replace("on:", "silence: 30d, on:")),
        (SILENT, SILENT.replace("30d", "60d")),
        (SUM, SUM.replace("sum: event.amount", "sum: event.net")),
        (SUM, SUM.replace("sum: event.amount", "count: events")),
        (ITEMS, ITEMS.replace("event.categories", "event.extras")),
        (ITEMS, ITEMS.replace("categories}", "categories, where: item.amount > 0}")),
        (SUM, SUM.replace("reach", "per: month, reach")),
        (MONTH, MONTH.replace("month", "week")),
        (MONTH, MONTH.replace("per: month", "last: 30d")),
        (SPAN, SPAN.replace("14d", "7d")),
        (SUM, SUM.replace("reach", "every")),
        (SUM, SUM.replace("reach", "from")),
        (SUM, SUM.replace("reach: 20", "reach: 20, restart: true")),
        (AFTER, AFTER.replace("mailing", "login")),
        (AFTER, AFTER.replace("within: 7d", "within: 8d")),
        (AFTER, AFTER.replace("event.country}", "event.currency}")),
        (AFTER, AFTER.replace("event.country}", "event.country, once: value}")),
        (UNLESS, UNLESS.replace("purchase", "refund")),
        (UNLESS, UNLESS.replace("event.country", "event.currency")),
    ],
)
def test_what_changes_the_triggers_meaning_starts_counters_anew(tmp_path: Path, before: str, after: str) -> None:
    assert before != after
    assert series(tmp_path, a_campaign(before), a_campaign(after), a_campaign(after)) == [0, 1, 1]


@pytest.mark.parametrize(
    ("active", "trigger", "raised"),
    [
        (("{zone: UTC}", "{zone: America/New_York}"), MONTH, True),
        (("{zone: UTC}", "{zone: America/New_York}"), "{on: purchase, streak: days, reach: 3}", True),
        (("{zone: UTC}", "{zone: America/New_York}"), SUM, False),
        (("{zone: UTC}", "{zone: America/New_York}"), SPAN, False),
        (("{from: 2026-03-01}", "{from: 2026-03-02}"), SPAN, True),
        (("{from: 2026-03-01}", "{from: 2026-03-02}"), MONTH, False),
        (("{from: 2026-03-01}", "{from: 2026-03-01, lookback: 90d}"), SUM, False),
        (("{to: 2026-03-01}", "{to: 2026-03-02, days: [sat], hours: 10:00-12:00}"), SUM, False),
    ],
)
def test_dates_and_zones(tmp_path: Path, active: tuple[str, str], trigger: str, raised: bool) -> None:
    before, after = (a_campaign(trigger, f"active: {one}") for one in active)
    assert series(tmp_path, before, after) == [0, int(raised)]


STEPS = "{on: purchase, sum: event.amount, steps: [{reach: 20, grant: {points: 1}}]}"
MORE = "{on: purchase, sum: event.amount, pick: highest, steps: [{reach: 30, grant: {points: 1}}, {reach: 90, grant: {points: 2}}]}"
WHOLE = a_campaign(SUM)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (WHOLE, a_campaign(SUM.replace("20", "30"))),
        (WHOLE, a_campaign(SUM.replace("event.amount > 0", "'event.amount>0'"))),
        (WHOLE, a_campaign(SUM.replace("on: purchase", "on: [purchase]"))),
        (a_campaign(STEPS, grant=""), a_campaign(MORE, grant="")),
        (a_campaign(UNLESS), a_campaign(UNLESS.replace("1d", "2d"))),
        (WHOLE, a_campaign(SUM, "audience: user.tier == 'gold'")),
        (WHOLE, a_campaign(SUM, "limits: [{amount: 10, when_full: cut}, {cooldown: 1d}]\ntheme: t\nhold: 1d")),
        (WHOLE, a_campaign(SUM, "refunds: {on: refund, amount: event.amount}\ndescription: of people")),
        (WHOLE, a_campaign(SUM, grant="grant: {points: {percent: 3, of: event.amount}}")),
        (WHOLE, WHOLE + "---\ngroup: g\npick: one per user\noffers: [c]"),
    ],
)
def test_what_leaves_the_triggers_meaning_lets_counters_go_on(tmp_path: Path, before: str, after: str) -> None:
    assert before != after
    assert series(tmp_path, before, after) == [0, 0]


def test_a_campaign_that_was_away_goes_on_with_its_series_or_the_next(tmp_path: Path) -> None:
    assert series(tmp_path, WHOLE, a_campaign(MONTH), "", a_campaign(MONTH), WHOLE) == [0, 1, 1, 2]


def test_a_string_is_not_respelt(tmp_path: Path) -> None:
    one, other = (a_campaign(f"{{on: purchase, where: \"event.country == '{name}'\"}}") for name in ("a b", "ab"))
    assert series(tmp_path, one, other) == [0, 1]


def test_sets_come_into_force_one_after_the_other(tmp_path: Path) -> None:
    plan_set: Any = a_plan_set(tmp_path, WHOLE, SCHEMA)
    first = numbered(plan_set, (), None)
    second = numbered(plan_set, (first,), 2_000)
    assert (first.number, first.in_force_from_ms, second.number, second.in_force_from_ms) == (1, None, 2, 2_000)
    with pytest.raises(UsageError, match="comes into force later"):
        numbered(plan_set, (first, second), 1_000)
