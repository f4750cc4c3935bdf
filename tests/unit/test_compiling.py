"""Plans from models: accounts, charges, times, versions."""

from __future__ import annotations

import gc
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import CampaignFileError
from schemas.plans import ArraySum, CelAmount, Counter, PlanCharge, Tier, Tiers, Window
from schemas.proposals import LimitSpec, Pace
from schemas.results import WhenFull
from tests.support.campaigns import a_plan_set
from transforms.language.json_schema import export

TRIGGER = "trigger: {on: purchase}\n"


def plan(path: Path, text: str) -> Any:
    return a_plan_set(path, text).plans[0]


def version(path: Path, text: str) -> str:
    found: str = plan(path / hashlib.sha256(text.encode()).hexdigest()[:8], text).version
    return found


def test_accounts_stand_parents_first_with_their_limits(tmp_path: Path) -> None:
    plan_set = a_plan_set(
        tmp_path,
        "campaign: b\ntheme: used\ntrigger: {on: purchase}\ngrant: {points: 1}\n"
        "limits: [{per: user and day, grants: 1}, {amount: 5, when_full: close}]\n---\n"
        "campaign: a\ntrigger: {on: purchase}\ngrant: {money: 1, unit: USD}\ncost: {amount: 7, unit: points}\n---\n"
        "theme: declared\n---\ntenant: shop\nlimits: [{per: hour, amount: 9, unit: points}]",
    )
    names = [(account.name, account.parent, account.unit) for account in plan_set.accounts]
    assert names == [
        ("tenant", None, "points"),
        ("theme/declared", "tenant", ""),
        ("theme/used", "tenant", ""),
        ("campaign/a", "tenant", "USD"),
        ("campaign/b", "theme/used", "points"),
    ]
    assert plan_set.accounts[4].limits == (
        LimitSpec("user/day", grants=1),
        LimitSpec("total", amount=5, when_full=WhenFull.CLOSE),
    )
    assert [p.campaign for p in plan_set.plans] == ["a", "b"] and plan_set.tenant == "shop"


def test_charges_name_periods_zones_and_costs(tmp_path: Path) -> None:
    charges = (
        plan(
            tmp_path,
            "campaign: c\ntheme: t\nactive: {zone: Asia/Tokyo}\ntrigger: {on: purchase}\ngrant: {points: 1}\n"
            "cost: {amount: 12, unit: USD}\n"
            "limits: [{grants: 9}, {per: user, grants: 5}, {per: user and month, amount: 1}]\n---\n"
            "theme: t\nzone: America/New_York\nlimits: [{per: month, amount: 5, unit: USD}]",
        )
        .all_gifts[0]
        .charges
    )
    assert charges == (
        PlanCharge("tenant", (), "UTC"),
        PlanCharge("theme/t", ("month",), "America/New_York", 12),
        PlanCharge("campaign/c", ("user", "user/month"), "Asia/Tokyo"),
    )


def test_a_date_is_its_first_instant_in_the_zone(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        "campaign: c\nactive: {from: 2017-10-15, to: 2017-12-01T00:00:00+09:00, zone: America/Sao_Paulo}\n"
        + TRIGGER
        + "grant: {points: 1}",
    )
    assert found.schedule.start_ms == 1_508_036_400_000, (
        "midnight does not occur on this day: 03:00Z, where the gap begins"
    )
    assert found.schedule.end_ms == 1_512_054_000_000


def test_counters(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        "campaign: c\ntrigger: {on: purchase, count: events, last: 7d, from: 3, restart: true}\ngrant: {points: 1}",
    ).counter
    assert isinstance(found, Counter)
    assert (found.measure, found.window, found.fires, found.restart) == (
        None,
        Window("last", 604_800_000),
        "from",
        True,
    )


def test_values(tmp_path: Path) -> None:
    text = "grant: {points: {of: {add: item.amount, in: event.categories}, tiers: [{from: 0, value: 1}, {from: 9, percent: 2.5}]}}"
    value = plan(tmp_path, "campaign: c\n" + TRIGGER + text).gifts[0].incentive.value
    assert isinstance(value, Tiers) and isinstance(value.of, ArraySum) and value.of.where is None
    assert value.tiers == (Tier(0, 1, None), Tier(9, 1, 40))
    summed = plan(
        tmp_path, "campaign: c\ntrigger: {on: purchase, sum: event.amount, reach: 1}\ngrant: {points: 1}"
    ).counter
    assert isinstance(summed.measure, CelAmount) and summed.measure.expression.kind == "int"


SAME = [
    "campaign: c\nactive: {from: 2017-01-01, zone: UTC}\ntrigger: {on: [purchase, login]}\ngrant: {points: {percent: 2.5, of: event.amount}}",
    "campaign: c\ndescription: why\nactive: {from: 2017-01-01T00:00:00Z}\ntrigger: {on: [login, purchase]}\ngrant: {points: {percent: 2.50, of: event.amount}}",
    "campaign: c\ngrant: {points: {of: event.amount, percent: 2.5, round: floor}}\ntrigger: {on: [purchase, login]}\nactive: {from: 2017-01-01T01:00:00+01:00}",
]


def test_a_version_does_not_see_spelling(tmp_path: Path) -> None:
    versions = {version(tmp_path, text) for text in SAME}
    assert len(versions) == 1 and re.fullmatch("[0-9a-f]{16}", versions.pop())


@pytest.mark.parametrize("other", ["points: 2", "money: 1, unit: USD", "points: {percent: 1, of: event.amount}"])
def test_a_version_sees_meaning(tmp_path: Path, other: str) -> None:
    text = "campaign: c\n" + TRIGGER
    assert version(tmp_path, text + "grant: {points: 1}") != version(tmp_path, text + f"grant: {{{other}}}")


def test_an_amount_under_a_cap_of_another_unit_needs_its_cost(tmp_path: Path) -> None:
    with pytest.raises(CampaignFileError, match="say what a grant costs there"):
        plan(
            tmp_path, "campaign: c\n" + TRIGGER + "grant: {points: 1}\n---\ntenant: t\nlimits: [{amount: 1, unit: USD}]"
        )


def test_loading_leaves_the_collector_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(CampaignFileError):
        plan(tmp_path, "campaign: c")
    assert gc.isenabled()


def test_the_json_schema_describes_every_property_the_same_way_each_time() -> None:
    schema = export()
    assert schema == export()
    bare = [
        f"{name}.{key}"
        for name, of in schema["$defs"].items()
        for key, property_ in of.get("properties", {}).items()
        if "description" not in property_
    ]
    assert bare == []


def pace(path: Path, text: str) -> Pace | None:
    campaign = "campaign: c\ntrigger: {on: purchase}\ngrant: {points: 1}\n"
    found: Pace | None = a_plan_set(path, campaign + text).accounts[-1].limits[0].pace
    return found


MARCH, APRIL = 1_488_344_400_000, 1_491_019_200_000
"""The first instants of these months of 2017 in New York, before and after the clocks are put forward."""


def test_a_pace_has_the_campaigns_span_in_its_zone(tmp_path: Path) -> None:
    active = "active: {from: 2017-03-01, to: 2017-04-01, zone: America/New_York}\n"
    zone = "America/New_York"
    assert pace(tmp_path / "1", active + "limits: [{amount: 5, pace: even}]") == Pace("even", MARCH, APRIL, zone=zone)
    parts = "{by: front-loaded, head_start: 1_000, to: 2017-03-01T01:00}"
    assert pace(tmp_path / "2", active + f"limits: [{{amount: 5, pace: {parts}}}]") == Pace(
        "front-loaded", MARCH, MARCH + 3_600_000, 1_000, (4, 3, 2, 1), (), zone
    )


def test_a_curve_brings_the_offsets_of_its_zone(tmp_path: Path) -> None:
    shares = tuple(range(24))
    active = "active: {from: 2017-03-01, to: 2017-04-01, zone: America/New_York}\n"
    found = pace(tmp_path, active + f"limits: [{{amount: 5, pace: {{curve: {list(shares)}}}}}]")
    forward = 1_489_302_000_000  # 2017-03-12T07:00:00Z
    offsets = (MARCH, -5 * 3_600_000), (forward, -4 * 3_600_000)
    assert found == Pace("curve", MARCH, APRIL, 0, shares, offsets, "America/New_York")


def test_a_theme_and_a_tenant_say_the_span_of_a_pace(tmp_path: Path) -> None:
    limits = "limits: [{amount: 9, unit: points, pace: {by: even, from: 2017-03-01, to: 2017-04-01}}]"
    text = "campaign: c\ntheme: t\ntrigger: {on: purchase}\ngrant: {points: 1}\n---\n"
    accounts = a_plan_set(
        tmp_path, text + f"theme: t\nzone: America/New_York\n{limits}\n---\ntenant: shop\n{limits}"
    ).accounts
    paces = [account.limits[0].pace for account in accounts[:2]]
    assert [(pace.start_ms, pace.zone) for pace in paces if pace] == [
        (MARCH - 5 * 3_600_000, "UTC"),
        (MARCH, "America/New_York"),
    ]
