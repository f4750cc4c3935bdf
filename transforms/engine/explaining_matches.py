"""Explain what a campaign asks of an event before it takes it in: type, dates, conditions, hours, lists and shares."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from schemas.events import Event
from schemas.expressions import Expression
from schemas.plans import AudiencePlan, Plan, Schedule, UserShare
from transforms.engine.campaigns import Role
from transforms.engine.conditions import Attributes
from transforms.engine.explained import Step, instant
from transforms.engine.gates import gate_of, user_place
from transforms.language.needs import needs, shown
from transforms.language.tracing import trace
from transforms.language.translate import compile_condition

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SCALE = {"sha256": 1 << 32, "growthbook": 10_000}


def listening(plan: Plan) -> dict[Role, tuple[str, ...]]:
    """The event types that a campaign listens to, by the role in which it takes them."""
    found = {Role.COUNT: plan.event_types}
    for role, part in ((Role.OPEN, plan.opening), (Role.CLOSE, plan.absence), (Role.REFUND, plan.refunds)):
        if part is not None:
            found[role] = part.event_types
    return found


def type_step(plan: Plan, event_type: str) -> Step:
    """Whether the campaign listens to the type at all."""
    roles = listening(plan)
    met = any(event_type in types for types in roles.values())
    told = "; ".join(f"{_HEARD[role]} {', '.join(types)}" for role, types in roles.items())
    types = sorted({one for types in roles.values() for one in types})
    wanted = () if met else (f"the event's type is {event_type}; it must be {' or '.join(types)}",)
    return Step("event type", met, event_type if met else f"{event_type}; the campaign {told}", wanted)


_HEARD = {
    Role.COUNT: "listens to",
    Role.OPEN: "is opened by",
    Role.CLOSE: "is ended by",
    Role.REFUND: "takes back at",
}


def match_steps(plan: Plan, role: Role, event: Event, view: Attributes, user: Attributes) -> list[Step]:
    """What is asked before an event is taken in a role, in the order in which the engine asks."""
    if role is Role.COUNT:
        own = [_currency(plan, event), condition_step("where", plan.where, view, user)]
        asked = (
            own if plan.silence_ms is not None else [_dates(plan, event), *own, *open_steps(plan, event, view, user)]
        )
    else:
        part = {Role.OPEN: plan.opening, Role.CLOSE: plan.absence, Role.REFUND: plan.refunds}[role]
        assert part is not None
        settled_by_name = role is not Role.REFUND or part.pairing is not None
        asked = [None if settled_by_name else _currency(plan, event), condition_step("where", part.where, view, user)]
    return [step for step in asked if step is not None]


def gate_steps(plan: Plan, event: Event, view: Attributes, user: Attributes) -> list[Step]:
    """Dates, hours and audience, where they are asked after the silence."""
    return [step for step in (_dates(plan, event), *open_steps(plan, event, view, user)) if step is not None]


def condition_step(name: str, condition: Expression | None, view: Attributes, user: Attributes) -> Step | None:
    """A condition, part by part."""
    if condition is None:
        return None
    traced, met = trace(condition, view, user), compile_condition(condition)(view, user)
    told = condition.text.strip() if met or traced.value is not None else f"{condition.text.strip()}: {traced.why}"
    return Step(name, met, told, tuple(needs(traced)), traced)


def _currency(plan: Plan, event: Event) -> Step | None:
    if not plan.currency:
        return None
    found = event.attributes.get("currency")
    met = found == plan.currency
    wanted = () if met else (f"event.currency is {shown(found)}; it must be {shown(plan.currency)}",)
    return Step("currency", met, shown(found), wanted)


def _dates(plan: Plan, event: Event) -> Step | None:
    start, end = plan.counting.start_ms, plan.schedule.end_ms
    if start is None and end is None:
        return None
    early, late = start is not None and event.time_ms < start, end is not None and event.time_ms >= end
    parts = [f"from {instant(start, plan.zone)}"] if start is not None else []
    parts += [f"to {instant(end, plan.zone)}"] if end is not None else []
    at, wanted = instant(event.time_ms, plan.zone), tuple[str, ...]()
    if early or late:
        told = f"at or after {instant(start or 0, plan.zone)}" if early else f"before {instant(end or 0, plan.zone)}"
        wanted = (f"the event is of {at}; it must be {told}",)
    numbers = {"from": start, "to": end, "at": event.time_ms}
    return Step("dates", not early and not late, f"{at}; active {' '.join(parts)}", wanted, None, numbers)


def open_steps(plan: Plan, event: Event, view: Attributes, user: Attributes) -> Iterator[Step | None]:
    """Audience, weekdays and hours, lists and shares of users."""
    yield condition_step("audience", plan.audience.where, view, user)
    yield _clock(plan, event)
    audience, subject = plan.audience, event.subject
    if audience.include is not None:
        yield _users("include", AudiencePlan(include=audience.include), subject, "is on the list", "be on the list")
    if audience.exclude:
        yield _users("exclude", AudiencePlan(exclude=audience.exclude), subject, "is not on it", "not be on the list")
    for share in audience.shares:
        yield _share(share, subject)


def _clock(plan: Plan, event: Event) -> Step | None:
    schedule = plan.schedule
    gate = gate_of(Schedule(days=schedule.days, hours=schedule.hours), plan.zone, AudiencePlan())
    if gate is None:
        return None
    local = datetime.fromtimestamp(event.time_ms / 1000, ZoneInfo(plan.zone))
    days = [", ".join(_DAYS[day] for day in schedule.days)] if schedule.days else []
    hours = [", ".join(f"{_hour(start)}-{_hour(end)}" for start, end in schedule.hours)] if schedule.hours else []
    active, met = " ".join(days + hours), gate(event.subject, event.time_ms)
    told = f"{_DAYS[local.weekday()]} {local:%H:%M} in {plan.zone}"
    wanted = () if met else (f"the local time is {told}; the campaign is active {active}",)
    return Step("days and hours", met, f"{told}; active {active}", wanted)


def _hour(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _users(name: str, audience: AudiencePlan, subject: str, told: str, wanted: str) -> Step:
    gate = gate_of(Schedule(), "UTC", audience)
    assert gate is not None
    met = gate(subject, 0)
    found = told if met else {"include": "is not on the list", "exclude": "is on it"}[name]
    return Step(name, met, f"user {subject} {found}", () if met else (f"user {subject} must {wanted} ({name})",))


def _share(share: UserShare, subject: str) -> Step:
    gate = gate_of(Schedule(), "UTC", AudiencePlan(shares=(share,)))
    assert gate is not None
    scale, met = _SCALE[share.hash], gate(subject, 0)
    place, name = user_place(share, subject), "holdout" if share.held_out else "share"
    span = f"[{share.start / scale:.4g}, {share.end / scale:.4g})"
    told = f"the place of user {subject} by seed {share.seed} is {place / scale:.6f}"
    rule = f"{'outside' if share.held_out else 'in'} {span}"
    numbers = {"place": place, "from": share.start, "to": share.end, "scale": scale}
    return Step(name, met, f"{told}; {rule} takes part", () if met else (f"{told}; it must lie {rule}",), None, numbers)
