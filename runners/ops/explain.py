"""Explain a decision: one event of a stream in one campaign, question by question, and what would have made the
difference.

The stream is judged whole, by the engine and the ledger that a backtest asks; then the subject's own events are run
once more up to the event, to see its state just before.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from runners.ops.judging import Judged, by_subject, judge
from runners.ops.rulings import Ruling, Rulings
from schemas.dead_letters import DeadLetter
from schemas.errors import InvariantError, UsageError
from schemas.events import Event
from schemas.plans import PlanSet
from schemas.proposals import Reversal
from schemas.results import Outcome
from transforms.engine import Profile, Timeline, UserState, Verdict, advance
from transforms.engine.campaigns import CompiledCampaign
from transforms.engine.explained import Course, Section, instant
from transforms.engine.explaining import Moment, explain, subject_step
from transforms.engine.explaining_matches import listening, type_step
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


class Explanation(msgspec.Struct, frozen=True):
    """An event in one campaign.

    Attributes:
      subject: whose counter it moves. outcome: "granted", "denied", ... or how far it came (`Course`).
      sections: what the engine asked, by role. rulings: what the ledger said. caused: what else came of it.
      difference: what would have made the difference; empty where something was given.
    """

    campaign: str
    version: str
    subject: str
    outcome: str
    sections: tuple[Section, ...]
    rulings: tuple[Ruling, ...]
    caused: tuple[str, ...]
    difference: tuple[str, ...]


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
    story = Story(request.plan_set, events, profiles, request.until_ms)
    chosen = [
        campaign
        for campaign in story.timeline.at(event.time_ms).campaigns
        if campaign.id == request.campaign or (request.campaign is None and _listens(campaign, event))
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


def _listens(campaign: CompiledCampaign, event: Event) -> bool:
    return any(event.event_type in types for types in listening(campaign.parts.plan).values())


class Story:
    """A judged stream, of which any event can be explained in any campaign.

    Args:
      events: of the whole stream, in any order; profiles: by user. until_ms: where time ends, None = at the last event.
    """

    def __init__(
        self, plan_set: PlanSet, events: list[Event], profiles: dict[str, dict[str, Any]], until_ms: int | None
    ) -> None:
        self.timeline, self._profiles = Timeline([plan_set]), profiles
        self.judged: Judged = judge([plan_set], events, profiles, until_ms)
        self._by_subject = by_subject(self.timeline, events)
        self._rulings = Rulings(plan_set, self.judged.requests, self.judged.settled)

    def repeats(self, event: Event) -> list[str]:
        """Deliveries of the same event that changed nothing."""
        names = (event.event_id, event.user_id)
        verdicts = [why for one, why in self.judged.refused if (one.event_id, one.user_id) == names]
        return [
            f"the id came again ({verdicts.count(why)} x, {told}): only the first in the total order counts"
            for why, told in _AGAIN.items()
            if why in verdicts
        ]

    def explanation(self, campaign: CompiledCampaign, event: Event) -> Explanation:
        """The event in one campaign."""
        plan, plans = campaign.parts.plan, self.timeline.at(event.time_ms)
        if not _listens(campaign, event):
            unheard = Section("count", Course.NOT_LISTENED, (type_step(plan, event.event_type),))
            return self._told(campaign, event.user_id, [unheard], (), ())
        subject, step = subject_step(campaign, plans, event)
        first = (step,) if step is not None else ()
        if subject is None:
            return self._told(campaign, event.user_id, [Section("count", Course.NOT_TAKEN, first)], (), ())
        own = event if subject == event.user_id else event._replace(given_subject=subject)
        moment = self._moment(own)
        verdict = moment.done.verdict
        if verdict is not Verdict.ADVANCED:
            return Explanation(plan.campaign, plan.version, subject, verdict.value, (), (), (), (_REFUSED[verdict],))
        sections = [
            msgspec.structs.replace(section, steps=(*section.steps[:1], *first, *section.steps[1:]))
            for section in explain(plans, campaign, moment)
        ]
        numbers = self._rulings.proposals(plan.campaign, event.event_id, subject)
        rulings = tuple(self._rulings.ruling(plan.campaign, number) for number in numbers)
        told = self._told(campaign, subject, sections, rulings, tuple(self._taken_back(campaign, event)))
        if any(section.course is Course.WAITS for section in sections) and not rulings:
            outcome, fate = self._fate(campaign, own)
            return msgspec.structs.replace(told, outcome=outcome, difference=(fate,))
        return told

    def _told(
        self,
        campaign: CompiledCampaign,
        subject: str,
        sections: list[Section],
        rulings: tuple[Ruling, ...],
        caused: tuple[str, ...],
    ) -> Explanation:
        plan = campaign.parts.plan
        outcome = ", ".join(dict.fromkeys(ruling.outcome for ruling in rulings))
        if not outcome:
            outcome = max((section.course for section in sections), key=list(Course).index).value
        needs = [need for section in sections for step in section.steps if step.met is False for need in step.needs]
        if rulings:
            needs = [need for ruling in rulings for need in ruling.needs]
        elif caused:
            needs = []
        return Explanation(
            plan.campaign, plan.version, subject, outcome, tuple(sections), rulings, caused, tuple(dict.fromkeys(needs))
        )

    def _moment(self, event: Event) -> Moment:
        """The event as its subject's engine saw it."""
        state = self._fresh(event.subject)
        for one in self._by_subject[event.subject]:
            before = state.encoded() if one == event else b""
            done = advance(state, one, self.timeline)
            state = done.state
            if one == event:
                return Moment(one, before, state.encoded(), done)
        raise InvariantError(f"the event {event.event_id} is not among those of its subject {event.subject}")

    def _fresh(self, subject: str) -> UserState:
        profile = Profile(subject, dict(self._profiles.get(subject, {})))
        return advance(UserState(), profile, self.timeline).state

    def _fate(self, campaign: CompiledCampaign, event: Event) -> tuple[str, str]:
        """What became of a wait that gave nothing: the outcome, and why."""
        assert campaign.absence is not None
        state, due_ms, zone = self._fresh(event.subject), None, campaign.parts.plan.zone
        for one in self._by_subject[event.subject]:
            state = advance(state, one, self.timeline).state
            pending = [wait for wait in campaign.absence.waiting(state) if wait.event_id == event.event_id]
            if due_ms is not None and not pending and one.time_ms < due_ms:
                came = f"{one.event_type} {one.event_id} at {instant(one.time_ms, zone)}"
                return "wait ended", f"{came} ended the wait, which was to last to {instant(due_ms, zone)}"
            due_ms = pending[0].due_ms if pending else due_ms
        assert due_ms is not None
        end_ms, due = campaign.parts.plan.schedule.end_ms, f"it falls due at {instant(due_ms, zone)}"
        if end_ms is not None and due_ms >= end_ms:
            return "due too late", f"{due}; it must fall due before the campaign's end, {instant(end_ms, zone)}"
        return "still waits", f"{due}; time ends at {instant(self.judged.until_ms, zone)}"

    def _taken_back(self, campaign: CompiledCampaign, event: Event) -> Iterable[str]:
        """What the event took back of the campaign's grants."""
        for request, decision in ((one.request, one.decision) for one in self.judged.settled):
            if isinstance(request, Reversal) and (request.event_id, request.campaign) == (event.event_id, campaign.id):
                if decision.outcome is Outcome.REVERSED:
                    yield f"{sum(decision.amounts):,} {request.unit} taken back of user {request.user}"
                else:
                    yield f"nothing of user {request.user}'s grants stood that could be taken back"


_AGAIN = {
    Verdict.DUPLICATE: "with the same content",
    Verdict.CONFLICTING_DUPLICATE: "with other content",
}
_REFUSED = {
    Verdict.DUPLICATE: "the subject has had an event of this id already; the first one stands",
    Verdict.CONFLICTING_DUPLICATE: "the subject has had an event of this id with other content; the first one stands",
    Verdict.TOO_OLD: "it is so old that ids of its time are forgotten, and might be a repeat",
}
