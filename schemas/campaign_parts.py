"""Parts of campaign files: when and who, amounts, and what is given. docs/campaigns.md explains them in words."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from schemas.scalars import (
    Cel,
    DurationMs,
    Expiry,
    GrantAmount,
    Hours,
    Moment,
    Percentage,
    Quantity,
    Share,
    Text,
    TierStart,
    Unit,
    UserId,
    Zone,
)

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Part(BaseModel):
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


class Active(Part):
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
    lookback: DurationMs | None = Field(
        None, description="events of so long before from: count too, and fire nothing, e.g. 90d"
    )

    @model_validator(mode="after")
    def _looks_back_from(self) -> Active:
        if self.lookback is not None and self.start is None:
            raise ValueError("lookback: goes back from from:, e.g. {from: 2026-03-01, lookback: 90d}")
        return self


class ListFile(Part):
    """User ids in a file beside the campaign, one a line."""

    file: Text = Field(description="name of the file, in the campaign's folder")


UserList = Annotated[Annotated[tuple[UserId, ...], Tag("<plain>")] | Annotated[ListFile, Tag("<parts>")], ByForm]


class HashRange(Part):
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


class Audience(Part):
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


class ArrayAmount(Part):
    """The sum of `add` over the elements of an array that meet `where`; no such element gives 0."""

    add: Cel = Field(description="an integer over `item`, e.g. item.amount")
    array: Cel = Field(alias="in", description="the event's array, e.g. event.categories")
    where: Cel | None = Field(None, description="which elements, e.g. item.category == 'PRODUCE'")


AmountText = Annotated[Annotated[Cel, Tag("<plain>")] | Annotated[ArrayAmount, Tag("<parts>")], ByForm]
RoundingName = Literal["floor", "half-up", "half-even"]


class PercentValue(Part):
    """An amount, or a percentage of it, rounded once."""

    percent: Percentage | None = Field(None, description="exact decimal, e.g. 2.5; default all of it")
    of: AmountText = Field(description="an amount: CEL, or {add: , in: , where: }")
    rounding: RoundingName = Field("floor", alias="round", description="how the exact product becomes an integer")
    maximum: GrantAmount | None = Field(None, alias="max", description="most that one event gives")


class TierValue(Part):
    """From this amount on: a fixed value, or a percentage of the whole amount."""

    start: TierStart = Field(alias="from", description="inclusive")
    value: GrantAmount | None = Field(None, description="a fixed value, in minor units")
    percent: Percentage | None = Field(None, description="of the whole amount")

    @model_validator(mode="after")
    def _one_of(self) -> TierValue:
        if (self.value is None) == (self.percent is None):
            raise ValueError("a tier gives either value: or percent:")
        return self


class TieredValue(Part):
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


class Coupon(Part):
    """A coupon: one code for all, or one drawn from a pool by whoever consumes the grants."""

    code: Text | None = Field(None, description="the code")
    pool: Text | None = Field(None, description="the pool that the consumer draws a code from")
    terms: Text | None = Field(None, description="for people")

    @model_validator(mode="after")
    def _one_of(self) -> Coupon:
        if (self.code is None) == (self.pool is None):
            raise ValueError("a coupon has either code: or pool:")
        return self


class Product(Part):
    """A free product."""

    sku: Text = Field(description="which one")
    quantity: Quantity = Field(1, description="how many; this is the grant's amount")


class FreeShipping(Part):
    """Free shipping."""

    service: Text = Field(description="which service, e.g. standard")


class Message(Part):
    """A message."""

    template: Text = Field(description="which text")
    channel: Text | None = Field(None, description="e.g. push, email")


KINDS = ("points", "money", "coupon", "product", "free_shipping", "message")


class Grant(Part):
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
