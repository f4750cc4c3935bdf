"""How steps fire: in a window that remembers what has fired, on a sliding span, along a run of periods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from schemas.plans import Counter, DistinctItems, DistinctValue
from transforms.engine.measures import Added
from transforms.engine.state import FIRINGS_MAX, VALUES_MAX, Opened, Run, WindowCount

_NONE: Sequence[Firing] = ()
_AGAIN = 32
"""n of a step that was taken back and is earned again: how often, above so many bits of what n is without that."""


class Firing(msgspec.Struct, frozen=True, gc=False):
    """A step that an event reached.

    Attributes:
      step: index of the step. n: which multiple, or which firing in the window (0 where there can be one only).
      start_ms: start of the window it belongs to; opening: the event that opened it; neither: the event itself is the
        occurrence.
    """

    step: int
    n: int
    start_ms: int | None
    opening: Opened | None = None

    @property
    def place(self) -> str:
        """The window it belongs to, as text; "" = the event itself."""
        if self.opening is not None:
            return self.opening.event_id
        return "" if self.start_ms is None else str(self.start_ms)


class CounterFull(NamedTuple):
    """The counter is at its maximum for this user: the event was not counted, or not every multiple fired."""

    firings: Sequence[Firing]


class Lowered(NamedTuple):
    """A step that its counter stands below now: of which window, and its n when it fired."""

    place: str
    step: int
    n: int


class WindowRule:
    """How a window counts and its steps fire; it remembers what has fired in it."""

    def __init__(self, counter: Counter, again: bool) -> None:
        self._thresholds = [step.threshold for step in counter.steps]
        self._threshold, self._highest = self._thresholds[0], counter.pick == "highest"
        self._all_fired = (1 << len(self._thresholds)) - 1
        self._restart, self._again, self._fires = counter.restart, again, counter.fires
        distinct = isinstance(counter.measure, DistinctValue | DistinctItems)
        self._enough = self._thresholds[-1] if counter.fires == "reach" and not counter.restart else VALUES_MAX
        self._distinct = distinct
        each, reach = self._each, self._reach
        self._fire: Callable[[WindowCount, int | None, Opened | None], Sequence[Firing]] = (
            each if counter.restart else {"reach": reach, "every": self._every, "from": each}[counter.fires]
        )

    def count(
        self, window: WindowCount, added: Added, start_ms: int | None, opened: Opened | None
    ) -> Sequence[Firing] | CounterFull:
        before = window.value
        if not self._distinct:
            window.value = before + added  # type: ignore[operator]
        elif not self._add_values(window, added):  # type: ignore[arg-type]
            return CounterFull([])
        elif window.value == before:
            return _NONE
        if window.value < self._threshold:
            return _NONE
        firings = self._fire(window, start_ms, opened)
        if not firings:
            return firings
        if self._restart:
            window.value, window.seen = 0, None
        return firings if len(firings) < FIRINGS_MAX else CounterFull(firings)

    def lower(self, window: WindowCount | None, place: str, firings: int | None, amount: int) -> list[Lowered]:
        """Take an amount off, and tell which steps that had fired the window stands below now."""
        if window is None or firings not in (None, window.n):
            return []
        window.value -= amount
        if self._restart or self._fires == "from":
            return []
        value = window.value
        if self._fires == "every":
            standing = max(value // self._threshold, 0)
            below = list(range(standing + 1, window.fired + 1))
            lowered = [Lowered(place, 0, self._n(window, multiple, multiple)) for multiple in below]
            if self._again and below:
                window.fired = standing
        else:
            below = [i for i, threshold in enumerate(self._thresholds) if window.fired >> i & 1 and value < threshold]
            lowered = [Lowered(place, step, self._n(window, step, 0)) for step in below]
            if self._again:
                for step in below:
                    window.fired &= ~(1 << step)
        if self._again:
            for one in below:
                window.again = window.again or {}
                window.again[one] = window.again.get(one, 0) + 1
        return lowered

    def _add_values(self, window: WindowCount, values: list[str | int]) -> bool:
        """A set keeps what its highest step needs; False where it can keep no more."""
        seen = window.seen if window.seen is not None else set()
        for value in values:
            if value not in seen:
                if len(seen) >= VALUES_MAX:
                    return False
                if len(seen) < self._enough:
                    seen.add(value)
        window.seen, window.value = seen, len(seen)
        return True

    def _n(self, window: WindowCount, of: int, n: int) -> int:
        return n if window.again is None else n | window.again.get(of, 0) << _AGAIN

    def _each(self, window: WindowCount, start_ms: int | None, opened: Opened | None) -> Sequence[Firing]:
        window.n += 1
        return [Firing(0, window.n, start_ms, opened)]

    def _every(self, window: WindowCount, start_ms: int | None, opened: Opened | None) -> Sequence[Firing]:
        reached = window.value // self._threshold
        if reached <= window.fired:
            return _NONE
        first, window.fired = window.fired + 1, reached
        last = min(reached, first + FIRINGS_MAX - 1)
        return [Firing(0, self._n(window, n, n), start_ms, opened) for n in range(first, last + 1)]

    def _reach(self, window: WindowCount, start_ms: int | None, opened: Opened | None) -> Sequence[Firing]:
        value, fired = window.value, window.fired
        if fired == self._all_fired:
            return _NONE
        steps = [i for i, threshold in enumerate(self._thresholds) if threshold <= value and not fired >> i & 1]
        for step in steps:
            window.fired |= 1 << step
        taken = steps[-1:] if self._highest else steps
        return [Firing(step, self._n(window, step, 0), start_ms, opened) for step in taken]


def crossing_rule(counter: Counter) -> Callable[[int, int], Sequence[Firing]]:
    """How a step fires on a sliding span: by what the span held before and after the event."""
    thresholds = [step.threshold for step in counter.steps]
    threshold, highest = thresholds[0], counter.pick == "highest"

    def each(before: int, after: int) -> Sequence[Firing]:
        return [Firing(0, 0, None)] if after >= threshold else _NONE

    def every(before: int, after: int) -> Sequence[Firing]:
        first, last = before // threshold + 1, after // threshold
        return [Firing(0, n, None) for n in range(max(first, 1), min(last, first + FIRINGS_MAX - 1) + 1)]

    def reach(before: int, after: int) -> Sequence[Firing]:
        if after < threshold or before >= thresholds[-1]:
            return _NONE
        steps = [i for i, threshold in enumerate(thresholds) if before < threshold <= after]
        return [Firing(step, 0, None) for step in (steps[-1:] if highest else steps)]

    return {"reach": reach, "every": every, "from": each}[counter.fires]


def run_rule(counter: Counter) -> Callable[[Run, int], list[Firing]]:
    """How a step fires at the period that makes a run so long; that period is the occurrence."""
    thresholds = [step.threshold for step in counter.steps]
    threshold, highest = thresholds[0], counter.pick == "highest"

    def each(run: Run, start_ms: int) -> list[Firing]:
        return [Firing(0, 0, start_ms)] if run.length >= threshold else []

    def every(run: Run, start_ms: int) -> list[Firing]:
        return [Firing(0, 0, start_ms)] if run.length % threshold == 0 else []

    def reach(run: Run, start_ms: int) -> list[Firing]:
        steps = [i for i, threshold in enumerate(thresholds) if threshold <= run.length and not run.fired >> i & 1]
        for step in steps:
            run.fired |= 1 << step
        return [Firing(step, 0, start_ms) for step in (steps[-1:] if highest else steps)]

    return {"reach": reach, "every": every, "from": each}[counter.fires]
