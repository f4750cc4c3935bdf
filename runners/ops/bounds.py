"""Upper bounds of what a campaign gives: how often it fires for a user, and what its accounts let through.

A bound is claimed only where it holds for every stream of events in any order, of what stands: granted and held, less
what was taken back. It holds within docs/contracts/bounds.md, for the caps of the files, and within one series.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from schemas.plans import Counter, DistinctValue, Fixed, Gift, Ordering, Percent, Plan, Tiers
from schemas.proposals import AccountSpec, LimitSpec
from transforms.engine.windows import windows_touched

Span = tuple[int, int] | None
"""Of the events that fire: [from, to) in ms since the epoch; None = without an end on one side."""


class Bound(NamedTuple):
    """At most so much, in minor units; None = no bound. why: what bounds it, or what would be right."""

    amount: int | None
    why: str


class Share(NamedTuple):
    """A gift as one account sees it: the most it gives, and its fixed cost there."""

    most: int | None
    cost: int | None


def times(count: int | None, amount: int | None) -> int | None:
    """Their product; None = no bound, but nothing is nothing however often."""
    if 0 in (count, amount):
        return 0
    return None if count is None or amount is None else count * amount


def total(amounts: Iterable[int | None]) -> int | None:
    """Their sum; None = no bound."""
    found = list(amounts)
    return None if None in found else sum(amount or 0 for amount in found)


def greatest(amounts: Iterable[int | None]) -> int | None:
    """The greatest; None = no bound."""
    found = list(amounts)
    return None if None in found else max((amount or 0 for amount in found), default=0)


def tightest(bounds: Iterable[Bound], otherwise: str) -> Bound:
    """The least of them; of equal ones the first. otherwise: said where none of them bounds."""
    known = [bound for bound in bounds if bound.amount is not None]
    return min(known, key=lambda bound: bound.amount or 0, default=Bound(None, otherwise))


def span_of(plan: Plan) -> Span:
    """When the events lie that fire it; what an absence gives falls due before the end, too."""
    start_ms, end_ms = plan.schedule.start_ms, plan.schedule.end_ms
    return None if start_ms is None or end_ms is None else (start_ms, end_ms)


def value_bound(gift: Gift) -> Bound:
    """The most that one such grant is worth by its own rule."""
    value = gift.incentive.value
    if isinstance(value, Fixed):
        return Bound(value.amount, "the same each time")
    capped = Bound(value.maximum, "its max:")
    if isinstance(value, Tiers) and all(tier.denominator is None for tier in value.tiers):
        return tightest([Bound(max(tier.numerator for tier in value.tiers), "its highest tier"), capped], "")
    assert isinstance(value, Percent | Tiers)
    return capped._replace(why="nothing bounds what a grant is worth") if value.maximum is None else capped


def event_firings(plan: Plan) -> int | None:
    """How often one event may fire a step."""
    counter = plan.counter
    if counter is None:
        return 1
    if plan.opening is not None and not plan.opening.once_per_value:
        return None
    several = counter.measure is not None and not isinstance(counter.measure, DistinctValue)
    return None if counter.fires == "every" and several and counter.window.kind != "run" else 1


def user_firings(plan: Plan, step: int, ordering: Ordering) -> Bound:
    """How often a step may fire for one subject, grants that were taken back whole apart."""
    counter, span = plan.counter, span_of(plan)
    if plan.silence_ms is not None and span is not None and ordering.wait_ms is not None and not ordering.decide_late:
        returns = -((span[0] - span[1]) // plan.silence_ms)
        once = Bound(times(returns, event_firings(plan)), f"{returns:,} such silences a user")
    else:
        once = Bound(None, "fires any number of times for a user")
    return once if counter is None else tightest([_by_window(plan, counter, step, span), once], once.why)


def _by_window(plan: Plan, counter: Counter, step: int, span: Span) -> Bound:
    kind = counter.window.kind
    if kind == "run":
        return _by_run(plan, counter, counter.steps[step].threshold, span)
    if counter.fires != "reach" or counter.restart or kind in ("last", "opened") or _earned_again(plan):
        return Bound(None, "")
    if kind == "lifetime":
        return Bound(1, "once a user")
    window = counter.window
    word = f"{window.span_ms // 1000:,} seconds" if kind == "span" else kind
    if span is None:
        return Bound(None, "")
    count = windows_touched(kind, plan.zone, *span, window.span_ms, window.origin_ms)
    return Bound(count, f"once a user and {word}, {count:,} of them")


def _by_run(plan: Plan, counter: Counter, threshold: int, span: Span) -> Bound:
    """Each firing of `reach` and `every` has so many periods of its own, whatever order the events come in."""
    if span is None:
        return Bound(None, "")
    counted_from_ms = span[0] - (plan.lookback_ms or 0)
    periods = windows_touched(counter.window.period, plan.zone, counted_from_ms, span[1])
    count = max(0, periods - threshold + 1) if counter.fires == "from" else periods // threshold
    return Bound(count, f"{count:,} such streaks a user in {periods:,} {counter.window.period}s")


def _earned_again(plan: Plan) -> bool:
    """Whether a step may be granted again while what it gave stands: what is forgotten is not taken back."""
    refunds = plan.refunds
    return refunds is not None and refunds.again and refunds.within_ms is not None


def account_bounds(spec: AccountSpec, zone: str, span: Span, gifts: list[Share], a_user: bool) -> Iterator[Bound]:
    """What the limits of an account let through of these gifts together.

    Args:
      span: of all that fire them. a_user: to one user, which limits over all users bound as well.
    """
    name = "" if spec.name.startswith("campaign/") else spec.name.replace("/", " ") + ": "
    for limit in spec.limits:
        of_user = limit.period.startswith("user")
        if of_user and not a_user:
            continue
        if limit.cooldown_ms is not None:
            if span is not None:
                grants = -((span[0] - span[1]) // limit.cooldown_ms)
                amount = times(grants, greatest(gift.most for gift in gifts))
                yield Bound(amount, f"{name}cooldown, {grants:,} grants a user")
            continue
        period = limit.period.removeprefix("user").removeprefix("/")
        count = _periods(period, zone, span)
        for amount, what in (_by_grants(limit, gifts), _by_amount(limit, gifts, spec.unit)):
            yield Bound(times(count, amount), f"{name}{what}{_often(period, of_user, count)}")


def _periods(period: str, zone: str, span: Span) -> int | None:
    if period in ("total", ""):
        return 1
    return None if span is None else windows_touched(period, zone, *span)


def _often(period: str, of_user: bool, count: int | None) -> str:
    if period == "total":
        return " in all"
    who = " a user" if of_user else ""
    return who if not period else f"{who}{' and' if of_user else ' a'} {period}, {count or 0:,} of them"


def _by_grants(limit: LimitSpec, gifts: list[Share]) -> tuple[int | None, str]:
    most = greatest(gift.most for gift in gifts)
    if limit.grants == 0:
        return 0, "no grant"
    return times(limit.grants, most), f"{limit.grants or 0:,} grants of at most {most or 0:,}"


def _by_amount(limit: LimitSpec, gifts: list[Share], unit: str) -> tuple[int | None, str]:
    """An amount in the account's unit; a gift of another unit has a cost there, which is charged whole."""
    cap = limit.amount
    if cap is None:
        return None, ""
    costs = {gift.cost for gift in gifts}
    cost = next(iter(costs))
    if len(costs) == 1 and cost is None:
        return cap, f"{cap:,}"
    if len(costs) == 1 and cost is not None:
        return times(cap // cost, greatest(gift.most for gift in gifts)), f"{cap:,} {unit} at {cost:,} a grant"
    return greatest(_if_all_went_to(gift, cap) for gift in gifts), f"{cap:,} {unit} at what a grant costs"


def _if_all_went_to(gift: Share, cap: int) -> int | None:
    """No mixture of gifts gives more than the best of them would with a share of a grant."""
    if gift.cost is None:
        return cap
    amount = times(cap, gift.most)
    return None if amount is None else amount // gift.cost
