"""Advance one user's state by one input, and say what that earned: the engine's one public entry.

Pure: no clock, no randomness, no Beam, no Redis. The same state, input and plans give the same state and proposals in a
live run, a backtest and a backfill. The engine never learns the ledger's answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from schemas.events import Event
from schemas.proposals import Proposal
from transforms.engine.campaigns import CompiledSet
from transforms.engine.state import UserState


class Profile(NamedTuple):
    """A user's attributes, whole: they replace what was known. Without nulls."""

    user_id: str
    attributes: dict[str, Any]


class Tick(NamedTuple):
    """Time has come to time_ms for this user: nothing older than that less the horizon is needed any more."""

    time_ms: int


class Verdict(StrEnum):
    """What became of an input, first that applies."""

    DUPLICATE = "duplicate"
    """A known event id with the same content: nothing changes."""

    CONFLICTING_DUPLICATE = "conflicting_duplicate"
    """A known event id with other content: the first stands, nothing changes."""

    TOO_OLD = "too_old"
    """At or below the floor of the known ids: it may be a repeat, so it is never counted anew."""

    ADVANCED = "advanced"
    """Taken in, whether or not a campaign matched."""


class Advanced(NamedTuple):
    """What an input did.

    Attributes:
      state: the state to go on with; the one given must not be used again.
      matched: campaigns whose condition the event met.
      over_limit: campaigns whose counter is at its maximum for this user (docs/contracts/bounds.md).
    """

    state: UserState
    proposals: Sequence[Proposal]
    verdict: Verdict
    matched: Sequence[str]
    over_limit: Sequence[str]


def advance(state: UserState, given: Event | Profile | Tick, plans: CompiledSet) -> Advanced:
    """Advance a user's state by one input.

    Args:
      state: of this user; it is handed over.
      given: an event whose user is this user, the user's profile, or a tick.
      plans: the campaigns in force at the input's time.

    Returns:
      The new state, with proposals in the campaigns' order (ids ascending), each campaign's by step and n.
    """
    if isinstance(given, Event):
        return _advance_event(state, given, plans)
    if isinstance(given, Profile):
        state.profile = given.attributes
        return Advanced(state, (), Verdict.ADVANCED, (), ())
    plans.prune(state, given.time_ms)
    return Advanced(state, (), Verdict.ADVANCED, (), ())


def _advance_event(state: UserState, event: Event, plans: CompiledSet) -> Advanced:
    known = state.known.get(event.event_id)
    if known is not None:
        verdict = Verdict.DUPLICATE if known[1] == event.digest else Verdict.CONFLICTING_DUPLICATE
        return Advanced(state, (), verdict, (), ())
    if state.floor_ms is not None and event.time_ms <= state.floor_ms:
        return Advanced(state, (), Verdict.TOO_OLD, (), ())
    state.remember(event.event_id, event.time_ms, event.digest, plans.horizon_ms)
    view = plans.view(event)
    matching = plans.matching(event, view, state.profile)
    if not matching:
        return Advanced(state, (), Verdict.ADVANCED, (), ())
    proposals: list[Proposal] = []
    over_limit: list[str] = []
    for campaign in matching:
        if not campaign.take(state, event, view, proposals):
            over_limit.append(campaign.id)
    return Advanced(state, proposals, Verdict.ADVANCED, [campaign.id for campaign in matching], over_limit)
