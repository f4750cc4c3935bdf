"""Campaigns that one event can fire together: same type, dates that meet, conditions that do not exclude each other.

Two campaigns are told apart only where it is plain: constants an attribute must equal, bounds of an integer, dates,
weekdays, currencies, lists and shares of users, and exclusive groups. So an overlap that is told may still never occur.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from runners.ops.bounds import greatest, total
from runners.ops.liability import Liability
from schemas.plans import AudiencePlan, Plan
from transforms.language.terms import equality_terms, range_terms

PAIRS_MAX = 300_000
COMPARED_MIN = 30
"""A campaign is compared with all others as long as that is PAIRS_MAX pairs at most, and with so many in any case."""

_SCALES = {"sha256": 2**32, "growthbook": 10_000}
_FOREVER = float("inf")
_EVERYONE = AudiencePlan()

_Place = tuple[str, str]
"""Root and name of an attribute."""


class Overlap(NamedTuple):
    """Campaigns that one event can fire.

    Attributes:
      campaigns: each can fire together with all others of `campaigns` and `others`. event_types: of the first one.
      together: by unit, what one event brings at most if all of them fire; None = no bound.
    """

    campaigns: tuple[str, ...]
    others: tuple[str, ...]
    event_types: tuple[str, ...]
    together: dict[str, int | None]


class Overlaps(NamedTuple):
    """found: most campaigns first. compared: with how many others each was compared; None = with all."""

    found: list[Overlap]
    compared: int | None


class _Facts(NamedTuple):
    """What must be so for a campaign to fire at an event.

    Attributes:
      subject: whose attributes `user` are. pins, ranges: constants an attribute is one of; [low, high) of a number.
      places: by seed and hash, the ranges of users that take part. start_ms, end_ms: when, [start, end).
    """

    plan: Plan
    subject: str
    pins: dict[_Place, frozenset[Any]]
    ranges: dict[_Place, tuple[float, float]]
    places: dict[tuple[str, str], list[tuple[int, int]]]
    start_ms: float
    end_ms: float


def overlaps(plans: Sequence[Plan], liabilities: Sequence[Liability]) -> Overlaps:
    """Every campaign with the others that fire at the same events; those with the same ones together."""
    facts = [_facts(plan) for plan in plans]
    most = max(COMPARED_MIN, PAIRS_MAX // max(len(plans), 1))
    index, by_set = _Index(facts), defaultdict[frozenset[int], list[int]](list)
    for i, own in enumerate(facts):
        near = islice(index.near(i), most)
        together = frozenset(j for j in near if not _exclude(own, facts[j])) | {i}
        if len(together) > 1:
            by_set[together].append(i)
    by_event: dict[str, dict[str, int | None]] = defaultdict(dict)
    for one in liabilities:
        by_event[one.campaign][one.unit] = one.by_event
    found = [_overlap(members, together, facts, by_event) for together, members in by_set.items()]
    found.sort(key=lambda overlap: (-len(overlap.campaigns), -len(overlap.others), overlap.campaigns))
    return Overlaps(found, most if most < len(plans) - 1 else None)


def _overlap(
    members: list[int], together: frozenset[int], facts: list[_Facts], by_event: Mapping[str, dict[str, int | None]]
) -> Overlap:
    names = tuple(facts[i].plan.campaign for i in members)
    others = tuple(facts[i].plan.campaign for i in sorted(together - set(members)))
    plans = [facts[i].plan for i in sorted(together)]
    return Overlap(names, others, facts[members[0]].plan.event_types, _together(plans, by_event))


def _together(plans: list[Plan], by_event: Mapping[str, dict[str, int | None]]) -> dict[str, int | None]:
    """What one event brings by unit: of each group's offers the greatest, and all the rest."""
    alone: dict[str, list[int | None]] = defaultdict(list)
    offered: dict[tuple[str, str], list[int | None]] = defaultdict(list)
    for plan in plans:
        for unit, amount in by_event[plan.campaign].items():
            (offered[unit, plan.group] if plan.group else alone[unit]).append(amount)
    for (unit, _), amounts in offered.items():
        alone[unit].append(greatest(amounts))
    return {unit: total(amounts) for unit, amounts in sorted(alone.items())}


class _Index:
    """Campaigns by event type and the most selective constant they ask for, so that few are compared."""

    def __init__(self, facts: list[_Facts]) -> None:
        self._facts = facts
        distinct: dict[_Place, set[Any]] = defaultdict(set)
        for one in facts:
            for place, constants in one.pins.items():
                distinct[place] |= constants
        self._general: dict[str, list[int]] = defaultdict(list)
        self._keyed: dict[str, dict[_Place, dict[Any, list[int]]]] = defaultdict(dict)
        for i, one in enumerate(facts):
            pins = {place: found for place, found in one.pins.items() if place[0] == "event"}
            chosen = max(pins, key=lambda place: (len(distinct[place]) / max(len(pins[place]), 1), place), default=None)
            for event_type in one.plan.event_types:
                if chosen is None:
                    self._general[event_type].append(i)
                    continue
                by_value = self._keyed[event_type].setdefault(chosen, {})
                for value in pins[chosen]:
                    by_value.setdefault(value, []).append(i)

    def near(self, i: int) -> Iterator[int]:
        """The campaigns that an event of this one's may fire, each once; it itself left out."""
        seen = {i}
        for j in self._near(i):
            if j not in seen:
                seen.add(j)
                yield j

    def _near(self, i: int) -> Iterator[int]:
        pins = self._facts[i].pins
        for event_type in self._facts[i].plan.event_types:
            for place, by_value in self._keyed.get(event_type, {}).items():
                values = pins[place] if place in pins else list(by_value)
                for value in values:
                    yield from by_value.get(value, ())
            yield from self._general.get(event_type, ())


def _facts(plan: Plan) -> _Facts:
    conditions = [one for one in (plan.where, plan.audience.where) if one is not None]
    pins: dict[_Place, frozenset[Any]] = {}
    ranges: dict[_Place, tuple[float, float]] = {}
    for condition in conditions:
        for term in equality_terms(condition):
            if not term.each:
                place = term.root, term.name
                pins[place] = pins.get(place, term.constants) & term.constants
        for bound in range_terms(condition):
            place = bound.root, bound.name
            low, high = ranges.get(place, (-_FOREVER, _FOREVER))
            low = low if bound.low is None else max(low, bound.low)
            ranges[place] = low, high if bound.high is None else min(high, bound.high)
    if plan.currency:
        place = "event", "currency"
        pins[place] = pins.get(place, frozenset((plan.currency,))) & {plan.currency}
    subject = plan.subject.text if plan.subject is not None else ""
    start_ms, end_ms = plan.schedule.start_ms, plan.schedule.end_ms
    return _Facts(
        plan,
        subject,
        pins,
        ranges,
        _places(plan.audience),
        -_FOREVER if start_ms is None else start_ms,
        _FOREVER if end_ms is None else end_ms,
    )


def _places(audience: AudiencePlan) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """By seed and hash: the ranges of users' places that take part."""
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for share in audience.shares:
        scale = _SCALES[share.hash]
        own = [(0, share.start), (share.end, scale)] if share.held_out else [(share.start, share.end)]
        known = found.get((share.seed, share.hash), [(0, scale)])
        found[share.seed, share.hash] = _common(known, own)
    return found


def _common(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[tuple[int, int]]:
    met = [(max(one[0], other[0]), min(one[1], other[1])) for one in some for other in others]
    return [(start, end) for start, end in met if start < end]


def _exclude(one: _Facts, other: _Facts) -> bool:
    """Whether no event fires both, as far as is plain."""
    if one.end_ms <= other.start_ms or other.end_ms <= one.start_ms:
        return True
    if (one.plan.group and one.plan.group == other.plan.group) or _weekdays_apart(one.plan, other.plan):
        return True
    same_user = one.subject == other.subject
    for place, constants in one.pins.items():
        if place[0] == "event" or same_user:
            others = other.pins.get(place)
            if (others is not None and not constants & others) or _outside(constants, other.ranges.get(place)):
                return True
    for place, bounds in one.ranges.items():
        if place[0] == "event" or same_user:
            low, high = other.ranges.get(place, bounds)
            if low >= bounds[1] or high <= bounds[0] or _outside(other.pins.get(place), bounds):
                return True
    return same_user and _users_apart(one, other)


def _outside(constants: frozenset[Any] | None, bounds: tuple[float, float] | None) -> bool:
    if constants is None or bounds is None:
        return False
    return all(type(value) is int and not bounds[0] <= value < bounds[1] for value in constants)


def _weekdays_apart(one: Plan, other: Plan) -> bool:
    mine, yours = one.schedule, other.schedule
    if not mine.days or not yours.days or mine.hours or yours.hours:
        return False
    return one.zone == other.zone and not set(mine.days) & set(yours.days)


def _users_apart(one: _Facts, other: _Facts) -> bool:
    mine, yours = one.plan.audience, other.plan.audience
    if mine == _EVERYONE or yours == _EVERYONE:
        return False
    for first, second in ((mine, yours), (yours, mine)):
        if first.include is not None and set(first.include) <= set(second.exclude):
            return True
    if mine.include is not None and yours.include is not None and not set(mine.include) & set(yours.include):
        return True
    return any(not _common(ranges, other.places.get(key, ranges)) for key, ranges in one.places.items())
