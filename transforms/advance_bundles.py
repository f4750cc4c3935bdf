"""Advance users a bundle at a time against a store of cells: the local runner's place of user state.

The first half of the local order (docs/contracts/local-order.md): when the bundle ends, its changed cells, due times
and proposals are written in one step. Before that write nothing has happened, after it nothing can be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

import apache_beam as beam
import msgspec
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.transforms.window import GlobalWindows

from schemas.dead_letters import DeadLetter
from schemas.events import Event
from schemas.proposals import Request, encode_request
from transforms.advance_shards import REFUSED, VERDICT_COUNTS, refused_letter
from transforms.engine import Advanced, Arrival, Tick, Timeline, UserState, Verdict, advance, decode_state
from transforms.metrics import Count, count
from transforms.plan_source import PlanSource
from transforms.state.ports import BundleWrite, Outgoing, UserStates

DEAD_LETTER = "dead_letter"
_DUE_AT_ONCE = 100
"""Cells to which time comes with one bundle at most, so that a bundle stays short."""

_EVERYONE = 2**31 - 1
"""Where the order of time rules, nobody is left for the next bundle."""


@dataclass
class AdvancedBundle:
    """What a bundle did to its users.

    Attributes:
      requests: in OrderKey order. dead_letters: events that are not counted.
      verdicts: one an event, in the order given. matched: how many events met a campaign.
    """

    requests: list[Request] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    matched: int = 0
    over_limit: int = 0

    def take(self, done: Advanced, users: dict[str, UserState], subject: str) -> None:
        """Add what one input did."""
        users[subject] = done.state
        self.requests.extend(done.requests)
        self.matched += bool(done.matched)
        self.over_limit += len(done.over_limit)


def advance_bundle(
    events: Sequence[Event],
    states: UserStates,
    timeline: Timeline,
    positions: dict[str, bytes],
    closing: bool = False,
) -> AdvancedBundle:
    """Advance every event's subjects in the order given, let time come to those whose time is due, and write all of it
    in one step.

    Where events are decided in the order of time, they wait; what the watermark (the greatest event time less the wait)
    has passed is decided, all of it, so that the requests of one bundle come before those of the next.

    Args:
      closing: the input has ended: time comes to its greatest event time.

    Raises:
      StateUnavailableError: the write may or may not have happened; nothing may be acknowledged.
    """
    clock = _Clock.read(states, timeline)
    waits = clock.wait_ms is not None and not closing
    newest_ms = max([event.time_ms for event in events] + [clock.newest_ms])
    until_ms = max(newest_ms - (clock.wait_ms or 0), clock.watermark_ms or 0) if waits else newest_ms
    deliveries = [
        event if subject == event.user_id else event._replace(given_subject=subject)
        for event in events
        for subject in timeline.subjects(event)
    ]
    due = states.due(until_ms, _EVERYONE if clock.wait_ms is not None or closing else _DUE_AT_ONCE)
    subjects = list(dict.fromkeys([*due, *(event.subject for event in deliveries)]))
    cells = states.load(sorted(subjects))
    users = {subject: decode_state(cells.get(subject)) for subject in subjects}
    done = _advance_all(deliveries, users, timeline, clock)
    for subject in users if clock.wait_ms is not None else due:
        # Only now: a bundle may span more than the horizon, and a tick must not make its own events too old.
        done.take(advance(users[subject], Tick(until_ms), timeline), users, subject)
    done.requests.sort(key=attrgetter("key"))
    states.commit(
        BundleWrite(
            cells={subject: state.encoded() for subject, state in users.items()},
            due={subject: timeline.at(max(state.newest_ms, 0)).expires_ms(state) for subject, state in users.items()},
            outgoing=[Outgoing(request.key.packed(), encode_request(request)) for request in done.requests],
            positions={**positions, _POSITION: _Clock(newest_ms, until_ms, clock.wait_ms).encoded()},
        )
    )
    return done


_POSITION = "time"
"""Beside the sources' positions."""


class _Clock(NamedTuple):
    """How far event time has come: kept with the users' state, so that it never runs backwards.

    Attributes:
      newest_ms: greatest event time handed out. watermark_ms: of the last tick; None = there was none.
      wait_ms: of the latest campaigns; None = events are decided as they arrive.
    """

    newest_ms: int
    watermark_ms: int | None
    wait_ms: int | None

    @classmethod
    def read(cls, states: UserStates, timeline: Timeline) -> _Clock:
        wait_ms = timeline.latest.ordering.wait_ms
        kept = states.position(_POSITION)
        if kept is None:
            return cls(0, None, wait_ms)
        return cls.decoded(kept, wait_ms)

    @classmethod
    def decoded(cls, kept: bytes, wait_ms: int | None) -> _Clock:
        newest_ms, watermark_ms = msgspec.json.decode(kept, type=tuple[int, int | None])
        return cls(newest_ms, watermark_ms, wait_ms)

    def encoded(self) -> bytes:
        return msgspec.json.encode((self.newest_ms, self.watermark_ms))


def _advance_all(
    deliveries: Sequence[Event], users: dict[str, UserState], timeline: Timeline, clock: _Clock
) -> AdvancedBundle:
    result = AdvancedBundle()
    for event in deliveries:
        given = event if clock.wait_ms is None else Arrival(event, clock.watermark_ms)
        done = advance(users[event.subject], given, timeline)
        result.take(done, users, event.subject)
        if not event.given_subject:
            result.verdicts.append(done.verdict)
        if done.verdict in REFUSED:
            result.dead_letters.append(refused_letter(event, done))
    return result


def count_advanced(done: AdvancedBundle) -> None:
    """Tell the metrics what a bundle came to."""
    for verdict in done.verdicts:
        count(VERDICT_COUNTS[verdict])
    count(Count.EVENTS_MATCHED, done.matched)
    count(Count.COUNTERS_OVER_LIMIT, done.over_limit)
    count(Count.PROPOSALS_MADE, len(done.requests))


def newest_ms(states: UserStates) -> int:
    """The greatest event time handed out so far; 0 before the first."""
    kept = states.position(_POSITION)
    return 0 if kept is None else _Clock.decoded(kept, None).newest_ms


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
        count_advanced(done)
        for request in done.requests:
            yield GlobalWindows.windowed_value((request.tenant, encode_request(request)))
        for letter in done.dead_letters:
            yield TaggedOutput(DEAD_LETTER, GlobalWindows.windowed_value(letter))
