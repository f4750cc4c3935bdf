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


class Fixed(msgspec.Struct, frozen=True, array_like=True, tag="fixed"):
    """The same amount each time, in minor units."""

    amount: int


class Percent(msgspec.Struct, frozen=True, array_like=True, tag="percent"):
    """numerator/denominator of an amount, rounded once, at most maximum."""

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
    """What a grant gives: kind is "points" or "money", unit "points" or a currency code, value in minor units."""

    kind: str
    unit: str
    value: Value


class Window(msgspec.Struct, frozen=True, array_like=True):
    """The span a counter covers. span_ms only for "last": the sliding span (t - span, t]."""

    kind: Literal["lifetime", "day", "week", "month", "last"]
    span_ms: int = 0


class Step(msgspec.Struct, frozen=True, array_like=True):
    """A threshold (> 0) and what reaching it gives."""

    threshold: int
    incentive: Incentive


class Counter(msgspec.Struct, frozen=True, array_like=True):
    """What is counted, over which window, and when it fires.

    Attributes:
      measure: None counts events, an Amount sums it.
      fires: "reach" once a window (sliding: at each upward crossing), "every" at each multiple, "from" at each event
        after which the counter stands at or above the threshold.
      steps: ascending thresholds; "every" and "from" have exactly one.
      pick: of several steps reached by one event, "every" one grants, or only the "highest".
      restart: firing uses up all counted so far in the window.
    """

    measure: Amount | None
    window: Window
    fires: Literal["reach", "every", "from"]
    steps: tuple[Step, ...]
    pick: Literal["every", "highest"] = "every"
    restart: bool = False


class PlanCharge(msgspec.Struct, frozen=True, array_like=True):
    """An account of the campaign's path: the periods its limits name, their zone, and a fixed cost if it has one."""

    account: str
    periods: tuple[str, ...]
    zone: str
    cost: int | None = None


class Plan(msgspec.Struct, frozen=True, array_like=True):
    """One campaign, checked.

    Attributes:
      campaign: id. version: digest of the normalised content, 16 hex digits. series: number of the trigger's meaning.
      start_ms, end_ms: active in [start, end), None = unbounded; ms since the epoch.
      zone: IANA name; windows follow it.
      audience, where: conditions, None = always true.
      counter: None = fires at each event; then `incentive` is the grant, else each step has its own.
    """

    campaign: str
    version: str
    series: int
    event_types: tuple[str, ...]
    start_ms: int | None
    end_ms: int | None
    zone: str
    audience: Expression | None
    where: Expression | None
    counter: Counter | None
    incentive: Incentive | None
    charges: tuple[PlanCharge, ...]


class PlanSet(msgspec.Struct, frozen=True, array_like=True):
    """All campaigns of one tenant that are in force together.

    Attributes:
      number: of the set; 0 = judged by the folder.
      in_force_from_ms: event time it starts at, None = from the beginning.
      horizon_ms: how long event ids are remembered.
      schema: what attributes there are. plans: sorted by campaign id. accounts: parents before children.
    """

    tenant: str
    number: int
    in_force_from_ms: int | None
    horizon_ms: int
    schema: AttributeSchema
    plans: tuple[Plan, ...]
    accounts: tuple[AccountSpec, ...]


def expressions_of(plan: Plan) -> list[Expression]:
    """Every expression a plan holds."""
    found = [expression for expression in (plan.audience, plan.where) if expression]
    incentives = [plan.incentive] if plan.incentive else []
    if plan.counter:
        found += expressions_in(plan.counter.measure)
        incentives += [step.incentive for step in plan.counter.steps]
    for incentive in incentives:
        if not isinstance(incentive.value, Fixed):
            found += expressions_in(incentive.value.of)
    return found


def expressions_in(amount: Amount | None) -> list[Expression]:
    """Every expression an amount holds."""
    if amount is None:
        return []
    if isinstance(amount, CelAmount):
        return [amount.expression]
    return [amount.add, amount.where] if amount.where else [amount.add]


encode_plan_set = msgspec.msgpack.Encoder().encode


def decode_plan_set(raw: bytes) -> PlanSet:
    """Read a published set; raises msgspec.DecodeError for bytes of another form."""
    return msgspec.msgpack.decode(raw, type=PlanSet)
