"""Triggers of campaign files: what fires, what is counted, what takes back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag, model_validator

from schemas.campaign_parts import AmountText, ByForm, EventTypes, Grants, OneOrMore, Part
from schemas.scalars import Cel, DurationMs, Flag, Threshold, Unit, WindowLength

STEPS_MAX = 50


class StepPart(Part):
    """One step of a ladder: a threshold and what reaching it gives."""

    reach: Threshold = Field(description="fires once a window; sliding: at each upward crossing")
    grant: Grants = Field(description="what reaching this step gives")


class Pair(Part):
    """What two events have in common, where they call it differently."""

    first: Cel = Field(description="of the event that comes first: the opening event, or the purchase")
    then: Cel = Field(description="of the event that follows: the counted event, or the refund")


Same = Annotated[Annotated[Cel, Tag("<plain>")] | Annotated[Pair, Tag("<parts>")], ByForm]


class After(Part):
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


class Unless(Part):
    """The grant falls due unless one of these events comes in time."""

    on: EventTypes = Field(description="types of the event that must not come")
    where: Cel | None = Field(None, description="CEL over that event")
    within: DurationMs = Field(description="it must not come in [event, event + within); then the grant is made")
    same: Same | None = Field(None, description="what both events have in common, e.g. event.cart_id")


class ItemsValue(Part):
    """The distinct values of `of` over the elements of an array that meet `where`."""

    of: Cel = Field(description="a value over `item`, e.g. item.category")
    array: Cel = Field(alias="in", description="the event's array, e.g. event.categories")
    where: Cel | None = Field(None, description="which elements, e.g. item.amount > 0")


DistinctText = Annotated[Annotated[Cel, Tag("<plain>")] | Annotated[ItemsValue, Tag("<parts>")], ByForm]


class Trigger(Part):
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


class Refunds(Part):
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
