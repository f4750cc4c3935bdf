"""An explanation tells the story of the run: the root of a trace is the run's answer, and every need is needed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from runners.ops.stories import Explanation, Story, beside
from schemas.errors import ExpressionError
from schemas.expressions import Expression
from schemas.grants import denial_records, grant_records, reversal_records
from schemas.proposals import Proposal
from schemas.results import Outcome
from tests.support.drawn_campaigns import Document, Stream, examples, text_of
from tests.support.drawn_expressions import EDGES, EVENTS, SCHEMA, bools
from transforms.event_parser import EventParser
from transforms.language import load_folder
from transforms.language.expressions import check
from transforms.language.needs import needs
from transforms.language.tracing import Traced, trace
from transforms.language.translate import compile_condition


def checked(text: str) -> Expression:
    try:
        return check(text, SCHEMA, result="bool")
    except ExpressionError:
        assume(False)
        raise


def walked(traced: Traced) -> Iterator[Traced]:
    yield traced
    for part in traced.parts:
        yield from walked(part)


@settings(max_examples=400, deadline=None)
@given(bools(3), EVENTS)
def test_the_root_of_a_trace_is_what_the_run_answers(text: str, event: dict[str, Any]) -> None:
    expression = checked(text)
    traced = trace(expression, event, {})
    assert (traced.value is True) is compile_condition(expression)(event, {})
    assert (traced.value is None) is bool(traced.why)
    assert bool(needs(traced)) is (traced.value is not True)


@settings(max_examples=200, deadline=None)
@given(bools(3), EVENTS)
def test_a_part_checked_by_itself_has_its_value(text: str, event: dict[str, Any]) -> None:
    for part in walked(trace(checked(text), event, {})):
        if part.value is None or isinstance(part.value, bool):
            alone = trace(check(part.text, SCHEMA, result="bool"), event, {})
            assert (alone.text, alone.value) == (part.text, part.value)


@given(
    st.sampled_from(["<", "<=", ">", ">="]), st.sampled_from(EDGES[:-1]), st.sampled_from(EDGES), st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_the_distance_told_is_enough_and_no_less_would_do(
    sign: str, asked: int, found: int, turned: bool, negated: bool
) -> None:
    text = f"{asked} {sign} event.i" if turned else f"event.i {sign} {asked}"
    condition = checked(f"!({text})" if negated else text)
    told = needs(trace(condition, {"i": found}, {}))
    assume(told)
    distance = re.search(r": ([\d,]+) (more|less)$", told[0])
    assert distance, told
    apart = int(distance[1].replace(",", "")) * (1 if distance[2] == "more" else -1)
    met = compile_condition(condition)
    assert met({"i": found + apart}, {}) and not met({"i": found + apart + (-1 if apart > 0 else 1)}, {})


@pytest.fixture(scope="module")
def folder_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("campaigns")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(examples(), st.data())
def test_every_event_is_explained_as_it_was_decided(
    folder_path: Path, example: tuple[list[Document], Stream], data: st.DataObject
) -> None:
    documents, stream = example
    (folder_path / "all.yaml").write_text(text_of(documents))
    plan_set = load_folder(folder_path)
    parser = EventParser(plan_set.schema)
    events = [parser.from_json(json.dumps(event).encode()) for event in stream.events]
    profiles = dict(parser.user_profile({"user_id": user, **told}) for user, told in stream.profiles.items())
    story = Story(plan_set, events, profiles, None)
    in_order = sorted(events, key=lambda event: (event.time_ms, event.user_id))
    firsts = {(event.event_id, event.user_id): event for event in reversed(in_order)}.values()
    asked = [(event, campaign) for event in firsts for campaign in story.timeline.at(event.time_ms).campaigns]
    told = [story.explanation(campaign, event) for event, campaign in asked]
    require_told_as_settled(story, told)
    assume(told)
    (event, campaign), one = data.draw(st.sampled_from(list(zip(asked, told, strict=True))))
    alone = Story(beside(plan_set, campaign.id), events, profiles, None)
    itself = next(own for own in alone.timeline.at(event.time_ms).campaigns if own.id == campaign.id)
    assert alone.explanation(itself, event) == one


def require_told_as_settled(story: Story, told: list[Explanation]) -> None:
    """All that was granted, denied and taken back is told, nothing else is, and nothing comes of nothing."""
    settled = story.judged.settled
    made = {record["grant_id"] for one in settled for record in grant_records(one)}
    held = any(one.decision.outcome is Outcome.HELD for one in settled)
    explained = {grant for one in told for ruling in one.rulings for grant in ruling.grants}
    assert made <= explained
    assert held or explained == made
    denied = [one.request for one in settled if denial_records(one)]
    offers = sum(len(proposal.offers) for proposal in denied if isinstance(proposal, Proposal))
    assert offers == sum(ruling.outcome == "denied" for one in told for ruling in one.rulings)
    reversed_ = sum(len(reversal_records(one)) for one in settled)
    assert reversed_ == sum("taken back of" in line for one in told for line in one.caused)
    for one in told:
        given_ = any(ruling.grants for ruling in one.rulings)
        acted = one.caused or one.outcome in ("opens a window", "ends a wait", "taken as a refund")
        assert given_ or acted or one.difference, one
