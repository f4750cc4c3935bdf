"""The users' state in Redis: one transaction a bundle, and a bounded cache of cells in front of it.

The cache is allowed because one process owns the state: nobody else changes a cell behind it. It is never ahead of
the server: a cell enters it only after the server has answered, and the users of a call that failed leave it.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar, cast
from zlib import crc32

import redis
from redis.client import Pipeline
from redis.typing import EncodableT, FieldT

from schemas.errors import StateUnavailableError
from schemas.redis_connection import answered
from transforms.state.ports import BundleWrite, Outgoing, require_valid_limit, require_valid_write

T = TypeVar("T")

CELL_SHARDS = 256
"""Cells are spread over this many hashes, so that none grows so large that its rehash or deletion stalls the server.

Part of the stored format: another number would look for users in the wrong hash.
"""

CACHED_USERS_MAX = 20_000
_CHUNK = 1_000  # members per command of a deletion, which may come with any number of keys
_TENANT = re.compile(r"[a-z0-9_-]{1,64}")


def _key(tenant: str, kind: str, name: str | int) -> str:
    """The one place where a key's name is made: all share the tenant's hash tag, and no user is ever part of one."""
    return f"{{{tenant}}}:{kind}:{name}"


def back_off(attempt: int) -> None:
    """Wait before try `attempt` + 1: 0.05 s, doubling up to 2 s."""
    time.sleep(min(2.0, 0.05 * 2 ** min(attempt - 1, 6)))


def _say_nothing(attempt: int, error: Exception) -> None:
    del attempt, error


class RedisStates:
    """`UserStates` of one tenant on one Redis or Valkey server.

    Args:
      client: from `schemas.redis_connection.connect`; answers must be bytes.
      tenant: the root whose hash tag all keys share.
      cached_users_max: cells kept in this process, least recently used ones go first; 0 = none.
      wait: called with the number of failed tries while the server does not answer, before each further one.
        It may raise to give up; the outcome of the interrupted call is then unknown.
      on_wait: told the number of failed tries and the error before each wait.

    Guarantees: those of the port; kill -9 of the server loses nothing that was committed.
    Does not guarantee: a power cut may take the last second of an everysec log, and a failover to a replica what it
    had not received; the process must be restarted then, since its cache may be ahead of the server that is left.
    """

    def __init__(
        self,
        client: redis.Redis,
        tenant: str,
        *,
        cached_users_max: int = CACHED_USERS_MAX,
        wait: Callable[[int], None] = back_off,
        on_wait: Callable[[int, Exception], None] = _say_nothing,
    ) -> None:
        if not _TENANT.fullmatch(tenant):
            raise ValueError(f"tenant must match {_TENANT.pattern}, got {tenant!r}")
        self._client = client
        self._cells_keys = [_key(tenant, "cells", shard) for shard in range(CELL_SHARDS)]
        self._due_key = _key(tenant, "users", "due")
        self._order_key = _key(tenant, "outbox", "order")
        self._proposals_key = _key(tenant, "outbox", "proposals")
        self._positions_key = _key(tenant, "sources", "positions")
        self._cache = _CellCache(cached_users_max)
        self._cache_lock = threading.Lock()
        self._wait = wait
        self._on_wait = on_wait

    def load(self, users: Sequence[str]) -> dict[str, bytes]:
        """See `UserStates.load`. Cells that were loaded or committed lately come from this process's memory."""
        with self._cache_lock:
            cells = {user: self._cache.get(user) for user in users if user in self._cache}
            missing = [user for user in dict.fromkeys(users) if user not in cells]
            if missing:
                loaded = self._until_answered(lambda: self._load_from_server(missing))
                self._cache.put_all(loaded)
                cells.update(loaded)
        return {user: cell for user in users if (cell := cells[user]) is not None}

    def commit(self, write: BundleWrite) -> None:
        """See `UserStates.commit`. One MULTI; repeated as it is until the server has answered."""
        require_valid_write(write)
        with self._cache_lock:
            # Out before the call, in after its answer: whatever happens between, the cache is not ahead.
            self._cache.drop(write.cells)
            self._until_answered(lambda: self._commit_once(write))
            self._cache.put_all(write.cells)

    def due(self, until_ms: int, limit: int) -> list[str]:
        """See `UserStates.due`."""
        require_valid_limit(limit)
        users = self._until_answered(
            lambda: cast(
                "list[bytes]",
                self._client.zrange(self._due_key, "-inf", until_ms, byscore=True, offset=0, num=limit),
            )
        )
        return [user.decode("utf-8") for user in users]

    def outbox(self, limit: int, after: bytes = b"") -> list[Outgoing]:
        """See `UserStates.outbox`. An entry that is settled meanwhile may be missing: settle and read in one thread."""
        require_valid_limit(limit)
        return self._until_answered(lambda: self._outbox_once(limit, after))

    def settled(self, order_keys: Sequence[bytes]) -> None:
        """See `UserStates.settled`."""
        if order_keys:
            self._until_answered(lambda: self._settled_once(order_keys))

    def position(self, source: str) -> bytes | None:
        """See `UserStates.position`."""
        return self._until_answered(lambda: cast("bytes | None", self._client.hget(self._positions_key, source)))

    def drop(self) -> None:
        """Delete everything this tenant has here, by the known keys; for tests and demonstrations."""
        keys = [*self._cells_keys, self._due_key, self._order_key, self._proposals_key, self._positions_key]
        with self._cache_lock:
            self._cache.clear()
            self._until_answered(lambda: self._client.unlink(*keys))

    def _until_answered(self, call: Callable[[], T]) -> T:
        return answered(self._client, call, self._wait, StateUnavailableError, self._on_wait)

    def _load_from_server(self, users: Sequence[str]) -> dict[str, bytes | None]:
        by_shard: dict[int, list[str]] = {}
        for user in users:
            by_shard.setdefault(_shard(user), []).append(user)
        pipe = self._client.pipeline(transaction=False)
        for shard, names in by_shard.items():
            pipe.hmget(self._cells_keys[shard], names)
        answers = cast("list[list[bytes | None]]", pipe.execute())
        return {
            user: cell
            for names, cells in zip(by_shard.values(), answers, strict=True)
            for user, cell in zip(names, cells, strict=True)
        }

    def _commit_once(self, write: BundleWrite) -> None:
        pipe = self._client.pipeline(transaction=True)
        self._queue_cells(pipe, write)
        due = {user: due_ms for user, due_ms in write.due.items() if due_ms is not None}
        if due:
            pipe.zadd(self._due_key, due)
        for chunk in _chunks([user for user in write.due if user not in due]):
            pipe.zrem(self._due_key, *chunk)
        if write.outgoing:
            pipe.zadd(self._order_key, {entry.order_key: 0 for entry in write.outgoing})
            pipe.hset(self._proposals_key, mapping={entry.order_key: entry.proposal for entry in write.outgoing})
        if write.positions:
            pipe.hset(self._positions_key, mapping=dict(write.positions.items()))
        pipe.execute()

    def _queue_cells(self, pipe: Pipeline, write: BundleWrite) -> None:
        kept: dict[int, dict[FieldT, EncodableT]] = {}
        deleted: dict[int, list[str]] = {}
        for user, cell in write.cells.items():
            if cell is None:
                deleted.setdefault(_shard(user), []).append(user)
            else:
                kept.setdefault(_shard(user), {})[user] = cell
        for shard, cells in kept.items():
            pipe.hset(self._cells_keys[shard], mapping=cells)
        for shard, users in deleted.items():
            for chunk in _chunks(users):
                pipe.hdel(self._cells_keys[shard], *chunk)

    def _outbox_once(self, limit: int, after: bytes) -> list[Outgoing]:
        start = b"(" + after if after else b"-"
        keys = cast(
            "list[bytes]",
            self._client.zrange(self._order_key, start, "+", bylex=True, offset=0, num=limit),
        )
        if not keys:
            return []
        proposals = cast("list[bytes | None]", self._client.hmget(self._proposals_key, keys))
        pairs = zip(keys, proposals, strict=True)
        return [Outgoing(key, proposal) for key, proposal in pairs if proposal is not None]

    def _settled_once(self, order_keys: Sequence[bytes]) -> None:
        pipe = self._client.pipeline(transaction=True)
        for chunk in _chunks(order_keys):
            pipe.zrem(self._order_key, *chunk)
            pipe.hdel(self._proposals_key, *chunk)
        pipe.execute()


class _CellCache:
    """The least recently used cells; None stands for a user who is known to have no cell."""

    def __init__(self, users_max: int) -> None:
        self._users_max = users_max
        self._cells: OrderedDict[str, bytes | None] = OrderedDict()

    def __contains__(self, user: str) -> bool:
        return user in self._cells

    def get(self, user: str) -> bytes | None:
        self._cells.move_to_end(user)
        return self._cells[user]

    def put_all(self, cells: Mapping[str, bytes | None]) -> None:
        for user, cell in cells.items():
            self._cells[user] = cell
            self._cells.move_to_end(user)
        while len(self._cells) > self._users_max:
            self._cells.popitem(last=False)

    def drop(self, users: Iterable[str]) -> None:
        for user in users:
            self._cells.pop(user, None)

    def clear(self) -> None:
        self._cells.clear()


def _shard(user: str) -> int:
    return crc32(user.encode("utf-8")) % CELL_SHARDS


def _chunks(members: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(members), _CHUNK):
        yield members[start : start + _CHUNK]
