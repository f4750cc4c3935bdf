"""A new set in the midst of a stream: what users have so far goes on under it, or starts anew with the series."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.plans import PlanSet
from schemas.proposals import Proposal
from tests.support.campaigns import a_plan_set, an_event, parsed
from transforms.engine import Tick, Timeline, UserState, advance, decode_state
from transforms.registry.ports import numbered

SCHEMA = """
schema: events
types: [purchase, refund, login, mailing]
attributes: {amount: int, order_id: string}
---
schema: users
attributes: {tier: string}
"""
DAY_MS = 86_400_000
CHANGE_MS = 1_772_323_200_000 + 3 * DAY_MS
"""2026-03-04T00:00:00Z: days 1 to 3 are judged by the first set."""

REFUNDS = "refunds: {on: refund, same: event.order_id}"


def a_campaign(trigger: str, points: int, rest: str) -> str:
    return f"campaign: c\ntrigger: {trigger}\ngrant: {{points: {points}}}\n{rest}\n"


def sets_of(tmp_path: Path, *texts: str) -> list[PlanSet]:
    sets: list[PlanSet] = []
    for number, text in enumerate(texts):
        plan_set = a_plan_set(tmp_path / str(number), text, SCHEMA)
        sets.append(numbered(plan_set, sets, CHANGE_MS + (number - 1) * 10 * DAY_MS))
    return sets


def asked(sets: list[PlanSet], happenings: str, until_day: int = 9) -> list[str]:
    """What is asked of the ledger; happenings: "1 purchase, 2 purchase" by day of March, each with its place as id."""
    what = [one.split() for one in happenings.split(", ")]
    events = [
        an_event(f"e{i}", f"2026-03-{int(day):02d}T12:00:00Z", kind=kind, amount=10, order_id=f"o{(order or ['x'])[0]}")
        for i, (day, kind, *order) in enumerate(what, start=1)
    ]
    state, timeline, found = UserState(), Timeline(sets), []
    until = Tick(CHANGE_MS + (until_day - 4) * DAY_MS)
    for given in [*parsed(sets[0], events), until]:
        done = advance(decode_state(state.encoded()), given, timeline)
        state = done.state
        for request in done.requests:
            if isinstance(request, Proposal):
                found.append(f"{request.key.event_id} +{request.offers[0].grants[0].amount}")
            else:
                found.append(f"{request.key.event_id} back")
    return found


CASES = {
    "counter": ("{on: purchase, count: events, reach: 3}", "reach: 3", "per: month, reach: 3", "", "1 purchase, 2 purchase, 5 purchase", ["e3 +5"]),
    "threshold": ("{on: purchase, count: events, reach: 9}", "reach: 3", "every: 3", "", "1 purchase, 2 purchase, 5 purchase", ["e3 +5"]),
    "sum": ("{on: purchase, sum: event.amount, per: month, reach: 25}", "reach: 25", "where: event.amount > 0, reach: 25", "", "1 purchase, 2 purchase, 5 purchase", ["e3 +5"]),
    "sliding span": ("{on: purchase, count: events, last: 5d, reach: 3}", "5d", "6d", "", "1 purchase, 2 purchase, 5 purchase", ["e3 +5"]),
    "streak": ("{on: purchase, streak: days, reach: 3}", "reach: 3", "from: 3", "", "2 purchase, 3 purchase, 4 purchase", ["e3 +5"]),
    "open window": ("{on: purchase, after: {on: mailing, within: 7d}}", "7d", "8d", "", "2 mailing, 5 purchase", ["e2 +5"]),
    "silence": ("{on: purchase, silence: 2d}", "2d", "36h", "", "2 purchase, 5 purchase", ["e2 +5"]),
    "absence": ("{on: login, unless: {on: purchase, within: 2d}}", "2d", "2d, where: event.amount > 0", "", "3 login", ["e1 +1"]),
    "refund": ("{on: purchase, count: events, reach: 2}", "reach: 2", "per: week, reach: 2", REFUNDS, "2 purchase 1, 3 purchase 2, 5 refund 1", ["e2 +1", "e3 back"]),
    "early refund": ("{on: purchase, where: event.amount > 0}", "> 0", ">= 0", REFUNDS, "2 refund 1, 5 purchase 1", ["e2 +5", "e2 back"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_same_meaning_goes_on(tmp_path: Path, name: str) -> None:
    trigger, old, _, rest, happenings, wanted = CASES[name]
    same = trigger.replace("reach: 9", "reach: 3")
    sets = sets_of(tmp_path, a_campaign(trigger, 1, rest), a_campaign(same, 5, rest + "\nlimits: [{amount: 100}]"))
    assert [plan_set.plans[0].series for plan_set in sets] == [0, 0]
    assert asked(sets, happenings) == wanted


@pytest.mark.parametrize("name", CASES)
def test_another_meaning_starts_anew(tmp_path: Path, name: str) -> None:
    trigger, old, new, rest, happenings, wanted = CASES[name]
    other = trigger.replace("reach: 9", "reach: 3").replace(old, new, 1)
    sets = sets_of(tmp_path, a_campaign(trigger, 1, rest), a_campaign(other, 5, rest))
    assert [plan_set.plans[0].series for plan_set in sets] == [0, 1]
    kept = {"refund": ["e2 +1"], "early refund": ["e2 +5"]}.get(name, [])
    assert asked(sets, happenings) == kept


def test_a_set_judges_late_events_of_its_own_time_only(tmp_path: Path) -> None:
    trigger = "{on: purchase, count: events, reach: 2}"
    sets = sets_of(tmp_path, a_campaign(trigger, 1, ""), a_campaign(trigger, 5, ""))
    assert asked(sets, "2 purchase, 5 login, 3 purchase, 6 purchase") == ["e3 +1"]


def test_a_campaign_that_comes_back_goes_on_unless_a_tick_dropped_what_it_had(tmp_path: Path) -> None:
    one = a_campaign("{on: purchase, count: events, reach: 2}", 1, "")
    sets = sets_of(tmp_path, one, one.replace("campaign: c", "campaign: d"), one)
    assert asked(sets, "2 purchase, 20 purchase") == ["e2 +1"]
    state, timeline = UserState(), Timeline(sets)
    first, second = parsed(sets[0], [an_event(f"e{day}", f"2026-03-{day:02d}T12:00:00Z") for day in (2, 20)])
    for given in (first, Tick(CHANGE_MS + DAY_MS), second):
        done = advance(state, given, timeline)
        state = done.state
        assert not done.requests
