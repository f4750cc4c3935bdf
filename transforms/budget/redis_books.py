"""A root's records and counters as they stand in Redis, read whole at one point of the log."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import redis

from schemas.errors import LedgerBusyError
from transforms.budget.keys import control, key
from transforms.budget.ports import COOLDOWN
from transforms.budget.recounting import Counters, Difference, Place, Recount, differences
from transforms.budget.redis_question import unpack

PAGE = 1000
READINGS = 3
"""How often the books are read again because something was decided meanwhile."""


class RedisBooks:
    """One tenant's records and counters.

    Args:
      client: from `schemas.redis_connection.connect`. Its errors are raised as they are: whoever reads begins again.
    """

    def __init__(self, client: redis.Redis, tenant: str) -> None:
        self._client: Any = client
        self._tenant = tenant

    def sequence(self) -> int:
        """Of the latest log entry there has been, 0 before the first."""
        return int(self._client.hget(control(self._tenant), "sequence") or 0)

    def verify(self) -> list[Difference]:
        """Where a counter is not what the records say.

        Both are read in pages, and count only if nothing was decided from the first to the last of them. Where old
        records were dropped, a counter may stand above those there are.

        Raises:
          LedgerBusyError: something was, in every reading.
        """
        for _ in range(READINGS):
            before = self.sequence()
            dropped = bool(self._client.exists(key(self._tenant, "floors")))
            found = differences(self.recorded(), self.recomputed(), dropped)
            if self.sequence() == before:
                return found
        raise LedgerBusyError(f"something was decided during each of {READINGS} readings; freeze the ledger to read it")

    def log(self) -> Iterator[tuple[int, dict[bytes, bytes]]]:
        """(sequence, fields) of every entry that the log still has, in order."""
        last = "-"
        while page := self._client.xrange(key(self._tenant, "log"), last, "+", PAGE):
            yield from ((int(entry.partition(b"-")[0]), fields) for entry, fields in page)
            last = f"({page[-1][0].decode()}"

    def unpublished(self) -> set[int]:
        """Sequences of the entries that are marked."""
        return {int(entry) for entry in self._client.zrange(key(self._tenant, "unpublished"), 0, -1)}

    def recomputed(self) -> Counters:
        """Every counter that is not 0, told from the records."""
        recount = Recount(self._routes())
        for home, _, raw in self.records():
            recount.add(home.partition(":")[0], raw)
        return recount.counters()

    def records(self) -> Iterator[tuple[str, bytes, bytes]]:
        """("<campaign>:<generation>", grant id, record) of everything that was asked for."""
        for home in self._names("record"):
            for grant_id, raw in self._client.hscan_iter(key(self._tenant, "record", home), count=PAGE):
                yield home, grant_id, raw

    def recorded(self) -> Counters:
        """Every counter that is not 0, as it is kept."""
        found = {place: value for place, value in self._counts() if any(value) or place.period == COOLDOWN}
        for home in self._names("lock"):
            group, _, start = home.rpartition(":")
            for user, raw in self._client.hscan_iter(key(self._tenant, "lock", home), count=PAGE):
                place = Place(f"lock/{group}", "lock", int(start), user.decode())
                found[place] = int(struct.unpack(">d", raw[:8])[0]), raw[8:].decode()
        due = {int.from_bytes(member[-6:]) for member in self._client.zrange(key(self._tenant, "due"), 0, -1)}
        kept = {int(number) for number in self._client.hkeys(key(self._tenant, "holds"))}
        for number in due | kept:
            state = "held" if number in due & kept else "not due" if number in kept else "unknown"
            found[Place(f"hold/{number}", "hold")] = (state,)
        return found

    def _counts(self) -> Iterator[tuple[Place, tuple[int | str, ...]]]:
        for raw_name in self._client.smembers(key(self._tenant, "accounts")):
            name = raw_name.decode()
            use, held = self._client.hmget(key(self._tenant, "account", name), "use", "held")
            yield Place(name, "total"), _count(use)
            yield Place(name, "held"), (int(held or 0),)
            for field, raw in self._client.hscan_iter(key(self._tenant, "slices", name), count=PAGE):
                period, _, start = field.decode().partition(":")
                yield Place(name, period, int(start)), _count(raw)
        for family in self._names("user"):
            name, period, start = family.split(":")
            for user, raw in self._client.hscan_iter(key(self._tenant, "user", family), count=PAGE):
                place = Place(name, period, int(start), user.decode())
                is_time = len(raw) == 8
                yield place, (int(struct.unpack(">d", raw)[0]),) if is_time else _count(raw)

    def _names(self, kind: str) -> Iterator[str]:
        """What the tenant's keys of a kind are for."""
        prefix = key(self._tenant, kind) + ":"
        names = {name.decode() for name in self._client.scan_iter(f"{prefix}*", PAGE)}
        return iter(sorted(name.removeprefix(prefix) for name in names))

    def _routes(self) -> Callable[[int], list[Any]]:
        @cache
        def route_of(number: int) -> list[Any]:
            found: list[Any] = unpack(self._client.hget(key(self._tenant, "routes"), str(number)))
            return found

        return route_of


def _count(raw: bytes | None) -> tuple[int, int]:
    grants, amount = struct.unpack(">dd", raw[:16]) if raw else (0.0, 0.0)
    return int(grants), int(amount)
