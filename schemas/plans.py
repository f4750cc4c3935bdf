"""Plans: checked campaigns, in the form that travels to workers.

A plan is data only: conditions are CheckedExpr bytes, which each worker translates by a fixed list of helpers
(transforms/language/translate.py). Array-like Structs: append fields with defaults, never reorder.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.attributes import AttributeSchema
from schemas.expressions import Expression
from schemas.proposals import AccountSpec
from schemas.results import Rounding

DAY_MS = 86_400_000

DEFAULT_HORIZON_MS = 7 * DAY_MS
"""How long an event id is remembered, and how late an event may come (docs/contracts/horizons.md)."""


class CelAmount(msgspec.Struct, frozen=True, array_like=True, tag="cel"):
    """An integer expression over `event` and `user`."""

    expression: Expression


class ArraySum(msgspec.Struct, frozen=True, array_like=True, tag="add"):
    """The sum of `add` over the elements of an array attribute that meet `where`; none = 0, no array = missing.

    Attributes:
      array: name of the event's array attribute.
      add, where: expressions that may also name `item`. An element whose `add` is missing adds nothing.
    """

    array: str
    add: Expression
    where: Expression | None


Amount = CelAmount | ArraySum


class DistinctValue(msgspec.Struct, frozen=True, array_like=True, tag="value"):
    """One value an event: a text, an integer or a truth value. Missing counts nothing."""

    expression: Expression


class DistinctItems(msgspec.Struct, frozen=True, array_like=True, tag="values"):
    """The values of `of` over the elements of an array attribute that meet `where`."""

    array: str
    of: Expression
    where: Expression | None


Measure = CelAmount | ArraySum | DistinctValue | DistinctItems


class Fixed(msgspec.Struct, frozen=True, array_like=True, tag="fixed"):
    """The same amount each time, in minor units."""

    amount: int


class Percent(msgspec.Struct, frozen=True, array_like=True, tag="percent"):
    """numerator/denominator of an amount (1/1 = the amount), rounded once, at most maximum."""

    numerator: int
    denominator: int
    of: Amount
    rounding: Rounding
    maximum: int | None


class Tier(msgspec.Struct, frozen=True, array_like=True):
    """From this amount on (inclusive): a fixed value or, with a denominator, a rate of the whole amount."""

    start: int
    numerator: int
    denominator: int | None


class Tiers(msgspec.Struct, frozen=True, array_like=True, tag="tiers"):
    """The value of the highest tier that the amount reaches; below the lowest: nothing. tiers ascend by start."""

    of: Amount
    tiers: tuple[Tier, ...]
    rounding: Rounding
    maximum: int | None


Value = Fixed | Percent | Tiers


class Incentive(msgspec.Struct, frozen=True, array_like=True):
    """What a grant gives.

    Attributes:
      kind: as GrantRequest.kind. unit: of its amount: "points", a currency code, or the kind. value: in that unit.
      details: the kind's own fields, by name.
      expires_after_ms, expires_at_ms: after the grant's time, or at an instant; None and None = never.
    """

    kind: str
    unit: str
    value: Value
    details: tuple[tuple[str, str], ...] = ()
    expires_after_ms: int | None = None
    expires_at_ms: int | None = None


class PlanCharge(msgspec.Struct, frozen=True, array_like=True):
    """An account of the campaign's path: the periods its limits name, their zone, and a fixed cost if it has one."""

    account: str
    periods: tuple[str, ...]
    zone: str
    cost: int | None = None


class Gift(msgspec.Struct, frozen=True, array_like=True):
    """One grant of a firing: who gets it (None = the subject), what, and what it is charged to."""

    to: Expression | None
    incentive: Incentive
    charges: tuple[PlanCharge, ...]


class Window(msgspec.Struct, frozen=True, array_like=True):
    """The span a counter covers.

    Attributes:
      kind: "last" is the sliding span (t - span, t], "span" tumbling ones that count from origin_ms, "opened" the
        window that an opening event begins, and "run" an unbroken run of periods.
      span_ms: of "last" and "span". origin_ms: of "span". period: of "run".
    """

    kind: Literal["lifetime", "day", "week", "month", "last", "span", "opened", "run"]
    span_ms: int = 0
    origin_ms: int = 0
    period: Literal["day", "week", "month"] = "day"


class Step(msgspec.Struct, frozen=True, array_like=True):
    """A threshold (> 0) and what reaching it gives."""

    threshold: int
    gifts: tuple[Gift, ...]


class Counter(msgspec.Struct, frozen=True, array_like=True):
    """What is counted, over which window, and when it fires.

    Attributes:
      measure: None counts events (or, in a run, periods), an Amount sums it, a Distinct... counts different values.
      fires: "reach" once a window (sliding: at each upward crossing), "every" at each multiple, "from" at each event
        after which the counter stands at or above the threshold.
      steps: ascending thresholds; "every" and "from" have exactly one.
      pick: of several steps reached by one event, "every" one grants, or only the "highest".
      restart: firing uses up all counted so far in the window.
    """

    measure: Measure | None
    window: Window
    fires: Literal["reach", "every", "from"]
    steps: tuple[Step, ...]
    pick: Literal["every", "highest"] = "every"
    restart: bool = False


class Pairing(msgspec.Struct, frozen=True, array_like=True):
    """What two events have in common: `first` of the earlier one's attributes equals `then` of the later one's."""

    first: Expression
    then: Expression


class Opening(msgspec.Struct, frozen=True, array_like=True):
    """The event that opens a window [its time, its time + within_ms); None = without end.

    Attributes:
      once_per_value: a step fires once per value of the pairing, not once per opening event.
    """

    event_types: tuple[str, ...]
    where: Expression | None
    within_ms: int | None
    pairing: Pairing | None
    once_per_value: bool


class Absence(msgspec.Struct, frozen=True, array_like=True):
    """The event that must not come within [opening's time, + within_ms)."""

    event_types: tuple[str, ...]
    where: Expression | None
    within_ms: int
    pairing: Pairing | None


class RefundPlan(msgspec.Struct, frozen=True, array_like=True):
    """What takes back, and how (docs/campaigns.md, "Taking back").

    Attributes:
      pairing: names the purchase on both events; None = set against the user.
      amount: over the refund; None = the whole purchase. of: over the purchase.
      counter_down: whether the counter goes down. grants: how they are taken back.
      gives_back: as Reversal.gives_back. again: a step taken back two-way may be earned again.
      within_ms: how long after the purchase; None = as long as state lives.
    """

    event_types: tuple[str, ...]
    where: Expression | None
    pairing: Pairing | None
    amount: Amount | None
    of: Amount | None
    counter_down: bool
    grants: Literal["pro-rata", "whole", "two-way", "stand"]
    gives_back: tuple[str, ...]
    again: bool
    within_ms: int | None


class UserShare(msgspec.Struct, frozen=True, array_like=True):
    """Users whose place by a hash lies in [start, end), in units of 1/2^32 (sha256) or 1/10000 (growthbook)."""

    seed: str
    hash: Literal["sha256", "growthbook"]
    start: int
    end: int
    held_out: bool


class AudiencePlan(msgspec.Struct, frozen=True, array_like=True):
    """Who takes part: all of it must hold. include None = everyone; ids ascend."""

    where: Expression | None = None
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    shares: tuple[UserShare, ...] = ()


class Schedule(msgspec.Struct, frozen=True, array_like=True):
    """When a campaign is active: [start_ms, end_ms), weekdays (0 = Monday; () = all), hours in minutes of the day."""

    start_ms: int | None = None
    end_ms: int | None = None
    days: tuple[int, ...] = ()
    hours: tuple[tuple[int, int], ...] = ()


class Plan(msgspec.Struct, frozen=True, array_like=True):
    """One campaign, checked.

    Attributes:
      campaign: id. version: digest of the normalised content, 16 hex digits. series: number of the trigger's meaning.
      zone: IANA name; windows and hours follow it.
      where: condition, None = always true. currency: of the event's attribute `currency`, "" = any.
      subject: whose counter an event moves; None = the event's user.
      silence_ms: only after at least so long without an event that meets `where`; None = always.
      opening, absence: of a sequence, of an absence.
      counter: None = fires at each event; then `gifts` are given, else each step has its own.
      hold_ms: what is granted is held so long; None = granted at once.
      group: id of the group it is an offer of, "" = none.
      lookback_ms: events of so long before the schedule's start count too, and fire nothing; None = none do.
    """

    campaign: str
    version: str
    series: int
    event_types: tuple[str, ...]
    zone: str
    schedule: Schedule
    audience: AudiencePlan
    where: Expression | None
    counter: Counter | None
    gifts: tuple[Gift, ...]
    currency: str = ""
    subject: Expression | None = None
    silence_ms: int | None = None
    opening: Opening | None = None
    absence: Absence | None = None
    hold_ms: int | None = None
    refunds: RefundPlan | None = None
    group: str = ""
    lookback_ms: int | None = None

    @property
    def counting(self) -> Schedule:
        """When events count: its schedule, which a lookback begins earlier."""
        if self.lookback_ms is None or self.schedule.start_ms is None:
            return self.schedule
        return msgspec.structs.replace(self.schedule, start_ms=self.schedule.start_ms - self.lookback_ms)

    @property
    def all_gifts(self) -> tuple[Gift, ...]:
        """Every gift it may give, in the order of the file."""
        return tuple(gift for step in self.counter.steps for gift in step.gifts) if self.counter else self.gifts

    @property
    def unit(self) -> str:
        """The unit of its first gift."""
        return self.all_gifts[0].incentive.unit


class GroupPlan(msgspec.Struct, frozen=True, array_like=True):
    """Offers of which a user gets one.

    Attributes:
      locks: None = one per event; else the window in which the first offer taken locks the others out.
      offers: campaign ids, best first. zone: of the window.
    """

    group: str
    locks: Literal["ever", "day", "week", "month"] | None
    zone: str
    offers: tuple[str, ...]


class Ordering(msgspec.Struct, frozen=True, array_like=True):
    """In which order events are decided: as they arrive (wait_ms None), or by event time after a wait.

    Attributes:
      decide_late: what comes later than the wait is decided late; else it is a dead letter.
    """

    wait_ms: int | None = None
    decide_late: bool = True


class PlanSet(msgspec.Struct, frozen=True, array_like=True):
    """All campaigns of one tenant that are in force together.

    Attributes:
      number: of the set; 0 = judged by the folder.
      in_force_from_ms: event time it starts at, None = from the beginning.
      horizon_ms: how long event ids are remembered.
      schema: what attributes there are. plans: sorted by campaign id. accounts: parents before children.
      groups: sorted by id. ordering: of the tenant.
    """

    tenant: str
    number: int
    in_force_from_ms: int | None
    horizon_ms: int
    schema: AttributeSchema
    plans: tuple[Plan, ...]
    accounts: tuple[AccountSpec, ...]
    groups: tuple[GroupPlan, ...] = ()
    ordering: Ordering = Ordering()


def expressions_of(plan: Plan) -> list[Expression]:
    """Every expression a plan holds that is asked of the event that counts, of its refunds and of their purchases."""
    found: list[Expression | None] = [plan.audience.where, plan.where, plan.subject]
    for part in (plan.opening, plan.absence, plan.refunds):
        if part is not None:
            found.append(part.where)
            found += [part.pairing.first, part.pairing.then] if part.pairing else []
    found += expressions_in(plan.counter.measure) if plan.counter else []
    found += [*expressions_in(plan.refunds.amount), *expressions_in(plan.refunds.of)] if plan.refunds else []
    for gift in plan.all_gifts:
        found.append(gift.to)
        if not isinstance(gift.incentive.value, Fixed):
            found += expressions_in(gift.incentive.value.of)
    return [expression for expression in found if expression is not None]


def expressions_in(measure: Measure | None) -> list[Expression | None]:
    """Every expression a measure holds."""
    if measure is None:
        return []
    if isinstance(measure, CelAmount | DistinctValue):
        return [measure.expression]
    return [measure.add if isinstance(measure, ArraySum) else measure.of, measure.where]


encode_plan_set = msgspec.msgpack.Encoder().encode


def decode_plan_set(raw: bytes) -> PlanSet:
    """Read a published set; raises msgspec.DecodeError for bytes of another form."""
    return msgspec.msgpack.decode(raw, type=PlanSet)
