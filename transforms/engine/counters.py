"""Counters: count an event in its window and tell which steps fire.

Four kinds of memory carry every counter: windows that begin at an instant (lifetime, day, week, month, tumbling spans),
a span that slides with the event, runs of periods, and windows that an opening event begins. What is counted, which
steps there are and how they fire are parts that combine with them.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from schemas.events import Event
from schemas.plans import Counter, Opening, Plan
from transforms.engine.firing import CounterFull, Firing, Lowered, WindowRule, crossing_rule, run_rule
from transforms.engine.measures import Added
from transforms.engine.state import (
    FIRINGS_MAX,
    POINTS_MAX,
    VALUES_MAX,
    WINDOWS_MAX,
    Entry,
    Opened,
    OpenedEntry,
    Run,
    RunsEntry,
    SlidingEntry,
    UserState,
    WindowCount,
    WindowedEntry,
)
from transforms.engine.windows import window_end, window_start


class Standing(NamedTuple):
    """Where a counter stands in one of the windows that an event falls into.

    Attributes:
      place: the window, as in `places`. start_ms, end_ms: [start, end), None = without; of a sliding span the span is
        (start, end].
      value: counted. fired: as WindowCount.fired; 0 where nothing is remembered of it.
      n: firings of a counter that starts anew.
    """

    place: str
    start_ms: int | None
    end_ms: int | None
    value: int
    fired: int = 0
    n: int = 0


class CounterRunner(Protocol):
    """What counts events for one campaign; keeps: the entry's type."""

    @property
    def keeps(self) -> type[Entry]: ...

    def count(
        self, state: UserState, event: Event, added: Added, value: str | int | None
    ) -> Sequence[Firing] | CounterFull:
        """Count what an event adds and say what fired; value is what it shares with opening events."""

    def places(self, state: UserState, event: Event, value: str | int | None) -> list[tuple[str, int]]:
        """The windows in which an event of this time counts, each with its firings so far; value None = any value's."""

    def standing(self, state: UserState, event: Event, value: str | int | None) -> list[Standing]:
        """Where it stands in the windows of `places`; changes nothing."""

    def lower(self, state: UserState, place: str, firings: int | None, amount: int) -> list[Lowered]:
        """Take an amount off a window, unless that has started anew since (other firings; None = do not ask)."""

    def pruned(self, entry: Entry, before_ms: int) -> Entry | None:
        """What is left of an entry when no event before an instant can come any more; None = nothing."""

    def expires_ms(self, entry: Entry) -> int | None:
        """When nothing of the entry is needed any more, the horizon apart; None = never."""


def counter_runner(name: str, plan: Plan, counter: Counter, horizon_ms: int) -> CounterRunner:
    """The runner of a campaign's counter; name is its entry's."""
    series, zone, opening, refunds = plan.series, plan.zone, plan.opening, plan.refunds
    again = refunds is not None and refunds.again
    refundable_ms: int | None = 0
    if refunds is not None and refunds.pairing is not None and refunds.counter_down:
        refundable_ms = refunds.within_ms
    if counter.window.kind == "last":
        return _SlidingCounter(name, series, counter, horizon_ms, refunds is not None)
    if counter.window.kind == "run":
        return _RunsCounter(name, series, counter, zone, horizon_ms)
    if opening is not None:
        return OpenedCounter(name, series, counter, opening, horizon_ms, again, refundable_ms)
    return _WindowedCounter(name, series, counter, zone, horizon_ms, again, refundable_ms)


class _WindowedCounter:
    """refundable_ms: how long behind its end a refund that names its purchase may lower a window; None = for good."""

    keeps = WindowedEntry

    def __init__(
        self,
        name: str,
        series: int,
        counter: Counter,
        zone: str,
        horizon_ms: int,
        again: bool,
        refundable_ms: int | None,
    ) -> None:
        self._name, self._series, self._horizon_ms = name, series, horizon_ms
        self._refundable_ms = refundable_ms
        window = counter.window
        self._kind = window.kind
        self._span = (window.span_ms, window.origin_ms)
        self._zone = zone
        self._start = window_start(self._kind, zone, *self._span)
        self._rule = WindowRule(counter, again)

    def count(
        self, state: UserState, event: Event, added: Added, value: str | int | None
    ) -> Sequence[Firing] | CounterFull:
        start = self._start(event.time_ms)
        entry = state.entries.get(self._name)
        if type(entry) is not WindowedEntry or entry.series != self._series:
            entry = self._entry(state)
        window = entry.windows.get(start)
        if window is None:
            window = self._begun(state, entry, event.time_ms, start)
            if window is None:
                return CounterFull([])
        return self._rule.count(window, added, start, None)

    def places(self, state: UserState, event: Event, value: str | int | None) -> list[tuple[str, int]]:
        start, entry = self._start(event.time_ms), self._entry(state)
        window = entry.windows.get(start) or self._begun(state, entry, event.time_ms, start)
        return [] if window is None else [(str(start), window.n)]

    def standing(self, state: UserState, event: Event, value: str | int | None) -> list[Standing]:
        start, entry = self._start(event.time_ms), state.entry(self._name, self._series)
        known = entry.windows.get(start) if isinstance(entry, WindowedEntry) else None
        window = known or WindowCount()
        end_ms = window_end(self._kind, self._zone, start, self._span[0])
        start_ms = None if end_ms is None else start
        return [Standing(str(start), start_ms, end_ms, window.value, window.fired, window.n)]

    def lower(self, state: UserState, place: str, firings: int | None, amount: int) -> list[Lowered]:
        entry = state.entry(self._name, self._series)
        window = entry.windows.get(int(place)) if isinstance(entry, WindowedEntry) else None
        return self._rule.lower(window, place, firings, amount)

    def pruned(self, entry: Entry, before_ms: int) -> Entry | None:
        assert isinstance(entry, WindowedEntry)
        self._drop_ended(entry, before_ms)
        return entry if entry.windows else None

    def expires_ms(self, entry: Entry) -> int | None:
        assert isinstance(entry, WindowedEntry)
        end_ms = window_end(self._kind, self._zone, max(entry.windows, default=0), self._span[0])
        return None if end_ms is None or self._refundable_ms is None else end_ms + self._refundable_ms

    def _entry(self, state: UserState) -> WindowedEntry:
        entry = state.entry(self._name, self._series)
        if not isinstance(entry, WindowedEntry):
            entry = state.entries[self._name] = WindowedEntry(self._series, {})
        return entry

    def _begun(self, state: UserState, entry: WindowedEntry, time_ms: int, start: int) -> WindowCount | None:
        """A new window; None where no more can be kept."""
        self._drop_ended(entry, max(time_ms, state.decided_ms) - self._horizon_ms)
        if len(entry.windows) >= WINDOWS_MAX:
            return None
        window = entry.windows[start] = WindowCount()
        return window

    def _drop_ended(self, entry: WindowedEntry, before_ms: int) -> None:
        """Drop the windows whose end lies at or before an instant, and that no refund can lower any more."""
        if self._kind == "lifetime" or not entry.windows or self._refundable_ms is None:
            return
        current = self._start(before_ms - self._refundable_ms)
        for start in [start for start in entry.windows if start < current]:
            del entry.windows[start]


class _SlidingCounter:
    keeps = SlidingEntry

    def __init__(self, name: str, series: int, counter: Counter, horizon_ms: int, refunds: bool) -> None:
        self._name, self._series, self._refunds = name, series, refunds
        self._span_ms, self._keep_ms = counter.window.span_ms, counter.window.span_ms + horizon_ms
        self._restart = counter.restart
        self._fire = crossing_rule(counter)

    def count(
        self, state: UserState, event: Event, added: Added, value: str | int | None
    ) -> Sequence[Firing] | CounterFull:
        entry, time_ms = self._entry(state), event.time_ms
        times = entry.times
        if times and times[0] <= max(time_ms, times[-1]) - self._keep_ms:
            self.pruned(entry, max(time_ms, times[-1]) - (self._keep_ms - self._span_ms))
        if len(times) + (1 if type(added) is int else len(added)) > POINTS_MAX:  # type: ignore[arg-type]
            return CounterFull([])
        place, first = bisect_right(times, time_ms), bisect_right(times, time_ms - self._span_ms)
        if type(added) is int:
            before = _sum_up_to(entry, place) - _sum_up_to(entry, first)
            _insert(entry, place, time_ms, added)
            after = before + added
        else:
            before, after = _insert_values(entry, first, place, time_ms, added)  # type: ignore[arg-type]
            if before == after:
                return []
        firings = self._fire(before, after)
        if firings and self._restart:
            times.clear()
            entry.sums.clear()
            entry.base, entry.values, entry.n = 0, None, entry.n + self._refunds
        return firings if len(firings) < FIRINGS_MAX else CounterFull(firings)

    def places(self, state: UserState, event: Event, value: str | int | None) -> list[tuple[str, int]]:
        return [(str(event.time_ms), self._entry(state).n)]

    def standing(self, state: UserState, event: Event, value: str | int | None) -> list[Standing]:
        known, time_ms = state.entry(self._name, self._series), event.time_ms
        entry = known if isinstance(known, SlidingEntry) else SlidingEntry(self._series, [], [])
        place, first = bisect_right(entry.times, time_ms), bisect_right(entry.times, time_ms - self._span_ms)
        if entry.values is not None:
            held = len(set(entry.values[first:place]))
        else:
            held = _sum_up_to(entry, place) - _sum_up_to(entry, first)
        return [Standing(str(time_ms), time_ms - self._span_ms, time_ms, held, 0, entry.n)]

    def lower(self, state: UserState, place: str, firings: int | None, amount: int) -> list[Lowered]:
        entry, time_ms = self._entry(state), int(place)
        kept = not entry.times or time_ms > entry.times[-1] - self._keep_ms
        if kept and (firings is None or firings == entry.n) and len(entry.times) < POINTS_MAX:
            _insert(entry, bisect_right(entry.times, time_ms), time_ms, -amount)
        return []

    def pruned(self, entry: Entry, before_ms: int) -> Entry | None:
        assert isinstance(entry, SlidingEntry)
        gone = bisect_right(entry.times, before_ms - self._span_ms)
        if gone:
            if entry.values is None:
                entry.base = entry.sums[gone - 1]
                del entry.sums[:gone]
            else:
                del entry.values[:gone]
            del entry.times[:gone]
        return entry if entry.times or entry.n else None

    def expires_ms(self, entry: Entry) -> int | None:
        assert isinstance(entry, SlidingEntry)
        return entry.times[-1] + self._span_ms if entry.times else None

    def _entry(self, state: UserState) -> SlidingEntry:
        entry = state.entry(self._name, self._series)
        if not isinstance(entry, SlidingEntry):
            entry = state.entries[self._name] = SlidingEntry(self._series, [], [])
        return entry


class _RunsCounter:
    keeps = RunsEntry

    def __init__(self, name: str, series: int, counter: Counter, zone: str, horizon_ms: int) -> None:
        self._name, self._series, self._horizon_ms = name, series, horizon_ms
        self._period, self._zone = counter.window.period, zone
        self._start = window_start(self._period, zone)
        self._fire = run_rule(counter)

    def count(
        self, state: UserState, event: Event, added: Added, value: str | int | None
    ) -> Sequence[Firing] | CounterFull:
        entry = state.entry(self._name, self._series)
        if not isinstance(entry, RunsEntry):
            entry = state.entries[self._name] = RunsEntry(self._series, [])
        runs, start = entry.runs, self._start(event.time_ms)
        if len(runs) > 1:
            self.pruned(entry, max(event.time_ms, state.decided_ms) - self._horizon_ms)
        place = bisect_right(runs, start, key=lambda run: run.first_ms)
        left = runs[place - 1] if place else None
        if left is not None and start <= left.last_ms:
            return []
        if len(runs) >= WINDOWS_MAX:
            return CounterFull([])
        if left is not None and self._next(left.last_ms) == start:
            left.last_ms, left.length = start, left.length + 1
        else:
            left = Run(start, start, 1, 0)
            runs.insert(place, left)
            place += 1
        firings = self._fire(left, start)
        right = runs[place] if place < len(runs) else None
        if right is not None and self._next(start) == right.first_ms:
            left.last_ms, left.length, left.fired = right.last_ms, left.length + right.length, left.fired | right.fired
            del runs[place]
        return firings

    def places(self, state: UserState, event: Event, value: str | int | None) -> list[tuple[str, int]]:
        return []

    def standing(self, state: UserState, event: Event, value: str | int | None) -> list[Standing]:
        """The run that the event's period is part of, or goes on; its window is that period's."""
        entry, start = state.entry(self._name, self._series), self._start(event.time_ms)
        known = entry.runs if isinstance(entry, RunsEntry) else []
        run = next((run for run in known if run.first_ms <= start <= self._next(run.last_ms)), Run(start, start, 0, 0))
        return [Standing(str(start), start, self._next(start), run.length, run.fired)]

    def lower(self, state: UserState, place: str, firings: int | None, amount: int) -> list[Lowered]:
        return []

    def pruned(self, entry: Entry, before_ms: int) -> Entry | None:
        """A run can go on until the end of the period after its last one."""
        assert isinstance(entry, RunsEntry)
        while entry.runs and self._next(self._next(entry.runs[0].last_ms)) <= before_ms:
            del entry.runs[0]
        return entry if entry.runs else None

    def expires_ms(self, entry: Entry) -> int | None:
        assert isinstance(entry, RunsEntry)
        return self._next(self._next(entry.runs[-1].last_ms)) if entry.runs else 0

    def _next(self, start_ms: int) -> int:
        end = window_end(self._period, self._zone, start_ms)
        assert end is not None
        return end


class OpenedCounter:
    """Windows that opening events begin, each with a counter of its own; refundable_ms as above."""

    keeps = OpenedEntry

    def __init__(
        self,
        name: str,
        series: int,
        counter: Counter,
        opening: Opening,
        horizon_ms: int,
        again: bool,
        refundable_ms: int | None,
    ) -> None:
        self._name, self._series, self._horizon_ms = name, series, horizon_ms
        self._within_ms, self._once_per_value = opening.within_ms, opening.once_per_value
        self._kept_ms: int | None = None
        if opening.within_ms is not None and refundable_ms is not None:
            self._kept_ms = opening.within_ms + refundable_ms
        self._rule = WindowRule(counter, again)
        self._multiples = counter.fires == "every"

    def open(self, state: UserState, event: Event, value: str | int | None) -> bool:
        """Begin a window; False where no more can be kept."""
        entry = self._entry(state)
        self.pruned(entry, max(event.time_ms, state.decided_ms) - self._horizon_ms)
        if len(entry.openings) >= WINDOWS_MAX:
            return False
        insort(entry.openings, Opened(event.time_ms, event.event_id, value, WindowCount()), key=_opened_at)
        return True

    def count(
        self, state: UserState, event: Event, added: Added, value: str | int | None
    ) -> Sequence[Firing] | CounterFull:
        entry, complete = self._entry(state), True
        firings: list[Firing] = []
        for opened in self._open_at(entry, event, value):
            counted = self._rule.count(opened.count, added, None, opened)
            if isinstance(counted, CounterFull):
                counted, complete = counted.firings, False
            if self._once_per_value and opened.value is not None:
                counted, kept = self._first_ones(entry, counted, opened.value)
                complete = complete and kept
            firings += counted
        return firings if complete else CounterFull(firings)

    def places(self, state: UserState, event: Event, value: str | int | None) -> list[tuple[str, int]]:
        return [(opened.event_id, opened.count.n) for opened in self._open_at(self._entry(state), event, value)]

    def standing(self, state: UserState, event: Event, value: str | int | None) -> list[Standing]:
        within = self._within_ms
        return [
            Standing(
                one.event_id,
                one.time_ms,
                None if within is None else one.time_ms + within,
                one.count.value,
                one.count.fired,
                one.count.n,
            )
            for one in self._open_at(self._read(state), event, value)
        ]

    def openings(self, state: UserState) -> list[Opened]:
        """The opening events that are kept, open or not; changes nothing."""
        return self._read(state).openings

    def lower(self, state: UserState, place: str, firings: int | None, amount: int) -> list[Lowered]:
        found = next((opened for opened in self._entry(state).openings if opened.event_id == place), None)
        return self._rule.lower(found.count if found else None, place, firings, amount)

    def pruned(self, entry: Entry, before_ms: int) -> Entry | None:
        assert isinstance(entry, OpenedEntry)
        if self._kept_ms is not None:
            while entry.openings and entry.openings[0].time_ms + self._kept_ms <= before_ms:
                del entry.openings[0]
        return entry if entry.openings or entry.fired else None

    def expires_ms(self, entry: Entry) -> int | None:
        assert isinstance(entry, OpenedEntry)
        if self._kept_ms is None or entry.fired:
            return None
        return entry.openings[-1].time_ms + self._kept_ms if entry.openings else 0

    def _read(self, state: UserState) -> OpenedEntry:
        known = state.entry(self._name, self._series)
        return known if isinstance(known, OpenedEntry) else OpenedEntry(self._series, [], {})

    def _entry(self, state: UserState) -> OpenedEntry:
        entry = state.entry(self._name, self._series)
        if not isinstance(entry, OpenedEntry):
            entry = state.entries[self._name] = OpenedEntry(self._series, [], {})
        return entry

    def _open_at(self, entry: OpenedEntry, event: Event, value: str | int | None) -> list[Opened]:
        """Windows open at an event: begun before it in the total order, not ended, of the same value; None = of any."""
        within = self._within_ms
        return [
            opened
            for opened in entry.openings
            if (opened.time_ms, opened.event_id) < (event.time_ms, event.event_id)
            and (within is None or event.time_ms < opened.time_ms + within)
            and (value is None or opened.value == value)
        ]

    def _first_ones(self, entry: OpenedEntry, firings: Sequence[Firing], value: str | int) -> tuple[list[Firing], bool]:
        """The firings that are the first of this value; False where no more values can be kept."""
        known = entry.fired.get(value)
        if known is None:
            if firings and len(entry.fired) >= VALUES_MAX:
                return [], False
            known = []
        fresh = []
        for firing in firings:
            name = f"{firing.step}:{firing.n if self._multiples else 0}"
            if name not in known:
                known = [*known, name]
                fresh.append(firing)
        if fresh:
            entry.fired[value] = known
        return fresh, True


def _opened_at(opened: Opened) -> tuple[int, str]:
    return opened.time_ms, opened.event_id


def _sum_up_to(entry: SlidingEntry, place: int) -> int:
    return entry.sums[place - 1] if place else entry.base


def _insert(entry: SlidingEntry, place: int, time_ms: int, amount: int) -> None:
    """Put an amount in its place; one that comes late moves the sums behind it."""
    entry.times.insert(place, time_ms)
    entry.sums.insert(place, _sum_up_to(entry, place) + amount)
    for later in range(place + 1, len(entry.sums)):
        entry.sums[later] += amount


def _insert_values(
    entry: SlidingEntry, first: int, place: int, time_ms: int, values: list[str | int]
) -> tuple[int, int]:
    """Put values in their place; how many different ones the span held before and after."""
    if entry.values is None:
        entry.values = []
    within = set(entry.values[first:place])
    before = len(within)
    within.update(values)
    entry.times[place:place] = [time_ms] * len(values)
    entry.values[place:place] = values
    return before, len(within)
