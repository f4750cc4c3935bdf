"""Campaign tests as typed models: given events, what is expected of the folder's campaigns.

What stands under users:, each: and events: is read by the folder's schema (runners/ops/campaign_tests.py).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from schemas.campaign_parts import Part
from schemas.results import Reason
from schemas.scalars import GrantAmount, Id, Moment, Text, Unit, UserId, Zone

EVENTS_MAX = 999
"""Made-up event ids have three digits, so that they sort as they stand. Longer streams are for a backtest."""


class Expectation(Part):
    """A grant, a denial (`denied:`) or a reversal (`reversed:`). What is left out is not compared."""

    campaign: Id | None = Field(None, description="whose it is; default the one that campaigns: names")
    user: UserId | None = Field(None, description="whom it is for")
    event: Text | None = Field(None, description="id of the event that it carries")
    at: Moment | None = Field(None, description="its time; as a rule that of the event")
    amount: GrantAmount | None = Field(None, description="of the grant, in minor units")
    unit: Unit | None = Field(None, description="points, a currency code, or the kind of the grant")
    details: dict[str, str] = Field({}, description="of the grant, e.g. {code: SPRING10}")
    expires: Moment | None = Field(None, description="of the grant")
    denied: Reason | None = Field(None, description="the reason of a denial")
    reversed: GrantAmount | None = Field(None, description="how much is taken back")

    @model_validator(mode="after")
    def _is_one_kind(self) -> Expectation:
        if self.denied is not None and self.reversed is not None:
            raise ValueError("denied: and reversed: are two expectations")
        if self.denied is None and self.reversed is None:
            return self
        of_grants = [name for name in ("amount", "details", "expires") if name in self.model_fields_set]
        if of_grants:
            name = "denied" if self.denied is not None else "reversed"
            raise ValueError(f"{name}: goes without {of_grants[0]}:, which a grant has")
        return self


class CampaignTest(Part):
    """Events, and what the folder's campaigns make of them."""

    test: Text = Field(description="what it shows, in a sentence")
    campaigns: tuple[Id, ...] = Field(
        (), description="whose decisions are compared; default those that expect: names; if none, all"
    )
    zone: Zone = Field("UTC", description="time zone of times without an offset")
    users: dict[UserId, dict[str, Any]] = Field({}, description="attributes of users, by user id")
    each: dict[str, Any] = Field({}, description="what all events have that do not say otherwise")
    events: Annotated[tuple[dict[str, Any], ...], Field(max_length=EVENTS_MAX)] = Field(
        description="as the source writes them; one without an id is called e001, e002, ... by its place"
    )
    until: Moment | None = Field(None, description="where time ends, for holds and absences; default the last event")
    expect: tuple[Expectation, ...] = Field(description="all that is granted, denied and taken back, in any order")

    def campaign_of(self, expectation: Expectation) -> str | None:
        """Whose grant, denial or reversal is expected; None = it should say so."""
        return expectation.campaign or (self.campaigns[0] if len(self.campaigns) == 1 else None)
