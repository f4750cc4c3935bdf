"""Advance users in Beam's own state: one cell of bytes per user, on any runner with keyed state.

Read state, advance, write state once, yield. Beam's state cache walks every loaded module to guess an object's size;
cells are small bytes, so the guess is replaced by a constant (facts of the Beam version named below).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import msgspec
from apache_beam.coders import BytesCoder
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.runners.worker import statecache
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

from schemas.dead_letters import DeadLetter
from schemas.errors import UsageError
from schemas.events import Event
from schemas.plans import PlanSet
from schemas.proposals import encode_request
from transforms.advance_shards import REFUSED, VERDICT_COUNTS, refused_letter
from transforms.engine import Verdict, advance, decode_state
from transforms.metrics import Count, count
from transforms.plan_source import PlanSource

DEAD_LETTER = "dead_letter"
_PATCHED_BEAM = "2.77."
_CELL_SIZE = 1_024

if beam.__version__.startswith(_PATCHED_BEAM):
    statecache.get_deep_size = lambda *objects: _CELL_SIZE

_encode_event = msgspec.msgpack.Encoder().encode
_decode_event = msgspec.msgpack.Decoder(Event).decode


class AdvanceUsersResult(NamedTuple):
    """proposals: (tenant, encoded Proposal)."""

    proposals: PCollection[tuple[str, bytes]]
    dead_letter: PCollection[DeadLetter]


class AdvanceUsers(beam.PTransform):  # type: ignore[misc]
    """From events to proposals, keyed by subject."""

    def __init__(self, plans: PlanSource) -> None:
        super().__init__()
        self._plans = plans

    def expand(self, events: PCollection[Event]) -> AdvanceUsersResult:
        advanced = (
            events
            | "KeyBySubject" >> beam.ParDo(_KeyBySubjectFn(self._plans)).with_output_types(tuple[str, bytes])
            | "AdvanceUser" >> beam.ParDo(_AdvanceUserFn(self._plans)).with_outputs(DEAD_LETTER, main="proposals")
        )
        proposals = (
            advanced.proposals
            | "Proposals" >> beam.Map(_same).with_output_types(tuple[str, bytes])
            | "Reshuffle" >> beam.Reshuffle()
        )
        return AdvanceUsersResult(proposals, advanced[DEAD_LETTER])


class _KeyBySubjectFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, plans: PlanSource) -> None:
        self._plans = plans

    def process(self, event: Event) -> Iterator[tuple[str, bytes]]:
        timeline = self._plans.timeline()
        _require_no_timers(timeline.latest)
        for subject in timeline.subjects(event):
            named = event if subject == event.user_id else event._replace(given_subject=subject)
            yield subject, _encode_event(named)


def _require_no_timers(plan_set: PlanSet) -> None:
    """Raise UsageError for what needs time to come to a user by itself, which this step does not do."""
    if plan_set.ordering.wait_ms is not None:
        raise UsageError("order: event_time runs locally and in backtests; this runner decides as events arrive")
    for plan in plan_set.plans:
        if plan.absence is not None:
            raise UsageError(f"{plan.campaign}: unless: runs locally and in backtests, not on this runner")


def _same(element: tuple[str, bytes]) -> tuple[str, bytes]:
    return element


class _AdvanceUserFn(beam.DoFn):  # type: ignore[misc]
    CELL = ReadModifyWriteStateSpec("cell", BytesCoder())

    def __init__(self, plans: PlanSource) -> None:
        self._plans = plans

    def process(
        self,
        element: tuple[str, bytes],
        cell: Any = beam.DoFn.StateParam(CELL),  # noqa: B008 - how Beam names a state
    ) -> Iterator[Any]:
        event = _decode_event(element[1])
        done = advance(decode_state(cell.read()), event, self._plans.timeline())
        count(VERDICT_COUNTS[done.verdict])
        if done.verdict in REFUSED:
            yield TaggedOutput(DEAD_LETTER, refused_letter(event, done))
        if done.verdict is not Verdict.ADVANCED:
            return
        cell.write(done.state.encoded())
        count(Count.EVENTS_MATCHED, bool(done.matched))
        count(Count.COUNTERS_OVER_LIMIT, len(done.over_limit))
        count(Count.PROPOSALS_MADE, len(done.requests))
        for request in done.requests:
            yield request.tenant, encode_request(request)
