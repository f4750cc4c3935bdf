"""Judge a stream at once, in memory: the engine subject by subject, then one ledger in OrderKey order.

What a backtest does, without files, servers and Beam: for streams that fit in memory, such as a campaign test's or one
user's history. Pure: the same sets, events and profiles give the same answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from schemas.events import Event
from schemas.grants import Settled, settled_in_order
from schemas.plans import PlanSet
from schemas.proposals import Request
from transforms.budget.memory import MemoryLedger
from transforms.budget.ports import BATCH_MAX
from transforms.engine import Profile, Tick, Timeline, UserState, Verdict, advance


class Judged(NamedTuple):
    """What a stream came to.

    Attributes:
      settled: requests and answers in the order in which they were decided; the ends of holds in their places.
      refused: events that were not taken in (duplicates, too old), with why; once an event, as its user's.
      until_ms: where time ended.
      open_absences: events that still wait then for another not to come.
      requests: what was asked of the ledger, in the order in which it was.
    """

    settled: list[Settled]
    refused: list[tuple[Event, Verdict]]
    until_ms: int
    open_absences: int
    requests: Sequence[Request]


def judge(
    plan_sets: Sequence[PlanSet],
    events: Iterable[Event],
    profiles: Mapping[str, Mapping[str, Any]],
    until_ms: int | None = None,
    *,
    carried: Callable[[UserState], UserState] = lambda state: state,
    batch_max: int = BATCH_MAX,
) -> Judged:
    """Decide events in their total order (event_time, event_id), budgets across all users.

    Args:
      plan_sets: of one tenant, as a Timeline takes them. The accounts of each are defined in turn, before all events.
      events: in any order, as EventParser gives them.
      profiles: user id -> attributes, as EventParser.user_profile gives them.
      until_ms: where time ends: absences and holds due up to then come to their end. None = at the last event.
      carried: what happens to a state between two inputs; for tests that send it through its bytes.
      batch_max: requests a call of the ledger.
    """
    timeline, given = Timeline(plan_sets), list(events)
    if until_ms is None:
        until_ms = max((event.time_ms for event in given), default=0)
    requests: list[Request] = []
    refused: list[tuple[Event, Verdict]] = []
    open_absences = 0
    for subject, own in by_subject(timeline, given).items():
        state = advance(UserState(), Profile(subject, dict(profiles.get(subject, {}))), timeline).state
        for event in own:
            done = advance(carried(state), event, timeline)
            state = done.state
            requests += done.requests
            if done.verdict is not Verdict.ADVANCED and not event.given_subject:
                refused.append((event, done.verdict))
        done = advance(carried(state), Tick(until_ms), timeline)
        requests += done.requests
        open_absences += timeline.latest_compiled.open_absences(done.state)
    requests.sort(key=attrgetter("key"))
    return Judged(_settled(plan_sets, requests, until_ms, batch_max), refused, until_ms, open_absences, requests)


def by_subject(timeline: Timeline, events: Iterable[Event]) -> dict[str, list[Event]]:
    """The events that move each subject's state, in total order."""
    found: dict[str, list[Event]] = defaultdict(list)
    for event in sorted(events, key=lambda event: (event.time_ms, event.event_id, event.user_id)):
        for subject in timeline.subjects(event):
            found[subject].append(event if subject == event.user_id else event._replace(given_subject=subject))
    return found


def _settled(plan_sets: Sequence[PlanSet], requests: Sequence[Request], until_ms: int, batch_max: int) -> list[Settled]:
    ledger, settled = MemoryLedger(plan_sets[0].tenant), list[Settled]()
    for plan_set in plan_sets:
        ledger.define(plan_set.accounts)
    for first in range(0, len(requests), batch_max):
        batch = requests[first : first + batch_max]
        settled += settled_in_order(batch, ledger.decide(batch))
    while ended := ledger.mature(until_ms):
        settled += [Settled(*pair) for pair in ended]
    return settled
