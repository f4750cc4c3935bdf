"""Typed campaigns to plans: conditions checked, times resolved, accounts and charges laid out, versions computed."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

import msgspec

from schemas.attributes import AttributeSchema, AttributeType, ListOf, Record, parse_type
from schemas.campaigns import (
    ArrayAmount,
    Campaign,
    EventSchema,
    Grant,
    PercentValue,
    Tenant,
    TieredValue,
    TierValue,
    Trigger,
    UserSchema,
)
from schemas.errors import ExpressionError, SchemaError
from schemas.expressions import Expression
from schemas.plans import (
    DEFAULT_HORIZON_MS,
    Amount,
    ArraySum,
    CelAmount,
    Counter,
    Fixed,
    Incentive,
    Percent,
    Plan,
    PlanSet,
    Step,
    Tier,
    Tiers,
    Value,
    Window,
)
from schemas.results import Rounding
from transforms.language.accounts import account_specs, charges
from transforms.language.expressions import check
from transforms.language.loading import Folder, Loaded, meant, read_folder
from transforms.language.translate import attributes_read
from transforms.language.yaml_source import Document, Place

_Path = tuple[str | int, ...]
DEFAULT_TENANT = "default"


def load_folder(path: Path) -> PlanSet:
    """Read, check and compile a folder of campaign files.

    Raises:
      CampaignFileError: all that is wrong, a line each with file, line, column and field.
    """
    with _nothing_collected():
        return _compiled(read_folder(Path(path)))


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Loading makes millions of objects and no cycles: of 10,000 campaigns the collector takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _compiled(folder: Folder) -> PlanSet:
    schema = _schema(folder)
    tenant = (
        cast("Tenant", folder.tenants[0].model) if folder.tenants else Tenant.model_validate({"tenant": DEFAULT_TENANT})
    )
    plans = []
    if schema is not None:
        for name in sorted(folder.campaigns):
            plan = _Compiling(folder, folder.campaigns[name], schema, tenant).plan()
            if plan is not None:
                plans.append(plan)
        if not folder.campaigns and not folder.problems:
            folder.problem(next(iter(folder.schemas.values())).document.place(()), "the folder has no campaign")
    accounts = account_specs(folder, tenant)
    folder.require_right()
    assert schema is not None
    return PlanSet(tenant.tenant, 0, None, tenant.horizon or DEFAULT_HORIZON_MS, schema, tuple(plans), accounts)


def _schema(folder: Folder) -> AttributeSchema | None:
    events = folder.schemas.get("events")
    if events is None:
        if not folder.unread & {"file", "events"}:
            anything = next(iter([*folder.campaigns.values(), *folder.themes.values(), *folder.tenants]), None)
            place = anything.document.place(()) if anything else None
            message = (
                "no `schema: events` in the folder; draft one with "
                f"`incentives schema infer --events 'your/*.jsonl' > {folder.path}/schema.yaml`"
            )
            folder.problem(place._replace(file=str(folder.path)) if place else _nowhere(folder), message)
        return None
    model = cast("EventSchema", events.model)
    users = folder.schemas.get("users")
    event = _record(folder, events.document, model.attributes)
    user = _record(folder, users.document, cast("UserSchema", users.model).attributes) if users else Record(())
    if event is None or user is None:
        return None
    envelope = tuple(sorted((canonical, own) for canonical, own in model.envelope.items() if canonical != own))
    return AttributeSchema(tuple(model.types), event, user, envelope)


def _nowhere(folder: Folder) -> Place:
    return Place(str(folder.path), 1, 1)


def _record(folder: Folder, document: Document, attributes: dict[str, Any]) -> Record | None:
    fields: list[tuple[str, AttributeType]] = []
    right = True
    for name, text in attributes.items():
        try:
            fields.append((name, parse_type(text)))
        except SchemaError as error:
            folder.problem(document.place(("attributes", name)), f"attributes.{name}: {error}")
            right = False
    return Record(tuple(sorted(fields, key=lambda field: field[0]))) if right else None


class _Compiling:
    """One campaign's way to its plan."""

    def __init__(self, folder: Folder, loaded: Loaded, schema: AttributeSchema, tenant: Tenant) -> None:
        self._folder, self._document = folder, loaded.document
        self._campaign, self._schema, self._tenant = cast("Campaign", loaded.model), schema, tenant

    def plan(self) -> Plan | None:
        campaign, trigger = self._campaign, self._campaign.trigger
        known_problems = len(self._folder.problems)
        self._require_types(trigger)
        start, end = self._instant(campaign.active.start), self._instant(campaign.active.end)
        if start is not None and end is not None and start >= end:
            self._problem(("active",), "active: from: is not before to:")
        plan = Plan(
            campaign=campaign.campaign,
            version=_version(campaign, start, end),
            series=0,
            event_types=tuple(sorted(set(trigger.on))),
            start_ms=start,
            end_ms=end,
            zone=campaign.active.zone,
            audience=self._audience(campaign.audience),
            where=self._expression(trigger.where, ("trigger", "where"), "bool"),
            counter=self._counter(trigger),
            incentive=self._incentive(campaign.grant, ("grant",)) if campaign.grant else None,
            charges=charges(self._folder, campaign, self._tenant, self._problem),
        )
        return plan if len(self._folder.problems) == known_problems else None

    def _problem(self, path: _Path, message: str) -> None:
        self._folder.problem(self._document.place(path), message)

    def _require_types(self, trigger: Trigger) -> None:
        for i, event_type in enumerate(trigger.on):
            if event_type not in self._schema.event_types:
                hint = meant(event_type, self._schema.event_types)
                known = ", ".join(self._schema.event_types)
                self._problem(
                    ("trigger", "on", i),
                    f"trigger.on: event type {event_type!r} is not declared{hint} (declared: {known})",
                )

    def _instant(self, moment: datetime | None) -> int | None:
        if moment is None:
            return None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(self._campaign.active.zone))
        return round(aware.timestamp() * 1000)

    def _expression(
        self, text: str | None, path: _Path, result: Literal["bool", "int"], item: AttributeType | None = None
    ) -> Expression | None:
        if text is None:
            return None
        try:
            return check(text, self._schema, result=result, item=item)
        except ExpressionError as error:
            self._tell_expression(error, path)
            return None

    def _audience(self, text: str | None) -> Expression | None:
        audience = self._expression(text, ("audience",), "bool")
        if audience is not None and "event" in audience.text and (read := attributes_read(audience)[0]):
            hint = "right would be a condition over user; one over event stands in trigger.where"
            self._problem(("audience",), f"audience: names event.{min(read)}; {hint}")
        return audience

    def _tell_expression(self, error: ExpressionError, path: _Path) -> None:
        """At the very character of the file, however the text is quoted or folded."""
        place = self._document.place_in_text(path, error.line, error.column)
        self._folder.problem(place, f"{'.'.join(map(str, path))}: {error.message}")

    def _counter(self, trigger: Trigger) -> Counter | None:
        if trigger.count is None and trigger.total is None:
            return None
        measure = None if trigger.total is None else self._amount(trigger.total, ("trigger", "sum"))
        window = Window("last", trigger.last) if trigger.last else Window(trigger.per or "lifetime")
        if trigger.steps is not None:
            steps = tuple(
                Step(step.reach, self._incentive(step.grant, ("trigger", "steps", i, "grant")))
                for i, step in enumerate(trigger.steps)
            )
            return Counter(measure, window, "reach", steps, trigger.pick or "every")
        assert self._campaign.grant is not None
        fires: Literal["reach", "every", "from"] = (
            "reach" if trigger.reach is not None else "every" if trigger.every is not None else "from"
        )
        threshold = trigger.reach or trigger.every or trigger.start
        assert threshold is not None
        step = Step(threshold, self._incentive(self._campaign.grant, ("grant",)))
        return Counter(measure, window, fires, (step,), "every", trigger.restart)

    def _amount(self, amount: str | ArrayAmount, path: _Path) -> Amount:
        if isinstance(amount, str):
            return CelAmount(self._expression(amount, path, "int") or _UNKNOWN)
        name = amount.array.removeprefix("event.")
        kind = dict(self._schema.event.fields).get(name) if amount.array.startswith("event.") else None
        if not isinstance(kind, ListOf):
            arrays = [f"event.{field}" for field, of in self._schema.event.fields if isinstance(of, ListOf)]
            hint = f"declared: {', '.join(arrays) or 'none'}"
            self._problem(
                (*path, "in"), f"{'.'.join(map(str, path))}.in: {amount.array!r} is no array of the event ({hint})"
            )
            return CelAmount(_UNKNOWN)
        add = self._expression(amount.add, (*path, "add"), "int", kind.element) or _UNKNOWN
        where = self._expression(amount.where, (*path, "where"), "bool", kind.element)
        return ArraySum(name, add, where)

    def _incentive(self, grant: Grant, path: _Path) -> Incentive:
        if grant.points is not None:
            return Incentive("points", "points", self._value(grant.points, (*path, "points")))
        assert grant.money is not None and grant.unit is not None
        return Incentive("money", grant.unit, self._value(grant.money, (*path, "money")))

    def _value(self, value: int | PercentValue | TieredValue, path: _Path) -> Value:
        if isinstance(value, int):
            return Fixed(value)
        of = self._amount(value.of, (*path, "of"))
        rounding = Rounding(value.rounding)
        if isinstance(value, PercentValue):
            numerator, denominator = (value.percent / 100).as_integer_ratio()
            return Percent(numerator, denominator, of, rounding, value.maximum)
        return Tiers(of, tuple(_tier(tier) for tier in value.tiers), rounding, value.maximum)


_UNKNOWN = Expression("", b"", "int")
"""Stands where an expression was refused: the plan is not used then."""


def _tier(tier: TierValue) -> Tier:
    if tier.value is not None:
        return Tier(tier.start, tier.value, None)
    assert tier.percent is not None
    return Tier(tier.start, *(tier.percent / 100).as_integer_ratio())


def _version(campaign: Campaign, start_ms: int | None, end_ms: int | None) -> str:
    """16 hex digits over what the campaign says: not its descriptions, its order of keys, its spelling."""
    left_out: Any = {"description": True, "active": {"start", "end"}}
    content = campaign.model_dump(mode="json", exclude=left_out, exclude_defaults=True)
    content["trigger"]["on"] = sorted(set(campaign.trigger.on))
    content["active"] = {**content.get("active", {}), "start_ms": start_ms, "end_ms": end_ms}
    return hashlib.blake2b(msgspec.json.encode(content, order="sorted"), digest_size=8).hexdigest()
