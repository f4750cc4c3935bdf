"""A step whose counter fell below it: earned again only where it was taken back two-way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.campaigns import a_plan_set, an_event, parsed
from transforms.engine import Timeline, UserState, advance

CAMPAIGN = """
campaign: c
trigger: {on: purchase, count: events, reach: 2}
grant: {points: 5}
refunds: {on: refund, grants: HOW, again: AGAIN}
"""


@pytest.mark.parametrize(
    ("how", "again", "fired"),
    [
        ("two-way", "true", ["e2", "e4"]),
        ("two-way", "false", ["e2"]),
        ("pro-rata", "true", ["e2"]),
        ("stand", "true", ["e2"]),
    ],
)
def test_a_step_is_earned_again_only_after_it_was_taken_back(
    tmp_path: Path, how: str, again: str, fired: list[str]
) -> None:
    plan_set = a_plan_set(tmp_path, CAMPAIGN.replace("HOW", how).replace("AGAIN", again))
    kinds = ("purchase", "purchase", "refund", "purchase")
    events = [an_event(f"e{i}", f"2026-03-0{i}T00:00:00Z", kind=kind) for i, kind in enumerate(kinds, start=1)]
    state, found = UserState(), []
    for event in parsed(plan_set, events):
        done = advance(state, event, Timeline([plan_set]))
        state = done.state
        found += [request.key.event_id for request in done.requests if request.key.turn == 1]
    assert found == fired


def test_a_refund_set_against_the_user_lowers_every_open_window_whatever_it_shares(tmp_path: Path) -> None:
    text = CAMPAIGN.replace("{on: purchase,", "{on: purchase, after: {on: login, same: event.country},")
    plan_set = a_plan_set(tmp_path, text.replace("HOW", "two-way").replace("AGAIN", "true"))
    kinds = ("login", "purchase", "refund", "purchase", "purchase")
    events = [
        an_event(f"e{i}", f"2026-03-0{i}T00:00:00Z", kind=kind, **({} if kind == "refund" else {"country": "US"}))
        for i, kind in enumerate(kinds, start=1)
    ]
    state, found = UserState(), []
    for event in parsed(plan_set, events):
        done = advance(state, event, Timeline([plan_set]))
        state = done.state
        found += [request.key.event_id for request in done.requests if request.key.turn == 1]
    assert found == ["e5"]
