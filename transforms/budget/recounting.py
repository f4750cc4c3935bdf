"""Counters told anew from the records of grants: what every account, slice, user, lock and hold should stand at.

A counter is worth what its grants still charge it: their amounts (or fixed costs) less what was given back to it. The
layout of a record is that of lua/parts/records.lua, of a route that of lua/parts/accounts.lua.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from transforms.budget.ports import COOLDOWN

_GRANTED, _DENIED, _HELD, _WAITING, _LISTED = 1, 2, 3, 8, 9
_EVERYTHING = "budget limits lock"
_unpack = msgspec.msgpack.Decoder().decode


class Place(NamedTuple):
    """One counter.

    Attributes:
      account: its account; "lock/<group>" of a lock, "hold/<number>" of a hold.
      period: "total", a slice's, "user/cooldown"; "held" of what is held of an account's total; "lock", "hold".
    """

    account: str
    period: str
    start_ms: int = 0
    user: str = ""


Value = tuple[int | str, ...]
"""(grants, amount); of "held" (amount,); of a cool-down (ms of the last approval,); of a lock (grants, campaign)."""

Counters = dict[Place, Value]


class Difference(NamedTuple):
    """A counter that is not what the records say; () = there is none."""

    place: Place
    recorded: Value
    recomputed: Value


class GrantRecord(NamedTuple):
    """What became of an approved grant. gave: what went back with the last of it, where nothing of it stands."""

    outcome: int
    user: str
    amount: int
    taken: int
    entry: int
    route: int
    hold: int = 0
    kept_budget: int = 0
    kept_limits: int = 0
    gave: str = _EVERYTHING
    at_ms: int | None = None

    @property
    def stands(self) -> int:
        """What is not taken back."""
        return self.amount - self.taken


def read_grant(raw: bytes) -> GrantRecord | None:
    """The record of an approved grant; None for any other."""
    if raw[0] == _GRANTED:
        amount, entry, route = (int.from_bytes(raw[a:b]) for a, b in ((7, 13), (13, 19), (19, 23)))
        return GrantRecord(_GRANTED, raw[23:].decode(), amount, 0, entry, route)
    if raw[1] in (_DENIED, _WAITING, _LISTED):
        return None
    outcome, user, _, entry, _, amount, _, taken, route, hold, *rest = _unpack(raw)
    kept_budget, kept_limits, gave, at_ms = rest[1:5] if len(rest) > 1 else (0, 0, False, False)
    told = _EVERYTHING if gave is False else str(gave)  # "" = nothing was given back
    cooled_ms = None if at_ms is False else int(at_ms)
    return GrantRecord(outcome, user, amount, taken, entry, route, hold, kept_budget, kept_limits, told, cooled_ms)


class Recount:
    """Adds up records.

    Args:
      route_of: a route by its number, as the scripts keep it.
    """

    def __init__(self, route_of: Callable[[int], list[Any]]) -> None:
        self._route_of = route_of
        self._counts: dict[Place, list[int]] = {}
        self._others: Counters = {}

    def add(self, campaign: str, raw: bytes) -> None:
        """One record of a campaign's."""
        grant = read_grant(raw)
        if grant is None:
            return
        lock, *charges = self._route_of(grant.route)
        spent = "" if grant.stands else grant.gave
        for account, cost, *slices in charges:
            self._charge(grant, Place(account, "total"), cost, spent)
            for period, start in zip(slices[::2], slices[1::2], strict=True):
                place = Place(account, period, start, grant.user if period.startswith("user") else "")
                if period == COOLDOWN:
                    self._cool(place, grant)
                else:
                    self._charge(grant, place, cost, spent)
            if grant.outcome == _HELD and grant.stands:
                held = self._counts.setdefault(Place(account, "held"), [0])
                held[0] += grant.stands if cost < 0 else cost
        if lock and "lock" not in spent.split():
            place = Place(f"lock/{lock[0]}", "lock", lock[1], grant.user)
            held_by = self._others.get(place, (0, campaign))
            self._others[place] = int(held_by[0]) + 1, campaign
        if grant.hold:
            self._others[Place(f"hold/{grant.hold}", "hold")] = ("held",)

    def _charge(self, grant: GrantRecord, place: Place, cost: int, spent: str) -> None:
        named, kept = ("limits", grant.kept_limits) if place.user else ("budget", grant.kept_budget)
        if named in spent.split():
            cost, grants = min(cost, 0), 0
        else:
            grants = 1
        count = self._counts.setdefault(place, [0, 0])
        count[0] += grants
        count[1] += grant.stands + kept if cost < 0 else cost * grants

    def _cool(self, place: Place, grant: GrantRecord) -> None:
        if grant.at_ms is not None:
            last = self._others.get(place, (grant.at_ms,))[0]
            self._others[place] = (max(int(last), grant.at_ms),)

    def counters(self) -> Counters:
        """All that are not 0."""
        counts: Counters = {place: tuple(count) for place, count in self._counts.items() if any(count)}
        return counts | self._others


def differences(recorded: Counters, recomputed: Counters, dropped: bool = False) -> list[Difference]:
    """Where they differ, in the order of their places.

    Args:
      dropped: old records were dropped, so that a counter may stand above those there are, and a slice of time be gone.
    """
    found = [
        Difference(place, recorded.get(place, ()), recomputed.get(place, ()))
        for place in sorted({*recorded, *recomputed})
        if recorded.get(place, ()) != recomputed.get(place, ())
    ]
    return [one for one in found if not (dropped and _is_of_dropped(one))]


def _is_of_dropped(difference: Difference) -> bool:
    place, recorded, recomputed = difference
    if place.period in ("held", "hold"):
        return False
    if not recorded or not recomputed:
        return bool(recorded) or place.start_ms != 0
    pairs = zip(recorded, recomputed, strict=True)
    return all(int(one) >= int(other) for one, other in pairs if isinstance(one, int))
