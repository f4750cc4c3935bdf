"""Which set of campaigns judges an event: the one in force at its event time, on every worker alike."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from schemas.errors import InvariantError
from schemas.events import Event
from schemas.plans import Plan, PlanSet
from transforms.engine.sets import CompiledSet
from transforms.language.collector import nothing_collected


class Timeline:
    """The numbered sets of one tenant, each in force from an event time until the next one's.

    Sets are compiled when first asked for: a long history of sets costs nothing until events of that time come.
    """

    def __init__(self, sets: Sequence[PlanSet]) -> None:
        if not sets or sets[0].in_force_from_ms is not None:
            raise InvariantError("the first set is in force from the beginning of time")
        self._sets = tuple(sets)
        self._starts = [plan_set.in_force_from_ms or 0 for plan_set in sets[1:]]
        if self._starts != sorted(self._starts):
            raise InvariantError("sets come into force in the order of their numbers")
        self._compiled: list[CompiledSet | None] = [None] * len(sets)

    @property
    def latest(self) -> PlanSet:
        return self._sets[-1]

    @property
    def latest_compiled(self) -> CompiledSet:
        return self._compiled[-1] or self._compile(len(self._sets) - 1)

    @property
    def names_subjects(self) -> bool:
        """Whether a campaign of any set moves the state of others than the event's user."""
        return any(plan.subject is not None for plan_set in self._sets for plan in plan_set.plans)

    def subjects(self, event: Event) -> list[str]:
        """Whose state an event moves: its user's first."""
        return self.at(event.time_ms).subjects(event)

    def at(self, time_ms: int) -> CompiledSet:
        """The set in force at an event time."""
        place = bisect_right(self._starts, time_ms) if self._starts else 0
        return self._compiled[place] or self._compile(place)

    def _compile(self, place: int) -> CompiledSet:
        with nothing_collected():
            compiled = self._compiled[place] = CompiledSet(self._sets[place], self._cut_overs(place))
        return compiled

    def _cut_overs(self, place: int) -> dict[str, int]:
        """Since when sets in an unbroken row have a campaign that looks back; not from the beginning of time."""
        found = {}
        for plan in self._sets[place].plans:
            first = place
            while plan.lookback_ms is not None and first and _has(self._sets[first - 1], plan):
                first -= 1
            if plan.lookback_ms is not None and first:
                found[plan.campaign] = self._starts[first - 1]
        return found


def _has(plan_set: PlanSet, plan: Plan) -> bool:
    return any(other.campaign == plan.campaign and other.series == plan.series for other in plan_set.plans)
