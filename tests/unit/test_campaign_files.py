"""Campaign files: what they mean, and what every mistake is told as."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import CampaignFileError
from schemas.plans import Counter, Fixed, Percent, decode_plan_set, encode_plan_set
from tests.support.campaigns import SCHEMA, a_folder, a_plan_set
from transforms.language import load_folder
from transforms.language.json_schema import export

GOOD = "campaign: c\ntrigger: {on: purchase}\ngrant: {points: 1}\n"


def problems(tmp_path: Path, text: str) -> str:
    with pytest.raises(CampaignFileError) as error:
        a_plan_set(tmp_path, text)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("campaign: C!\ntrigger: {on: purchase}\ngrant: {points: 1}", "1:11", "campaign: 'C!' is no id"),
        (GOOD + "thme: x", "4:1", "'thme' is not known; did you mean 'theme'?"),
        ("campaign: c\ntrigger: {on: purchase, wher: x}\ngrant: {points: 1}", "2:25", "did you mean 'where'?"),
        ("campaign: c\ntrigger: {on: purchas}\ngrant: {points: 1}", "2:15", "did you mean 'purchase'?"),
        ("campaign: c\ntrigger: {on: purchase}\ngrant: {points: 010}", "3:17", "'010' is no integer"),
        ("campaign: c\ntrigger: {on: purchase}\ngrant: {points: 1.5}", "3:17", "'1.5' is no integer"),
        ("campaign: c\ntrigger: {on: purchase}\ngrant: {points: 0}", "3:17", "an amount is from 1 to"),
        ("campaign: c\ntrigger: {on: purchase}\ngrant: {money: 5}", "3:8", "money: names its currency"),
        ("campaign: c\ntrigger: {on: purchase}", "1:1", "grant: is missing"),
        ("campaign: c\ngrant: {points: 1}", "1:1", "trigger: is missing"),
        ("campaign: c\ntrigger: {on: purchase, count: events}\ngrant: {points: 1}", "2:10", "say when the counter fires"),
        ("campaign: c\ntrigger: {on: purchase, reach: 5}\ngrant: {points: 1}", "2:10", "say what is counted"),
        ("campaign: c\ntrigger: {on: purchase, count: events, reach: 0}\ngrant: {points: 1}", "2:47", "a threshold is from 1"),
        ("campaign: c\ntrigger: {on: purchase, count: events, every: 2, restart: true}\ngrant: {points: 1}", "2:10", "restart: goes with reach: or from:"),
        ("campaign: c\ntrigger: {on: purchase, count: events, reach: 2, restart: yes}\ngrant: {points: 1}", "2:59", "'yes' is neither true nor false"),
        ("campaign: c\ntrigger: {on: purchase, count: events, reach: 2, last: 7}\ngrant: {points: 1}", "2:56", "'7' is no duration"),
        (GOOD + "active: {zone: Mars/Base}", "4:16", "'Mars/Base' is no time zone"),
        (GOOD + "active: {from: 2018-01-01, to: 2017-01-01}", "4:9", "from: is not before to:"),
        (GOOD + "active: {from: 17:00}", "4:16", "'17:00' is no date"),
        (GOOD + "limits: [{grants: 1, when_full: cut}]", "4:10", "go with amount:"),
        (GOOD + "limits: [{per: user, grants: 1, when_full: close}]", "4:10", "a user's limit closes nothing"),
        (GOOD + "limits: [{per: day, grants: 1}, {per: day, amount: 1}]", "4:9", "two limits per day"),
        (GOOD + "limits: [{amount: 5, unit: USD}]", "4:28", "the campaign grants points"),
        (GOOD + "limits: [{amount: -1}]", "4:19", "a cap is from 0 to"),
        (GOOD + "limits: [{grants: 1, pace: even}]", "4:10", "pace: goes with an amount in total"),
        (GOOD + "limits: [{per: day, amount: 1, pace: even}]", "4:10", "pace: goes with an amount in total"),
        (GOOD + "limits: [{amount: 1, pace: evn}]", "4:28", "did you mean 'even'?"),
        (GOOD + "limits: [{amount: 1, pace: even}]", "4:28", "needs the campaign's first and last day"),
        (GOOD + "limits: [{amount: 1, pace: {by: even, from: 2018-01-01, to: 2017-01-01}}]", "4:28", "from: is not before to:"),
        (GOOD + "limits: [{amount: 1, pace: {head_start: 5}}]", "4:28", "a pace has either by:"),
        (GOOD + "limits: [{amount: 1, pace: {curve: [1, 2]}}]", "4:28", "24 shares, not all of them 0; here are 2"),
        (GOOD + "---\ntheme: t\nlimits: [{amount: 5, unit: points, pace: even}]", "6:9", "says its span here"),
        (GOOD + "theme: t\n---\ntheme: t\nlimits: [{amount: 5, unit: USD}]", "1:11", "say what a grant costs there"),
        (GOOD + "---\n" + GOOD, "5:11", "campaign 'c' stands twice"),
        (GOOD + "audience: user.teir == 'x'", "4:15", "did you mean user.tier?"),
        ("campaign: c\ntrigger:\n  on: purchase\n  where: |\n    event.amount > 0\n      && event.amout > 1\ngrant: {points: 1}", "6:15", "did you mean event.amount?"),
        ("campaign: c\ntrigger: {on: purchase, sum: event.rate * 2.0, reach: 1}\ngrant: {points: 1}", "2:30", "no float touches an amount"),
        ("campaign: c\ntrigger: {on: purchase}\ngrant: {points: {percent: 0, of: event.amount}}", "3:27", "0 percent gives nothing"),
        ("campaign: c\ntrigger: {on: purchase}\ngrant: {points: {of: event.amount, tiers: [{from: 5, value: 1}, {from: 1, value: 2}]}}", "3:17", "ascending order"),
        ("campaign: c\ntrigger: {on: purchase}\ngrant: {points: {percent: 5, of: {add: item.amount, in: event.category}}}", "3:57", "declared: event.categories"),
        (GOOD + "audience: event.amount > 1", "4:11", "right would be a condition over user"),
        (GOOD + "active: {from: 20170101}", "4:16", "'20170101' is no date"),
        (GOOD + "active: {start: 2017-01-01}", "4:10", "'start' is not known in active; known: days, from, hours, lookback, to, zone"),
        (GOOD + "active: {lookback: 90d}", "4:9", "lookback: goes back from from:"),
        (GOOD + "active: {from: 2017-01-01, lookback: 90d}", "4:38", "this trigger remembers no earlier events; right would be a counter"),
        (GOOD + "limits: []\n---\ntheme: t\nlimits: [{amount: 5}]", "7:9", "names its unit here"),
        (GOOD + "---\ntheme: t\nlimits: [{amount: 5, unit: USD}, {per: day, amount: 5, unit: points}]", "6:9", "in one unit"),
        (GOOD + "limits: [{per: users, grants: 1}]", "4:16", "'users' is not known; did you mean 'user'?"),
        (GOOD + "limits:", "4:8", "limits: right would be a list, not nothing"),
        ("campaign: c\ntrigger: {on: []}\ngrant: {points: 1}", "2:15", "names at least one"),
        ("campain: c", "1:1", "did you mean 'campaign'?"),
        ("a: &x 1", "1:4", "anchors and aliases"),
        ("campaign: !!str c", "1:11", "tags"),
        ("campaign: c\ncampaign: d", "2:1", "'campaign' stands here twice"),
        ("campaign: [", "2:1", "is no YAML"),
        ("- campaign", "1:1", "a document is a mapping"),
        ("campaign: " + "[" * 30 + "]" * 30, "1:30", "nested more than 20 deep"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_what_is_right(
    tmp_path: Path, text: str, place: str, message: str
) -> None:
    told = problems(tmp_path, text)
    assert message in told
    assert f"campaigns.yaml:{place}: " in told


@pytest.mark.parametrize(
    "grant",
    ["{points: 010}", "{points: [1]}", "{points: {of: event.amount, tiers: [{from: 5, value: 1, percent: 2}]}}"],
)
def test_a_mistake_in_a_value_is_told_once(tmp_path: Path, grant: str) -> None:
    assert len(problems(tmp_path, f"campaign: c\ntrigger: {{on: purchase}}\ngrant: {grant}").splitlines()) == 1


def test_a_file_that_is_no_yaml_hides_no_other_mistake(tmp_path: Path) -> None:
    a_folder(tmp_path, "campaign: c\ntrigger: {on: purchas}\ngrant: {points: 1}")
    (tmp_path / "broken.yaml").write_text("campaign: [")
    with pytest.raises(CampaignFileError) as error:
        load_folder(tmp_path)
    assert ["broken.yaml" in line for line in error.value.problems] == [True, False]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    told = problems(
        tmp_path,
        "campaign: A\ntrigger: {on: purchase}\ngrant: {points: 1}\n---\ncampaign: b\ntrigger: {on: x}\ngrant: {points: 1}",
    )
    assert len(told.splitlines()) == 2


def test_a_folder_without_a_schema_says_how_to_draft_one(tmp_path: Path) -> None:
    with pytest.raises(CampaignFileError, match="incentives schema infer"):
        load_folder(a_folder(tmp_path, GOOD, schema="theme: t"))


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(CampaignFileError, match="is no folder"):
        load_folder(tmp_path / "nowhere")
    with pytest.raises(CampaignFileError, match="has no .yaml file"):
        load_folder(tmp_path)


def test_scalars_mean_what_they_look_like(tmp_path: Path) -> None:
    text = """
campaign: no
active: {from: 2017-03-12, to: 2017-03-12T17:00:00Z, zone: America/New_York}
trigger: {on: purchase, sum: event.amount, per: month, every: 500_000_00}
grant: {money: {percent: 2.5, of: event.amount, round: half-even, max: 3_000}, unit: USD}
"""
    plan = a_plan_set(tmp_path, text).plans[0]
    assert (plan.campaign, plan.schedule.start_ms, plan.schedule.end_ms) == ("no", 1_489_294_800_000, 1_489_338_000_000)
    assert isinstance(plan.counter, Counter)
    incentive = plan.counter.steps[0].gifts[0].incentive
    assert plan.counter.steps[0].threshold == 50_000_000 and incentive.unit == "USD"
    assert isinstance(incentive.value, Percent)
    assert (incentive.value.numerator, incentive.value.denominator, incentive.value.maximum) == (1, 40, 3_000)


def test_the_version_follows_what_is_said_not_how(tmp_path: Path) -> None:
    spelled = "grant: {points: 1_000}\ncampaign: c\ndescription: x\ntrigger: {on: [purchase]}"
    versions = [
        a_plan_set(tmp_path / str(i), text).plans[0].version
        for i, text in enumerate(
            [
                "campaign: c\ntrigger: {on: purchase}\ngrant: {points: 1000}",
                "campaign: c # why\n" + spelled.replace("campaign: c\n", ""),
                GOOD,
            ]
        )
    ]
    assert versions[0] == versions[1] != versions[2]


def test_plans_travel_as_bytes(tmp_path: Path) -> None:
    plan_set = a_plan_set(tmp_path, GOOD)
    assert decode_plan_set(encode_plan_set(plan_set)) == plan_set
    assert plan_set.plans[0].gifts[0].incentive.value == Fixed(1)


def test_the_examples_are_right() -> None:
    assert len(load_folder(Path("examples/complete_journey")).plans) == 10


def test_the_json_schema_knows_every_key(tmp_path: Path) -> None:
    definitions = export()["$defs"]
    assert {"on", "where", "sum", "last", "reach", "from"} <= set(definitions["Trigger"]["properties"])
    assert {"campaign", "theme", "active", "trigger", "grant", "limits"} <= set(definitions["Campaign"]["properties"])


def test_the_schema_file_of_the_builders_is_right(tmp_path: Path) -> None:
    assert a_plan_set(tmp_path, GOOD, SCHEMA).schema.event_types == ("purchase", "refund", "login")
