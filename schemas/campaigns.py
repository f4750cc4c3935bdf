"""Campaign files as typed models: what docs/campaigns.md explains in words, field by field.

A campaign is parts that combine: when and who, a trigger, a grant, limits. Scalars come as text (schemas/scalars.py).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, Tag, field_validator, model_validator

from schemas.campaign_parts import Active, Audience, ByForm, Grants, OneOrMore, Part
from schemas.scalars import Cap, Cel, DurationMs, GrantAmount, HourShare, Id, Moment, Share, Unit, Zone
from schemas.triggers import Refunds, Trigger

OFFERS_MAX = 50

Period = Literal["total", "hour", "day", "week", "month", "user", "user and day", "user and week", "user and month"]


class PaceParts(Part):
    """How a cap on amounts becomes available over a span of time, and nothing of it before."""

    by: Literal["even", "front-loaded"] | None = Field(
        None, description="in the same measure all the time; or 40, 30, 20 and 10 % in the quarters of the span"
    )
    curve: tuple[HourShare, ...] | None = Field(
        None, description="24 shares, one per hour of the zone's day, 0 to 100; every day alike"
    )
    head_start: Cap = Field(0, description="so much more is available from the first moment on, in minor units")
    start: Moment | None = Field(None, alias="from", description="default the campaign's active: from:")
    end: Moment | None = Field(None, alias="to", description="default the campaign's active: to:")

    @model_validator(mode="after")
    def _one_form(self) -> PaceParts:
        if (self.by is None) == (self.curve is None):
            raise ValueError("a pace has either by: (even, front-loaded) or curve: (24 shares)")
        if self.curve is not None and (len(self.curve) != 24 or not any(self.curve)):
            raise ValueError(f"a curve has 24 shares, not all of them 0; here are {len(self.curve)}")
        return self


PaceText = Annotated[
    Annotated[Literal["even", "front-loaded"], Tag("<plain>")] | Annotated[PaceParts, Tag("<parts>")], ByForm
]


class Limit(Part):
    """At most so many grants, or so much, over all users or for each user, in total or per period."""

    per: Period = Field("total", description="hour, day, week, month; user; user and day, week or month")
    grants: Cap | None = Field(None, description="at most so many grants")
    amount: Cap | None = Field(None, description="at most so much, in minor units")
    unit: Unit | None = Field(None, description="of amount; default the campaign's own")
    when_full: Literal["skip", "cut", "close"] = Field("skip", description="what happens to a grant that does not fit")
    pace: PaceText | None = Field(
        None, description="even, front-loaded, or {by: or curve: , head_start: , from: , to: }"
    )
    cooldown: DurationMs | None = Field(None, description="no further grant to a user for so long after one")

    @model_validator(mode="after")
    def _says_something(self) -> Limit:
        if self.cooldown is not None:
            if self.model_fields_set != {"cooldown"}:
                raise ValueError("cooldown: stands in a limit of its own, e.g. - {cooldown: 7d}")
            return self
        if self.grants is None and self.amount is None:
            raise ValueError("a limit names grants:, amount: or cooldown:")
        if self.pace is not None and (self.amount is None or self.per != "total"):
            raise ValueError("pace: goes with an amount in total, e.g. {amount: 500_000, pace: even}")
        if self.amount is None and (self.unit or self.when_full == "cut"):
            raise ValueError("unit: and when_full: cut go with amount:")
        if self.per.startswith("user") and self.when_full == "close":
            raise ValueError("a user's limit closes nothing; right would be skip or cut")
        return self

    @property
    def pacing(self) -> PaceParts | None:
        """The pace, in parts."""
        return PaceParts.model_validate({"by": self.pace}) if isinstance(self.pace, str) else self.pace


class Cost(Part):
    """What one grant costs under caps of another unit."""

    amount: GrantAmount = Field(description="in minor units; charged whole, never cut")
    unit: Unit = Field(description="the unit of the cap, e.g. USD")


class _Limited(Part):
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
        for pace in (limit.pacing for limit in limits):
            if pace is not None and (pace.start is None or pace.end is None):
                raise ValueError("pace: says its span here, e.g. pace: {by: even, from: 2017-03-01, to: 2017-06-01}")
        return limits


AudienceText = Annotated[Annotated[Cel, Tag("<plain>")] | Annotated[Audience, Tag("<parts>")], ByForm]


class Payer(Part):
    """One of the two who pay a campaign's grants."""

    partner: Id | None = Field(None, description="a partner of the folder")
    theme: Id | None = Field(None, description="the campaign's own theme")
    share: Share = Field(description="its part of each grant, above 0 and below 1, at most six decimals")

    @field_validator("share")
    @classmethod
    def _a_part(cls, share: Decimal) -> Decimal:
        if not 0 < share < 1 or share != round(share, 6):
            raise ValueError(f"a payer's share is above 0 and below 1, with at most six decimals, not {share}")
        return share

    @model_validator(mode="after")
    def _one_account(self) -> Payer:
        if (self.partner is None) == (self.theme is None):
            raise ValueError("who pays is one partner: or the campaign's theme:, e.g. {partner: brand-x, share: 0.4}")
        return self

    @property
    def account(self) -> str:
        """Its name in the ledger."""
        return f"partner/{self.partner}" if self.partner else f"theme/{self.theme}"


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
    funding: tuple[Payer, ...] | None = Field(
        None, description="the two who pay each grant, shares adding up to 1; odd units are the first's"
    )

    @field_validator("funding")
    @classmethod
    def _shared_by_two(cls, funding: tuple[Payer, ...] | None) -> tuple[Payer, ...] | None:
        if funding is None:
            return None
        if len({payer.account for payer in funding}) != 2 or len(funding) != 2:
            raise ValueError(
                "names two who pay, e.g. [{partner: brand-x, share: 0.4}, {partner: brand-y, share: 0.6}]; among more, "
                "no rounding gives every part back exactly"
            )
        if sum(payer.share for payer in funding) != 1:
            raise ValueError(f"the shares add up to 1, not {sum(payer.share for payer in funding)}")
        return funding

    @model_validator(mode="after")
    def _gives(self) -> Campaign:
        if self.grant is None and self.trigger.steps is None:
            raise ValueError("grant: is missing; right would be e.g. grant: {points: 100}")
        if self.grant is not None and self.trigger.steps is not None:
            raise ValueError("with steps: each step has its own grant:, the campaign has none")
        return self


class Group(Part):
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


class Partner(_Shared):
    """Somebody who pays a share of grants, with limits of their own."""

    partner: Id = Field(description="id: 1 to 64 of a-z, 0-9, - and _")
    description: str | None = Field(None, description="for people")
    zone: Zone = Field("UTC", description="time zone of its limits' periods")

    @field_validator("limits")
    @classmethod
    def _cuts_nothing(cls, limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
        if any(limit.when_full == "cut" for limit in limits):
            raise ValueError("cut: what is left of a payer is only a part of a grant; right is skip or close")
        return limits


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


class EventSchema(Part):
    """What events have."""

    kind: Literal["events"] = Field(alias="schema", description="what events have")
    types: tuple[str, ...] = Field(min_length=1, description="event types that campaigns may name")
    envelope: dict[Literal["event_id", "event_type", "user_id", "event_time"], str] = Field(
        {}, description="canonical name: the source's name, where they differ"
    )
    attributes: dict[str, Any] = Field({}, description="name: type, as int, string, [string], [{name: type}]")
    follows: dict[str, Annotated[tuple[Unit, ...], OneOrMore]] = Field(
        {}, description="event type: unit of the grants whose use other systems publish as such events"
    )


class UserSchema(Part):
    """What users have."""

    kind: Literal["users"] = Field(alias="schema", description="what users have")
    attributes: dict[str, Any] = Field({}, description="name: type, as int, string, [string], [{name: type}]")


DOCUMENTS: dict[str, type[BaseModel]] = {
    "campaign": Campaign, "group": Group, "theme": Theme, "partner": Partner, "tenant": Tenant
}  # fmt: skip
"""By a document's first key; `schema:` is EventSchema or UserSchema."""
