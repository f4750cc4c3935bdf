"""Rewards that trigger rewards: which ways lead back, and what ends them."""

from __future__ import annotations

from pathlib import Path

import pytest

from runners.ops.checking import Report, check_folder
from schemas.errors import CampaignFileError
from tests.support.campaigns import a_folder

SCHEMA = """
schema: events
types: [purchase, redeemed, spent, login]
attributes: {amount: int}
follows: {redeemed: coupon, spent: [points, USD]}
"""
COUPON_FOR_SPENDING = "campaign: a\ntrigger: {on: spent}\ngrant: {coupon: {code: X}}\n"
POINTS_FOR_REDEEMING = "campaign: b\ntrigger: {on: [redeemed, login]}\ngrant: {points: 10}\n"
PLAIN = "campaign: p\ntrigger: {on: purchase}\ngrant: {points: 10}\n"


def checked(tmp_path: Path, *campaigns: str, schema: str = SCHEMA) -> Report:
    return check_folder(a_folder(tmp_path, "---\n".join(campaigns), schema))


def ways(report: Report) -> list[tuple[str, ...]]:
    return [tuple(f"{step.event_type} {step.campaign} {step.unit}" for step in loop.steps) for loop in report.loops]


def test_a_way_back_over_two_campaigns_is_told_once(tmp_path: Path) -> None:
    report = checked(tmp_path, COUPON_FOR_SPENDING, POINTS_FOR_REDEEMING, PLAIN)
    assert ways(report) == [("redeemed b points", "spent a coupon")] or ways(report) == [
        ("spent a coupon", "redeemed b points")
    ]
    assert report.loops[0].ends is None
    assert report.place("b").endswith("campaigns.yaml:5")


@pytest.mark.parametrize(
    "trigger", ["{on: spent}", "{on: login, after: {on: spent}}", "{on: [login, spent], count: events, every: 3}"]
)
def test_a_campaign_may_reward_its_own_reward(tmp_path: Path, trigger: str) -> None:
    report = checked(tmp_path, f"campaign: own\ntrigger: {trigger}\ngrant: {{money: 10, unit: USD}}\n", PLAIN)
    assert ways(report) == [("spent own USD",)]


@pytest.mark.parametrize(
    "campaigns",
    [
        (COUPON_FOR_SPENDING, PLAIN),
        (POINTS_FOR_REDEEMING, PLAIN),
        (COUPON_FOR_SPENDING, POINTS_FOR_REDEEMING.replace("points: 10", "product: {sku: t}")),
        # What only takes back, or keeps from firing, triggers nothing.
        ("campaign: r\ntrigger: {on: purchase}\ngrant: {points: 1}\nrefunds: {on: spent}\n",),
        ("campaign: u\ntrigger: {on: purchase, unless: {on: spent, within: 1d}}\ngrant: {points: 1}\n",),
    ],
)
def test_what_does_not_lead_back_is_no_loop(tmp_path: Path, campaigns: tuple[str, ...]) -> None:
    assert checked(tmp_path, *campaigns).loops == []


def test_without_a_declaration_nothing_is_told(tmp_path: Path) -> None:
    schema = SCHEMA.replace("follows", "# follows")
    assert checked(tmp_path, COUPON_FOR_SPENDING, POINTS_FOR_REDEEMING, schema=schema).loops == []


def test_a_loop_tells_what_ends_it_and_an_endless_one_comes_first(tmp_path: Path) -> None:
    bounded = "campaign: %s\ntrigger: {on: spent}\ngrant: {points: 10}\nlimits: [%s]\n"
    report = checked(
        tmp_path,
        bounded % ("a-user", "{per: user, grants: 3}"),
        bounded % ("in-all", "{amount: 500}"),
        bounded % ("never", "{per: user and day, grants: 1}"),
    )
    ends = [(loop.steps[0].campaign, loop.ends and loop.ends.campaign, loop.for_each_user) for loop in report.loops]
    assert ends == [("never", None, False), ("in-all", "in-all", False), ("a-user", "a-user", True)]


def test_one_bounded_campaign_ends_the_whole_loop(tmp_path: Path) -> None:
    report = checked(tmp_path, COUPON_FOR_SPENDING, POINTS_FOR_REDEEMING + "limits: [{per: user, amount: 50}]\n")
    (loop,) = report.loops
    assert loop.for_each_user and loop.ends is not None
    assert (loop.ends.campaign, loop.ends.a_user.amount) == ("b", 50)


def test_the_worse_of_two_ways_is_told(tmp_path: Path) -> None:
    """From a coupon back to spending, over a campaign with a limit or over one without."""
    limited = POINTS_FOR_REDEEMING.replace("campaign: b", "campaign: ab") + "limits: [{per: user, amount: 50}]\n"
    report = checked(tmp_path, COUPON_FOR_SPENDING, limited, POINTS_FOR_REDEEMING)
    assert [(sorted(step.campaign for step in loop.steps), loop.ends is None) for loop in report.loops] == [
        (["a", "b"], True),
        (["a", "ab"], False),
    ]


@pytest.mark.parametrize(
    ("follows", "message"),
    [
        (
            "{redeemd: coupon}",
            "schema.yaml:5:11: follows: event type 'redeemd' is not declared; did you mean 'redeemed'?",
        ),
        ("{redeemed: kupon}", "'kupon' is no unit; right would be points, or a currency code as USD"),
    ],
)
def test_mistakes_in_the_declaration(tmp_path: Path, follows: str, message: str) -> None:
    schema = SCHEMA.replace("{redeemed: coupon, spent: [points, USD]}", follows)
    with pytest.raises(CampaignFileError) as error:
        checked(tmp_path, PLAIN, schema=schema)
    assert message in str(error.value)
