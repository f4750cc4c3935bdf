"""`incentives explain` end to end: for each way in which a user gets nothing, and for a grant."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runners.cli import main
from tests.support.campaigns import SCHEMA, a_folder, a_stream, an_event

DAY = "2026-01-{:02d}T10:00:00Z"
WIDER = SCHEMA.replace("types: [purchase, refund, login]", "types: [purchase, refund, login, mailing, cart]").replace(
    "  rate: double", "  rate: double\n  order_id: string\n  currency: string\n  referrer_id: string"
)

Explain = Callable[..., dict[str, Any]]


def day(number: int, event_id: str = "", **more: Any) -> dict[str, Any]:
    """A purchase at 10:00 UTC of a day in January."""
    return an_event(event_id or f"e{number}", DAY.format(number), **more)


@pytest.fixture
def explain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Explain:
    """Run the command on these campaigns and events, and give back what it tells of the campaign."""

    def run(
        campaigns: str, events: list[dict[str, Any]], event: str, *more: str, campaign: str = "c"
    ) -> dict[str, Any]:
        folder = a_folder(tmp_path / "campaigns", campaigns, WIDER)
        stream = a_stream(tmp_path / "events.jsonl", events)
        given = ["explain", "--events", str(stream), "--campaigns", str(folder), "--event", event]
        assert main([*given, "--campaign", campaign, "--json", *more]) == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert main([*given, "--campaign", campaign, *more]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80, lines
        return told["campaigns"][0] if told["campaigns"] else told

    return run


def steps(told: dict[str, Any]) -> dict[str, Any]:
    return {step["name"]: step for section in told["sections"] for step in section["steps"]}


def test_a_grant_is_told_with_its_limits_and_what_came_of_it(explain: Explain) -> None:
    campaign = """
campaign: c
trigger: {on: purchase}
grant: {points: {percent: 10, of: event.amount}}
limits: [{per: user and month, amount: 120, when_full: cut}]
refunds: {on: refund, same: event.order_id, amount: event.amount}
"""
    events = [
        day(1, amount=500, order_id="a"),
        day(2, amount=1000, order_id="b"),
        day(3, kind="refund", amount=100, order_id="b"),
    ]
    told = explain(campaign, events, "e2")
    assert (told["outcome"], told["difference"]) == ("granted", [])
    ruling = told["rulings"][0]
    assert ruling["told"] == "granted 70 points to u1, cut from 100 to what a limit had left"
    assert ruling["limits"][-1]["account"] == "campaign/c"
    assert (ruling["limits"][-1]["amount"], ruling["limits"][-1]["amount_cap"]) == (50, 120)
    assert ruling["later"] == ["7 points taken back by event e3 at 2026-01-03T10:00:00Z"]
    refund = explain(campaign, events, "e3")
    assert (refund["outcome"], refund["caused"]) == ("taken as a refund", ["7 points taken back of user u1"])


def test_another_type_of_event(explain: Explain) -> None:
    told = explain("campaign: c\ntrigger: {on: purchase}\ngrant: {points: 1}", [day(1, kind="login")], "e1")
    assert told["outcome"] == "not listened to"
    assert told["difference"] == ["the event's type is login; it must be purchase"]


def test_too_early_too_late_or_at_another_hour(explain: Explain) -> None:
    campaign = """
campaign: c
active: {from: 2026-01-03, to: 2026-01-05, zone: America/New_York, days: [sun], hours: [17:00-20:00]}
trigger: {on: purchase}
grant: {points: 1}
"""
    events = [day(number) for number in (1, 4, 9)]
    assert explain(campaign, events, "e1")["difference"][0] == (
        "the event is of 2026-01-01T05:00:00-05:00; it must be at or after 2026-01-03T00:00:00-05:00"
    )
    assert explain(campaign, events, "e9")["difference"][0].endswith("it must be before 2026-01-05T00:00:00-05:00")
    told = explain(campaign, events, "e4")
    assert steps(told)["dates"]["met"]
    assert told["difference"] == [
        "the local time is Sunday 05:00 in America/New_York; the campaign is active Sunday 17:00-20:00"
    ]


def test_a_condition_part_by_part_with_a_missing_value(explain: Explain) -> None:
    where = 'event.amount >= 5000 && !(event.country == "US")'
    campaign = f"campaign: c\ntrigger: {{on: purchase, where: '{where}'}}\ngrant: {{points: 1}}"
    told = explain(campaign, [day(1, amount=4200)], "e1")
    assert told["outcome"] == "not matched"
    assert told["difference"] == [
        "event.amount is 4,200; it must be at least 5,000: 800 more",
        "event.country is missing",
    ]
    amount, country = steps(told)["where"]["condition"]["parts"]
    assert (amount["text"], amount["value"]) == ("event.amount >= 5000", False)
    assert (country["value"], country["why"]) == (None, "event.country is missing")
    assert country["parts"][0]["reads"] == [{"text": "event.country", "value": None, "constant": False}]


def test_another_audience(explain: Explain, tmp_path: Path) -> None:
    campaign = """
campaign: c
audience: {where: user.tier == "gold", include: [u1, u2], share: {seed: s, from: 0, to: 0.0001}}
trigger: {on: purchase}
grant: {points: 1}
"""
    users = a_stream(tmp_path / "users.jsonl", [{"user_id": "u9", "tier": "tin"}])
    told = explain(campaign, [day(1, user="u9")], "e1", "--users", str(users))
    tier, listed, share = told["difference"]
    assert (tier, listed) == ('user.tier is "tin"; it must be "gold"', "user u9 must be on the list (include)")
    assert share == "the place of user u9 by seed s is 0.902593; it must lie in [0, 0.0001)"


def test_a_counter_below_its_step(explain: Explain) -> None:
    campaign = "campaign: c\ntrigger: {on: purchase, sum: event.amount, per: month, reach: 20000}\ngrant: {points: 1}"
    events = [day(1, amount=12000), day(2, amount=4200), day(3), day(4, amount=5000), day(5, amount=1)]
    told = explain(campaign, events, "e2")
    assert told["outcome"] == "counted"
    assert told["difference"] == ["the counter stands at 16,200 of 20,000: 3,800 more before 2026-02-01T00:00:00Z"]
    numbers = steps(told)["counter"]["numbers"]
    assert (numbers["before"], numbers["after"], numbers["asked"]) == (12000, 16200, [20000])
    assert explain(campaign, events, "e3")["difference"] == ["event.amount is missing; sum needs a value to count"]
    assert explain(campaign, events, "e4")["outcome"] == "granted"
    spent = "it fired in this window already, at 20,000: once a window; the next window begins at 2026-02-01T00:00:00Z"
    assert explain(campaign, events, "e5")["difference"] == [spent]


@pytest.mark.parametrize(
    ("trigger", "event", "difference"),
    [
        ("count: events, every: 3", "e4", "the counter stands at 4 of 6: 2 more"),
        ("count: events, from: 9", "e4", "the counter stands at 4 of 9: 5 more"),
        ("count: events, last: 7d, reach: 2", "e4", "the counter stood at or above 2 before the event too: it fires on "
         "the way up"),
        ("count: events, last: 2d, reach: 9", "e4", "the counter stands at 2 of 9: 7 more"),
        ("count: events, reach: 9, restart: true", "e2", "the counter stands at 2 of 9: 7 more"),
        ("streak: days, every: 3", "e4", "the counter stands at 4 of 6 days in a row: 2 more"),
        ("distinct: event.country, reach: 2", "e2", "what the event brings is counted already: the counter stays at 1"),
        ("silence: 30d", "e2", "the previous one was 1d ago, at 2026-01-01T10:00:00Z; 30d is asked: 29d more"),
        ("silence: 30d", "e1", "it is the user's first such event: there must be an earlier one"),
    ],
)  # fmt: skip
def test_how_far_a_counter_is(explain: Explain, trigger: str, event: str, difference: str) -> None:
    campaign = f"campaign: c\ntrigger: {{on: purchase, {trigger}}}\ngrant: {{points: 1}}"
    told = explain(campaign, [day(number, country="US") for number in range(1, 5)], event)
    assert told["difference"][0] == difference


def test_a_purchase_that_was_refunded_before_it_came(explain: Explain) -> None:
    campaign = """
campaign: c
trigger: {on: purchase, sum: event.amount, reach: 5000}
grant: {points: 1}
refunds: {on: refund, same: event.order_id, amount: event.amount}
"""
    events = [day(1, kind="refund", amount=3000, order_id="a"), day(2, amount=5000, order_id="a")]
    told = explain(campaign, events, "e2")
    assert steps(told)["refunded before"]["told"] == "refunds came before it: 2,000 of 5,000 is left to count"
    assert told["difference"] == ["the counter stands at 2,000 of 5,000: 3,000 more"]


def test_a_sequence_that_nothing_opened(explain: Explain) -> None:
    campaign = "campaign: c\ntrigger: {after: {on: mailing, within: 2d}, on: purchase}\ngrant: {points: 1}"
    events = [day(1), day(2, "m", kind="mailing"), day(3), day(9)]
    assert explain(campaign, events, "e1")["difference"] == [
        "no mailing before this event; one must come before the event"
    ]
    assert explain(campaign, events, "m")["outcome"] == "opens a window"
    assert explain(campaign, events, "e3")["outcome"] == "granted"
    late = explain(campaign, events, "e9")["difference"][0]
    assert late.startswith("none is open; the last mailing was m at 2026-01-02T10:00:00Z, open to 2026-01-04T10:00:00Z")


def test_an_absence_that_was_ended_granted_or_still_waits(explain: Explain) -> None:
    campaign = "campaign: c\ntrigger: {on: cart, unless: {on: purchase, within: 48h}}\ngrant: {points: 1}"
    events = [day(1, "c1", kind="cart"), day(2), day(5, "c2", kind="cart"), day(9, "c3", kind="cart")]
    told = explain(campaign, events, "c1")
    assert told["outcome"] == "wait ended"
    assert told["difference"] == [
        "purchase e2 at 2026-01-02T10:00:00Z ended the wait, which was to last to 2026-01-03T10:00:00Z"
    ]
    assert explain(campaign, events, "e2")["outcome"] == "ends a wait"
    assert explain(campaign, events, "c2")["outcome"] == "granted"
    assert explain(campaign, events, "c3")["outcome"] == "still waits"


def test_a_grant_worth_nothing(explain: Explain) -> None:
    grant = "{points: {of: event.amount, tiers: [{from: 5000, value: 10}]}}"
    told = explain(f"campaign: c\ntrigger: {{on: purchase}}\ngrant: {grant}", [day(1, amount=3000)], "e1")
    assert told["outcome"] == "worth nothing"
    assert told["difference"] == ["event.amount is 3,000; the lowest tier begins at 5,000"]


def test_a_referral_without_a_referrer_or_by_oneself(explain: Explain) -> None:
    campaign = "campaign: c\ntrigger: {on: purchase, subject: event.referrer_id}\ngrant: {points: 1}"
    events = [day(1), day(2, referrer_id="u1"), day(3, referrer_id="u7")]
    assert explain(campaign, events, "e1")["difference"] == ["event.referrer_id is missing; it must name a user"]
    assert "a self-referral is not taken" in explain(campaign, events, "e2")["difference"][0]
    told = explain(campaign, events, "e3")
    assert (told["subject"], told["outcome"]) == ("u7", "granted")


@pytest.mark.parametrize(
    ("limit", "reason", "difference"),
    [
        ("{amount: 100}", "amount", "the limit in total of campaign/c has 20 left, the grant asks 80 (80 of 100 "
         "points); the last grant before was by event e1 of user u2 at 2026-01-01T10:00:00Z"),
        ("{amount: 80, when_full: cut}", "amount", "the limit in total of campaign/c is used up (80 of 80 points); "
         "the last grant before was by event e1 of user u2 at 2026-01-01T10:00:00Z"),
        ("{per: week, grants: 1}", "grants", "the limit per week of campaign/c is used up (1 of 1 grants); the last "
         "grant before was by event e1 of user u2 at 2026-01-01T10:00:00Z; the next week begins at 2026-01-05T00:00:00Z"),
    ],
)  # fmt: skip
def test_a_budget_that_is_used_up(explain: Explain, limit: str, reason: str, difference: str) -> None:
    campaign = f"campaign: c\ntrigger: {{on: purchase}}\ngrant: {{points: 80}}\nlimits: [{limit}]"
    told = explain(campaign, [day(1, user="u2"), day(2)], "e2")
    assert (told["outcome"], told["rulings"][0]["reason"]) == ("denied", reason)
    assert told["difference"] == [difference]


def test_a_users_limit_a_cooldown_and_a_closed_budget(explain: Explain) -> None:
    start = "campaign: c\ntrigger: {on: purchase}\ngrant: {points: 80}\nlimits: "
    told = explain(start + "[{per: user and month, amount: 100}]", [day(1), day(2)], "e2")
    assert told["difference"] == [
        "the limit of user u1 per month of campaign/c has 20 left, the grant asks 80 (80 of 100 points); the last grant "
        "before was by event e1 at 2026-01-01T10:00:00Z; the next month begins at 2026-02-01T00:00:00Z"
    ]
    told = explain(start + "[{cooldown: 48h}]", [day(1), day(2)], "e2")
    assert told["difference"] == [
        "the user's last grant of campaign/c was 1d ago: possible again at 2026-01-03T10:00:00Z"
    ]
    told = explain(start + "[{amount: 100, when_full: close}]", [day(1), day(2, user="u2"), day(3)], "e3")
    assert told["rulings"][0]["reason"] == "closed"
    assert told["difference"][0].startswith("campaign/c was closed by event e2 at 2026-01-02T10:00:00Z")


GROUP = """
group: g
pick: {pick}
offers: [best, next]
---
campaign: best
trigger: {{on: purchase, where: event.amount >= 1000}}
grant: {{points: 50}}
limits: [{{per: user, grants: 1}}]
---
campaign: next
trigger: {{on: purchase}}
grant: {{points: 5}}
"""


def test_offers_of_a_group(explain: Explain) -> None:
    campaigns, events = GROUP.format(pick="one per event"), [day(1, amount=1000), day(2, amount=1000)]
    told = explain(campaigns, events, "e1", campaign="next")
    assert told["outcome"] == "not reached"
    assert told["difference"] == ["the better offer best was taken: one offer of the group g is granted per event"]
    told = explain(campaigns, events, "e2", campaign="best")
    assert (told["outcome"], told["rulings"][0]["reason"]) == ("passed over", "user_grants")
    answers = [(one["campaign"], one["answer"]) for one in told["rulings"][0]["offers"]]
    assert answers == [("best", "denied: user_grants"), ("next", "granted")]
    assert explain(campaigns, events, "e2", campaign="next")["outcome"] == "granted"


def test_a_lock_of_a_group(explain: Explain) -> None:
    events = [day(1, amount=1), day(2, amount=1000)]
    told = explain(GROUP.format(pick="one per user and month"), events, "e2", campaign="best")
    assert told["rulings"][0]["reason"] == "locked"
    assert told["difference"] == [
        "the user took next of the group g first; the last grant before was by event e1 at 2026-01-01T10:00:00Z"
    ]


def test_duplicates_dead_letters_and_unknown_ids(
    explain: Explain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign = "campaign: c\ntrigger: {on: purchase}\ngrant: {points: 1}"
    events = [
        day(1, amount=1),
        day(2, "e1", amount=2),
        day(3, "lost", amount="x"),
        day(4, "two"),
        day(4, "two", user="u2"),
    ]
    assert explain(campaign, events, "e1")["outcome"] == "granted"
    lost = explain(campaign, events, "lost")
    assert lost["event"] is None and "dead letter (invalid_attribute)" in lost["notes"][0]
    told = explain(campaign, events, "two", "--user", "u2")
    assert [ruling["told"] for ruling in told["rulings"]] == ["granted 1 points to u2"]
    given = ["explain", "--events", f"{tmp_path}/events.jsonl", "--campaigns", f"{tmp_path}/campaigns"]
    assert main([*given, "--event", "e1"]) == 0
    assert "the id came again (1 x, with other content)" in capsys.readouterr().out
    for more, told in (
        (["--event", "nope"], "no event 'nope' among the 4 of the stream"),
        (["--event", "two"], "2 users have an event 'two' (u1, u2): name one, e.g. --user u1"),
        (["--event", "e1", "--user", "u5"], "no event 'e1' of user 'u5'; there is one of u1"),
        (["--event", "e1", "--campaign", "cc"], "no campaign 'cc' in the folder; did you mean 'c'?"),
    ):
        assert main([*given, *more]) == 2
        assert told in " ".join(capsys.readouterr().err.split())


def test_all_campaigns_in_short(explain: Explain, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    explain(GROUP.format(pick="one per event"), [day(1, amount=900)], "e1", campaign="best")
    given = ["explain", "--events", f"{tmp_path}/events.jsonl", "--campaigns", f"{tmp_path}/campaigns", "--event", "e1"]
    assert main(given) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "best: not matched",
        "  event.amount is 900; it must be at least 1,000: 100 more",
        "next: granted",
        "  granted 5 points to u1",
    ]
