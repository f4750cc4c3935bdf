"""Silence: how long ago was the user's previous such event?"""

from __future__ import annotations

from bisect import bisect_right

from transforms.engine.state import POINTS_MAX, Entry, SilenceEntry, UserState


class SilenceRunner:
    """The silence of one campaign; name is its entry's. Kept: the times within the horizon, and the one before them."""

    keeps = SilenceEntry

    def __init__(self, name: str, series: int, silence_ms: int, horizon_ms: int) -> None:
        self._name, self._series = name, series
        self._silence_ms, self._horizon_ms = silence_ms, horizon_ms

    def previous_ms(self, state: UserState, time_ms: int) -> int | None:
        """When the newest such event up to an instant was; None = there was none. Changes nothing."""
        entry = state.entry(self._name, self._series)
        place = bisect_right(entry.times, time_ms) if isinstance(entry, SilenceEntry) else 0
        return entry.times[place - 1] if place and isinstance(entry, SilenceEntry) else None

    def broken(self, state: UserState, time_ms: int) -> bool:
        """Take an event in: whether it came after at least so long a silence. The first one breaks none."""
        entry = state.entry(self._name, self._series)
        if not isinstance(entry, SilenceEntry):
            entry = state.entries[self._name] = SilenceEntry(self._series, [])
        times = entry.times
        place = bisect_right(times, time_ms)
        before = times[place - 1] if place else None
        times.insert(place, time_ms)
        self._drop(entry, max(time_ms, state.decided_ms) - self._horizon_ms)
        return before is not None and time_ms - before >= self._silence_ms

    def pruned(self, entry: Entry, before_ms: int) -> Entry | None:
        """The newest time is kept for good: the next event asks for it."""
        assert isinstance(entry, SilenceEntry)
        self._drop(entry, before_ms)
        return entry

    def expires_ms(self, entry: Entry) -> int | None:
        """Never."""
        return None

    def _drop(self, entry: SilenceEntry, before_ms: int) -> None:
        gone = max(bisect_right(entry.times, before_ms) - 1, len(entry.times) - POINTS_MAX, 0)
        del entry.times[:gone]
