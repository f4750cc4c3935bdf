"""What the engine remembers of one user: known event ids, profile, and one entry per campaign.

A user's state travels as one cell of bytes. Its entries stay raw until an event touches them, so that an event costs
what its own campaigns cost, not what the user has ever done.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from schemas.events import Event

CELL_VERSION = 1

KNOWN_IDS_MAX = 10_000
"""More ids than this within the horizon: the oldest are dropped, and the floor rises with them."""

POINTS_MAX = 10_000
"""A sliding counter keeps at most this many events; at its maximum it refuses for its campaign alone."""

WINDOWS_MAX = 1_000
"""A counter keeps at most this many windows not older than the horizon; so many are open after opening events."""

VALUES_MAX = 10_000
"""Distinct values, purchases that may be refunded, grants that may be taken back: at most so many of each."""

FIRINGS_MAX = 1_000
"""An event fires a campaign at most this many times; further multiples are used up without a proposal."""


class WindowCount(msgspec.Struct, array_like=True):
    """One window.

    Attributes:
      value: counted. fired: bits of the steps, or the number of multiples. n: firings of a counter that starts anew.
      seen: the distinct values, where they are counted.
      again: step or multiple -> how often it was taken back and may be earned again.
    """

    value: int = 0
    fired: int = 0
    n: int = 0
    seen: set[str | int] | None = None
    again: dict[int, int] | None = None


class WindowedEntry(msgspec.Struct, array_like=True, tag="w"):
    """A counter over lifetime, calendar or tumbling windows: by window start in ms (lifetime: 0)."""

    series: int
    windows: dict[int, WindowCount]


class SlidingEntry(msgspec.Struct, array_like=True, tag="s"):
    """A counter over a sliding span.

    Attributes:
      times: ascend. sums: sums[i] is the sum of all up to times[i], base before.
      values: values[i] was there at times[i], where distinct ones are counted.
      n: firings of a counter that starts anew.
    """

    series: int
    times: list[int]
    sums: list[int]
    base: int = 0
    values: list[str | int] | None = None
    n: int = 0


class Run(msgspec.Struct, array_like=True):
    """Consecutive periods: starts of the first and the last in ms, how many, and the bits of the steps that fired."""

    first_ms: int
    last_ms: int
    length: int
    fired: int


class RunsEntry(msgspec.Struct, array_like=True, tag="r"):
    """A counter of consecutive periods; runs ascend."""

    series: int
    runs: list[Run]


class Opened(msgspec.Struct, array_like=True):
    """One opening event with its window's counter; value is what it shares with the events that count."""

    time_ms: int
    event_id: str
    value: str | int | None
    count: WindowCount


class OpenedEntry(msgspec.Struct, array_like=True, tag="o"):
    """Windows after opening events, by (time, event id); fired: firings "step:n" by value that have been."""

    series: int
    openings: list[Opened]
    fired: dict[str | int, list[str]]


class Pending(msgspec.Struct, array_like=True):
    """An event that waits for another not to come: what it gives, as (recipient, amount) by gift."""

    due_ms: int
    time_ms: int
    event_id: str
    subject: str
    value: str | int | None
    given: list[tuple[str, int]]


class PendingEntry(msgspec.Struct, array_like=True, tag="p"):
    """Absences, by (due time, event id)."""

    series: int
    pending: list[Pending]


class SilenceEntry(msgspec.Struct, array_like=True, tag="q"):
    """Times of the events that break a silence, ascending."""

    series: int
    times: list[int]


class Made(msgspec.Struct, array_like=True):
    """A proposal that may be taken back.

    Attributes:
      place: the window it belongs to, as text. step, n: as in its ids.
      grants: (recipient, grant id) by gift.
    """

    time_ms: int
    event_id: str
    place: str
    step: int
    n: int
    generation: str
    grants: list[tuple[str, bytes]]


class Bought(msgspec.Struct, array_like=True):
    """A purchase that may be refunded by its name.

    Attributes:
      of: its amount, 0 = refunds are of the whole. back: refunded so far (of a whole: 1).
      counted: what it added to the counter. lowered: what was taken off again.
      places: (window as text, firings of that window when it counted).
    """

    time_ms: int
    event_id: str
    of: int
    back: int
    counted: int
    lowered: int
    places: list[tuple[str, int]]


class Back(msgspec.Struct, array_like=True):
    """A refund that came before its purchase; amount None = of the whole."""

    event_id: str
    time_ms: int
    amount: int | None


class RefundEntry(msgspec.Struct, array_like=True, tag="b"):
    """What can be taken back: proposals in the order in which they were made, purchases and early refunds by name."""

    series: int
    made: list[Made]
    bought: dict[str | int, list[Bought]]
    early: dict[str | int, list[Back]]


class Noted(NamedTuple):
    """An event as a campaign took it: in which role, and the user as conditions saw it."""

    role: int
    event: Event
    user: dict[str, Any]


class SinceEntry(msgspec.Struct, array_like=True, tag="l"):
    """What a campaign that looks back has taken since its cut-over; noted None = nothing more is noted."""

    series: int
    noted: list[Noted] | None


Entry = WindowedEntry | SlidingEntry | RunsEntry | OpenedEntry | PendingEntry | SilenceEntry | RefundEntry | SinceEntry


class _Cell(msgspec.Struct, array_like=True):
    version: int
    newest_ms: int
    floor_ms: int | None
    known: list[tuple[str, int, int]]
    profile: dict[str, Any]
    entries: dict[str, msgspec.Raw]
    due_ms: int | None
    waiting: list[Event]


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
      entries: what campaigns remember, by campaign id, or "<campaign>:<what>" for a second thing.
      due_ms: when the next absence falls due; None = none waits.
      waiting: events that wait for their time, where events are decided in the order of time; in total order.
    """

    __slots__ = ("newest_ms", "floor_ms", "known", "profile", "entries", "due_ms", "waiting")

    def __init__(self) -> None:
        self.newest_ms = -1
        self.floor_ms: int | None = None
        self.known: dict[str, tuple[int, int]] = {}
        self.profile: dict[str, Any] = {}
        self.entries: dict[str, Entry | msgspec.Raw] = {}
        self.due_ms: int | None = None
        self.waiting: list[Event] = []

    @property
    def decided_ms(self) -> int:
        """No event that waits is earlier: what is older than the horizon by this is needed by none of them."""
        return self.waiting[0].time_ms if self.waiting else self.newest_ms

    def entry(self, name: str, series: int) -> Entry | None:
        """The entry of a name; None if there is none, or only one of an earlier meaning of its campaign's trigger."""
        found = self.entries.get(name)
        if found is None:
            return None
        if type(found) is msgspec.Raw:
            found = self.entries[name] = _decode_entry(found)
        return found if found.series == series else None  # type: ignore[union-attr,return-value]

    def remember(self, event_id: str, time_ms: int, digest: int, horizon_ms: int) -> None:
        """Note an event as seen, and drop ids older than the horizon."""
        known = self.known
        known[event_id] = (time_ms, digest)
        if time_ms > self.newest_ms:
            self.newest_ms = time_ms
        self.forget(self.newest_ms - horizon_ms)

    def outlive(self, event_id: str) -> None:
        """Drop a known id that an event beyond the horizon has, before anything else has made it too old."""
        self.floor_ms = max(self.known.pop(event_id)[0], self.floor_ms or 0)

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
        return _encode(
            (
                CELL_VERSION,
                self.newest_ms,
                self.floor_ms,
                known,
                self.profile,
                self.entries,
                self.due_ms,
                self.waiting,
            )
        )


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
        state.due_ms, state.waiting = read.due_ms, read.waiting
    return state
