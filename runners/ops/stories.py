"""A judged stream, of which any event can be explained in any campaign.

The stream is judged whole, by the engine and the ledger contract that a backtest asks; then the subject's own events
are run once more up to the event, to see its state just before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from runners.ops.judging import Judged, by_subject, judge
from runners.ops.rulings import Ruling, Rulings
from schemas.errors import InvariantError
from schemas.events import Event
from schemas.plans import Plan, PlanSet
from schemas.proposals import Reversal
from schemas.results import Outcome
from transforms.engine import Profile, Timeline, UserState, Verdict, advance
from transforms.engine.campaigns import CompiledCampaign
from transforms.engine.explained import Course, Section, instant
from transforms.engine.explaining import Moment, explain, subject_step
from transforms.engine.explaining_matches import listening, type_step


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


def beside(plan_set: PlanSet, campaign: str) -> PlanSet:
    """A campaign with all that can make a difference to it, and nothing else: a set that is judged sooner.

    These are the campaigns that share a group or a limited account with it, those that share one with them, and so on;
    and those that name whose counter an event moves, since an event is known to each subject once.
    """
    limited = {account.name for account in plan_set.accounts if account.limits}
    shared = {plan.campaign: _shares(plan, limited) for plan in plan_set.plans}
    kept = {plan.campaign for plan in plan_set.plans if plan.campaign == campaign or plan.subject is not None}
    while True:
        of_kept = set().union(*(shared[one] for one in kept))
        found = kept | {one for one, theirs in shared.items() if theirs & of_kept}
        if found == kept:
            break
        kept = found
    return msgspec.structs.replace(
        plan_set,
        plans=tuple(plan for plan in plan_set.plans if plan.campaign in kept),
        groups=tuple(group for group in plan_set.groups if kept.issuperset(group.offers)),
    )


def _shares(plan: Plan, limited: set[str]) -> set[str]:
    """What a campaign shares with others: limited accounts, its group."""
    accounts = {charge.account for gift in plan.all_gifts for charge in gift.charges}
    return (accounts & limited) | ({f"group/{plan.group}"} if plan.group else set())


def listens(campaign: CompiledCampaign, event: Event) -> bool:
    return any(event.event_type in types for types in listening(campaign.parts.plan).values())


class Story:
    """A judged stream, of which any event can be explained in any campaign.

    Args:
      events: of the whole stream, in any order; profiles: by user. until_ms: where time ends, None = at the last event.
    """

    def __init__(
        self, plan_set: PlanSet, events: list[Event], profiles: Mapping[str, Mapping[str, Any]], until_ms: int | None
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
        if not listens(campaign, event):
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
        told = self._told(campaign, subject, sections, rulings, tuple(self._taken_back(campaign.id, own)))
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

    def _taken_back(self, campaign: str, event: Event) -> Iterable[str]:
        """What the event took back of the campaign's grants; ids of events are each subject's own."""
        names = (campaign, event.event_id, event.subject)
        for request, decision in ((one.request, one.decision) for one in self.judged.settled):
            if not isinstance(request, Reversal) or (request.campaign, request.event_id, request.key.subject) != names:
                continue
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
