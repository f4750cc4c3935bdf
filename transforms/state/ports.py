"""Where a user's state lives: the port and what every adapter behind it owes.

A user's cell is opaque bytes; what it means is the engine's business. The port exists so that the same steps run
against memory in tests and against Redis in the local runner: whatever one adapter does, the others do too
(tests/contract/test_user_states.py, tests/property/test_user_states_agree.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

DUE_MS_MAX = 2**53 - 1
"""Redis keeps due times as doubles, which are exact up to here (the year 287396)."""


class Outgoing(NamedTuple):
    """One proposal that waits to be settled.

    Attributes:
      order_key: the packed OrderKey; its bytes sort as the OrderKey does, no two proposals share one; never empty.
      proposal: the proposal's bytes.
    """

    order_key: bytes
    proposal: bytes


class BundleWrite(NamedTuple):
    """All that one bundle changes. Every value is absolute, so writing a bundle twice is writing it once.

    Attributes:
      cells: user -> the new cell; None deletes it.
      due: user -> the next due time in ms since the epoch (an expiry or a timer); None = nothing is due.
      outgoing: the proposals the bundle made; a known order key gets the new proposal.
      positions: source name -> how far it has been read (for sources that cannot acknowledge, as files).
    """

    cells: Mapping[str, bytes | None]
    due: Mapping[str, int | None]
    outgoing: Sequence[Outgoing]
    positions: Mapping[str, bytes]


class UserStates(Protocol):
    """The users' cells, their due times, the outbox of proposals and the sources' positions of one tenant.

    Obligations of an adapter:
      - `commit` is all or nothing, also when the process or the server is killed in the middle; when it returns,
        everything read afterwards, by any process, contains it.
      - `commit` and `settled` may be repeated with the same arguments, and change nothing then.
      - One process writes at a time. Within it, `load` and `commit` may be called from one thread while another
        reads the outbox and settles it.
      - What is absent is absent from the answer: no empty cell stands for a missing one, and an empty cell is one.
      - An argument that cannot be kept is a ValueError before anything is written.
      - An adapter waits without end for a server that does not answer (locally nothing can be done without it);
        an error that waiting does not mend is raised as it is, and nothing is known of the outcome of that call.
    """

    def load(self, users: Sequence[str]) -> dict[str, bytes]:
        """The cells of those users that have one."""
        ...

    def commit(self, write: BundleWrite) -> None:
        """Write all of the bundle, or nothing of it."""
        ...

    def due(self, until_ms: int, limit: int) -> list[str]:
        """At most `limit` users whose due time is <= `until_ms`, by (due time, user).

        A user stays due until a commit says otherwise.
        """
        ...

    def outbox(self, limit: int, after: bytes = b"") -> list[Outgoing]:
        """At most `limit` waiting proposals with an order key above `after`, in the order of their keys."""
        ...

    def settled(self, order_keys: Sequence[bytes]) -> None:
        """Delete these entries of the outbox; unknown ones are no error."""
        ...

    def position(self, source: str) -> bytes | None:
        """How far a source has been read, or None if it never was."""
        ...


def require_valid_write(write: BundleWrite) -> None:
    """Raise ValueError if a bundle holds what cannot be kept: an adapter calls this before it writes anything."""
    _require_encodable([*write.cells, *write.due, *write.positions])
    for user, due_ms in write.due.items():
        if due_ms is not None and abs(due_ms) > DUE_MS_MAX:
            raise ValueError(f"due time of {user!r} is out of range: {due_ms}")
    if any(not entry.order_key for entry in write.outgoing):
        raise ValueError("an order key is empty")


def _require_encodable(names: Iterable[str]) -> None:
    for name in names:
        name.encode("utf-8")  # a lone surrogate raises UnicodeEncodeError, which is a ValueError


def require_valid_limit(limit: int) -> None:
    """Raise ValueError unless at least one entry is asked for: to Redis a negative limit means no limit at all."""
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
