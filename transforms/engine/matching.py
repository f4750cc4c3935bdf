"""Which rules does an event concern? By type, then by what tells its rules best apart, then by asking the few left.

Rules are told apart by an equality, by a range of numbers or dates, by a list or a share of users (places.py): an event
asks only those that its own values name, so the campaigns it does not concern cost nothing. Buckets that still hold
many rules are divided again by what else those say. A bucket is built when the first event reaches it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

from transforms.engine.conditions import Asked, Attributes, Bucket, Rule, asked_of, bucket_of
from transforms.engine.places import Place, Span, asks_by_value, keys_of, number_at
from transforms.engine.spans import ends_of, nodes_above, nodes_of, segments_of

_FEW = 16
"""Rules that are asked as fast as they are looked up: measured, a failing condition costs 30 ns, a look-up 300."""

_FEW_SHARES = 2
"""A share of users is asked by a call, which costs as much as the look-up."""


class MatchIndex:
    """The index over rules; what it finds are their numbers."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        by_type: dict[str, list[_Member]] = defaultdict(list)
        for rule in rules:
            member = _Member(rule)
            for event_type in rule.event_types:
                by_type[event_type].append(member)
        self._buckets = {
            event_type: _buckets(members, frozenset(), inline=True) for event_type, members in by_type.items()
        }

    def matching(self, event_type: str, time_ms: int, subject: str, event: Attributes, user: Attributes) -> list[int]:
        """Numbers of the rules that are met, ascending."""
        found: list[int] = []
        for bucket in self._buckets.get(event_type, ()):
            bucket(event, user, time_ms, subject, found)
        if len(found) > 1:
            found.sort()
        return found


class _Member:
    """A rule with what it can be found by, and its function, made when first asked for."""

    def __init__(self, rule: Rule) -> None:
        self.rule, self.keys = rule, keys_of(rule)

    @cached_property
    def asked(self) -> Asked:
        return asked_of(self.rule)


def _buckets(members: Sequence[_Member], used: frozenset[Place], inline: bool) -> list[Bucket]:
    """What asks the members, divided by all that tells them apart but the places used above."""
    groups = _groups(members, used)
    rest = groups.pop(None, [])
    found = [_in_turn(rest, inline)] if rest else []
    for place, held in sorted(groups.items(), key=str):
        assert place is not None
        divided = _by_range if place.form == "range" else _by_value
        found.append(divided(place, held, used | {place}))
    return found


def _groups(members: Sequence[_Member], used: frozenset[Place]) -> dict[Place | None, list[_Member]]:
    """Members by the place at which each is least often asked in vain; None = by none."""
    shares = _shares(members, used)
    while True:
        groups: dict[Place | None, list[_Member]] = defaultdict(list)
        for member in members:
            known = [(shares[place](key), place) for place, key in member.keys.items() if place in shares]
            groups[min(known)[1] if known else None].append(member)
        small = [place for place, held in groups.items() if place and len(held) < _least(place)]
        if not small:
            return groups
        for place in small:
            del shares[place]


def _shares(members: Sequence[_Member], used: frozenset[Place]) -> dict[Place, Callable[[Any], float]]:
    """For each place that tells members apart: a key to the share of the place's values that it takes."""
    keys: dict[Place, list[Any]] = defaultdict(list)
    for member in members:
        for place, key in member.keys.items():
            if place not in used:
                keys[place].append(key)
    shares = {}
    for place, held in keys.items():
        share = _share_of_ends(held) if place.form == "range" else _share_of_values(held)
        if share is not None and len(held) >= _least(place):
            shares[place] = share
    return shares


def _least(place: Place) -> int:
    """How many rules a place must tell apart to be worth its look-up at each event."""
    if place.form != "range":
        return 1
    return _FEW if place.source in ("event", "user", "time") else _FEW_SHARES


def _share_of_values(keys: Sequence[frozenset[Any]]) -> Callable[[Any], float] | None:
    count = len(frozenset().union(*keys))
    return None if count < 2 else lambda key: len(key) / count


def _share_of_ends(keys: Sequence[Span]) -> Callable[[Any], float] | None:
    ends = ends_of(keys)
    if not ends:
        return None

    def share(key: Span) -> float:
        first, last = segments_of(key, ends)
        return (last - first) / (len(ends) + 1)

    return share


def _by_value(place: Place, members: Sequence[_Member], used: frozenset[Place]) -> Bucket:
    held: dict[Any, list[_Member]] = defaultdict(list)
    for member in members:
        for value in member.keys[place]:
            held[value].append(member)
    inline = _seldom_repeated(held, members)
    buckets: dict[Any, Bucket] = {}
    for value, those in held.items():
        buckets[value] = _Unbuilt(buckets, value, those, used, inline)
    return asks_by_value(place, buckets)


class _Unbuilt:
    """Stands for a bucket until the first event reaches it."""

    __slots__ = ("_buckets", "_in_line", "_members", "_used", "_value")

    def __init__(
        self, buckets: dict[Any, Bucket], value: Any, members: Sequence[_Member], used: frozenset[Place], inline: bool
    ) -> None:
        self._buckets, self._value, self._members = buckets, value, members
        self._used, self._in_line = used, inline

    def __call__(self, e: Attributes, u: Attributes, t: int, s: str, found: list[int]) -> None:
        built = self._buckets[self._value] = _bucket(self._members, self._used, self._in_line)
        built(e, u, t, s, found)


def _by_range(place: Place, members: Sequence[_Member], used: frozenset[Place]) -> Bucket:
    spans = [(cast("Span", member.keys[place]), member) for member in members]
    ends = ends_of(span for span, _ in spans)
    held = nodes_of(spans, ends)
    inline = _seldom_repeated(held, members)
    read, ready = number_at(place), dict[int, Bucket]()
    paths: list[list[Bucket] | None] = [None] * (len(ends) + 1)

    def path_of(segment: int) -> list[Bucket]:
        nodes = [node for node in nodes_above(segment, ends) if node in held]
        for node in nodes:
            if node not in ready:
                ready[node] = _bucket(held[node], used, inline)
        return [ready[node] for node in nodes]

    def ask(e: Attributes, u: Attributes, t: int, s: str, found: list[int]) -> None:
        value = read(e, u, t, s)
        if value is None:
            return
        segment = bisect_right(ends, value)
        path = paths[segment]
        if path is None:
            path = paths[segment] = path_of(segment)
        for bucket in path:
            bucket(e, u, t, s, found)

    return ask


def _seldom_repeated(held: Mapping[Any, Sequence[_Member]], members: Sequence[_Member]) -> bool:
    """Whether code may be written out a bucket; members that stand in many share one function each instead."""
    return sum(map(len, held.values())) <= 2 * len(members)


def _bucket(members: Sequence[_Member], used: frozenset[Place], inline: bool) -> Bucket:
    if len(members) < _FEW:
        return _in_turn(members, inline)
    buckets = _buckets(members, used, inline)
    if len(buckets) == 1:
        return buckets[0]

    def ask(e: Attributes, u: Attributes, t: int, s: str, found: list[int]) -> None:
        for bucket in buckets:
            bucket(e, u, t, s, found)

    return ask


def _in_turn(members: Sequence[_Member], inline: bool) -> Bucket:
    if inline:
        return bucket_of([member.rule for member in members])
    asked = [(member.rule.number, member.asked) for member in members]

    def ask(e: Attributes, u: Attributes, t: int, s: str, found: list[int]) -> None:
        for number, met in asked:
            if met(e, u, t, s):
                found.append(number)

    return ask
