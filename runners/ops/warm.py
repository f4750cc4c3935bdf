"""Warm a campaign that looks back: count its history up to the cut-over, and write a seed for each user.

The same engine counts, for this campaign alone; what its state then holds of a user is the seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from runners.tenants import the_tenant
from schemas.errors import UsageError
from schemas.events import EVENT_BYTES_MAX, PROFILE_TYPES, Event
from schemas.plans import Plan, PlanSet
from schemas.redis_connection import connect
from transforms.engine import Profile, Timeline, UserState, advance, seed_of
from transforms.event_files import expand, read, read_users, split
from transforms.event_parser import EventParser
from transforms.registry.redis_registry import RedisRegistry

_WHOLE_FILE = 1 << 62


@dataclass(frozen=True)
class WarmRequest:
    """What to warm; as the options of `incentives campaign warm`."""

    campaign: str
    events: Sequence[str]
    users: Sequence[str]
    out: Path
    tenant: str | None = None


class CutOver(NamedTuple):
    """Where a campaign's own counting begins: plan_set is in force there, plan is its campaign's."""

    plan_set: PlanSet
    plan: Plan
    time_ms: int
    fires_from_ms: int


class Warmed(NamedTuple):
    """What came of it. events: before the cut-over. unreadable: records that are no events. too_large: users of whom
    more is remembered than an event can carry."""

    cut_over: CutOver
    events: int
    seeds: int
    unreadable: int
    too_large: list[str]


def warm_campaign(request: WarmRequest, url: str) -> Warmed:
    """Write a seed for each user of whom the campaign would remember something at its cut-over.

    Raises:
      UsageError: the campaign takes no seeds, or no file matches.
    """
    client = connect(url)
    cut_over = cut_over_of(request.campaign, RedisRegistry(client, the_tenant(client, request.tenant)).sets())
    parser = EventParser(cut_over.plan_set.schema)
    users = [profile for path in expand(request.users) for profile in read_users(path, parser)] if request.users else []
    history, unreadable = _history(request.events, parser, cut_over.time_ms)
    seeds, too_large = 0, []
    with open(request.out, "wb") as out:
        for seed in seeds_of(history, dict(users), cut_over):
            line = msgspec.json.encode(parser.as_record(seed)) + b"\n"
            if len(line) > EVENT_BYTES_MAX:
                too_large.append(seed.user_id)
                continue
            out.write(line)
            seeds += 1
    return Warmed(cut_over, len(history), seeds, unreadable, too_large)


def cut_over_of(campaign: str, sets: Sequence[PlanSet]) -> CutOver:
    """Where the latest set's campaign began to count by itself.

    Raises:
      UsageError: there is no such campaign, or no history that it could not count by itself.
    """
    timeline = Timeline(sets)
    compiled = timeline.latest_compiled.by_id.get(campaign)
    if compiled is None:
        known = ", ".join(sorted(timeline.latest_compiled.by_id))
        raise UsageError(f"no campaign {campaign!r} in the latest set; there is {known}")
    if compiled.since is None:
        raise UsageError(f"campaign {campaign!r} has no lookback:, or was there from the first set on: nothing to warm")
    time_ms = compiled.since.cut_over_ms
    number = timeline.at(time_ms).number
    plan_set = next(plan_set for plan_set in sets if plan_set.number == number)
    plan = next(plan for plan in plan_set.plans if plan.campaign == campaign)
    return CutOver(plan_set, plan, time_ms, compiled.since.fires_from_ms)


def seeds_of(history: Iterable[Event], profiles: Mapping[str, Mapping[str, Any]], cut_over: CutOver) -> Iterator[Event]:
    """A seed for each user, from the events before the cut-over in any order."""
    plan_set, plan, time_ms, _ = cut_over
    timeline = Timeline([msgspec.structs.replace(plan_set, in_force_from_ms=None, plans=(plan,))])
    parts = [part for part in (plan.opening, plan.refunds) if part is not None]
    heard = {*PROFILE_TYPES, *plan.event_types, *(kind for part in parts for kind in part.event_types)}
    by_subject: dict[str, list[Event]] = {}
    for event in history:
        for subject in timeline.subjects(event):
            # Of events that it does not listen to, only the ids matter: one that comes again is a repeat.
            kept = event if event.event_type in heard else event._replace(attributes={})
            own = by_subject.setdefault(subject, [])
            own.append(kept if subject == event.user_id else kept._replace(given_subject=subject))
    for subject, events in sorted(by_subject.items()):
        state = UserState()
        if subject in profiles:
            state = advance(state, Profile(subject, dict(profiles[subject])), timeline).state
        for event in sorted(events, key=lambda event: (event.time_ms, event.event_id, event.user_id)):
            state = advance(state, event, timeline).state
        timeline.at(time_ms).prune(state, time_ms)
        seed = seed_of(state, subject, plan.campaign, plan.series, time_ms, plan_set.tenant)
        if seed is not None:
            yield seed


def _history(patterns: Sequence[str], parser: EventParser, until_ms: int) -> tuple[list[Event], int]:
    """The events before an instant, and how many records are none."""
    found, unreadable = [], 0
    for path in expand(patterns):
        for part in split(path, _WHOLE_FILE):
            for event in read(part, parser):
                if not isinstance(event, Event):
                    unreadable += 1
                elif event.time_ms < until_ms:
                    found.append(event)
    return found, unreadable
