"""The engine against a plain recount: for every event, the window's sum is added up again from the whole history.

The recount knows nothing of state, sums or marks: it looks at the list of events before and at each event.
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.attributes import AttributeSchema, Record, parse_type
from schemas.events import Event
from schemas.plans import (
    AudiencePlan,
    CelAmount,
    Counter,
    Fixed,
    Gift,
    Incentive,
    Plan,
    PlanCharge,
    PlanSet,
    Schedule,
    Step,
    Window,
)
from transforms.engine import Timeline, UserState, Verdict, advance, decode_state
from transforms.language.expressions import check

HOUR_MS = 3_600_000
START_MS = int(dt.datetime(2026, 3, 6, tzinfo=dt.UTC).timestamp() * 1000)
HORIZON_MS = 400 * 24 * HOUR_MS
EVENT = parse_type({"amount": "int"})
assert isinstance(EVENT, Record)
SCHEMA = AttributeSchema(("purchase",), EVENT, Record(()))
AMOUNT = CelAmount(check("event.amount", SCHEMA, result="int"))
ZONE = "America/New_York"


GIFTS = (Gift(None, Incentive("points", "points", Fixed(1)), (PlanCharge("tenant", (), "UTC"),)),)


def a_plan(counter: Counter | None) -> Plan:
    return Plan("c", "v", 0, ("purchase",), ZONE, Schedule(), AudiencePlan(), None, counter, () if counter else GIFTS)


def compiled(counter: Counter | None) -> Timeline:
    return Timeline([PlanSet("shop", 0, None, HORIZON_MS, SCHEMA, (a_plan(counter),), ())])


def steps(*thresholds: int) -> tuple[Step, ...]:
    return tuple(Step(threshold, GIFTS) for threshold in thresholds)


@st.composite
def counters(draw: st.DrawFn) -> Counter:
    window = draw(
        st.sampled_from(
            [Window("lifetime"), Window("day"), Window("week"), Window("month"), Window("last", 30 * HOUR_MS)]
        )
    )
    measure = draw(st.sampled_from([None, AMOUNT]))
    fires = draw(st.sampled_from(["reach", "every", "from"]))
    if fires == "reach" and draw(st.booleans()):
        return Counter(measure, window, "reach", steps(3, 5, 9), draw(st.sampled_from(["every", "highest"])))
    restart = fires == "reach" and draw(st.booleans())
    return Counter(measure, window, fires, steps(draw(st.integers(1, 6))), "every", restart)  # type: ignore[arg-type]


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events in total order, with ties, gaps and daylight saving (8 March 2026) in them."""
    gaps = draw(st.lists(st.sampled_from([0, 0, 1, 5, 24, 30, 31, 200]), max_size=25))
    events, time_ms = [], START_MS
    for i, gap in enumerate(gaps):
        time_ms += gap * HOUR_MS
        amount = draw(st.integers(0, 4))
        events.append(Event(time_ms, f"e{i:03d}", "purchase", "u1", {"amount": amount}, i))
    return events


def window_of(event: Event, kind: str) -> Any:
    day = dt.datetime.fromtimestamp(event.time_ms / 1000, ZoneInfo(ZONE)).date()
    return {"lifetime": 0, "day": day, "week": day.isocalendar()[:2], "month": (day.year, day.month)}[kind]


def recount(counter: Counter, history: list[Event]) -> list[tuple[str, int]]:
    """(event id, step) of every firing, by looking at everything again at each event."""
    found: list[tuple[str, int]] = []
    used: set[str] = set()
    fired: set[tuple[Any, int]] = set()
    for i, event in enumerate(history):
        value = event.attributes["amount"] if counter.measure else 1
        if not value:
            continue

        def inside(other: Event, event: Event = event, used: set[str] = used) -> bool:
            if other.event_id in used:
                return False
            if counter.window.kind == "last":
                return event.time_ms - counter.window.span_ms < other.time_ms <= event.time_ms
            return bool(window_of(other, counter.window.kind) == window_of(event, counter.window.kind))

        before = sum(other.attributes["amount"] if counter.measure else 1 for other in history[:i] if inside(other))
        after = before + value
        threshold = counter.steps[0].threshold
        if counter.fires == "from":
            reached = [0] if after >= threshold else []
        elif counter.fires == "every":
            reached = [0] * (after // threshold - before // threshold)
        elif counter.restart:
            reached = [0] if after >= threshold else []
            used |= {other.event_id for other in history[: i + 1] if inside(other)} if reached else set()
        else:
            reached = [n for n, step in enumerate(counter.steps) if before < step.threshold <= after]
            window = window_of(event, counter.window.kind) if counter.window.kind != "last" else event.event_id
            reached = [n for n in reached if (window, n) not in fired]
            fired |= {(window, n) for n in reached}
            reached = reached[-1:] if counter.pick == "highest" else reached
        found += [(event.event_id, step) for step in reached]
    return found


def run(plans: Timeline, history: list[Event], reload_each: bool = False) -> list[Any]:
    state, proposals = UserState(), []
    for event in history:
        state = decode_state(state.encoded()) if reload_each else state
        done = advance(state, event, plans)
        state = done.state
        proposals += done.requests
    return proposals


@settings(max_examples=400, deadline=None)
@given(counters(), histories())
def test_firings_are_those_of_a_recount(counter: Counter, history: list[Event]) -> None:
    fired = [(proposal.key.event_id, proposal.key.step) for proposal in run(compiled(counter), history)]
    assert fired == recount(counter, history)


@settings(max_examples=150, deadline=None)
@given(counters(), histories())
def test_state_as_bytes_changes_nothing_and_ids_differ(counter: Counter, history: list[Event]) -> None:
    plans = compiled(counter)
    live = run(plans, history)
    assert run(plans, history, reload_each=True) == live
    ids = [proposal.offers[0].grants[0].grant_id for proposal in live]
    assert len(ids) == len(set(ids))
    keys = [proposal.key for proposal in live]
    assert keys == sorted(set(keys))


@settings(max_examples=100, deadline=None)
@given(counters(), histories(), st.integers(0, 24))
def test_a_repeated_prefix_changes_nothing(counter: Counter, history: list[Event], cut: int) -> None:
    plans = compiled(counter)
    assert run(plans, history[:cut] + history) == run(plans, history)


def test_verdicts_of_repeats_and_of_what_is_too_old() -> None:
    plans = Timeline([PlanSet("shop", 0, None, 10 * HOUR_MS, SCHEMA, (a_plan(None),), ())])
    state = UserState()
    verdicts = []
    for hour, event_id, digest in (
        (0, "a", 1),
        (0, "a", 1),
        (0, "a", 2),
        (20, "b", 1),
        (0, "a", 1),
        (9, "c", 1),
        (11, "d", 1),
    ):
        event = Event(START_MS + hour * HOUR_MS, event_id, "purchase", "u1", {}, digest)
        done = advance(state, event, plans)
        state = done.state
        verdicts.append(done.verdict)
    assert verdicts == [
        Verdict.ADVANCED, Verdict.DUPLICATE, Verdict.CONFLICTING_DUPLICATE, Verdict.ADVANCED,
        Verdict.TOO_OLD, Verdict.TOO_OLD, Verdict.ADVANCED,
    ]  # fmt: skip


@pytest.mark.parametrize("late", [False, True])
def test_a_late_event_counts_in_its_own_window(late: bool) -> None:
    plans = compiled(Counter(None, Window("day"), "reach", steps(2)))
    day = 24 * HOUR_MS
    times = [START_MS + 12 * HOUR_MS, START_MS + day + 12 * HOUR_MS, START_MS + 13 * HOUR_MS]
    history = [Event(time, f"e{i}", "purchase", "u1", {}, i) for i, time in enumerate(times)]
    fired = [proposal.key.event_id for proposal in run(plans, history if late else sorted(history))]
    assert fired == ["e2"]


def test_an_event_is_judged_by_the_set_in_force_at_its_time() -> None:
    first = PlanSet("shop", 1, None, HORIZON_MS, SCHEMA, (a_plan(None),), ())
    second = PlanSet("shop", 2, START_MS + 5, HORIZON_MS, SCHEMA, (), ())
    timeline = Timeline([first, second])
    assert [timeline.at(START_MS + t).number for t in (0, 4, 5, 6)] == [1, 1, 2, 2]
