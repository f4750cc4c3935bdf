"""Tests of campaigns as files: what they mean, what a mistake in one is told as, and how a difference reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runners.cli import main
from runners.ops.campaign_tests import ReadyTest, load_tested_folder
from runners.ops.expectations import RanTest, run_test
from schemas.errors import CampaignFileError
from tests.support.campaigns import a_folder
from transforms.language import load_folder
from transforms.language.json_schema import export

SCHEMA = """
schema: events
types: [purchase, refund, cart]
envelope: {event_time: ts}
attributes:
  amount: int
  code: string
  paid: bool
  rate: double
  due: timestamp
  lines: [{sku: string, count: int}]
  extra: {"*": int}
---
schema: users
attributes: {tier: string, age: int}
"""

CAMPAIGNS = """
campaign: thanks
trigger: {on: purchase}
grant: {points: 10}
refunds: {on: refund, same: event.code}
limits: [{per: user, grants: 2}]
---
campaign: gold
audience: user.tier == "gold"
trigger: {on: purchase, where: event.code == "010"}
grant: {coupon: {code: SPRING10}, expires: 2026-05-01}
---
campaign: held
trigger: {on: purchase, where: event.amount > 100}
grant: {points: 5}
hold: 14d
---
campaign: cart
trigger: {on: cart, unless: {on: purchase, within: 24h}}
grant: {message: {template: come-back}}
"""

EACH = "each: {event_type: purchase, user_id: ann, amount: 5}\n"
TWO = EACH + "events: [{ts: 2026-03-01}, {ts: 2026-03-02, event_id: second}]\n"


def folder_with(path: Path, test: str) -> Path:
    folder = a_folder(path, CAMPAIGNS, SCHEMA)
    (folder / "tests.yaml").write_text(test)
    return folder


def loaded(path: Path, test: str) -> ReadyTest:
    return load_tested_folder(folder_with(path, test)).tests[0]


def ran(path: Path, test: str) -> RanTest:
    _, plan_set, tests = load_tested_folder(folder_with(path, test))
    return run_test(plan_set, tests[0])


def differences(path: Path, test: str) -> list[tuple[str, int, str]]:
    return [(one.what, one.place.line, one.text) for one in ran(path, test).differences]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("test: t\nevents: []", "1:1", "expect: is missing"),
        ("test: t\nuntl: 1\nevents: []\nexpect: []", "2:1", "'untl' is not known; did you mean 'until'?"),
        ("test: t\nevents: [5]\nexpect: []", "2:10", "events.0: right would be a mapping, not '5'"),
        ("test: t\nzone: Mars\nevents: []\nexpect: []", "2:7", "'Mars' is no time zone"),
        ("test: t\ncampaigns: [thank]\nevents: []\nexpect: []", "2:13", "no campaign 'thank'; did you mean 'thanks'?"),
        ("test: t\nevents: []\nexpect: [{campaign: hold}]", "3:21", "no campaign 'hold'; did you mean 'held'?"),
        ("test: t\nevents: []\nexpect: [{amount: 5}]", "3:10", "campaign: is missing"),
        ("test: t\ncampaigns: [thanks, held]\nevents: []\nexpect: [{amount: 5}]", "4:10", "campaign: is missing"),
        ("test: t\nevents: []\nexpect: [{campaign: thanks, denied: user_grant}]", "3:37", "did you mean 'user_grants'?"),
        ("test: t\nevents: []\nexpect: [{campaign: thanks, denied: grants, amount: 5}]", "3:10", "denied: goes without amount:"),
        ("test: t\nevents: []\nexpect: [{campaign: thanks, reversed: 010}]", "3:39", "'010' is no integer"),
        ("test: t\n" + TWO + "expect: [{campaign: thanks, event: secnd}]", "4:36", "no event is called 'secnd'; did you mean 'second'?"),
        ("test: t\n" + TWO + "until: 2026-03-01T23:00\nexpect: []", "4:8", "is before the last event, which is at 2026-03-02T00:00:00Z"),
        ("test: t\nusers: {ann: {teir: gold}}\nevents: []\nexpect: []", "2:15", "users.ann: 'teir' is not declared; did you mean 'tier'?"),
        ("test: t\nusers: {ann: {age: old}}\nevents: []\nexpect: []", "2:20", "users.ann.age: 'old' is no integer"),
        ("test: t\neach: {amout: 5}\nevents: []\nexpect: []", "2:8", "each: 'amout' is not declared; did you mean 'amount'?"),
        ("test: t\neach: {event_type: purchas}\nevents: []\nexpect: []", "2:20", "each.event_type: event type 'purchas' is not declared; did you mean 'purchase'?"),
        ("test: t\nevents: [{event_type: refnd, user_id: ann, ts: 2026-03-01}]\nexpect: []", "2:23", "event type 'refnd' is not declared"),
        ("test: t\nevents: [{event_type: purchase, ts: 2026-03-01}]\nexpect: []", "2:10", "events.0: user_id is missing; say it here, or for all events in each:"),
        ("test: t\n" + EACH + "events: [{event_time: 2026-03-01}]\nexpect: []", "3:23", "events.0.event_time: is called ts here"),
        ("test: t\n" + EACH + "events: [{ts: yesterday}]\nexpect: []", "3:15", "events.0.ts: 'yesterday' is no date"),
        ("test: t\n" + EACH + "events: [{ts: 1, amount: 1.5}]\nexpect: []", "3:26", "events.0.amount: '1.5' is no integer"),
        ("test: t\n" + EACH + "events: [{ts: 1, amount: 9223372036854775808}]\nexpect: []", "3:10", "amount = 9223372036854775808 is not of the declared type int"),
        ("test: t\n" + EACH + "events: [{ts: 1, paid: yes}]\nexpect: []", "3:24", "'yes' is neither true nor false"),
        ("test: t\n" + EACH + "events: [{ts: 1, rate: nan}]\nexpect: []", "3:24", "'nan' is no number"),
        ("test: t\n" + EACH + "events: [{ts: 1, code: [a]}]\nexpect: []", "3:24", "right would be a single value (string), not a list"),
        ("test: t\n" + EACH + "events: [{ts: 1, lines: a}]\nexpect: []", "3:25", "right would be a list, [{count: int, sku: string}]"),
        ("test: t\n" + EACH + "events: [{ts: 1, lines: [{sku: a}, {sko: b}]}]\nexpect: []", "3:37", "events.0.lines.1: 'sko' is not declared; did you mean 'sku'?"),
        ("test: t\n" + EACH + "events: [{ts: 1, extra: {a: 1, b: x}}]\nexpect: []", "3:35", "events.0.extra.b: 'x' is no integer"),
        ("test: t\n" + EACH + "events: [{ts: 1, event_id: e002}, {ts: 2}]\nexpect: []", "3:35", "is called e002 by its place, as another is; name it"),
        ("test: t\n" + EACH + "events: [{ts: 1, event_type: segment.joined}]\nexpect: []", "3:10", "names no segment"),
        ("test: t\nevents: []\nexpect: []\n---\ntest: t\nevents: []\nexpect: []", "5:7", "this test stands twice"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_what_is_right(
    tmp_path: Path, text: str, place: str, message: str
) -> None:
    with pytest.raises(CampaignFileError) as error:
        load_tested_folder(folder_with(tmp_path, text))
    (told,) = error.value.problems
    assert f"tests.yaml:{place}: " in told
    assert message in told


def test_values_have_their_declared_types(tmp_path: Path) -> None:
    test = loaded(
        tmp_path,
        """
test: t
zone: America/New_York
users: {"007": {tier: 010, age: 10, segments: [beta]}}
each: {event_type: purchase, user_id: "007", amount: 1_000}
events:
  - {ts: 2026-03-01, code: 010, paid: true, rate: 2, due: 2026-03-02T09:30, lines: [{sku: "1", count: 1}], extra: {a: 1}}
  - {ts: 1770000000000, event_id: 7, amount: null, code: "null"}
expect: []
""",
    )
    first, second = test.events
    assert (first.event_id, first.user_id, first.time_ms) == ("e001", "007", 1_772_341_200_000)
    assert first.attributes == {
        "amount": 1000, "code": "010", "paid": True, "rate": 2.0, "due": 1_772_461_800_000,
        "lines": [{"sku": "1", "count": 1}], "extra": {"a": 1},
    }  # fmt: skip
    assert (second.event_id, second.time_ms, second.attributes) == ("7", 1_770_000_000_000, {"code": "null"})
    assert test.profiles == {"007": {"tier": "010", "age": 10, "segments": ["beta"]}}


def test_profile_events_take_the_envelope_of_each(tmp_path: Path) -> None:
    text = """
test: a tier counts from its place on, and until it is removed
campaigns: [gold]
each: {event_type: purchase, user_id: ann, code: 010}
events:
  - {ts: 2026-03-01}
  - {ts: 2026-03-02, event_type: profile.updated, tier: gold}
  - {ts: 2026-03-03, event_id: as-gold}
  - {ts: 2026-03-04, event_type: profile.updated, tier: null}
  - {ts: 2026-03-05}
expect:
  - {user: ann, event: as-gold, amount: 1, unit: coupon, details: {code: SPRING10}, expires: 2026-05-01}
"""
    assert differences(tmp_path, text) == []


def test_holds_and_absences_come_to_their_end_at_until(tmp_path: Path) -> None:
    text = """
test: t
each: {user_id: ann}
events:
  - {ts: 2026-03-01, event_type: purchase, amount: 500}
  - {ts: 2026-03-02, event_type: cart}
until: 2026-03-15
expect:
  - {campaign: held, event: e001, at: 2026-03-15}
  - {campaign: cart, event: e002, at: 2026-03-03}
"""
    assert differences(tmp_path / "whole", text) == []
    short = ran(tmp_path / "short", text.replace("until: 2026-03-15\n", ""))
    assert [one.text for one in short.differences] == [
        "a grant: held, e001, at 2026-03-15T00:00:00Z",
        "a grant: cart, e002, at 2026-03-03T00:00:00Z",
    ]
    held, absent = short.notes
    assert "held, e001: held up to 2026-03-15T00:00:00Z" in held and "(2026-03-02T00:00:00Z; until:" in held
    assert absent.endswith(": 1")


def test_a_difference_reads_well(tmp_path: Path) -> None:
    text = """test: t
campaigns: [thanks, gold]
users: {ann: {tier: gold}}
each: {event_type: purchase, user_id: ann, code: a}
events:
  - {ts: 2026-03-01, event_id: zero}
  - {ts: 2026-03-02, code: "010"}
  - {ts: 2026-03-03}
  - {ts: 2026-03-04, event_type: refund, event_id: back}
  - {ts: 2026-03-05, user_id: bob}
  - {ts: 2026-03-01, event_id: zero}
expect:
  - {campaign: thanks, user: ann, event: zero, amount: 20}
  - {campaign: gold, event: e002, amount: 1, details: {code: SUMMER}}
  - {campaign: thanks, event: e003}
  - {campaign: thanks, event: back, reversed: 10}
  - {campaign: gold, event: e003, unit: coupon}
"""
    assert differences(tmp_path, text) == [
        ("differs", 13, "amount 10, expected 20: thanks, ann, zero"),
        ("differs", 14, "code SPRING10, expected SUMMER: gold, ann, e002"),
        ("differs", 15, "a denial by user_grants (campaign/thanks, user: 2 of 2), expected a grant: thanks, ann, e003"),
        ("missing", 17, "a grant of coupon: gold, e003"),
        ("unexpected", 7, "a grant of 10 points: thanks, ann, e002"),
        ("unexpected", 10, "a grant of 10 points: thanks, bob, e005"),
    ]
    assert ran(tmp_path, text).notes == ("zero was not taken in: duplicate",)


def test_expectations_stand_in_any_order_and_the_wide_leave_room_for_the_narrow(tmp_path: Path) -> None:
    wide_first = "expect: [{campaign: thanks}, {campaign: thanks, event: e001}]"
    assert differences(tmp_path, "test: t\n" + TWO + wide_first) == []
    one_too_many = "expect: [{campaign: thanks}, {campaign: thanks}, {campaign: thanks, event: e001}]"
    assert differences(tmp_path, "test: t\n" + TWO + one_too_many) == [("missing", 4, "a grant: thanks")]


@pytest.mark.parametrize(
    ("compared", "unexpected"),
    [
        ("expect: [{campaign: thanks, event: e001}]", []),
        ("expect: []", ["thanks", "cart"]),
        ("campaigns: [cart]\nexpect: []", ["cart"]),
        ("campaigns: [held]\nexpect: []", []),
    ],
)
def test_what_is_compared(tmp_path: Path, compared: str, unexpected: list[str]) -> None:
    events = "[{ts: 2026-03-01}, {ts: 2026-03-01, event_type: cart, user_id: bob}]"
    found = differences(tmp_path, f"test: t\n{EACH}events: {events}\nuntil: 2026-03-03\n{compared}")
    assert [text.split(": ")[1].split(",")[0] for _, _, text in found] == unexpected


def test_plans_are_the_same_with_and_without_tests(tmp_path: Path) -> None:
    without = load_folder(a_folder(tmp_path / "without", CAMPAIGNS, SCHEMA))
    assert load_folder(folder_with(tmp_path / "with", "test: t\n" + TWO + "expect: []")) == without
    assert load_folder(folder_with(tmp_path / "wrong", "test: t\nevnts: []")) == without


def test_the_command_tells_and_its_exit_code_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = "test: both purchases are thanked for\n" + TWO + "expect: [{campaign: thanks}, {campaign: thanks}]\n"
    bad = "---\ntest: only one [sic]\n" + TWO + "expect: [{campaign: thanks, event: second}]\n"
    folder = str(folder_with(tmp_path, good + bad))

    assert main(["campaign", "test", folder]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok   both purchases are thanked for"
    assert lines[1] == f"FAIL only one [sic]  {folder}/tests.yaml:6"
    assert re.sub(" +", " ", lines[2]) == f" unexpected {folder}/tests.yaml:8 a grant of 10 points: thanks, ann, e001"
    assert lines[3:] == ["1 of 2 tests ok, 1 failed"]

    assert main(["campaign", "test", folder, "--only", "both"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 of 1 tests ok"

    assert main(["campaign", "test", folder, "--only", "neither"]) == 2
    assert "no test has this in its name" in capsys.readouterr().err
    assert main(["campaign", "test", str(a_folder(tmp_path / "none", CAMPAIGNS, SCHEMA))]) == 2
    assert "has no test; right would be a document that begins with test:" in capsys.readouterr().err


def test_check_reads_tests_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", "check", str(folder_with(tmp_path, "test: t\n" + TWO + "expect: []"))]) == 0
    assert "tests: 1" in capsys.readouterr().out
    assert main(["campaign", "check", str(folder_with(tmp_path, "test: t\nevnts: []\nexpect: []"))]) == 1
    assert "'evnts' is not known" in capsys.readouterr().err


def test_the_examples_do_what_their_tests_promise() -> None:
    _, plan_set, tests = load_tested_folder(Path("examples/complete_journey"))
    assert len(tests) >= 8
    assert [ran.differences for ran in (run_test(plan_set, test) for test in tests)] == [()] * len(tests)


def test_the_json_schema_knows_tests() -> None:
    definitions = export()["$defs"]
    assert {"test", "each", "events", "until", "expect"} <= set(definitions["CampaignTest"]["properties"])
    assert {"campaign", "denied", "reversed"} <= set(definitions["Expectation"]["properties"])


def test_a_denial_at_another_event_does_not_stand_for_a_grant(tmp_path: Path) -> None:
    text = """test: t
each: {event_type: purchase, user_id: ann, code: a}
events: [{ts: 2026-03-01}, {ts: 2026-03-02}, {ts: 2026-03-03, event_id: third}, {ts: 2026-03-04, event_id: later}]
expect:
  - {campaign: thanks, event: e001}
  - {campaign: thanks, event: e002}
  - {campaign: thanks, event: later}
  - {campaign: thanks, event: later, denied: user_grants}
"""
    assert differences(tmp_path, text) == [
        ("missing", 7, "a grant: thanks, later"),
        ("unexpected", 3, "a denial by user_grants (campaign/thanks, user: 2 of 2): thanks, ann, third"),
    ]
