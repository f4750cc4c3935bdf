"""Advance one user's state by one input, and say what that earned: the engine's one public entry.

Pure: no clock, no randomness, no Beam, no Redis. The same state, input and plans give the same state and requests in a
live run, a backtest and a backfill. The engine never learns the ledger's answer.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from schemas.events import COUNTER_SEEDED, PROFILE_UPDATED, RESERVED_TYPES, SEGMENT_JOINED, Event
from schemas.proposals import Request
from transforms.engine.requests import Requests
from transforms.engine.seeds import plant, refusal
from transforms.engine.sets import CompiledSet
from transforms.engine.state import UserState
from transforms.engine.timeline import Timeline


class Profile(NamedTuple):
    """A user's attributes, whole: they replace what was known. Without nulls."""

    user_id: str
    attributes: dict[str, Any]


class Tick(NamedTuple):
    """Time has come to time_ms for this user: what waits up to then is decided, what is too old is dropped."""

    time_ms: int


class Arrival(NamedTuple):
    """An event where events are decided in the order of time: it waits until a tick passes it.

    Attributes:
      watermark_ms: the last tick of all users; what is not later than that comes too late to wait. None = no tick yet.
    """

    event: Event
    watermark_ms: int | None


class Verdict(StrEnum):
    """What became of an input, first that applies."""

    DUPLICATE = "duplicate"
    """A known event id with the same content: nothing changes."""

    CONFLICTING_DUPLICATE = "conflicting_duplicate"
    """A known event id with other content: the first stands, nothing changes."""

    TOO_OLD = "too_old"
    """At or below the floor of the known ids: it may be a repeat, so it is never counted anew."""

    SEED_REFUSED = "seed_refused"
    """A seed that would not make counters exact: nothing changes, and `why` says what is wrong with it."""

    TOO_LATE = "too_late"
    """Later than the wait, and the tenant's policy is not to decide it."""

    LATE = "late"
    """Later than the wait, decided all the same."""

    ADVANCED = "advanced"
    """Taken in, whether or not a campaign matched."""


class Advanced(msgspec.Struct, frozen=True, gc=False):
    """What an input did.

    Attributes:
      state: the state to go on with; the one given must not be used again.
      requests: proposals and reversals. A caller that decides several inputs sorts them by key.
      matched: campaigns whose condition the event met.
      over_limit: campaigns of which something is at its maximum for this user (docs/contracts/bounds.md).
      why: of a seed that is refused.
    """

    state: UserState
    requests: Sequence[Request]
    verdict: Verdict
    matched: Sequence[str] = ()
    over_limit: Sequence[str] = ()
    why: str = ""


def advance(state: UserState, given: Event | Arrival | Profile | Tick, timeline: Timeline) -> Advanced:
    """Advance a user's state by one input.

    Args:
      state: of this user; it is handed over.
      given: an event whose subject is this user, to be decided at once or to wait; the user's profile; or a tick. A
        seed is an event, of the type `counter.seeded`.
      timeline: the campaigns, of which those in force at the input's time judge it.
    """
    if isinstance(given, Event):
        plans = timeline.at(given.time_ms)
        verdict = _admitted(state, given, plans)
        return _decided(state, given, plans, timeline) if verdict is None else Advanced(state, (), verdict)
    if isinstance(given, Arrival):
        return _arrived(state, given, timeline)
    if isinstance(given, Profile):
        state.profile = given.attributes
        return Advanced(state, (), Verdict.ADVANCED)
    return _ticked(state, given.time_ms, timeline)


def _admitted(state: UserState, event: Event, plans: CompiledSet) -> Verdict | None:
    """Note an event's id; the verdict if it is not to be taken in."""
    known = state.known.get(event.event_id)
    if known is not None:
        if event.time_ms - known[0] <= plans.horizon_ms:
            return Verdict.DUPLICATE if known[1] == event.digest else Verdict.CONFLICTING_DUPLICATE
        state.outlive(event.event_id)
    if state.floor_ms is not None and event.time_ms <= state.floor_ms:
        return Verdict.TOO_OLD
    state.remember(event.event_id, event.time_ms, event.digest, plans.horizon_ms)
    return None


def _decided(state: UserState, event: Event, plans: CompiledSet, timeline: Timeline) -> Advanced:
    time_ms = event.time_ms
    requests = None
    if state.due_ms is not None and state.due_ms <= time_ms:
        requests = Requests(plans.tenant)
        _fall_due(state, time_ms, timeline, requests)
    if event.event_type in RESERVED_TYPES and not event.given_subject:
        if event.event_type == COUNTER_SEEDED:
            return _seeded(state, event, timeline, requests)
        _take_profile(state, event)
    view, user = plans.view(event), plans.user_view(state.profile)
    concerned = plans.concerned(event, view, user)
    if not concerned:
        return Advanced(state, requests.made if requests else (), Verdict.ADVANCED)
    requests = requests or Requests(plans.tenant)
    over_limit: list[str] = []
    matched: list[str] = []
    for campaign, counts, take in concerned:
        if not take(state, event, view, user, requests):
            over_limit.append(campaign)
        if counts:
            matched.append(campaign)
    return Advanced(state, requests.all(plans.groups), Verdict.ADVANCED, matched, over_limit)


def _seeded(state: UserState, seed: Event, timeline: Timeline, requests: Requests | None) -> Advanced:
    made = requests.made if requests else ()
    # What waits behind it was not decided; while it waited itself, nothing that makes it too late was.
    why = refusal(state, seed, timeline, seed.time_ms if state.waiting else state.newest_ms)
    if why:
        state.known.pop(seed.event_id, None)  # so that it can be sent again when what was wrong is mended
        return Advanced(state, made, Verdict.SEED_REFUSED, why=why)
    plant(state, seed, timeline)
    return Advanced(state, made, Verdict.ADVANCED)


def _arrived(state: UserState, arrival: Arrival, timeline: Timeline) -> Advanced:
    event, watermark_ms = arrival
    plans = timeline.at(event.time_ms)
    seed = event.event_type == COUNTER_SEEDED
    if seed and event.event_id not in state.known and (why := refusal(state, event, timeline, state.newest_ms)):
        return Advanced(state, (), Verdict.SEED_REFUSED, why=why)
    if watermark_ms is not None and event.time_ms <= watermark_ms and event.event_id not in state.known:
        if not plans.ordering.decide_late and not seed:
            return Advanced(state, (), Verdict.TOO_LATE)
        verdict = _admitted(state, event, plans)
        if verdict is not None:
            return Advanced(state, (), verdict)
        done = _decided(state, event, plans, timeline)
        return done if seed else msgspec.structs.replace(done, verdict=Verdict.LATE)
    verdict = _admitted(state, event, plans)
    if verdict is None:
        insort(state.waiting, event, key=_total_order)
    return Advanced(state, (), verdict or Verdict.ADVANCED)


def _ticked(state: UserState, time_ms: int, timeline: Timeline) -> Advanced:
    """Decide what waits up to an instant, in the order of time, and drop what is too old."""
    made: list[Request] = []
    matched: list[str] = []
    over_limit: list[str] = []
    while state.waiting and state.waiting[0].time_ms <= time_ms:
        event = state.waiting.pop(0)
        done = _decided(state, event, timeline.at(event.time_ms), timeline)
        made += done.requests
        matched += done.matched
        over_limit += done.over_limit
    if state.due_ms is not None and state.due_ms <= time_ms:
        requests = Requests(timeline.at(time_ms).tenant)
        _fall_due(state, time_ms, timeline, requests)
        made += requests.made
    timeline.at(time_ms).prune(state, time_ms)
    return Advanced(state, made, Verdict.ADVANCED, matched, over_limit)


def _fall_due(state: UserState, until_ms: int, timeline: Timeline, requests: Requests) -> None:
    """Absences whose time is up, judged by the campaigns in force at their due time."""
    while state.due_ms is not None and state.due_ms <= until_ms:
        plans: CompiledSet = timeline.at(state.due_ms)
        for campaign in plans.absences:
            campaign.due(state, state.due_ms, requests)
        due = [plans.next_due_ms(state), timeline.at(until_ms).next_due_ms(state)]
        state.due_ms = min((one for one in due if one is not None and one > state.due_ms), default=None)


def _take_profile(state: UserState, event: Event) -> None:
    if event.event_type == PROFILE_UPDATED:
        profile = {**state.profile, **event.attributes}
        state.profile = {name: value for name, value in profile.items() if value is not None}
        return
    segment = event.attributes.get("segment")
    if segment is not None:
        segments = [known for known in state.profile.get("segments", ()) if known != segment]
        joined = [*segments, segment] if event.event_type == SEGMENT_JOINED else segments
        state.profile = {**state.profile, "segments": joined}


def _total_order(event: Event) -> tuple[int, str, str]:
    return event.time_ms, event.event_id, event.user_id
