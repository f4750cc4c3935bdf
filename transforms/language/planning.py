"""One campaign to its plan: when, who, what fires, what is given, what takes back."""

from __future__ import annotations

import hashlib
import math
from decimal import Decimal
from typing import Any, Literal, cast

import msgspec
from pydantic import BaseModel

from schemas.attributes import Scalar
from schemas.campaign_parts import WEEKDAYS, Audience, HashRange, ListFile
from schemas.campaigns import Campaign, Tenant
from schemas.expressions import Expression
from schemas.plans import (
    Absence,
    ArraySum,
    AudiencePlan,
    CelAmount,
    Counter,
    Gift,
    Measure,
    Opening,
    Plan,
    RefundPlan,
    Schedule,
    Step,
    UserShare,
    Window,
)
from schemas.triggers import Refunds, Trigger
from transforms.language.accounts import charged_to
from transforms.language.context import Context, Path
from transforms.language.gifts import gifts
from transforms.language.loading import Folder, Loaded
from transforms.language.translate import attributes_read
from transforms.language.user_lists import read_user_list

_SCALES = {"sha256": 2**32, "growthbook": 10_000}


def plan_of(folder: Folder, loaded: Loaded, context: Context, tenant: Tenant, group: str) -> Plan | None:
    """The plan of a campaign; None if something in it is wrong, which is noted then."""
    known_problems = len(folder.problems)
    plan = _Planning(folder, cast("Campaign", loaded.model), context, tenant).plan(group)
    return plan if len(folder.problems) == known_problems else None


class _Planning:
    def __init__(self, folder: Folder, campaign: Campaign, context: Context, tenant: Tenant) -> None:
        self._campaign, self._context = campaign, context
        self._charged = charged_to(folder, campaign, tenant, context.problem)

    def plan(self, group: str) -> Plan:
        campaign, trigger, context = self._campaign, self._campaign.trigger, self._context
        schedule, audience = self._schedule(), self._audience()
        counter = self._counter(trigger, schedule)
        return Plan(
            campaign=campaign.campaign,
            version=_version(campaign, schedule, audience),
            series=0,
            event_types=context.types(trigger.on, ("trigger", "on")),
            zone=campaign.active.zone,
            schedule=schedule,
            audience=audience,
            where=context.expression(trigger.where, ("trigger", "where"), "bool"),
            counter=counter,
            gifts=self._gifts(campaign.grant, ("grant",)) if campaign.grant and counter is None else (),
            currency=self._currency(trigger),
            subject=self._subject(trigger),
            silence_ms=trigger.silence,
            opening=self._opening(trigger),
            absence=self._absence(trigger),
            hold_ms=campaign.hold,
            refunds=self._refunds(campaign.refunds, counter if trigger.measures else None),
            group=group,
            lookback_ms=campaign.active.lookback,
        )

    def _gifts(self, grants: Any, path: Path) -> tuple[Gift, ...]:
        return gifts(self._context, self._campaign, grants, path, self._charged)

    def _schedule(self) -> Schedule:
        active = self._campaign.active
        start, end = (self._context.instant(moment, active.zone) for moment in (active.start, active.end))
        if start is not None and end is not None and start >= end:
            self._context.problem(("active",), "from: is not before to:")
        trigger = self._campaign.trigger
        if active.lookback and not (trigger.measures or trigger.after or trigger.silence):
            what = "this trigger remembers no earlier events"
            hint = "right would be a counter (count:, sum:, distinct:, streak:), after: or silence:"
            self._context.problem(("active", "lookback"), f"{what}; {hint}")
        return Schedule(start, end, tuple(sorted({WEEKDAYS.index(day) for day in active.days})), active.hours)

    def _audience(self) -> AudiencePlan:
        given = self._campaign.audience
        if given is None:
            return AudiencePlan()
        if isinstance(given, str):
            return AudiencePlan(self._of_user(given, ("audience",)))
        ranges = [(given.share, False), (given.holdout, True)]
        return AudiencePlan(
            self._of_user(given.where, ("audience", "where")),
            self._users(given, "include"),
            self._users(given, "exclude") or (),
            tuple(_user_share(found, held_out) for found, held_out in ranges if found is not None),
        )

    def _of_user(self, text: str | None, path: Path) -> Expression | None:
        found = self._context.expression(text, path, "bool")
        if found is not None and (read := attributes_read(found)[0]):
            hint = "right would be a condition over user; one over event stands in trigger.where"
            self._context.problem(path, f"names event.{min(read)}; {hint}")
        return found

    def _users(self, audience: Audience, name: str) -> tuple[str, ...] | None:
        given = getattr(audience, name)
        if isinstance(given, ListFile):
            return read_user_list(self._context, given.file, ("audience", name, "file"))
        return None if given is None else tuple(sorted(set(given)))

    def _currency(self, trigger: Trigger) -> str:
        if trigger.currency and dict(self._context.schema.event.fields).get("currency") != Scalar("string"):
            self._context.problem(("trigger", "currency"), "events have no attribute currency: string")
        return trigger.currency or ""

    def _subject(self, trigger: Trigger) -> Expression | None:
        if trigger.subject is None:
            return None
        found = self._context.of_event(trigger.subject, ("trigger", "subject"))
        if len(attributes_read(found)[0]) != 1 and found.checked:
            self._context.problem(("trigger", "subject"), "right would be an attribute of the event: event.referrer_id")
        return found

    def _opening(self, trigger: Trigger) -> Opening | None:
        after, context, path = trigger.after, self._context, ("trigger", "after")
        if after is None:
            return None
        return Opening(
            context.types(after.on, (*path, "on")),
            context.expression(after.where, (*path, "where"), "bool"),
            after.within,
            context.pairing(after.same, (*path, "same")),
            after.once == "value",
        )

    def _absence(self, trigger: Trigger) -> Absence | None:
        unless, context, path = trigger.unless, self._context, ("trigger", "unless")
        if unless is None:
            return None
        return Absence(
            context.types(unless.on, (*path, "on")),
            context.expression(unless.where, (*path, "where"), "bool"),
            unless.within,
            context.pairing(unless.same, (*path, "same")),
        )

    def _counter(self, trigger: Trigger, schedule: Schedule) -> Counter | None:
        if not trigger.measures and trigger.after is None:
            return None
        window = _window(trigger, schedule)
        if not trigger.measures:
            assert self._campaign.grant is not None
            first = Step(1, self._gifts(self._campaign.grant, ("grant",)))
            return Counter(None, window, "reach", (first,))
        measure: Measure | None = None
        if trigger.total is not None:
            measure = self._context.amount(trigger.total, ("trigger", "sum"))
        elif trigger.distinct is not None:
            measure = self._context.distinct(trigger.distinct, ("trigger", "distinct"))
        if trigger.steps is not None:
            steps = tuple(
                Step(step.reach, self._gifts(step.grant, ("trigger", "steps", i, "grant")))
                for i, step in enumerate(trigger.steps)
            )
            return Counter(measure, window, "reach", steps, trigger.pick or "every")
        assert self._campaign.grant is not None
        fires: Literal["reach", "every", "from"] = (
            "reach" if trigger.reach is not None else "every" if trigger.every is not None else "from"
        )
        threshold = trigger.reach or trigger.every or trigger.start
        assert threshold is not None
        step = Step(threshold, self._gifts(self._campaign.grant, ("grant",)))
        return Counter(measure, window, fires, (step,), "every", trigger.restart)

    def _refunds(self, refunds: Refunds | None, counter: Counter | None) -> RefundPlan | None:
        if refunds is None:
            return None
        context, path = self._context, ("refunds",)
        if self._campaign.trigger.unless is not None:
            context.problem(path, "what an absence gave is not taken back; refunds: does not go with unless:")
        netting = _can_go_down(counter)
        if not netting and counter is not None and "counter" in refunds.model_fields_set and refunds.counter == "down":
            context.problem((*path, "counter"), "only count: events and sum: go down; right would be counter: stays")
        down = netting and refunds.counter == "down"
        two_way = down and _can_be_two_way(counter)
        if refunds.grants == "two-way" and not two_way:
            context.problem(
                (*path, "grants"),
                "two-way needs a counter that goes down, reach:, every: or steps:, and no last: or restart:",
            )
        default: Any = "pro-rata" if counter is None else "two-way" if two_way else "stand"
        grants = refunds.grants or default
        self._require_amount(refunds, counter, grants, down)
        return RefundPlan(
            context.types(refunds.on, (*path, "on")),
            context.expression(refunds.where, (*path, "where"), "bool"),
            context.pairing(refunds.same, (*path, "same")),
            context.amount(refunds.amount, (*path, "amount")) if refunds.amount is not None else None,
            self._purchase_amount(refunds),
            down,
            grants,
            tuple(part for part in ("budget", "limits", "lock") if part in refunds.gives_back),
            grants == "two-way" and refunds.again,
            refunds.within,
        )

    def _purchase_amount(self, refunds: Refunds) -> Any:
        if refunds.same is None:
            return None
        given, name = (refunds.of, "of") if refunds.of is not None else (refunds.amount, "amount")
        return self._context.amount(given, ("refunds", name)) if given is not None else None

    def _require_amount(self, refunds: Refunds, counter: Counter | None, grants: str, down: bool) -> None:
        if refunds.of is not None and (refunds.same is None or refunds.amount is None):
            self._context.problem(("refunds", "of"), "goes with same: and amount:")
        if refunds.same is not None:
            return
        gives = self._campaign.grant or tuple(
            grant for step in self._campaign.trigger.steps or () for grant in step.grant
        )
        if grants == "whole":
            self._context.problem(("refunds", "grants"), "whole needs same:, which names the purchase")
        if grants == "pro-rata" and (len(gives) > 1 or gives[0].to is not None):
            self._context.problem(("refunds",), "with several grants, or one to another user, name the purchase: same:")
        if refunds.amount is not None:
            return
        sums = down and counter is not None and counter.measure is not None
        by_value = grants == "pro-rata" and any(isinstance(grant.points or grant.money, BaseModel) for grant in gives)
        if sums or by_value:
            self._context.problem(("refunds",), "say how much is taken back, e.g. amount: event.amount")


def _window(trigger: Trigger, schedule: Schedule) -> Window:
    if trigger.after is not None:
        return Window("opened")
    if trigger.streak is not None:
        period: Any = trigger.streak.removesuffix("s")
        return Window("run", period=period)
    if trigger.last is not None:
        return Window("last", trigger.last)
    if isinstance(trigger.per, int):
        return Window("span", trigger.per, schedule.start_ms or 0)
    kind: Any = trigger.per or "lifetime"
    return Window(kind)


def _can_go_down(counter: Counter | None) -> bool:
    """Counts of events and sums do; a distinct set and a run do not remember who made them what they are."""
    counted = counter is not None and isinstance(counter.measure, CelAmount | ArraySum | None)
    return counter is not None and counted and counter.window.kind != "run"


def _can_be_two_way(counter: Counter | None) -> bool:
    return counter is not None and counter.window.kind != "last" and counter.fires != "from" and not counter.restart


def _user_share(given: HashRange, held_out: bool) -> UserShare:
    """A place is a whole number of scale-ths, so bounds round up: place/scale >= from exactly where place >= ceil."""
    scale = _SCALES[given.hash]
    start, end = (math.ceil(bound * Decimal(scale)) for bound in (given.start, given.end))
    return UserShare(given.seed, given.hash, start, end, held_out)


def _version(campaign: Campaign, schedule: Schedule, audience: AudiencePlan) -> str:
    """16 hex digits over what the campaign says: not its descriptions, its order of keys, its spelling."""
    left_out: Any = {"description": True, "active": {"start", "end", "days", "hours"}, "audience": True}
    content = campaign.model_dump(mode="json", exclude=left_out, exclude_defaults=True)
    content["trigger"]["on"] = sorted(set(campaign.trigger.on))
    users = [audience.where.text if audience.where else None, audience.include, audience.exclude, audience.shares]
    encoded = msgspec.json.encode([content, schedule, users], order="sorted")
    return hashlib.blake2b(encoded, digest_size=8).hexdigest()
