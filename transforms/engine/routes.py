"""Routes: what a grant is charged to at an event time, accounts with their slices of time and the group's lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.plans import GroupPlan, PlanCharge
from schemas.proposals import Charge, Lock, packed_route
from transforms.engine.windows import by_quarter, window_start

_BUILT_MAX = 1_000
_ALWAYS = ("user", "user/cooldown")
"""Periods without a beginning."""


def route_at(charges: Sequence[PlanCharge], group: GroupPlan | None) -> Callable[[int], bytes]:
    """From an event time to the packed Route of a grant made then. Grants of the same slices get the same bytes object.

    Args:
      group: of which the campaign is an offer, if any: names the lock.
    """
    finders = [
        window_start(period.removeprefix("user/"), charge.zone)
        for charge in charges
        for period in charge.periods
        if period not in _ALWAYS
    ]
    locks = group.locks if group is not None else None
    if group is not None and locks not in (None, "ever"):
        finders.append(window_start(locks, group.zone))
    name = group.group if group is not None and locks is not None else None
    if not finders:
        always = _built(charges, name, [])
        return lambda time_ms: always
    built: dict[tuple[int, ...], bytes] = {}

    def found_at(time_ms: int) -> bytes:
        starts = tuple([find(time_ms) for find in finders])
        found = built.get(starts)
        if found is None:
            if len(built) >= _BUILT_MAX:
                built.clear()
            found = built[starts] = _built(charges, name, list(starts))
        return found

    return by_quarter(found_at)


def _built(charges: Sequence[PlanCharge], group: str | None, starts: list[int]) -> bytes:
    """starts: of the windows, in the order of charges and periods, the lock's last."""
    result = []
    for charge in charges:
        slices = [(period, 0) for period in charge.periods if period in _ALWAYS]
        slices += [(period, starts.pop(0)) for period in charge.periods if period not in _ALWAYS]
        result.append(Charge(charge.account, tuple(slices), charge.cost, charge.share, charge.takes_odd))
    lock = Lock(group, starts.pop(0) if starts else 0) if group is not None else None
    return packed_route(tuple(result), lock)
