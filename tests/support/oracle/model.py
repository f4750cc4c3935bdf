"""What goes into the oracle, what comes out, and the two things in between: firings and take-backs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from schemas.campaign_parts import Grant
from schemas.campaigns import Campaign, Group, Tenant, Theme
from schemas.order_keys import OrderKey


@dataclass(frozen=True, eq=False)
class Event:
    """One event; two of them are never equal. attributes: without nulls; raw: as they came."""

    time_ms: int
    event_id: str
    event_type: str
    user: str
    attributes: Mapping[str, Any]
    raw: Mapping[str, Any]

    @property
    def place(self) -> tuple[int, str, str]:
        """Where it stands in the total order."""
        return self.time_ms, self.event_id, self.user


def an_event_of(given: Mapping[str, Any]) -> Event:
    """An event from a plain dict: the envelope (event_time in ms) and attributes beside it."""
    envelope = ("event_id", "event_type", "user_id", "event_time")
    own = {name: value for name, value in given.items() if name not in envelope}
    return Event(given["event_time"], given["event_id"], given["event_type"], given["user_id"], without_nulls(own), own)


def without_nulls(value: Any) -> Any:
    """null is missing, at every level."""
    if isinstance(value, Mapping):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


@dataclass(frozen=True)
class World:
    """A folder, everything that happened, and when time ends (ms; what falls due later stays open)."""

    campaigns: Mapping[str, Campaign]
    groups: Mapping[str, Group]
    themes: Mapping[str, Theme]
    tenant: Tenant
    lists: Mapping[str, frozenset[str]]
    events: tuple[Event, ...]
    profiles: Mapping[str, Mapping[str, Any]]
    until_ms: int

    def group_of(self, campaign: str) -> Group | None:
        """The group that the campaign is an offer of."""
        return next((group for group in self.groups.values() if campaign in group.offers), None)


@dataclass(frozen=True)
class Gift:
    """One grant of a firing, as asked. role: its place in the list of grants."""

    role: int
    recipient: str
    amount: int
    unit: str


@dataclass(eq=False)
class Firing:
    """A condition that was completed, whether or not anything comes of it.

    Attributes:
      cause: the event whose id it carries (of an absence, the opening one).
      mark: what a step is used up in: the window, or the value of a sequence. level: the counter that it needs.
      gifts: what it asks for; () if it gives nothing, or if its step is only used up.
      gone: taken back two-way.
    """

    key: OrderKey
    campaign: Campaign
    cause: Event
    gifts: tuple[Gift, ...]
    grants: tuple[Grant, ...]
    window: Any = None
    mark: Any = None
    step: int = 0
    n: int = 0
    level: int = 0
    gone: bool = False


@dataclass(frozen=True, eq=False)
class TakeBack:
    """What a refund asks to be taken back, in one of three forms.

    Attributes:
      cause: the refund. firings: what it is about.
      shares: by firing, so much of each of its grants in all.
      amounts: by role, at most so much of the firings' grants, newest first.
      newest: the newest firing that stands, whole.
    """

    key: OrderKey
    campaign: Campaign
    cause: Event
    firings: tuple[Firing, ...]
    shares: tuple[Fraction, ...] | None = None
    amounts: tuple[int, ...] | None = None
    newest: bool = False


class Given(NamedTuple):
    """A grant that was made."""

    campaign: str
    recipient: str
    event_id: str
    time_ms: int
    amount: int
    unit: str


class TakenBack(NamedTuple):
    """A reversal; parts: (event id of the grant, its time, amount), sorted."""

    campaign: str
    recipient: str
    event_id: str
    time_ms: int
    amount: int
    parts: tuple[tuple[str, int, int], ...]


class Denied(NamedTuple):
    """A denial, told by the campaign or the group."""

    campaign: str
    recipient: str
    event_id: str
    time_ms: int
    reason: str


@dataclass
class Answer:
    """Everything that was decided, in the total order of decisions."""

    grants: list[Given] = field(default_factory=list)
    reversals: list[TakenBack] = field(default_factory=list)
    denials: list[Denied] = field(default_factory=list)
