"""Which floors follow from the campaigns and the source's watermark."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from schemas.plans import DAY_MS
from tests.support.campaigns import a_plan_set
from transforms.budget.floors import HOUR_MS, CampaignFloor, Floors, floors_of

NOW_MS = 1_000 * DAY_MS
TENANT = "tenant: shop\nhorizon: 3d\norder: event_time\nwait: 1d\n---\ncampaign: c\ngrant: {points: 1}\n"
TIME_MS = NOW_MS - 4 * DAY_MS


def floors(path: Path, campaign: str) -> Floors:
    return floors_of([a_plan_set(path, TENANT + campaign)], NOW_MS)


@pytest.mark.parametrize(
    ("campaign", "kept_ms"),
    [
        ("trigger: {on: purchase}", DAY_MS),
        ("trigger: {on: purchase}\nhold: 14d", 15 * DAY_MS),
        ("trigger: {on: purchase, count: events, per: month, reach: 3}", 745 * HOUR_MS),
        ("trigger: {on: purchase, count: events, last: 30d, reach: 3}", DAY_MS),
        ("trigger: {on: purchase, count: events, every: 3}", DAY_MS),
        ("trigger: {after: {on: login, within: 5d}, on: purchase}", 6 * DAY_MS),
        ("trigger: {on: login, unless: {on: purchase, within: 2d}}", 3 * DAY_MS),
        ("trigger: {on: purchase}\nrefunds: {on: refund, within: 30d}", 31 * DAY_MS),
    ],
)
def test_a_dated_generation_is_kept_as_long_as_anything_may_come_for_it(
    tmp_path: Path, campaign: str, kept_ms: int
) -> None:
    assert floors(tmp_path, campaign) == Floors(TIME_MS, (CampaignFloor("c", TIME_MS - kept_ms),))


@pytest.mark.parametrize(
    "campaign",
    [
        "trigger: {after: {on: login}, on: purchase}",
        "trigger: {on: purchase}\nrefunds: {on: refund}",
    ],
)
def test_what_may_come_for_ever_keeps_the_records(tmp_path: Path, campaign: str) -> None:
    assert floors(tmp_path, campaign) == Floors(TIME_MS)


def test_the_lifetime_is_over_a_horizon_and_a_wait_after_the_end(tmp_path: Path) -> None:
    ended = "trigger: {on: purchase}\nactive: {from: 1972-01-01, to: 1972-09-21}"
    assert floors(tmp_path, ended).campaigns == (CampaignFloor("c", TIME_MS - DAY_MS, over=True),)
    running = "trigger: {on: purchase}\nactive: {from: 1972-01-01, to: 1972-09-23}"
    assert not floors(tmp_path, running).campaigns[0].over


def test_a_campaign_that_a_later_set_has_not_ends_when_that_comes_into_force(tmp_path: Path) -> None:
    first = a_plan_set(tmp_path, TENANT + "trigger: {on: purchase}\nhold: 9d")
    gone = msgspec.structs.replace(first, number=2, plans=(), in_force_from_ms=TIME_MS - 10 * DAY_MS)
    assert floors_of([first, gone], NOW_MS).campaigns == (CampaignFloor("c", TIME_MS - 10 * DAY_MS, over=True),)
    assert not floors_of([first, gone], NOW_MS - 1).campaigns[0].over


def test_refunds_without_an_end_keep_the_records_until_the_campaign_is_taken_out(tmp_path: Path) -> None:
    refunds = "trigger: {on: purchase}\nrefunds: {on: refund}\nactive: {from: 1970-01-02, to: 1970-02-01}"
    first = a_plan_set(tmp_path, TENANT + refunds)
    assert floors_of([first], NOW_MS) == Floors(TIME_MS)
    gone = msgspec.structs.replace(first, number=2, plans=(), in_force_from_ms=TIME_MS)
    assert floors_of([first, gone], NOW_MS).campaigns == (CampaignFloor("c", TIME_MS, over=True),)


def test_the_longest_span_of_all_sets_counts(tmp_path: Path) -> None:
    first = a_plan_set(tmp_path / "a", TENANT + "trigger: {on: purchase}\nhold: 9d")
    second = a_plan_set(tmp_path / "b", TENANT.replace("3d", "1d") + "trigger: {on: purchase}")
    assert floors_of([first, second], NOW_MS) == Floors(TIME_MS, (CampaignFloor("c", TIME_MS - 10 * DAY_MS),))
