"""Counters: count an event in its window and tell which steps fire.

Two kinds of memory carry every counter: windows that begin at an instant (lifetime, day, week, month) and a span that
slides with the event. What is counted, which steps there are and how they fire are parts that combine with both.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple, Protocol

from schemas.plans import Counter
from transforms.engine.state import (
    FIRINGS_MAX,
    POINTS_MAX,
    WINDOWS_MAX,
    Entry,
    SlidingEntry,
    UserState,
    WindowCount,
    WindowedEntry,
)
from transforms.engine.windows import window_end, window_start


class Firing(NamedTuple):
    """A step that an event reached.

    Attributes:
      step: index of the step. n: which multiple, or which firing in the window (0 where there can be one only).
      start_ms: start of the window it belongs to; None where the event itself is the occurrence.
    """

    step: int
    n: int
    start_ms: int | None


class CounterFull(NamedTuple):
    """The counter is at its maximum for this user: the event was not counted, or not every multiple fired."""

    firings: list[Firing]


class CounterRunner(Protocol):
    """What counts events for one campaign."""

    def count(self, state: UserState, time_ms: int, amount: int) -> list[Firing] | CounterFull:
        """Count an amount at an event time and say what fired."""

    def pruned(self, entry: Entry, before_ms: int) -> Entry | None:
        """What is left of an entry when no event before an instant can come any more; None = nothing."""

    def expires_ms(self, entry: Entry) -> int | None:
        """When nothing of the entry is needed any more, the horizon apart; None = never."""


def counter_runner(campaign: str, series: int, counter: Counter, zone: str, horizon_ms: int) -> CounterRunner:
    """The runner of a campaign's counter."""
    if counter.window.kind == "last":
        return _SlidingCounter(campaign, series, counter, horizon_ms)
    return _WindowedCounter(campaign, series, counter, zone, horizon_ms)


class _WindowedCounter:
    def __init__(self, campaign: str, series: int, counter: Counter, zone: str, horizon_ms: int) -> None:
        self._campaign, self._series, self._horizon_ms = campaign, series, horizon_ms
        self._kind, self._zone = counter.window.kind, zone
        self._start = window_start(self._kind, zone)
        self._restart = counter.restart
        self._fire = _window_rule(counter)

    def count(self, state: UserState, time_ms: int, amount: int) -> list[Firing] | CounterFull:
        entry = state.entry(self._campaign, self._series)
        if not isinstance(entry, WindowedEntry):
            entry = state.entries[self._campaign] = WindowedEntry(self._series, {})
        start = self._start(time_ms)
        window = entry.windows.get(start)
        if window is None:
            self._drop_ended(entry, max(time_ms, state.newest_ms) - self._horizon_ms)
            if len(entry.windows) >= WINDOWS_MAX:
                return CounterFull([])
            window = entry.windows[start] = WindowCount()
        window.value += amount
        firings = self._fire(window, start)
        if firings and self._restart:
            window.value = 0
        return firings if len(firings) < FIRINGS_MAX else CounterFull(firings)

    def pruned(self, entry: Entry, before_ms: int) -> Entry | None:
        assert isinstance(entry, WindowedEntry)
        self._drop_ended(entry, before_ms)
        return entry if entry.windows else None

    def expires_ms(self, entry: Entry) -> int | None:
        assert isinstance(entry, WindowedEntry)
        return window_end(self._kind, self._zone, max(entry.windows, default=0))

    def _drop_ended(self, entry: WindowedEntry, before_ms: int) -> None:
        """Drop the windows whose end lies at or before an instant."""
        if self._kind == "lifetime" or not entry.windows:
            return
        current = self._start(before_ms)
        for start in [start for start in entry.windows if start < current]:
            del entry.windows[start]


class _SlidingCounter:
    def __init__(self, campaign: str, series: int, counter: Counter, horizon_ms: int) -> None:
        self._campaign, self._series = campaign, series
        self._span_ms, self._keep_ms = counter.window.span_ms, counter.window.span_ms + horizon_ms
        self._restart = counter.restart
        self._fire = _crossing_rule(counter)

    def count(self, state: UserState, time_ms: int, amount: int) -> list[Firing] | CounterFull:
        entry = state.entry(self._campaign, self._series)
        if not isinstance(entry, SlidingEntry):
            entry = state.entries[self._campaign] = SlidingEntry(self._series, [], [])
        times, sums = entry.times, entry.sums
        if times and times[0] <= max(time_ms, times[-1]) - self._keep_ms:
            self.pruned(entry, max(time_ms, times[-1]) - (self._keep_ms - self._span_ms))
        if len(times) >= POINTS_MAX:
            return CounterFull([])
        place = bisect_right(times, time_ms)
        first = bisect_right(times, time_ms - self._span_ms)
        before = _sum_up_to(entry, place) - _sum_up_to(entry, first)
        _insert(entry, place, time_ms, amount)
        firings = self._fire(before, before + amount)
        if firings and self._restart:
            times.clear()
            sums.clear()
            entry.base = 0
        return firings if len(firings) < FIRINGS_MAX else CounterFull(firings)

    def pruned(self, entry: Entry, before_ms: int) -> Entry | None:
        assert isinstance(entry, SlidingEntry)
        gone = bisect_right(entry.times, before_ms - self._span_ms)
        if gone:
            entry.base = entry.sums[gone - 1]
            del entry.times[:gone], entry.sums[:gone]
        return entry if entry.times else None

    def expires_ms(self, entry: Entry) -> int | None:
        assert isinstance(entry, SlidingEntry)
        return entry.times[-1] + self._span_ms if entry.times else 0


def _sum_up_to(entry: SlidingEntry, place: int) -> int:
    return entry.sums[place - 1] if place else entry.base


def _insert(entry: SlidingEntry, place: int, time_ms: int, amount: int) -> None:
    """Put an amount in its place; one that comes late moves the sums behind it."""
    entry.times.insert(place, time_ms)
    entry.sums.insert(place, _sum_up_to(entry, place) + amount)
    for later in range(place + 1, len(entry.sums)):
        entry.sums[later] += amount


def _window_rule(counter: Counter) -> Callable[[WindowCount, int], list[Firing]]:
    """How a step fires in a window, which remembers what has fired in it."""
    thresholds, highest = [step.threshold for step in counter.steps], counter.pick == "highest"
    threshold = thresholds[0]

    def each(window: WindowCount, start_ms: int) -> list[Firing]:
        if window.value < threshold:
            return []
        window.n += 1
        return [Firing(0, window.n, start_ms)]

    def every(window: WindowCount, start_ms: int) -> list[Firing]:
        reached = window.value // threshold
        if reached <= window.fired:
            return []
        first, window.fired = window.fired + 1, reached
        return [Firing(0, n, start_ms) for n in range(first, min(reached, first + FIRINGS_MAX - 1) + 1)]

    def reach(window: WindowCount, start_ms: int) -> list[Firing]:
        value, fired = window.value, window.fired
        steps = [i for i, threshold in enumerate(thresholds) if threshold <= value and not fired >> i & 1]
        for step in steps:
            window.fired |= 1 << step
        return [Firing(step, 0, start_ms) for step in (steps[-1:] if highest else steps)]

    return each if counter.restart else {"reach": reach, "every": every, "from": each}[counter.fires]


def _crossing_rule(counter: Counter) -> Callable[[int, int], list[Firing]]:
    """How a step fires on a sliding span: by what the span held before and after the event."""
    thresholds = [step.threshold for step in counter.steps]
    threshold, highest = thresholds[0], counter.pick == "highest"

    def each(before: int, after: int) -> list[Firing]:
        return [Firing(0, 0, None)] if after >= threshold else []

    def every(before: int, after: int) -> list[Firing]:
        first, last = before // threshold + 1, after // threshold
        return [Firing(0, n, None) for n in range(max(first, 1), min(last, first + FIRINGS_MAX - 1) + 1)]

    def reach(before: int, after: int) -> list[Firing]:
        steps = [i for i, threshold in enumerate(thresholds) if before < threshold <= after]
        return [Firing(step, 0, None) for step in (steps[-1:] if highest else steps)]

    return {"reach": reach, "every": every, "from": each}[counter.fires]
