"""The worst case of a folder: what each campaign may give one user and all of them, and what bounds it.

A campaign has a row for each unit it gives. Totals follow the accounts: campaigns add up, and what stands above them
caps the sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from runners.ops.bounds import (
    Bound,
    Share,
    Span,
    account_bounds,
    event_firings,
    greatest,
    span_of,
    tightest,
    times,
    total,
    user_firings,
    value_bound,
)
from schemas.plans import Gift, Plan, PlanSet
from schemas.proposals import AccountSpec

_ANYONE = "any number of users"
NAMED_MAX = 3
"""So many campaigns are named where a list of them may be long."""


class Liability(NamedTuple):
    """The worst case of a campaign in one unit.

    Attributes:
      a_grant, a_user, in_all: of one grant, of one user, of all users. by_event: what one event may bring all of them.
    """

    campaign: str
    unit: str
    a_grant: Bound
    a_user: Bound
    in_all: Bound
    by_event: int | None

    @property
    def all_to_one(self) -> bool:
        """Whether nothing bounds one user but what bounds all."""
        return self.a_user == self.in_all


class Total(NamedTuple):
    """The worst case of a folder in one unit."""

    unit: str
    a_user: Bound
    in_all: Bound


class _Given(NamedTuple):
    """A gift with its step."""

    step: int
    gift: Gift
    most: Bound


class _Row(NamedTuple):
    plan: Plan
    given: list[_Given]
    liability: Liability


class WorstCases(NamedTuple):
    """campaigns: ids ascending, of each a row for each of its units. totals: a row for each unit."""

    campaigns: list[Liability]
    totals: list[Total]


def worst_cases(plan_set: PlanSet) -> WorstCases:
    """Of every campaign, and of the folder."""
    accounts = {account.name: account for account in plan_set.accounts}
    rows = _rows(plan_set, accounts)
    by_unit: dict[str, list[_Row]] = {}
    for row in rows:
        by_unit.setdefault(row.liability.unit, []).append(row)
    totals = [
        Total(unit, _total(plan_set, members, accounts, True), _total(plan_set, members, accounts, False))
        for unit, members in sorted(by_unit.items())
    ]
    return WorstCases([row.liability for row in rows], totals)


def some(names: Sequence[str], shown: int = NAMED_MAX) -> str:
    """`a, b, c (+12)`."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" (+{more:,})" if more > 0 else "")


def _rows(plan_set: PlanSet, accounts: dict[str, AccountSpec]) -> list[_Row]:
    found = []
    for plan in plan_set.plans:
        steps = [step.gifts for step in plan.counter.steps] if plan.counter else [plan.gifts]
        by_unit: dict[str, list[_Given]] = {}
        for step, gifts in enumerate(steps):
            for gift in gifts:
                most = _grant_bound(gift, accounts)
                by_unit.setdefault(gift.incentive.unit, []).append(_Given(step, gift, most))
        for unit, given in sorted(by_unit.items()):
            found.append(_Row(plan, given, _liability(plan_set, plan, unit, given, accounts)))
    return found


def _grant_bound(gift: Gift, accounts: dict[str, AccountSpec]) -> Bound:
    """The value's own bound, or the least cap on amounts in its unit that it is charged to."""
    own = value_bound(gift)
    caps = [
        Bound(limit.amount, f"{charge.account.replace('/', ' ')}: {limit.amount:,}")
        for charge in gift.charges
        if charge.cost is None and charge.share is None
        for limit in accounts[charge.account].limits
        if limit.amount is not None
    ]
    return tightest([own, *caps], own.why)


def _liability(
    plan_set: PlanSet, plan: Plan, unit: str, given: list[_Given], accounts: dict[str, AccountSpec]
) -> Liability:
    most = greatest(one.most.amount for one in given)
    a_grant = max((one.most for one in given), key=lambda bound: (bound.amount is None, bound.amount or 0))
    fired = _fired(plan_set, plan, given)
    above = [_through(charge.account, [(plan, given)], accounts, False) for charge in given[0].gift.charges]
    in_all = tightest([bound for bounds in above for bound in bounds] + _listed(plan_set, plan, given), _ANYONE)
    above = [_through(charge.account, [(plan, given)], accounts, True) for charge in given[0].gift.charges]
    why = fired.why if most is not None else a_grant.why
    a_user = tightest([fired, *(bound for bounds in above for bound in bounds), in_all], why)
    if in_all.amount is None and most is None:
        in_all = in_all._replace(why=a_grant.why)
    return Liability(plan.campaign, unit, a_grant, a_user, in_all, _by_event(plan, given, in_all))


def _fired(plan_set: PlanSet, plan: Plan, given: list[_Given]) -> Bound:
    """What a user gets at most by how often the campaign fires; one that other users' events name has no such bound."""
    firings = [user_firings(plan, one.step, plan_set.ordering) for one in given]
    if not all(_to_subject(plan, one.gift) for one in given):
        return Bound(None, "other users' events may name a user any number of times")
    amount = total(times(bound.amount, one.most.amount) for bound, one in zip(firings, given, strict=True))
    if len({one.step for one in given}) > 1:
        return Bound(amount, f"all steps, each {firings[0].why}" if firings[0].amount is not None else firings[0].why)
    return Bound(amount, firings[0].why)


def _to_subject(plan: Plan, gift: Gift) -> bool:
    return gift.to is None or (plan.subject is None and gift.to.text == "event.user_id")


def _listed(plan_set: PlanSet, plan: Plan, given: list[_Given]) -> list[Bound]:
    """Where only listed users take part: so many times what the events of one give."""
    if plan.audience.include is None:
        return []
    count = len(set(plan.audience.include) - set(plan.audience.exclude))
    firings = [user_firings(plan, one.step, plan_set.ordering) for one in given]
    amount = total(times(bound.amount, one.most.amount) for bound, one in zip(firings, given, strict=True))
    return [Bound(times(count, amount), f"{count:,} users, {firings[0].why}")]


def _through(
    account: str, members: Iterable[tuple[Plan, list[_Given]]], accounts: dict[str, AccountSpec], a_user: bool
) -> list[Bound]:
    """What an account lets through of its members together."""
    spec = accounts[account]
    if not spec.limits:
        return []
    span: Span = None
    shares, zone, spans = [], "UTC", []
    for plan, given in members:
        spans.append(span_of(plan))
        for one in given:
            charge = next(charge for charge in one.gift.charges if charge.account == account)
            if charge.share is not None:
                return []  # another pays the rest: what it lets through of its part bounds no grant by itself
            shares.append(Share(one.most.amount, charge.cost))
            zone = charge.zone
    if None not in spans:
        span = min(one[0] for one in spans if one), max(one[1] for one in spans if one)
    return list(account_bounds(spec, zone, span, shares, a_user))


def _by_event(plan: Plan, given: list[_Given], in_all: Bound) -> int | None:
    """What one event may bring all users."""
    steps: dict[int, list[int | None]] = {}
    for one in given:
        steps.setdefault(one.step, []).append(one.most.amount)
    a_step = [total(amounts) for amounts in steps.values()]
    highest = plan.counter is not None and plan.counter.pick == "highest"
    fired = times(event_firings(plan), greatest(a_step) if highest else total(a_step))
    return tightest([Bound(fired, ""), in_all], "").amount


def _total(plan_set: PlanSet, rows: list[_Row], accounts: dict[str, AccountSpec], a_user: bool) -> Bound:
    """The sum of what stands directly under the tenant, or what the tenant lets through."""
    by_theme: dict[str, list[_Row]] = {}
    for row in rows:
        by_theme.setdefault(_under_tenant(row.given[0].gift), []).append(row)
    parts = [_theme_total(theme, members, accounts, a_user) for theme, members in sorted(by_theme.items())]
    summed = Bound(total(part.amount for part in parts), _sum_of(rows, a_user))
    bounds = [summed, *_through("tenant", [(row.plan, row.given) for row in rows], accounts, a_user)]
    if a_user:
        bounds.append(
            Bound(total(_locked(plan_set, rows)), "one offer of each group that locks for ever, and the rest")
        )
    return tightest(bounds, summed.why)


def _under_tenant(gift: Gift) -> str:
    """The theme, or the campaign that stands under none."""
    accounts = [charge.account for charge in gift.charges]
    return next(account for account in accounts if account.startswith(("theme/", "campaign/")))


def _theme_total(account: str, members: list[_Row], accounts: dict[str, AccountSpec], a_user: bool) -> Bound:
    """Of a theme, or of a campaign that stands under none."""
    summed = Bound(total(_told(row, a_user).amount for row in members), "")
    if account.startswith("campaign/"):
        return summed
    return tightest([summed, *_through(account, [(row.plan, row.given) for row in members], accounts, a_user)], "")


def _sum_of(rows: list[_Row], a_user: bool) -> str:
    without = [row.liability.campaign for row in rows if _told(row, a_user).amount is None]
    if without:
        return f"no bound: {some(without)}"
    return "its campaign" if len(rows) == 1 else f"{len(rows):,} campaigns and their themes"


def _told(row: _Row, a_user: bool) -> Bound:
    return row.liability.a_user if a_user else row.liability.in_all


def _locked(plan_set: PlanSet, rows: list[_Row]) -> list[int | None]:
    """A user's worst case by campaign, of a group whose lock never ends the greatest."""
    for_ever = {group.group for group in plan_set.groups if group.locks == "ever"}
    by_lock: dict[str, list[int | None]] = {}
    for row in rows:
        group = row.plan.group
        place = f"group/{group}" if group in for_ever else row.plan.campaign
        by_lock.setdefault(place, []).append(row.liability.a_user.amount)
    return [greatest(amounts) for amounts in by_lock.values()]
