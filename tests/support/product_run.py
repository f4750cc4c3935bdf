"""The product on a folder and a stream of plain events, judged in memory; the pipeline's own tests prove that the
pipelines do the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runners.ops.judging import judge
from schemas.grants import denial_records, grant_records, reversal_records
from schemas.plans import PlanSet
from transforms.engine import UserState, decode_state
from transforms.event_parser import EventParser

BATCH = 7
"""Small, so that even a short stream takes several calls of the ledger."""


@dataclass
class Outcome:
    """Records as they leave, by kind, in the order in which they were decided."""

    grants: list[dict[str, Any]] = field(default_factory=list)
    denials: list[dict[str, Any]] = field(default_factory=list)
    reversals: list[dict[str, Any]] = field(default_factory=list)


def run_product(
    plan_set: PlanSet,
    events: Iterable[Mapping[str, Any]],
    profiles: Mapping[str, Mapping[str, Any]],
    until_ms: int | None = None,
) -> Outcome:
    """Decide plain events (event_time in ms) in their total order; every state goes through its bytes at each event."""
    parser = EventParser(plan_set.schema)
    parsed = [parser.from_json(json.dumps(event).encode()) for event in events]
    users = dict(parser.user_profile({"user_id": user, **profile}) for user, profile in profiles.items())
    outcome = Outcome()
    for settled in judge([plan_set], parsed, users, until_ms, carried=_through_bytes, batch_max=BATCH).settled:
        outcome.grants += grant_records(settled)
        outcome.denials += denial_records(settled)
        outcome.reversals += reversal_records(settled)
    return outcome


def _through_bytes(state: UserState) -> UserState:
    return decode_state(state.encoded())
