"""One user's side of what happened: the events that are theirs, without repeats, and what was known of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from schemas.campaigns import Campaign
from tests.support.oracle.conditions import named_user
from tests.support.oracle.model import Event, World, without_nulls

DEFAULT_HORIZON_MS = 7 * 86_400_000
PROFILE_TYPES = ("profile.updated", "segment.joined", "segment.left")


def types_of(campaign: Campaign) -> set[str]:
    """Every event type that the campaign listens to."""
    found = set(campaign.trigger.on)
    for part in (campaign.trigger.after, campaign.trigger.unless, campaign.refunds):
        found |= set(part.on) if part else set()
    return found


def subject_of(campaign: Campaign, event: Event) -> str | None:
    """Whose counter an event moves in a campaign; None if nobody's, as in a self-referral."""
    if campaign.trigger.subject is None:
        return event.user
    named = named_user(campaign.trigger.subject, event, {})
    return None if named == event.user else named


def subjects(world: World) -> list[str]:
    """Everyone whose counters may move."""
    found = {event.user for event in world.events}
    for campaign in world.campaigns.values():
        for event in world.events:
            named = subject_of(campaign, event) if event.event_type in types_of(campaign) else None
            found |= {named} if named is not None else set()
    return sorted(found)


def history_of(world: World, subject: str) -> list[Event]:
    """The subject's events in total order, each id once within the horizon."""
    horizon = world.tenant.horizon or DEFAULT_HORIZON_MS
    kept: list[Event] = []
    for event in sorted(world.events, key=lambda event: event.place):
        if not _is_input(world, event, subject):
            continue
        if not any(known.event_id == event.event_id and event.time_ms - known.time_ms <= horizon for known in kept):
            kept.append(event)
    return kept


def _is_input(world: World, event: Event, subject: str) -> bool:
    return event.user == subject or any(
        subject_of(campaign, event) == subject
        for campaign in world.campaigns.values()
        if campaign.trigger.subject is not None and event.event_type in types_of(campaign)
    )


def profile_at(world: World, subject: str, upto: Iterable[Event]) -> dict[str, Any]:
    """The user's attributes and segments after these events."""
    known: dict[str, Any] = dict(without_nulls(world.profiles.get(subject, {})))
    segments = set(known.get("segments", []))
    for event in upto:
        if event.user != subject or event.event_type not in PROFILE_TYPES:
            continue
        if event.event_type == "profile.updated":
            for name, value in event.raw.items():
                if value is None:
                    known.pop(name, None)
                else:
                    known[name] = without_nulls(value)
        elif event.event_type == "segment.joined":
            segments.add(event.raw["segment"])
        else:
            segments.discard(event.raw["segment"])
    return {**known, "segments": sorted(segments)}
