"""Campaign files as typed models: what docs/campaigns.md explains in words, field by field.

A campaign is parts that combine: when and who, a trigger, a grant, limits. Scalars come as text (schemas/scalars.py).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from schemas.scalars import (
    Cap,
    Cel,
    DurationMs,
    Expiry,
    Flag,
    GrantAmount,
    Hours,
    Id,
    Moment,
    Percentage,
    Quantity,
    Share,
    Text,
    Threshold,
    TierStart,
    Unit,
    UserId,
    WindowLength,
    Zone,
)

STEPS_MAX = 50
OFFERS_MAX = 50
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Period = Literal["total", "hour", "day", "week", "month", "user", "user and day", "user and week", "user and month"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _listed(value: Any) -> Any:
    """One entry may stand without its brackets."""
    return [value] if isinstance(value, str) else value


OneOrMore = BeforeValidator(_listed)
EventTypes = Annotated[tuple[str, ...], OneOrMore, Field(min_length=1)]


def _form(value: Any) -> str:
    """Of what may be said in one word or in parts: which of the two; a mistake is then told in that form's words."""
    return "<parts>" if isinstance(value, dict | BaseModel) else "<plain>"


ByForm = Discriminator(_form)


class Active(_Part):
    """When the campaign runs: events in [from, to), on these weekdays and in these hours of the zone."""

    start: Moment | None = Field(
        None, alias="from", description="first instant; a date is its first instant in the zone"
    )
    end: Moment | None = Field(None, alias="to", description="first instant after the campaign")
    zone: Zone = Field("UTC", description="time zone of dates, windows and the campaign's own limits")
    days: Annotated[tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...], OneOrMore] = Field(
        (), description="weekdays, e.g. [sat, sun]; default all"
    )
    hours: Annotated[tuple[Hours, ...], OneOrMore] = Field(
        (), description="from-to of the local clock, e.g. 17:00-20:00; over midnight they belong to the day they begin"
    )


class ListFile(_Part):
    """User ids in a file beside the campaign, one a line."""

    file: Text = Field(description="name of the file, in the campaign's folder")


UserList = Annotated[
    Annotated[tuple[UserId, ...], Tag("<plain>")] | Annotated[ListFile, Tag("<parts>")], ByForm
]


class HashRange(_Part):
    """Users whose hash lies in [from, to): the seed and the user's id give each user one place in [0, 1)."""

    seed: Text = Field(description="any text; the same seed draws the same users")
    start: Share = Field(Decimal(0), alias="from", description="inclusive, 0 to 1")
    end: Share = Field(Decimal(1), alias="to", description="exclusive, 0 to 1")
    hash: Literal["sha256", "growthbook"] = Field("sha256", description="how a user gets a place")

    @model_validator(mode="after")
    def _not_empty(self) -> HashRange:
        if self.start >= self.end:
            raise ValueError("from: is not below to:")
        return self


class Audience(_Part):
    """Who takes part: all of what is said must hold."""

    where: Cel | None = Field(None, description="CEL over user")
    include: UserList | None = Field(None, description="only these users: a list of ids, or {file: NAME}")
    exclude: UserList | None = Field(None, description="none of these users")
    share: HashRange | None = Field(None, description="only users in this range take part")
    holdout: HashRange | None = Field(None, description="users in this range are held out")

    @model_validator(mode="after")
    def _says_something(self) -> Audience:
        if not any((self.where, self.include, self.exclude, self.share, self.holdout)):
            raise ValueError("an audience names where:, include:, exclude:, share: or holdout:")
        return self


class ArrayAmount(_Part):
    """The sum of `add` over the elements of an array that meet `where`; no such element gives 0."""

    add: Cel = Field(description="an integer over `item`, e.g. item.amount")
    array: Cel = Field(alias="in", description="the event's array, e.g. event.categories")
    where: Cel | None = Field(None, description="which elements, e.g. item.category == 'PRODUCE'")


AmountText = Annotated[Annotated[Cel, Tag("<plain>")] | Annotated[ArrayAmount, Tag("<parts>")], ByForm]
RoundingName = Literal["floor", "half-up", "half-even"]


class PercentValue(_Part):
    """An amount, or a percentage of it, rounded once."""

    percent: Percentage | None = Field(None, description="exact decimal, e.g. 2.5; default all of it")
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


class Coupon(_Part):
    """A coupon: one code for all, or one drawn from a pool by whoever consumes the grants."""

    code: Text | None = Field(None, description="the code")
    pool: Text | None = Field(None, description="the pool that the consumer draws a code from")
    terms: Text | None = Field(None, description="for people")

    @model_validator(mode="after")
    def _one_of(self) -> Coupon:
        if (self.code is None) == (self.pool is None):
            raise ValueError("a coupon has either code: or pool:")
        return self


class Product(_Part):
    """A free product."""

    sku: Text = Field(description="which one")
    quantity: Quantity = Field(1, description="how many; this is the grant's amount")


class FreeShipping(_Part):
    """Free shipping."""

    service: Text = Field(description="which service, e.g. standard")


class Message(_Part):
    """A message."""

    template: Text = Field(description="which text")
    channel: Text | None = Field(None, description="e.g. push, email")


KINDS = ("points", "money", "coupon", "product", "free_shipping", "message")


class Grant(_Part):
    """What one firing gives: points, money in minor units of a currency, or a thing that counts as 1 of its unit."""

    points: GrantValue | None = Field(None, description="an integer, {percent: , of: } or {of: , tiers: }")
    money: GrantValue | None = Field(None, description="as points:, in minor units of unit:")
    unit: Unit | None = Field(None, description="the currency of money:, e.g. USD")
    coupon: Coupon | None = Field(None, description="{code: SPRING} or {pool: NAME}")
    product: Product | None = Field(None, description="{sku: NAME, quantity: 1}")
    free_shipping: FreeShipping | None = Field(None, description="{service: standard}")
    message: Message | None = Field(None, description="{template: NAME}")
    to: Cel | None = Field(None, description="who gets it: event.NAME or user.NAME; default whose counter it is")
    expires: Expiry | None = Field(None, description="a duration after the grant's time, or a date in the zone")

    @property
    def kind(self) -> str:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def unit_name(self) -> str:
        """The unit of its amount."""
        return self.unit or "" if self.kind == "money" else self.kind

    @model_validator(mode="after")
    def _one_kind(self) -> Grant:
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError(f"a grant gives one of {', '.join(KINDS)}")
        if self.money is None and self.unit is not None:
            raise ValueError("only money: has a unit:, its currency")
        if self.money is not None and (self.unit is None or not self.unit.isupper()):
            raise ValueError("money: names its currency, e.g. unit: USD")
        return self


def _grants(value: Any) -> Any:
    """One grant may stand without its brackets."""
    return [value] if isinstance(value, dict | Grant) else value


Grants = Annotated[tuple[Grant, ...], BeforeValidator(_grants), Field(min_length=1, max_length=10)]


class StepPart(_Part):
    """One step of a ladder: a threshold and what reaching it gives."""

    reach: Threshold = Field(description="fires once a window; sliding: at each upward crossing")
    grant: Grants = Field(description="what reaching this step gives")


class Pair(_Part):
    """What two events have in common, where they call it differently."""

    first: Cel = Field(description="of the event that comes first: the opening event, or the purchase")
    then: Cel = Field(description="of the event that follows: the counted event, or the refund")


Same = Annotated[Annotated[Cel, Tag("<plain>")] | Annotated[Pair, Tag("<parts>")], ByForm]


class After(_Part):
    """Only events later than an opening event; each opening event opens a window of its own."""

    on: EventTypes = Field(description="types of the opening event")
    where: Cel | None = Field(None, description="CEL over the opening event")
    within: DurationMs | None = Field(None, description="the window is [opening, opening + within); default no end")
    same: Same | None = Field(None, description="what both events have in common, e.g. event.campaign_id")
    once: Literal["opening", "value"] = Field("opening", description="fires per opening event, or per value of same:")

    @model_validator(mode="after")
    def _value_of_what(self) -> After:
        if self.once == "value" and self.same is None:
            raise ValueError("once: value goes with same:")
        return self


class Unless(_Part):
    """The grant falls due unless one of these events comes in time."""

    on: EventTypes = Field(description="types of the event that must not come")
    where: Cel | None = Field(None, description="CEL over that event")
    within: DurationMs = Field(description="it must not come in [event, event + within); then the grant is made")
    same: Same | None = Field(None, description="what both events have in common, e.g. event.cart_id")


class ItemsValue(_Part):
    """The distinct values of `of` over the elements of an array that meet `where`."""

    of: Cel = Field(description="a value over `item`, e.g. item.category")
    array: Cel = Field(alias="in", description="the event's array, e.g. event.categories")
    where: Cel | None = Field(None, description="which elements, e.g. item.amount > 0")


DistinctText = Annotated[Annotated[Cel, Tag("<plain>")] | Annotated[ItemsValue, Tag("<parts>")], ByForm]


class Trigger(_Part):
    """What fires: event types, a condition, and what is counted over which window up to which threshold."""

    on: EventTypes = Field(description="one event type, or a list")
    where: Cel | None = Field(None, description="CEL over event and user")
    currency: Unit | None = Field(None, description="only events whose attribute currency is this")
    subject: Cel | None = Field(None, description="whose counter it moves, e.g. event.referrer_id; default the user's")
    silence: DurationMs | None = Field(None, description="only after at least so long without such an event")
    after: After | None = Field(None, description="only after an opening event: a sequence")
    unless: Unless | None = Field(None, description="only if another event does not come: an absence")
    count: Literal["events"] | None = Field(None, description="count events")
    total: AmountText | None = Field(None, alias="sum", description="add up an amount")
    distinct: DistinctText | None = Field(None, description="count different values: CEL, or {of: , in: , where: }")
    streak: Literal["days", "weeks", "months"] | None = Field(
        None, description="count consecutive periods with such an event"
    )
    per: WindowLength | None = Field(
        None, description="calendar window in the zone, or a tumbling span as 14d; default lifetime"
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

    @property
    def measures(self) -> list[str]:
        """Which of count:, sum:, distinct: and streak: it names."""
        named = (("count", self.count), ("sum", self.total), ("distinct", self.distinct), ("streak", self.streak))
        return [name for name, given in named if given is not None]

    @model_validator(mode="after")
    def _combines(self) -> Trigger:
        fires = [name for name in ("reach", "every", "start", "steps") if getattr(self, name) is not None]
        measures = self.measures
        if len(measures) > 1:
            raise ValueError(f"a trigger counts one thing, not {' and '.join(measures)}")
        if len(fires) > 1:
            raise ValueError("a trigger fires by one of reach:, every:, from: and steps:")
        if measures and not fires:
            raise ValueError("say when the counter fires: reach:, every:, from: or steps:")
        if not measures and (fires or self.per or self.last or self.restart):
            raise ValueError("say what is counted: count: events, sum:, distinct: or streak:")
        if self.per and self.last:
            raise ValueError("a counter runs per: a window or over the last: span, not both")
        if self.pick and not self.steps:
            raise ValueError("pick: goes with steps:")
        if self.restart and self.reach is None and self.start is None:
            raise ValueError("restart: goes with reach: or from:")
        if self.streak and (self.per or self.last or self.restart or self.after):
            raise ValueError("a streak: is its own window; per:, last:, restart: and after: do not go with it")
        if self.after and (self.per or self.last):
            raise ValueError("after: opens the windows; per: and last: do not go with it")
        if self.unless and (measures or self.after or self.silence):
            raise ValueError("unless: waits for each event by itself; counters, after: and silence: do not go with it")
        thresholds = [step.reach for step in self.steps or ()]
        if thresholds != sorted(set(thresholds)):
            raise ValueError("steps stand in ascending order of reach:, each once")
        return self


class Refunds(_Part):
    """What takes grants and counters back, and how."""

    on: EventTypes = Field(description="types of the events that take back, e.g. [refund, cancel]")
    where: Cel | None = Field(None, description="CEL over that event")
    same: Same | None = Field(
        None, description="what names the purchase on both events; default: none, it is set against the user"
    )
    amount: AmountText | None = Field(None, description="how much it takes back; default the whole purchase")
    of: AmountText | None = Field(None, description="how much the purchase was; default amount: of the purchase")
    counter: Literal["down", "stays"] = Field("down", description="what the counter does")
    grants: Literal["pro-rata", "whole", "two-way", "stand"] | None = Field(
        None, description="how grants are taken back; default two-way with a counter, else pro-rata"
    )
    gives_back: Annotated[tuple[Literal["budget", "limits", "lock"], ...], OneOrMore] = Field(
        ("budget", "limits", "lock"), description="what a grant taken back frees again"
    )
    again: Flag = Field(True, description="a step that was taken back may be earned again")
    within: DurationMs | None = Field(None, description="how long after the purchase; default as long as state lives")


class Limit(_Part):
    """At most so many grants, or so much, over all users or for each user, in total or per period."""

    per: Period = Field("total", description="hour, day, week, month; user; user and day, week or month")
    grants: Cap | None = Field(None, description="at most so many grants")
    amount: Cap | None = Field(None, description="at most so much, in minor units")
    unit: Unit | None = Field(None, description="of amount; default the campaign's own")
    when_full: Literal["skip", "cut", "close"] = Field("skip", description="what happens to a grant that does not fit")
    cooldown: DurationMs | None = Field(None, description="no further grant to a user for so long after one")

    @model_validator(mode="after")
    def _says_something(self) -> Limit:
        if self.cooldown is not None:
            if self.model_fields_set != {"cooldown"}:
                raise ValueError("cooldown: stands in a limit of its own, e.g. - {cooldown: 7d}")
            return self
        if self.grants is None and self.amount is None:
            raise ValueError("a limit names grants:, amount: or cooldown:")
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
        periods = [limit.per for limit in limits if limit.cooldown is None]
        for period in periods:
            if periods.count(period) > 1:
                raise ValueError(f"two limits per {period}; say grants: and amount: in one")
        if len(limits) - len(periods) > 1:
            raise ValueError("there is one cooldown:")
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


AudienceText = Annotated[Annotated[Cel, Tag("<plain>")] | Annotated[Audience, Tag("<parts>")], ByForm]


class Campaign(_Limited):
    """A rule: audience, trigger, grant, limits."""

    campaign: Id = Field(description="id: 1 to 64 of a-z, 0-9, - and _")
    description: str | None = Field(None, description="for people")
    theme: Id | None = Field(None, description="the theme it stands under; one that nobody declares has no cap")
    active: Active = Field(default_factory=lambda: Active.model_validate({}), description="when it runs")
    audience: AudienceText | None = Field(None, description="CEL over user, or {where: , include: , share: ...}")
    trigger: Trigger = Field(description="what fires")
    grant: Grants | None = Field(
        None, description="what a firing gives, or a list with to:; with steps, each step has its own"
    )
    hold: DurationMs | None = Field(None, description="grants are held so long, and made then unless taken back")
    refunds: Refunds | None = Field(None, description="what takes grants and counters back")
    cost: Cost | None = Field(None, description="what one grant costs under caps of another unit")
    lookback: DurationMs | None = Field(None, description="history that counts from before the campaign was published")

    @model_validator(mode="after")
    def _gives(self) -> Campaign:
        if self.grant is None and self.trigger.steps is None:
            raise ValueError("grant: is missing; right would be e.g. grant: {points: 100}")
        if self.grant is not None and self.trigger.steps is not None:
            raise ValueError("with steps: each step has its own grant:, the campaign has none")
        return self


class Group(_Part):
    """Offers of which a user gets one: campaigns, best first."""

    group: Id = Field(description="id, as a campaign's: one namespace")
    description: str | None = Field(None, description="for people")
    pick: Literal[
        "one per event", "one per user", "one per user and day", "one per user and week", "one per user and month"
    ] = Field(description="per event: the first that fires and that limits allow; per user: the first taken locks")
    offers: tuple[Id, ...] = Field(min_length=1, max_length=OFFERS_MAX, description="campaigns, best first")
    zone: Zone = Field("UTC", description="time zone of the days, weeks and months of pick:")

    @field_validator("offers")
    @classmethod
    def _each_once(cls, offers: tuple[str, ...]) -> tuple[str, ...]:
        for offer in offers:
            if offers.count(offer) > 1:
                raise ValueError(f"{offer!r} stands twice")
        return offers


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
    order: Literal["arrival", "event_time"] = Field("arrival", description="decide at once, or in the order of time")
    wait: DurationMs | None = Field(None, description="with order: event_time, how long to wait for late events")
    late: Literal["decide", "dead-letter"] | None = Field(
        None, description="with order: event_time, what happens to later ones; default decide"
    )

    @model_validator(mode="after")
    def _waits(self) -> Tenant:
        if self.order == "event_time" and self.wait is None:
            raise ValueError("order: event_time says how long to wait, e.g. wait: 6h")
        if self.order == "arrival" and (self.wait is not None or self.late is not None):
            raise ValueError("wait: and late: go with order: event_time")
        return self


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


DOCUMENTS: dict[str, type[BaseModel]] = {"campaign": Campaign, "group": Group, "theme": Theme, "tenant": Tenant}
"""By a document's first key; `schema:` is EventSchema or UserSchema."""
