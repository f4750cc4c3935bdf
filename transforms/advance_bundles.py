"""Advance users a bundle at a time against a store of cells: the local runner's place of user state.

The first half of the local order (docs/contracts/local-order.md): when the bundle ends, its changed cells, due times
and proposals are written in one step. Before that write nothing has happened, after it nothing can be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.transforms.window import GlobalWindows

from schemas.dead_letters import DeadLetter
from schemas.events import Event
from schemas.proposals import Proposal, encode_request
from transforms.advance_shards import VERDICT_COUNTS, too_old_letter
from transforms.engine import Tick, Timeline, UserState, Verdict, advance, decode_state
from transforms.metrics import Count, count
from transforms.plan_source import PlanSource
from transforms.state.ports import BundleWrite, Outgoing, UserStates

DEAD_LETTER = "dead_letter"
_DUE_AT_ONCE = 100
"""Cells pruned with one bundle at most, so that a bundle stays short."""


class AdvancedBundle(NamedTuple):
    """What a bundle did to its users.

    Attributes:
      proposals: in OrderKey order. dead_letters: events too old to be counted.
      verdicts: one an event, in the order given.
    """

    proposals: list[Proposal]
    dead_letters: list[DeadLetter]
    verdicts: list[Verdict]
    matched: int
    over_limit: int


def advance_bundle(
    events: Sequence[Event], states: UserStates, timeline: Timeline, positions: dict[str, bytes]
) -> AdvancedBundle:
    """Advance every event's user in the order given, prune users that are due, and write all of it in one step.

    Raises:
      StateUnavailableError: the write may or may not have happened; nothing may be acknowledged.
    """
    newest_ms = max((event.time_ms for event in events), default=None)
    due = states.due(newest_ms, _DUE_AT_ONCE) if newest_ms is not None else []
    cells = states.load(sorted({event.user_id for event in events} | set(due)))
    users = {user: decode_state(cells.get(user)) for user in [*due, *(event.user_id for event in events)]}
    done = _advance_all(events, users, timeline)
    for user in due:
        # Only now: a bundle may span more than the horizon, and a tick must not make its own events too old.
        users[user] = advance(users[user], Tick(newest_ms or 0), timeline.at(newest_ms or 0)).state
    states.commit(
        BundleWrite(
            cells={user: state.encoded() for user, state in users.items()},
            due={user: timeline.at(state.newest_ms).expires_ms(state) for user, state in users.items()},
            outgoing=[Outgoing(proposal.key.packed(), encode_request(proposal)) for proposal in done.proposals],
            positions=positions,
        )
    )
    return done


def _advance_all(events: Sequence[Event], users: dict[str, UserState], timeline: Timeline) -> AdvancedBundle:
    result = AdvancedBundle([], [], [], 0, 0)
    matched = over_limit = 0
    for event in events:
        done = advance(users[event.user_id], event, timeline.at(event.time_ms))
        users[event.user_id] = done.state
        result.proposals.extend(done.proposals)
        result.verdicts.append(done.verdict)
        matched += bool(done.matched)
        over_limit += len(done.over_limit)
        if done.verdict is Verdict.TOO_OLD:
            result.dead_letters.append(too_old_letter(event, done.state.floor_ms))
    result.proposals.sort(key=lambda proposal: proposal.key)
    return result._replace(matched=matched, over_limit=over_limit)


class AdvanceBundlesResult(NamedTuple):
    """proposals: (tenant, encoded Proposal)."""

    proposals: PCollection[tuple[str, bytes]]
    dead_letter: PCollection[DeadLetter]


class AdvanceBundles(beam.PTransform):  # type: ignore[misc]
    """From events to proposals that wait in the outbox until they are settled."""

    def __init__(self, states: Callable[[], UserStates], plans: PlanSource) -> None:
        super().__init__()
        self._states, self._plans = states, plans

    def expand(self, events: PCollection[Event]) -> AdvanceBundlesResult:
        advanced = events | "AdvanceBundle" >> beam.ParDo(_AdvanceBundleFn(self._states, self._plans)).with_outputs(
            DEAD_LETTER, main="proposals"
        )
        return AdvanceBundlesResult(advanced.proposals, advanced[DEAD_LETTER])


class _AdvanceBundleFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, states: Callable[[], UserStates], plans: PlanSource) -> None:
        self._states, self._plans = states, plans
        self._events: list[Event] = []

    def start_bundle(self) -> None:
        self._events = []

    def process(self, event: Event) -> None:
        self._events.append(event)

    def finish_bundle(self) -> Iterator[Any]:
        if not self._events:
            return
        timeline = self._plans.timeline()
        done = advance_bundle(self._events, self._states(), timeline, {})
        for verdict in done.verdicts:
            count(VERDICT_COUNTS[verdict])
        count(Count.EVENTS_MATCHED, done.matched)
        count(Count.COUNTERS_OVER_LIMIT, done.over_limit)
        count(Count.PROPOSALS_MADE, len(done.proposals))
        for proposal in done.proposals:
            yield GlobalWindows.windowed_value((proposal.tenant, encode_request(proposal)))
        for letter in done.dead_letters:
            yield TaggedOutput(DEAD_LETTER, GlobalWindows.windowed_value(letter))
