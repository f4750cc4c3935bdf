"""Explain one event of a stream: question by question, and what would have made the difference."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from runners.ops.stories import Explanation, Story, beside, listens
from schemas.dead_letters import DeadLetter
from schemas.errors import UsageError
from schemas.events import Event
from schemas.plans import PlanSet
from transforms.event_files import expand, read, read_users, split
from transforms.event_parser import EventParser

_WHOLE = 1 << 62


@dataclass(frozen=True)
class ExplainRequest:
    """What to explain.

    Attributes:
      events, users: paths or globs. event_id: of the event; user: of the event, needed where several users have the id.
      campaign: None = every campaign that listens to the event's type.
      until_ms: where time ends, as in a backtest.
    """

    events: Sequence[str]
    plan_set: PlanSet
    event_id: str
    campaign: str | None = None
    users: Sequence[str] = ()
    user: str | None = None
    until_ms: int | None = None


class Explained(msgspec.Struct, frozen=True):
    """An event of a stream.

    Attributes:
      event: as it was read; None = no record of the stream is this event. notes: duplicates, dead letters.
    """

    event_id: str
    event: Event | None
    notes: tuple[str, ...]
    campaigns: tuple[Explanation, ...]


def explain_event(request: ExplainRequest) -> Explained:
    """Judge the stream and explain one event of it.

    Raises:
      UsageError: no file matches, no such event or campaign, or several users' events have the id.
    """
    _require_campaign(request)
    parser = EventParser(request.plan_set.schema)
    events, letters = _read(request.events, parser)
    profiles = dict(one for path in expand(request.users) for one in read_users(path, parser)) if request.users else {}
    lost = tuple(
        f"a record with this id is a dead letter ({letter.reason}): {letter.message}"
        for letter in letters
        if _names(letter, request.event_id, request.plan_set.schema.source_name("event_id"))
    )
    event = _found(request, events, bool(lost))
    if event is None:
        return Explained(request.event_id, None, lost, ())
    plan_set = request.plan_set if request.campaign is None else beside(request.plan_set, request.campaign)
    story = Story(plan_set, events, profiles, request.until_ms)
    chosen = [
        campaign
        for campaign in story.timeline.at(event.time_ms).campaigns
        if campaign.id == request.campaign or (request.campaign is None and listens(campaign, event))
    ]
    return Explained(
        request.event_id,
        event,
        (*lost, *story.repeats(event)),
        tuple(story.explanation(campaign, event) for campaign in chosen),
    )


def _require_campaign(request: ExplainRequest) -> None:
    known = [plan.campaign for plan in request.plan_set.plans]
    if request.campaign is not None and request.campaign not in known:
        close = difflib.get_close_matches(request.campaign, known, 1)
        hint = f"; did you mean {close[0]!r}?" if close else f" (there is {', '.join(known[:10])})"
        raise UsageError(f"no campaign {request.campaign!r} in the folder{hint}")


def _read(patterns: Sequence[str], parser: EventParser) -> tuple[list[Event], list[DeadLetter]]:
    events, letters = list[Event](), list[DeadLetter]()
    for path in expand(patterns):
        for part in split(path, _WHOLE):
            for found in read(part, parser):
                if isinstance(found, DeadLetter):
                    letters.append(found)
                else:
                    events.append(found)
    return events, letters


def _names(letter: DeadLetter, event_id: str, field: str) -> bool:
    """Whether a record that is no event has the id; where it cannot be read, whether its bytes hold it."""
    try:
        record = msgspec.json.decode(letter.payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return event_id.encode() in letter.payload
    return isinstance(record, dict) and str(record.get(field)) == event_id


def _found(request: ExplainRequest, events: list[Event], is_lost: bool) -> Event | None:
    """The first event of the id, in the total order."""
    named = sorted(
        (event for event in events if event.event_id == request.event_id),
        key=lambda event: (event.time_ms, event.user_id),
    )
    users = sorted({event.user_id for event in named})
    own = [event for event in named if request.user in (None, event.user_id)]
    if own and (request.user is not None or len(users) == 1):
        return own[0]
    if own:
        several = ", ".join(users[:5]) + (", ..." if len(users) > 5 else "")
        raise UsageError(
            f"{len(users)} users have an event {request.event_id!r} ({several}): name one, e.g. --user {users[0]}"
        )
    if is_lost:
        return None
    if users:
        raise UsageError(
            f"no event {request.event_id!r} of user {request.user!r}; there is one of {', '.join(users[:5])}"
        )
    raise UsageError(f"no event {request.event_id!r} among the {len(events):,} of the stream")
