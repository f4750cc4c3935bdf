"""What the engine remembers of one user: known event ids, profile, and one entry per campaign.

A user's state travels as one cell of bytes. Its entries stay raw until an event touches them, so that an event costs
what its own campaigns cost, not what the user has ever done.
"""

from __future__ import annotations

from typing import Any

import msgspec

CELL_VERSION = 1

KNOWN_IDS_MAX = 10_000
"""More ids than this within the horizon: the oldest are dropped, and the floor rises with them."""

POINTS_MAX = 10_000
"""A sliding counter keeps at most this many events; at its maximum it refuses for its campaign alone."""

WINDOWS_MAX = 1_000
"""A calendar counter keeps at most this many windows not older than the horizon."""

FIRINGS_MAX = 1_000
"""An event fires a campaign at most this many times; further multiples are used up without a proposal."""


class WindowCount(msgspec.Struct, array_like=True):
    """One window: value counted, fired (bits of the steps, or the number of multiples), n firings so far."""

    value: int = 0
    fired: int = 0
    n: int = 0


class WindowedEntry(msgspec.Struct, array_like=True, tag="w"):
    """A counter over lifetime or calendar windows: by window start in ms (lifetime: 0)."""

    series: int
    windows: dict[int, WindowCount]


class SlidingEntry(msgspec.Struct, array_like=True, tag="s"):
    """A counter over a sliding span: times ascend; sums[i] is the sum of all up to times[i], base before."""

    series: int
    times: list[int]
    sums: list[int]
    base: int = 0


Entry = WindowedEntry | SlidingEntry


class _Cell(msgspec.Struct, array_like=True):
    version: int
    newest_ms: int
    floor_ms: int | None
    known: list[tuple[str, int, int]]
    profile: dict[str, Any]
    entries: dict[str, msgspec.Raw]


_encode = msgspec.msgpack.Encoder().encode
_decode_cell = msgspec.msgpack.Decoder(_Cell).decode
_decode_entry = msgspec.msgpack.Decoder(Entry).decode


class UserState:
    """One user's state. It belongs to whoever called `advance` last; only the engine changes it.

    Attributes:
      newest_ms: greatest event time seen, -1 before the first.
      floor_ms: an event at or before this may be one whose id was dropped; None = none was, so nothing is too old.
      known: event id -> (time in ms, digest), in order of arrival.
      profile: the user's attributes without nulls; empty = no profile.
    """

    __slots__ = ("newest_ms", "floor_ms", "known", "profile", "entries")

    def __init__(self) -> None:
        self.newest_ms = -1
        self.floor_ms: int | None = None
        self.known: dict[str, tuple[int, int]] = {}
        self.profile: dict[str, Any] = {}
        self.entries: dict[str, Entry | msgspec.Raw] = {}

    def entry(self, campaign: str, series: int) -> Entry | None:
        """The campaign's entry; None if there is none, or only one of an earlier meaning of its trigger."""
        found = self.entries.get(campaign)
        if found is None:
            return None
        if type(found) is msgspec.Raw:
            found = self.entries[campaign] = _decode_entry(found)
        return found if found.series == series else None  # type: ignore[union-attr,return-value]

    def remember(self, event_id: str, time_ms: int, digest: int, horizon_ms: int) -> None:
        """Note an event as seen, and drop ids older than the horizon."""
        known = self.known
        known[event_id] = (time_ms, digest)
        if time_ms > self.newest_ms:
            self.newest_ms = time_ms
        self.forget(self.newest_ms - horizon_ms)

    def forget(self, before_ms: int) -> None:
        """Drop known ids of events before an instant, oldest arrivals first; the floor rises to what was dropped."""
        known = self.known
        while known:
            event_id = next(iter(known))
            time_ms = known[event_id][0]
            if time_ms >= before_ms and len(known) <= KNOWN_IDS_MAX:
                return
            del known[event_id]
            self.floor_ms = max(time_ms, before_ms - 1, self.floor_ms or 0)

    def encoded(self) -> bytes:
        """The cell's bytes."""
        known = [(event_id, *seen) for event_id, seen in self.known.items()]
        return _encode((CELL_VERSION, self.newest_ms, self.floor_ms, known, self.profile, self.entries))


def decode_state(cell: bytes | None) -> UserState:
    """The state of a cell; a fresh one for None. Raises msgspec.DecodeError for bytes that are no cell."""
    state = UserState()
    if cell:
        read = _decode_cell(cell)
        if read.version != CELL_VERSION:
            raise msgspec.DecodeError(f"cell version {read.version}; this code reads {CELL_VERSION}")
        state.newest_ms, state.floor_ms = read.newest_ms, read.floor_ms
        state.known = {event_id: (time_ms, digest) for event_id, time_ms, digest in read.known}
        state.profile, state.entries = read.profile, dict(read.entries)
    return state
