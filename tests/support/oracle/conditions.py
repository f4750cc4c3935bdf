"""Conditions and amounts: asked of Google's C++ runtime of CEL, with attributes as maps, so that what is missing is an error."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from schemas.campaign_parts import ArrayAmount, Audience, HashRange, ListFile
from schemas.triggers import ItemsValue
from tests.support.oracle.model import Event, World

_MAP = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
_ENVIRONMENT = cel.NewEnv(
    variables={"event": _MAP, "user": _MAP, "item": cel.Type.DYN, "event_time": cel.Type.TIMESTAMP}
)
_AMOUNT_LIMIT = 10**14
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

User = Mapping[str, Any]


@lru_cache(maxsize=10_000)
def _compiled(text: str) -> Any:
    return _ENVIRONMENT.compile(text.replace("event.event_time", "event_time"))


def value(text: str, event: Event | None, user: User, item: Any = None) -> Any:
    """The value of an expression; None where it is missing or an error."""
    data: dict[str, Any] = {"user": dict(user), "item": item, "event": {}}
    if event is not None:
        named = {"event_id": event.event_id, "event_type": event.event_type, "user_id": event.user}
        data["event"] = {**event.attributes, **named}
        data["event_time"] = _EPOCH + dt.timedelta(milliseconds=event.time_ms)
    found = _compiled(text).eval(data=data)
    return None if found.type() == cel.Type.ERROR else found.value()


def holds(text: str | None, event: Event | None, user: User, item: Any = None) -> bool:
    """Whether a condition is true; one that was left out is."""
    return text is None or value(text, event, user, item) is True


def named_user(text: str, event: Event, user: User) -> str | None:
    """The user that an attribute names."""
    found = value(text, event, user)
    return None if found is None or found == "" else str(found)


def amount(of: str | ArrayAmount, event: Event, user: User) -> int | None:
    """An amount over the event, or over an array's elements; None where it is missing."""
    if isinstance(of, str):
        return _believed(value(of, event, user))
    elements = value(of.array, event, user)
    if elements is None:
        return None
    chosen = [item for item in event.attributes[_array_name(of.array)] if holds(of.where, event, user, item)]
    added = [value(of.add, event, user, item) for item in chosen]
    return _believed(sum(number for number in added if number is not None))


def values(of: str | ItemsValue, event: Event, user: User) -> frozenset[Any]:
    """The different values that an event brings."""
    if isinstance(of, str):
        found = [value(of, event, user)]
    else:
        elements = event.attributes.get(_array_name(of.array), [])
        found = [value(of.of, event, user, item) for item in elements if holds(of.where, event, user, item)]
    return frozenset(each for each in found if each is not None)


def _array_name(text: str) -> str:
    return text.removeprefix("event.")


def _believed(number: int | None) -> int | None:
    return number if number is not None and abs(number) < _AMOUNT_LIMIT else None


def takes_part(audience: str | Audience | None, subject: str, user: User, world: World) -> bool:
    """Whether a user is of the audience."""
    if audience is None or isinstance(audience, str):
        return holds(audience, None, user)
    if audience.include is not None and subject not in _listed(audience.include, world):
        return False
    if audience.exclude is not None and subject in _listed(audience.exclude, world):
        return False
    if audience.share is not None and not _lies_in(audience.share, subject):
        return False
    if audience.holdout is not None and _lies_in(audience.holdout, subject):
        return False
    return holds(audience.where, None, user)


def _listed(users: tuple[str, ...] | ListFile, world: World) -> frozenset[str]:
    return world.lists[users.file] if isinstance(users, ListFile) else frozenset(users)


def _lies_in(range_: HashRange, user: str) -> bool:
    return _exact(range_.start) <= place_of(range_.hash, range_.seed, user) < _exact(range_.end)


def _exact(share: Decimal) -> Fraction:
    return Fraction(share)


def place_of(name: str, seed: str, user: str) -> Fraction:
    """A user's place in [0, 1)."""
    if name == "sha256":
        return Fraction(int(hashlib.sha256(f"{seed}:{user}".encode()).hexdigest()[:8], 16), 2**32)
    return Fraction(_fnv1a32(str(_fnv1a32(seed + user))) % 10_000, 10_000)


def _fnv1a32(text: str) -> int:
    number = 0x811C9DC5
    for byte in text.encode():
        number = (number ^ byte) * 0x01000193 % 2**32
    return number
