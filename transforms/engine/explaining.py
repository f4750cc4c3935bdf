"""Explain an event in one campaign: each question that was asked, what was found, what would have been right.

Every answer comes from the functions that decide, asked once more, on a copy of the state before the event; the result
is held against what `advance` did. A trace that tells another story than the run is a bug, never an answer.
"""

from __future__ import annotations

from typing import NamedTuple

from schemas.errors import InvariantError
from schemas.events import Event
from schemas.order_keys import OrderKind
from schemas.proposals import Proposal, Reversal
from transforms.engine.advance import Advanced
from transforms.engine.campaigns import CompiledCampaign, Role
from transforms.engine.counters import OpenedCounter
from transforms.engine.explained import Course, Section, Step, instant
from transforms.engine.explaining_counts import Seen, counted, gives_step, silence_step
from transforms.engine.explaining_matches import gate_steps, listening, match_steps, type_step
from transforms.engine.firing import Firing
from transforms.engine.incentives import amount_of
from transforms.engine.requests import Requests
from transforms.engine.sets import CompiledSet
from transforms.engine.state import decode_state
from transforms.language.needs import shown


class Moment(NamedTuple):
    """An event that was taken in.

    Attributes:
      event: with its subject. before, after: the cell of the subject's state. done: what `advance` said.
    """

    event: Event
    before: bytes
    after: bytes
    done: Advanced


def subject_step(campaign: CompiledCampaign, plans: CompiledSet, event: Event) -> tuple[str | None, Step | None]:
    """Whose counter an event moves, None = nobody's; and where that is another than its user, how it was found."""
    subject = campaign.parts.plan.subject
    if subject is None or campaign.subject is None:
        return event.user_id, None
    named, text = campaign.subject(plans.view(event), {}), subject.text.strip()
    if named is None:
        return None, Step("subject", False, f"{text} is missing", (f"{text} is missing; it must name a user",))
    if named == event.user_id:
        told = f"{text} is the event's own user, {named}: a self-referral is not taken"
        return None, Step("subject", False, told, (told,))
    return named, Step("subject", True, f"{text} is {named}")


def explain(plans: CompiledSet, campaign: CompiledCampaign, moment: Moment) -> list[Section]:
    """What a campaign did with an event of its subject, role by role; [] where it does not listen to the type.

    Raises:
      InvariantError: the trace and the run disagree.
    """
    plan = campaign.parts.plan
    heard = type_step(plan, moment.event.event_type)
    roles = [role for role, types in sorted(listening(plan).items()) if moment.event.event_type in types]
    scratch, after = decode_state(moment.before), decode_state(moment.after)
    view, user = plans.view(moment.event), plans.user_view(after.profile)
    sections = []
    for role in roles:
        seen = Seen(campaign, moment.event, view, user, decode_state(scratch.encoded()), after)
        steps = [heard, *match_steps(plan, role, moment.event, view, user)]
        matched = all(step.met for step in steps)
        if matched:
            course, more = _TAKEN[role](seen, moment)
            steps += more
            campaign.concerns[role].take(scratch, moment.event, view, user, Requests(plans.tenant))
        if role is Role.COUNT and matched is not (campaign.id in moment.done.matched):
            raise InvariantError(
                f"{campaign.id}: the trace of {moment.event.event_id} says {matched}, the run does not"
            )
        sections.append(Section(role.name.lower(), course if matched else Course.NO_MATCH, tuple(steps)))
    return sections


def _count(seen: Seen, moment: Moment) -> tuple[Course, list[Step]]:
    steps = []
    if seen.parts.silence is not None:
        steps = [silence_step(seen), *gate_steps(seen.parts.plan, seen.event, seen.view, seen.user)]
        if not all(step.met for step in steps):
            return Course.NOT_COUNTED, steps
    if seen.campaign.absence is not None:
        course, more = _waits(seen, moment)
        return course, steps + more
    more, firings = counted(seen)
    given = [gives_step(seen, firing) for firing in firings]
    proposed = any(step.met for step in given)
    if proposed is not _has_proposed(seen.campaign.id, moment.done):
        raise InvariantError(f"{seen.campaign.id}: the trace of {seen.event.event_id} fires otherwise than the run")
    steps += [*more, *given, *_maximum(seen, moment)]
    if proposed or given:
        return Course.PROPOSED if proposed else Course.NOTHING, steps
    return (Course.COUNTED if any(step.name == "counter" for step in more) else Course.NOT_COUNTED), steps


def _has_proposed(campaign: str, done: Advanced) -> bool:
    proposals = [one for one in done.requests if isinstance(one, Proposal) and one.key.kind == OrderKind.EVENT]
    return any(grant.campaign == campaign for one in proposals for offer in one.offers for grant in offer.grants)


def _maximum(seen: Seen, moment: Moment) -> list[Step]:
    if seen.campaign.id not in moment.done.over_limit:
        return []
    told = "something of it is at its maximum for this user (docs/contracts/bounds.md)"
    return [Step("maximum", False, told, (told,))]


def _waits(seen: Seen, moment: Moment) -> tuple[Course, list[Step]]:
    """An absence begins: what it would give is known now."""
    absence, steps = seen.campaign.absence, [gives_step(seen, Firing(0, 0, None))]
    assert absence is not None and seen.parts.plan.absence is not None
    if not steps[0].met:
        return Course.NOTHING, steps
    pairing = seen.parts.plan.absence.pairing
    if pairing is not None and seen.parts.first is not None:
        value = seen.parts.first(seen.view, seen.user)
        text = pairing.first.text.strip()
        needs = () if value is not None else (f"{text} is missing",)
        steps.append(Step("same", value is not None, f"{text} is {shown(value)}", needs))
    pending = [one for one in absence.waiting(seen.after) if one.event_id == seen.event.event_id]
    if not pending:
        return Course.NOT_COUNTED, [*steps, *_maximum(seen, moment)]
    types = " or ".join(seen.parts.plan.absence.event_types)
    told = f"for {types} not to come before {instant(pending[0].due_ms, seen.zone)}"
    return Course.WAITS, [*steps, Step("waits", True, told, (), None, {"due": pending[0].due_ms})]


def _open(seen: Seen, moment: Moment) -> tuple[Course, list[Step]]:
    opening, runner = seen.parts.plan.opening, seen.parts.counter
    assert opening is not None and isinstance(runner, OpenedCounter)
    value = seen.parts.first(seen.view, seen.user) if seen.parts.first else None
    steps = []
    if opening.pairing is not None:
        text = opening.pairing.first.text.strip()
        needs = () if value is not None else (f"{text} is missing: it opens nothing",)
        steps.append(Step("same", value is not None, f"{text} is {shown(value)}", needs))
    if not any(one.event_id == seen.event.event_id for one in runner.openings(seen.after)):
        return Course.NOT_COUNTED, [*steps, *_maximum(seen, moment)]
    end = "without end"
    if opening.within_ms is not None:
        end = f"to {instant(seen.event.time_ms + opening.within_ms, seen.zone)}"
    types = " or ".join(seen.parts.plan.event_types)
    return Course.OPENED, [*steps, Step("opens", True, f"a window for {types}, {end}")]


def _close(seen: Seen, moment: Moment) -> tuple[Course, list[Step]]:
    absence = seen.campaign.absence
    assert absence is not None
    left = {one.event_id for one in absence.waiting(seen.after)}
    ended = [
        one.event_id
        for one in absence.waiting(seen.before)
        if one.event_id not in left and one.due_ms > seen.event.time_ms
    ]
    if not ended:
        types = " or ".join(seen.parts.plan.event_types)
        told = "no event of this user waited for it not to come"
        need = f"{seen.event.event_type} gives nothing by itself: it ends the wait of {types}, and {told}"
        return Course.NOT_COUNTED, [Step("ends", False, told, (need,))]
    return Course.ENDED, [Step("ends", True, f"the wait of {', '.join(ended)}: nothing is given for it")]


def _refund(seen: Seen, moment: Moment) -> tuple[Course, list[Step]]:
    refunds, runner = seen.parts.plan.refunds, seen.parts.refunds
    assert refunds is not None and runner is not None
    steps = []
    if refunds.amount is not None:
        amount = amount_of(refunds.amount)(seen.view, seen.user)
        met = amount is not None and amount > 0
        needs = () if met else (f"the refund's amount is {shown(amount)}; it must be above 0",)
        steps.append(Step("amount", met, shown(amount), needs))
        if not met:
            return Course.NOT_COUNTED, steps
    if refunds.pairing is not None:
        name, bought = runner.named(seen.before, seen.view, seen.user)
        text = refunds.pairing.then.text.strip()
        if name is None:
            told = f"{text} is missing: it names no purchase"
            return Course.NOT_COUNTED, [*steps, Step("purchase", False, told, (told,))]
        known = ", ".join(one.event_id for one in bought) or "none that counts here so far: the refund waits for it"
        steps.append(Step("purchase", bool(bought) or None, f"{text} is {shown(name)}: {known}"))
    asked = [one for one in moment.done.requests if isinstance(one, Reversal) and one.campaign == seen.campaign.id]
    if not asked:
        steps.append(Step("takes back", None, "no grant of this campaign"))
    return Course.REFUND, steps


_TAKEN = {Role.COUNT: _count, Role.OPEN: _open, Role.CLOSE: _close, Role.REFUND: _refund}
