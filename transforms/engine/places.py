"""What tells rules apart: the values of an attribute, and the ranges of a number, of event time, of a user's place.

A key is necessary for its rule, not sufficient: it says where the rule is worth asking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from schemas.plans import UserShare
from transforms.engine.conditions import Attributes, Bucket, Rule
from transforms.engine.gates import user_place
from transforms.language.terms import Number, equality_terms, range_terms

_LISTED_MAX = 1_000
"""Users: a longer list tells little apart, and would be held once more; its campaign asks for the user itself."""


class Place(NamedTuple):
    """Where an input is looked at.

    Attributes:
      form: one "value" of several constants, "each" element of an array, or a number in a "range".
      source: "event" or "user" with the attribute's name; "subject"; "time"; a share's hash with its seed as name.
    """

    form: Literal["value", "each", "range"]
    source: Literal["event", "user", "subject", "time", "sha256", "growthbook"]
    name: str = ""


class Span(NamedTuple):
    """[low, high); None = no bound."""

    low: Number | None
    high: Number | None


Keys = dict[Place, frozenset[Any] | Span]


def keys_of(rule: Rule) -> Keys:
    """All that a rule can be found by."""
    keys: Keys = {}
    for expression in rule.conditions:
        for term in equality_terms(expression):
            place = Place("each" if term.each else "value", _root(term.root), term.name)
            known = keys.get(place)
            # Of two lists for one attribute the shorter one finds the rule; the other is asked with the rest.
            if not isinstance(known, frozenset) or len(term.constants) < len(known):
                keys[place] = term.constants
        for found in range_terms(expression):
            keys.setdefault(Place("range", _root(found.root), found.name), Span(found.low, found.high))
    if rule.currency:
        keys.setdefault(Place("value", "event", "currency"), frozenset((rule.currency,)))
    if rule.schedule is not None and (rule.schedule.start_ms, rule.schedule.end_ms) != (None, None):
        keys[Place("range", "time")] = Span(rule.schedule.start_ms, rule.schedule.end_ms)
    include = rule.audience.include
    if include is not None and len(include) <= _LISTED_MAX:
        keys[Place("value", "subject")] = frozenset(include)
    for share in rule.audience.shares:
        if not share.held_out:
            keys.setdefault(Place("range", share.hash, share.seed), Span(share.start, share.end))
    return keys


def number_at(place: Place) -> Callable[[Attributes, Attributes, int, str], Any]:
    """(event, user, event time in ms, subject) -> the number at a place of ranges; None where none stands there."""
    source, name = place.source, place.name
    if source == "event":
        return lambda e, u, t, s: e.get(name)
    if source == "user":
        return lambda e, u, t, s: u.get(name)
    if source == "time":
        return lambda e, u, t, s: t
    share = UserShare(name, "sha256" if source == "sha256" else "growthbook", 0, 0, False)
    return lambda e, u, t, s: user_place(share, s)


def asks_by_value(place: Place, buckets: Mapping[Any, Bucket]) -> Bucket:
    """What asks the bucket of the value that stands at a place; of an array, those of its elements.

    One function a form, for this runs at every event and for each place.
    """
    name = place.name

    def of_event(e: Attributes, u: Attributes, t: int, s: str, found: list[int]) -> None:
        bucket = buckets.get(e.get(name))
        if bucket is not None:
            bucket(e, u, t, s, found)

    def of_user(e: Attributes, u: Attributes, t: int, s: str, found: list[int]) -> None:
        bucket = buckets.get(u.get(name))
        if bucket is not None:
            bucket(e, u, t, s, found)

    def of_subject(e: Attributes, u: Attributes, t: int, s: str, found: list[int]) -> None:
        bucket = buckets.get(s)
        if bucket is not None:
            bucket(e, u, t, s, found)

    def of_elements(e: Attributes, u: Attributes, t: int, s: str, found: list[int]) -> None:
        elements = (e if place.source == "event" else u).get(name)
        if elements:
            for element in dict.fromkeys(elements):
                bucket = buckets.get(element)
                if bucket is not None:
                    bucket(e, u, t, s, found)

    if place.form == "each":
        return of_elements
    return {"event": of_event, "user": of_user}.get(place.source, of_subject)


def _root(root: str) -> Literal["event", "user"]:
    return "event" if root == "event" else "user"
