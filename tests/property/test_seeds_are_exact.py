"""A campaign that came into force in the midst of a stream, and its history as seeds, fire as one that saw all of it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runners.ops.warm import cut_over_of, seeds_of
from schemas.events import Event
from schemas.plans import PlanSet
from schemas.proposals import Request
from tests.support.drawn_campaigns import HOUR_MS, STARTS, Document, Stream, campaigns, streams, text_of
from transforms.engine import Profile, Tick, Timeline, UserState, Verdict, advance, decode_state
from transforms.event_parser import EventParser
from transforms.language import load_folder
from transforms.registry.ports import numbered

REMEMBERING = {"count", "sum", "distinct", "streak", "after", "silence"}


@pytest.fixture(scope="module")
def folder_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("campaigns")


@st.composite
def cases(draw: st.DrawFn) -> tuple[Document, Stream, int, int]:
    """A campaign that looks back, a stream, the cut-over, and the time up to which events came before the seeds."""
    start = draw(st.sampled_from(STARTS))
    campaign = draw(campaigns("c0", start).filter(lambda one: REMEMBERING & set(one["trigger"])))
    begin = dt.datetime.fromisoformat(start).replace(tzinfo=dt.UTC)
    fires_from = begin + dt.timedelta(hours=draw(st.sampled_from([24, 48, 60, 96])))
    campaign["active"] |= {"from": fires_from.isoformat(), "lookback": draw(st.sampled_from(["12h", "2d", "30d"]))}
    campaign["active"].pop("to", None)
    stream = draw(streams(start).filter(lambda one: len(one.events) > 8))
    until_ms = int(fires_from.timestamp() * 1000)
    cut_over_ms = draw(st.integers(int(begin.timestamp() * 1000) // HOUR_MS, until_ms // HOUR_MS - 1)) * HOUR_MS
    return campaign, stream, cut_over_ms, draw(st.integers(cut_over_ms, until_ms))


def whole(
    timeline: Timeline, by_subject: dict[str, list[Event]], parts: dict[str, Any], until_ms: int
) -> list[Request]:
    """What all events fire. parts: by subject its profile, and seeds with the time of the event they come before."""
    requests: list[Request] = []
    for subject, events in by_subject.items():
        profile, seed, seeded_ms = parts["profiles"].get(subject), parts["seeds"].get(subject), parts["seeded_ms"]
        state = UserState()
        if profile is not None:
            state = advance(state, Profile(subject, profile), timeline).state
        later = [event for event in events if event.time_ms >= seeded_ms]
        order = events if seed is None else [*events[: len(events) - len(later)], seed, seed, *later]
        for event in order:
            done = advance(decode_state(state.encoded()), event, timeline)
            assert done.verdict is not Verdict.SEED_REFUSED, done.why
            state = done.state
            requests += done.requests
        requests += advance(state, Tick(until_ms), timeline).requests
    return sorted(requests, key=lambda request: request.key)


def by_subject(timeline: Timeline, events: list[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in sorted(events, key=lambda event: (event.time_ms, event.event_id, event.user_id)):
        for subject in timeline.subjects(event):
            named = event if subject == event.user_id else event._replace(given_subject=subject)
            found.setdefault(subject, []).append(named)
    return found


def as_read(parser: EventParser, event: Event) -> Event:
    """A seed as it comes from a file."""
    from msgspec.json import encode

    return parser.from_json(encode(parser.as_record(event)))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_seeds_and_what_came_since_fire_as_the_whole_history_does(
    folder_path: Path, case: tuple[Document, Stream, int, int]
) -> None:
    campaign, stream, cut_over_ms, seeded_ms = case
    (folder_path / "all.yaml").write_text(text_of([campaign]))
    plan_set = load_folder(folder_path)
    parser = EventParser(plan_set.schema)
    events = [parser.from_json(json.dumps(event).encode()) for event in stream.events]
    if "subject" in campaign["trigger"]:  # before the cut-over nobody names subjects, nor knows what came to them
        events = list({event.event_id: event for event in events}.values())
    profiles = dict(parser.user_profile({"user_id": user, **given}) for user, given in stream.profiles.items())
    until_ms = max(event.time_ms for event in events)

    nothing: dict[str, Any] = {"profiles": profiles, "seeds": {}, "seeded_ms": 0}
    folder = Timeline([plan_set])
    wanted = whole(folder, by_subject(folder, events), nothing, until_ms)

    sets = two_sets(plan_set, cut_over_ms)
    history = [event for event in events if event.time_ms < cut_over_ms]
    seeds = {seed.user_id: as_read(parser, seed) for seed in seeds_of(history, profiles, cut_over_of("c0", sets))}
    found = {"profiles": profiles, "seeds": seeds, "seeded_ms": seeded_ms}
    live = Timeline(sets)
    subjects = by_subject(live, events)
    subjects |= {user: [] for user in seeds if user not in subjects}
    assert whole(live, subjects, found, until_ms) == wanted


def two_sets(plan_set: PlanSet, cut_over_ms: int) -> list[PlanSet]:
    """A set without campaigns, and from the cut-over on one with them."""
    from msgspec.structs import replace

    first = numbered(replace(plan_set, plans=()), (), None)
    return [first, numbered(plan_set, (first,), cut_over_ms)]
