"""What `campaign check` calls a worst case is one: no drawn folder on any drawn stream gives more, at any time.

And no event fires two campaigns of which it is not told that they overlap.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runners.ops.bounds import Bound
from runners.ops.liability import worst_cases
from runners.ops.overlaps import overlaps
from schemas.plans import PlanSet
from tests.support.drawn_campaigns import Document, Stream, examples, text_of
from tests.support.product_run import Outcome, run_product
from transforms.language import load_folder


@pytest.fixture(scope="module")
def folder_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("campaigns")


@st.composite
def closed_examples(draw: st.DrawFn) -> tuple[list[Document], Stream]:
    """As `examples`, but with both dates, so that windows, streaks and cool-downs bound something.

    Of many, all is left out that keeps a trigger from firing, so that triggers alone bound what they give.
    """
    documents, stream = draw(examples())
    bare = draw(st.integers(0, 3)) > 0 and not any("group" in document for document in documents)
    if bare:
        stream = stream._replace(events=stream.events + [_later(event) for event in stream.events])
        if draw(st.booleans()):
            stream = stream._replace(events=[event | {"user_id": "u1"} for event in stream.events])
    times = [event["event_time"] for event in stream.events] or [0]
    dates = {"from": _moment(min(times)), "to": _moment(max(times) + 1000)}
    for document in documents:
        if "campaign" in document and (bare or draw(st.integers(0, 4))):
            document["active"] = {"zone": document["active"]["zone"], **dates}
        for part in ("limits", "audience") if bare else ():
            document.pop(part, None)
        for part in ("where", "currency", "silence") if bare else ():
            document.get("trigger", {}).pop(part, None)
    return documents, stream


def _moment(time_ms: int) -> str:
    return dt.datetime.fromtimestamp(time_ms // 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _later(event: dict[str, Any]) -> dict[str, Any]:
    """The same again two days and a bit later, as another purchase."""
    again = {name: f"{event[name]}again" for name in ("event_id", "order_id") if name in event}
    return event | again | {"event_time": event["event_time"] + 180_000_000}


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(closed_examples())
def test_no_stream_gives_more_than_the_worst_case(folder_path: Path, example: tuple[list[Document], Stream]) -> None:
    documents, stream = example
    (folder_path / "all.yaml").write_text(text_of(documents))
    plan_set = load_folder(folder_path)
    outcome = run_product(plan_set, stream.events, stream.profiles)
    _assert_within(plan_set, outcome)
    _assert_overlaps_told(plan_set, stream, outcome)


def _assert_within(plan_set: PlanSet, outcome: Outcome) -> None:
    worst = worst_cases(plan_set)
    campaigns = {(one.campaign, one.unit): one for one in worst.campaigns}
    totals = {one.unit: one for one in worst.totals}
    for record in outcome.grants:
        one = campaigns[record["campaign_id"], record["unit"]]
        assert _at_most(record["amount"], one.a_grant)
    for standing in _standing(outcome):
        by_campaign, by_unit = defaultdict[Any, int](int), defaultdict[Any, int](int)
        for (campaign, unit, user), amount in standing.items():
            assert _at_most(amount, campaigns[campaign, unit].a_user), (campaign, user)
            by_campaign[campaign, unit] += amount
            by_unit[unit, user] += amount
            by_unit[unit, None] += amount
        assert all(_at_most(amount, campaigns[key].in_all) for key, amount in by_campaign.items())
        for (unit, user), amount in by_unit.items():
            assert _at_most(amount, totals[unit].in_all if user is None else totals[unit].a_user)


def _assert_overlaps_told(plan_set: PlanSet, stream: Stream, outcome: Outcome) -> None:
    """What one event gave for several campaigns was told to overlap, and to bring so much at most."""
    ids = [event["event_id"] for event in stream.events]
    fired: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    for record in outcome.grants:
        if ids.count(record["event_id"]) == 1:
            fired[record["event_id"]][record["campaign_id"]][record["unit"]] += record["amount"]
    found = overlaps(plan_set.plans, worst_cases(plan_set).campaigns).found
    for by_campaign in (one for one in fired.values() if len(one) > 1):
        for campaign, by_unit in by_campaign.items():
            told = next(one for one in found if campaign in one.campaigns)
            assert set(by_campaign) <= {*told.campaigns, *told.others}
            for unit in by_unit:
                most = told.together[unit]
                assert most is None or sum(one.get(unit, 0) for one in by_campaign.values()) <= most


def _standing(outcome: Outcome) -> list[dict[tuple[str, str, str], int]]:
    """After every instant: what stands by campaign, unit and user."""
    units = {record["grant_id"]: record["unit"] for record in outcome.grants}
    moved = [
        (one["event_time"], one["campaign_id"], one["unit"], one["user_id"], one["amount"]) for one in outcome.grants
    ]
    for back in outcome.reversals:
        for part in back["parts"]:
            unit = units.get(part["grant_id"], back["unit"])
            moved.append((back["event_time"], back["campaign_id"], unit, back["user_id"], -part["amount"]))
    found: list[dict[tuple[str, str, str], int]] = []
    standing: dict[tuple[str, str, str], int] = defaultdict(int)
    for time in sorted({move[0] for move in moved}):
        for _, campaign, unit, user, amount in (move for move in moved if move[0] == time):
            standing[campaign, unit, user] += amount
        found.append(dict(standing))
    return found


def _at_most(amount: int, bound: Bound) -> bool:
    return bound.amount is None or amount <= bound.amount
