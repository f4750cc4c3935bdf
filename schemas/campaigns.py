"""Campaign files as typed models: what docs/campaigns.md explains in words, field by field.

A campaign is parts that combine: when and who, a trigger, a grant, limits. Scalars come as text (schemas/scalars.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from schemas.scalars import (
    Cap,
    Cel,
    DurationMs,
    Flag,
    GrantAmount,
    Id,
    Moment,
    Percentage,
    Threshold,
    TierStart,
    Unit,
    Zone,
)

STEPS_MAX = 50

Period = Literal["total", "hour", "day", "week", "month", "user", "user and day", "user and week", "user and month"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Active(_Part):
    """When the campaign runs: events in [from, to)."""

    start: Moment | None = Field(
        None, alias="from", description="first instant; a date is its first instant in the zone"
    )
    end: Moment | None = Field(None, alias="to", description="first instant after the campaign")
    zone: Zone = Field("UTC", description="time zone of dates, windows and the campaign's own limits")


class ArrayAmount(_Part):
    """The sum of `add` over the elements of an array that meet `where`; no such element gives 0."""

    add: Cel = Field(description="an integer over `item`, e.g. item.amount")
    array: Cel = Field(alias="in", description="the event's array, e.g. event.categories")
    where: Cel | None = Field(None, description="which elements, e.g. item.category == 'PRODUCE'")


def _amount_form(value: Any) -> str:
    return "<array>" if isinstance(value, dict | ArrayAmount) else "<cel>"


AmountText = Annotated[
    Annotated[Cel, Tag("<cel>")] | Annotated[ArrayAmount, Tag("<array>")], Discriminator(_amount_form)
]
RoundingName = Literal["floor", "half-up", "half-even"]


class PercentValue(_Part):
    """A percentage of an amount, rounded once."""

    percent: Percentage = Field(description="exact decimal, e.g. 2.5")
    of: AmountText = Field(description="an amount: CEL, or {add: , in: , where: }")
    rounding: RoundingName = Field("floor", alias="round", description="how the exact product becomes an integer")
    maximum: GrantAmount | None = Field(None, alias="max", description="most that one event gives")


class TierValue(_Part):
    """From this amount on: a fixed value, or a percentage of the whole amount."""

    start: TierStart = Field(alias="from", description="inclusive")
    value: GrantAmount | None = Field(None, description="a fixed value, in minor units")
    percent: Percentage | None = Field(None, description="of the whole amount")

    @model_validator(mode="after")
    def _one_of(self) -> TierValue:
        if (self.value is None) == (self.percent is None):
            raise ValueError("a tier gives either value: or percent:")
        return self


class TieredValue(_Part):
    """The value of the highest tier that an amount reaches."""

    of: AmountText = Field(description="an amount: CEL, or {add: , in: , where: }")
    tiers: tuple[TierValue, ...] = Field(min_length=1, description="ascending by from:; the highest reached counts")
    rounding: RoundingName = Field("floor", alias="round", description="how an exact product becomes an integer")
    maximum: GrantAmount | None = Field(None, alias="max", description="most that one event gives")

    @model_validator(mode="after")
    def _ascending(self) -> TieredValue:
        starts = [tier.start for tier in self.tiers]
        if starts != sorted(set(starts)):
            raise ValueError("tiers stand in ascending order of from:, each once")
        return self


def _value_form(value: Any) -> str:
    if isinstance(value, TieredValue) or (isinstance(value, dict) and "tiers" in value):
        return "<tiers>"
    return "<percent>" if isinstance(value, dict | PercentValue) else "<amount>"


GrantValue = Annotated[
    Annotated[GrantAmount, Tag("<amount>")]
    | Annotated[PercentValue, Tag("<percent>")]
    | Annotated[TieredValue, Tag("<tiers>")],
    Discriminator(_value_form),
]
"""The form follows from the keys, so that a mistake is told once, in the words of the form that was meant."""


class Grant(_Part):
    """What one firing gives: points, or money in minor units of a currency."""

    points: GrantValue | None = Field(None, description="an integer, {percent: , of: } or {of: , tiers: }")
    money: GrantValue | None = Field(None, description="as points:, in minor units of unit:")
    unit: Unit | None = Field(None, description="the currency of money:, e.g. USD")

    @model_validator(mode="after")
    def _one_kind(self) -> Grant:
        if (self.points is None) == (self.money is None):
            raise ValueError("a grant gives either points: or money:")
        if self.points is not None and self.unit is not None:
            raise ValueError("points have no unit:; a currency goes with money:")
        if self.money is not None and self.unit in (None, "points"):
            raise ValueError("money: names its currency, e.g. unit: USD")
        return self


class StepPart(_Part):
    """One step of a ladder: a threshold and what reaching it gives."""

    reach: Threshold = Field(description="fires once a window; sliding: at each upward crossing")
    grant: Grant = Field(description="what reaching this step gives")


class Trigger(_Part):
    """What fires: event types, a condition, and what is counted over which window up to which threshold."""

    on: tuple[str, ...] = Field(min_length=1, description="one event type, or a list")
    where: Cel | None = Field(None, description="CEL over event and user")
    count: Literal["events"] | None = Field(None, description="count events")
    total: AmountText | None = Field(None, alias="sum", description="add up an amount")
    per: Literal["day", "week", "month"] | None = Field(
        None, description="calendar window in the zone; default lifetime"
    )
    last: DurationMs | None = Field(None, description="sliding span (t - span, t]")
    reach: Threshold | None = Field(None, description="fires once a window; sliding: at each upward crossing")
    every: Threshold | None = Field(None, description="fires at every further multiple")
    start: Threshold | None = Field(
        None, alias="from", description="fires at each event that leaves the counter at or above"
    )
    steps: tuple[StepPart, ...] | None = Field(None, min_length=1, max_length=STEPS_MAX, description="a ladder")
    pick: Literal["every", "highest"] | None = Field(
        None, description="of several steps reached at once; default every"
    )
    restart: Flag = Field(False, description="firing uses up all counted so far")

    @model_validator(mode="before")
    @classmethod
    def _one_type(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("on"), str):
            return {**value, "on": [value["on"]]}
        return value

    @model_validator(mode="after")
    def _combines(self) -> Trigger:
        counted = [name for name, given in (("count", self.count), ("sum", self.total)) if given is not None]
        fires = [name for name in ("reach", "every", "start", "steps") if getattr(self, name) is not None]
        if len(counted) > 1:
            raise ValueError("a trigger counts events or sums an amount, not both")
        if len(fires) > 1:
            raise ValueError("a trigger fires by one of reach:, every:, from: and steps:")
        if counted and not fires:
            raise ValueError("say when the counter fires: reach:, every:, from: or steps:")
        if not counted and (fires or self.per or self.last or self.restart):
            raise ValueError("say what is counted: count: events, or sum: an amount")
        if self.per and self.last:
            raise ValueError("a counter runs per: a calendar window or over the last: span, not both")
        if self.pick and not self.steps:
            raise ValueError("pick: goes with steps:")
        if self.restart and self.reach is None and self.start is None:
            raise ValueError("restart: goes with reach: or from:")
        thresholds = [step.reach for step in self.steps or ()]
        if thresholds != sorted(set(thresholds)):
            raise ValueError("steps stand in ascending order of reach:, each once")
        return self


class Limit(_Part):
    """At most so many grants, or so much, over all users or for each user, in total or per period."""

    per: Period = Field("total", description="hour, day, week, month; user; user and day, week or month")
    grants: Cap | None = Field(None, description="at most so many grants")
    amount: Cap | None = Field(None, description="at most so much, in minor units")
    unit: Unit | None = Field(None, description="of amount; default the campaign's own")
    when_full: Literal["skip", "cut", "close"] = Field("skip", description="what happens to a grant that does not fit")

    @model_validator(mode="after")
    def _says_something(self) -> Limit:
        if self.grants is None and self.amount is None:
            raise ValueError("a limit names grants: or amount:")
        if self.amount is None and (self.unit or self.when_full == "cut"):
            raise ValueError("unit: and when_full: cut go with amount:")
        if self.per.startswith("user") and self.when_full == "close":
            raise ValueError("a user's limit closes nothing; right would be skip or cut")
        return self


class Cost(_Part):
    """What one grant costs under caps of another unit."""

    amount: GrantAmount = Field(description="in minor units; charged whole, never cut")
    unit: Unit = Field(description="the unit of the cap, e.g. USD")


class _Limited(_Part):
    limits: tuple[Limit, ...] = Field((), description="at most one per period; all must allow a grant")

    @field_validator("limits")
    @classmethod
    def _one_limit_a_period(cls, limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
        periods = [limit.per for limit in limits]
        for period in periods:
            if periods.count(period) > 1:
                raise ValueError(f"two limits per {period}; say grants: and amount: in one")
        return limits


class _Shared(_Limited):
    """A parent's limits: campaigns of several units may stand under them, so their own unit is named."""

    @field_validator("limits")
    @classmethod
    def _one_unit(cls, limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
        capped = [limit for limit in limits if limit.amount is not None]
        units = sorted({limit.unit for limit in capped if limit.unit})
        if capped and not units:
            raise ValueError("a cap on an amount names its unit here, e.g. {amount: 5000, unit: points}")
        if len(units) > 1:
            raise ValueError(f"the caps on amounts of one account are in one unit, not in {' and '.join(units)}")
        return limits


class Campaign(_Limited):
    """A rule: audience, trigger, grant, limits."""

    campaign: Id = Field(description="id: 1 to 64 of a-z, 0-9, - and _")
    description: str | None = Field(None, description="for people")
    theme: Id | None = Field(None, description="the theme it stands under; one that nobody declares has no cap")
    active: Active = Field(default_factory=lambda: Active.model_validate({}), description="when it runs")
    audience: Cel | None = Field(None, description="CEL over user")
    trigger: Trigger = Field(description="what fires")
    grant: Grant | None = Field(None, description="what a firing gives; with steps, each step has its own")
    cost: Cost | None = Field(None, description="what one grant costs under a theme's or tenant's cap of another unit")

    @model_validator(mode="after")
    def _gives(self) -> Campaign:
        if self.grant is None and self.trigger.steps is None:
            raise ValueError("grant: is missing; right would be e.g. grant: {points: 100}")
        if self.grant is not None and self.trigger.steps is not None:
            raise ValueError("with steps: each step has its own grant:, the campaign has none")
        return self


class Theme(_Shared):
    """The container above campaigns, with limits of its own."""

    theme: Id = Field(description="id: 1 to 64 of a-z, 0-9, - and _")
    description: str | None = Field(None, description="for people")
    zone: Zone = Field("UTC", description="time zone of its limits' periods")


class Tenant(_Shared):
    """The folder's one tenant."""

    tenant: Id = Field(description="id: 1 to 64 of a-z, 0-9, - and _")
    description: str | None = Field(None, description="for people")
    zone: Zone = Field("UTC", description="time zone of its limits' periods")
    horizon: DurationMs | None = Field(None, description="how long event ids are remembered; default 7d")


class EventSchema(_Part):
    """What events have."""

    kind: Literal["events"] = Field(alias="schema", description="what events have")
    types: tuple[str, ...] = Field(min_length=1, description="event types that campaigns may name")
    envelope: dict[Literal["event_id", "event_type", "user_id", "event_time"], str] = Field(
        {}, description="canonical name: the source's name, where they differ"
    )
    attributes: dict[str, Any] = Field({}, description="name: type, as int, string, [string], [{name: type}]")


class UserSchema(_Part):
    """What users have."""

    kind: Literal["users"] = Field(alias="schema", description="what users have")
    attributes: dict[str, Any] = Field({}, description="name: type, as int, string, [string], [{name: type}]")


DOCUMENTS: dict[str, type[BaseModel]] = {"campaign": Campaign, "theme": Theme, "tenant": Tenant}
"""By a document's first key; `schema:` is EventSchema or UserSchema."""
