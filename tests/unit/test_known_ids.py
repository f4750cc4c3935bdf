"""Which events are repeats, and which are too old to tell."""

from __future__ import annotations

from pathlib import Path

from tests.support.campaigns import a_plan_set, an_event, parsed
from transforms.engine import Timeline, UserState, Verdict, advance

HORIZON = "tenant: shop\nhorizon: 7d\n---\ncampaign: c\ntrigger: {on: purchase}\ngrant: {points: 1}\n"


def verdicts(path: Path, *events: tuple[str, str]) -> list[Verdict]:
    plan_set = a_plan_set(path, HORIZON)
    timeline, state, found = Timeline([plan_set]), UserState(), []
    for event in parsed(plan_set, [an_event(name, time) for name, time in events]):
        done = advance(state, event, timeline)
        state = done.state
        found.append(done.verdict)
    return found


def test_an_id_is_another_event_once_the_horizon_is_over(tmp_path: Path) -> None:
    first, last, over = "2026-03-01T00:00:00Z", "2026-03-08T00:00:00Z", "2026-03-08T00:00:00.001Z"
    assert verdicts(tmp_path, ("e", first), ("e", last), ("e", over), ("e", over)) == [
        Verdict.ADVANCED, Verdict.CONFLICTING_DUPLICATE, Verdict.ADVANCED, Verdict.DUPLICATE,
    ]  # fmt: skip


def test_what_such_an_id_stood_for_is_too_old_from_then_on(tmp_path: Path) -> None:
    first, over = "2026-03-01T00:00:00Z", "2026-03-08T00:00:00.001Z"
    assert verdicts(tmp_path, ("e", first), ("e", over), ("other", first))[2] is Verdict.TOO_OLD
