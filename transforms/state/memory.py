"""The users' state in this process's memory: the reference the other adapters are compared with.

Nothing survives the process, so a bundle is all or nothing only because it is checked before it is written and
because a lock keeps readers out meanwhile.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

from transforms.state.ports import BundleWrite, Outgoing, require_valid_limit, require_valid_write


class MemoryStates:
    """`UserStates` in dictionaries, with sorted lists beside them for what is read in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cells: dict[str, bytes] = {}
        self._due_ms: dict[str, int] = {}
        self._by_due: list[tuple[int, bytes]] = []
        self._proposals: dict[bytes, bytes] = {}
        self._order_keys: list[bytes] = []
        self._positions: dict[str, bytes] = {}

    def load(self, users: Sequence[str]) -> dict[str, bytes]:
        """See `UserStates.load`."""
        with self._lock:
            return {user: self._cells[user] for user in users if user in self._cells}

    def commit(self, write: BundleWrite) -> None:
        """See `UserStates.commit`."""
        require_valid_write(write)
        with self._lock:
            for user, cell in write.cells.items():
                if cell is None:
                    self._cells.pop(user, None)
                else:
                    self._cells[user] = cell
            for user, due_ms in write.due.items():
                self._set_due(user, due_ms)
            for entry in write.outgoing:
                if entry.order_key not in self._proposals:
                    insort(self._order_keys, entry.order_key)
                self._proposals[entry.order_key] = entry.proposal
            self._positions.update(write.positions)

    def due(self, until_ms: int, limit: int) -> list[str]:
        """See `UserStates.due`."""
        require_valid_limit(limit)
        with self._lock:
            end = bisect_left(self._by_due, (until_ms + 1, b""))
            return [user.decode("utf-8") for _, user in self._by_due[: min(end, limit)]]

    def outbox(self, limit: int, after: bytes = b"") -> list[Outgoing]:
        """See `UserStates.outbox`."""
        require_valid_limit(limit)
        with self._lock:
            start = bisect_right(self._order_keys, after)
            return [Outgoing(key, self._proposals[key]) for key in self._order_keys[start : start + limit]]

    def settled(self, order_keys: Sequence[bytes]) -> None:
        """See `UserStates.settled`."""
        with self._lock:
            for key in order_keys:
                if self._proposals.pop(key, None) is not None:
                    del self._order_keys[bisect_left(self._order_keys, key)]

    def position(self, source: str) -> bytes | None:
        """See `UserStates.position`."""
        with self._lock:
            return self._positions.get(source)

    def _set_due(self, user: str, due_ms: int | None) -> None:
        name = user.encode("utf-8")  # users of one due time go by their bytes, as in Redis
        before_ms = self._due_ms.pop(user, None)
        if before_ms is not None:
            del self._by_due[bisect_left(self._by_due, (before_ms, name))]
        if due_ms is not None:
            self._due_ms[user] = due_ms
            insort(self._by_due, (due_ms, name))
