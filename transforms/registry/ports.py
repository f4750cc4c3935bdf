"""The registry's port, and what a new set takes over from the earlier ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

import msgspec

from schemas.errors import UsageError
from schemas.expressions import Expression
from schemas.plans import ArraySum, DistinctItems, Pairing, Plan, PlanSet, expressions_in

_TOKEN = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\w+|\S""")
_OF_THE_CALENDAR = ("day", "week", "month", "run")


class Registry(Protocol):
    """The numbered sets of one tenant.

    Obligations of an adapter: a number is given once and its set never changes; sets are read in the order of their
    numbers, all or none; what `publish` returned is what every later `sets` contains.
    """

    def sets(self) -> tuple[PlanSet, ...]:
        """All sets, numbers ascending from 1; () before the first.

        Raises:
          RegistryUnavailableError: no answer; advance nothing by an older reading than two polls.
        """
        ...

    def revision(self) -> int:
        """The number of the latest set, 0 before the first: cheap, to be polled."""
        ...

    def publish(self, plan_set: PlanSet) -> None:
        """Keep a set under its number.

        Raises:
          UsageError: another set was published under that number meanwhile.
        """
        ...


def numbered(plan_set: PlanSet, earlier: Sequence[PlanSet], in_force_from_ms: int | None) -> PlanSet:
    """The set as it is to be published behind the earlier ones.

    A campaign keeps its series, and so its users' counters, while its trigger means the same; else the series rises by
    one and counters start anew (docs/contracts/registry.md).

    Raises:
      UsageError: the set would come into force before the latest one does.
    """
    if not earlier:
        return msgspec.structs.replace(plan_set, number=1, in_force_from_ms=None)
    latest = earlier[-1].in_force_from_ms
    if in_force_from_ms is None or (latest is not None and in_force_from_ms < latest):
        raise UsageError(f"set {earlier[-1].number} comes into force later than this one would")
    plans = tuple(msgspec.structs.replace(plan, series=_series(plan, earlier)) for plan in plan_set.plans)
    return msgspec.structs.replace(
        plan_set, number=earlier[-1].number + 1, in_force_from_ms=in_force_from_ms, plans=plans
    )


def same_content(one: PlanSet, other: PlanSet) -> bool:
    """Whether two sets say the same, numbers and series apart."""
    return _content(one) == _content(other)


def _content(plan_set: PlanSet) -> tuple[object, ...]:
    """Checked expressions are left out: their bytes differ from run to run, and a plan's version covers their text."""
    plans = tuple((plan.campaign, plan.version, [gift.charges for gift in plan.all_gifts]) for plan in plan_set.plans)
    of_all = plan_set.tenant, plan_set.horizon_ms, plan_set.schema, plan_set.accounts
    return *of_all, plans, plan_set.groups, plan_set.ordering


def _series(plan: Plan, earlier: Sequence[PlanSet]) -> int:
    for plan_set in reversed(earlier):
        for known in plan_set.plans:
            if known.campaign == plan.campaign:
                return known.series if _meaning(known) == _meaning(plan) else known.series + 1
    return 0


def _meaning(plan: Plan) -> tuple[object, ...]:
    """What a counter's value depends on; thresholds, incentives, dates and limits may change under it."""
    counter, which = plan.counter, (plan.event_types, _text(plan.where), plan.currency, _text(plan.subject))
    parts = [
        part and (part.event_types, _text(part.where), _pair(part.pairing)) for part in (plan.opening, plan.absence)
    ]
    spans = (plan.silence_ms, plan.opening and (plan.opening.within_ms, plan.opening.once_per_value))
    if counter is None:
        return *which, *parts, spans
    measure = type(counter.measure), *(_text(expression) for expression in expressions_in(counter.measure))
    array = counter.measure.array if isinstance(counter.measure, ArraySum | DistinctItems) else ""
    zone = plan.zone if counter.window.kind in _OF_THE_CALENDAR else ""
    return *which, *parts, spans, measure, array, counter.window, counter.fires, counter.restart, zone


def _pair(pairing: Pairing | None) -> object:
    return pairing and (_text(pairing.first), _text(pairing.then))


def _text(expression: Expression | None) -> tuple[str, ...] | None:
    """Its words and signs: spaces and line breaks between them mean nothing."""
    return None if expression is None else tuple(_TOKEN.findall(expression.text))
