"""Seeds as they are read, and campaigns that change between their cut-over and their first day."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest

from runners.ops.warm import cut_over_of, seeds_of
from schemas.errors import InvalidEventError
from tests.support.campaigns import a_plan_set, an_event, parsed
from transforms.engine import Timeline, UserState, Verdict, advance, decode_state
from transforms.event_parser import EventParser
from transforms.registry.ports import numbered

DAY_MS = 86_400_000
MARCH_MS = 1_772_323_200_000
CAMPAIGN = """
campaign: c
active: {from: 2026-03-10, lookback: 30d}
trigger: {on: purchase, where: event.amount > 0, count: events, every: 3}
grant: {points: 1}
"""
OTHER = CAMPAIGN.replace("campaign: c", "campaign: d")


def purchases(*days: int) -> list[dict[str, object]]:
    return [an_event(f"e{day}", f"2026-03-{day:02d}T12:00:00Z", amount=5) for day in days]


def test_entries_are_bytes_or_base64(tmp_path: Path) -> None:
    parser = EventParser(a_plan_set(tmp_path, CAMPAIGN).schema)
    seed = an_event("s", "2026-03-04", kind="counter.seeded", campaign="c", series=0)
    of_json = parser.from_json(json.dumps(seed | {"entries": b64encode(b"\xc0\xff").decode()}).encode())
    assert parser.from_record(seed | {"entries": b"\xc0\xff"}) == of_json
    assert of_json.attributes == {"campaign": "c", "series": 0, "entries": b"\xc0\xff"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"campaign": None}, "counter.seeded: Expected `str`, got `null` - at `$.campaign`"),
        ({"series": "0"}, "counter.seeded: Expected `int`, got `str` - at `$.series`"),
        ({"entries": "%"}, "counter.seeded: Invalid base64 encoded string - at `$.entries`"),
    ],
)
def test_a_seed_that_is_none_says_which_part_is_wrong(tmp_path: Path, wrong: dict[str, object], message: str) -> None:
    parser = EventParser(a_plan_set(tmp_path, CAMPAIGN).schema)
    seed = an_event("s", "2026-03-04", kind="counter.seeded", campaign="c", series=0, entries="gA==") | wrong
    with pytest.raises(InvalidEventError) as error:
        parser.from_json(json.dumps(seed).encode())
    assert error.value.detail == message


def test_what_came_since_is_judged_by_the_set_of_its_own_time(tmp_path: Path) -> None:
    texts = (OTHER, OTHER + "---" + CAMPAIGN, OTHER + "---" + CAMPAIGN.replace("points: 1", "points: 7"))
    sets = []
    for number, text in enumerate(texts):
        at_ms = MARCH_MS + (3, 4, 6)[number] * DAY_MS
        sets.append(numbered(a_plan_set(tmp_path / str(number), text), sets, at_ms))
    cut_over = cut_over_of("c", sets)
    assert cut_over.time_ms == MARCH_MS + 4 * DAY_MS, "the first set that has it, not the latest"
    timeline, state, requests = Timeline(sets), UserState(), []
    days = parsed(sets[0], purchases(2, 3, 5, 8, 11, 12))
    (seed,) = seeds_of(days[:2], {}, cut_over)
    for event in [*days[:4], seed, *days[4:]]:
        done = advance(decode_state(state.encoded()), event, timeline)
        assert done.verdict is Verdict.ADVANCED, done.why
        state = done.state
        requests += done.requests
    fired = [(one.key.event_id, one.offers[0].grants[0].amount) for one in requests if one.key.campaign == "c"]
    assert fired == [("e12", 7)], "the third was looked back at, the sixth fires"


def test_a_second_seed_for_a_user_is_refused(tmp_path: Path) -> None:
    sets = [numbered(a_plan_set(tmp_path / "0", OTHER), (), None)]
    sets.append(numbered(a_plan_set(tmp_path / "1", OTHER + "---" + CAMPAIGN), sets, MARCH_MS + 4 * DAY_MS))
    (seed,) = seeds_of(parsed(sets[0], purchases(2)), {}, cut_over_of("c", sets))
    timeline, state, verdicts = Timeline(sets), UserState(), []
    for given in (seed, seed, seed._replace(digest=1), seed._replace(event_id="another")):
        done = advance(state, given, timeline)
        state = done.state
        verdicts.append(done.verdict)
    assert verdicts == [
        Verdict.ADVANCED, Verdict.DUPLICATE, Verdict.CONFLICTING_DUPLICATE, Verdict.SEED_REFUSED
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fires", "before", "fired"),
    [
        ("count: events, every: 5", (5, 6, 7, 8), ["e11", "e16"]),
        ("count: events, every: 5", (2, 3, 4, 5, 6, 7, 8), ["e13"]),
        ("count: events, reach: 1", (), ["e11"]),
        ("count: events, reach: 1", (8,), []),
        ("count: events, reach: 3", (1, 2), ["e11"]),
        ("count: events, last: 4d, reach: 3", (8, 9), ["e11", "e12", "e13"]),
        ("count: events, reach: 5, restart: true", (2, 3, 4, 5, 6, 7), ["e14"]),
        ("streak: days, every: 3", (8, 9, 10), ["e13", "e16"]),
        ("silence: 36h", (3, 8), ["e11"]),
        ("silence: 36h", (3, 10), []),
    ],
)
def test_what_is_looked_back_at_counts_and_fires_nothing(
    tmp_path: Path, fires: str, before: tuple[int, ...], fired: list[str]
) -> None:
    text = CAMPAIGN.replace("03-10", "03-11").replace("count: events, every: 3", fires)
    plan_set = a_plan_set(tmp_path, text)
    state, found = UserState(), []
    for event in parsed(plan_set, purchases(*before, 11, 12, 13, 14, 15, 16)):
        done = advance(state, event, Timeline([plan_set]))
        state = done.state
        found += [request.key.event_id for request in done.requests]
    assert found == fired


def test_what_came_since_is_bounded(tmp_path: Path) -> None:
    sets = [numbered(a_plan_set(tmp_path / "0", OTHER), (), None)]
    sets.append(numbered(a_plan_set(tmp_path / "1", CAMPAIGN), sets, MARCH_MS + 4 * DAY_MS))
    timeline, state, over = Timeline(sets), UserState(), 0
    (event,) = parsed(sets[0], purchases(6))
    for number in range(10_002):
        done = advance(state, event._replace(event_id=f"e{number}", time_ms=event.time_ms + number), timeline)
        state, over = done.state, over + len(done.over_limit)
    assert over == 2
    entry = state.entry("c", 0)
    assert entry is not None and entry.windows[0].value == 10_000  # type: ignore[union-attr]
