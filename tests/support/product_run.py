"""The product on a folder and a stream, without files and runners: engine by subject, then one ledger in OrderKey order.

What a backtest does, step by step; the pipeline's own tests prove that the pipelines do the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.grants import Settled, denial_records, grant_records, reversal_records, settled_in_order
from schemas.plans import PlanSet
from schemas.proposals import Request
from transforms.budget.memory import MemoryLedger
from transforms.engine import Profile, Tick, Timeline, UserState, advance, decode_state
from transforms.event_parser import EventParser


@dataclass
class Outcome:
    """Records as they leave, by kind, in the order in which they were decided."""

    grants: list[dict[str, Any]] = field(default_factory=list)
    denials: list[dict[str, Any]] = field(default_factory=list)
    reversals: list[dict[str, Any]] = field(default_factory=list)

    def take(self, batch: Iterable[Settled]) -> None:
        """Add answers."""
        for settled in batch:
            self.grants += grant_records(settled)
            self.denials += denial_records(settled)
            self.reversals += reversal_records(settled)


def run_product(
    plan_set: PlanSet,
    events: Iterable[Mapping[str, Any]],
    profiles: Mapping[str, Mapping[str, Any]],
    until_ms: int | None = None,
) -> Outcome:
    """Decide plain events (event_time in ms) in their total order; every state goes through its bytes at each event."""
    timeline, parser = Timeline([plan_set]), EventParser(plan_set.schema)
    parsed = [parser.from_json(json.dumps(event).encode()) for event in events]
    until_ms = max((event.time_ms for event in parsed), default=0) if until_ms is None else until_ms
    by_subject: dict[str, list[Any]] = {}
    for event in parsed:
        for subject in timeline.subjects(event):
            named = event if subject == event.user_id else event._replace(given_subject=subject)
            by_subject.setdefault(subject, []).append(named)
    requests: list[Request] = []
    for subject, own in by_subject.items():
        state = UserState()
        if subject in profiles:
            _, attributes = parser.user_profile({"user_id": subject, **profiles[subject]})
            state = advance(state, Profile(subject, attributes), timeline).state
        for event in sorted(own, key=lambda event: (event.time_ms, event.event_id, event.user_id)):
            done = advance(decode_state(state.encoded()), event, timeline)
            state = done.state
            requests += done.requests
        requests += advance(state, Tick(until_ms), timeline).requests
    return _settled(plan_set, sorted(requests, key=lambda request: request.key), until_ms)


def _settled(plan_set: PlanSet, requests: list[Request], until_ms: int) -> Outcome:
    ledger, outcome = MemoryLedger(plan_set.tenant), Outcome()
    ledger.define(plan_set.accounts)
    for first in range(0, len(requests), 7):
        batch = requests[first : first + 7]
        outcome.take(settled_in_order(batch, ledger.decide(batch)))
    while ended := ledger.mature(until_ms):
        outcome.take(Settled(*pair) for pair in ended)
    return outcome
