"""Absences: an event waits for another not to come, and fires when its time is up."""

from __future__ import annotations

from bisect import insort

from schemas.events import Event
from schemas.plans import Absence
from transforms.engine.offers import Given
from transforms.engine.state import WINDOWS_MAX, Entry, Pending, PendingEntry, UserState


class AbsenceRunner:
    """What waits for one campaign; name is its entry's."""

    keeps = PendingEntry

    def __init__(self, name: str, series: int, absence: Absence) -> None:
        self._name, self._series, self._within_ms = name, series, absence.within_ms

    def open(self, state: UserState, event: Event, value: str | int | None, given: Given) -> bool:
        """Let an event wait; False where no more can be kept."""
        entry = self._entry(state)
        if entry is None:
            entry = state.entries[self._name] = PendingEntry(self._series, [])
        if len(entry.pending) >= WINDOWS_MAX:
            return False
        due_ms = event.time_ms + self._within_ms
        insort(entry.pending, Pending(due_ms, event.time_ms, event.event_id, event.subject, value, given), key=_due)
        if state.due_ms is None or due_ms < state.due_ms:
            state.due_ms = due_ms
        return True

    def close(self, state: UserState, event: Event, value: str | int | None) -> None:
        """The other event has come: those before it in the total order, whose time is not up, wait no longer."""
        entry = self._entry(state)
        if entry is not None:
            entry.pending = [
                one
                for one in entry.pending
                if (one.time_ms, one.event_id) >= (event.time_ms, event.event_id)
                or one.due_ms <= event.time_ms
                or one.value != value
            ]

    def due(self, state: UserState, until_ms: int) -> list[Pending]:
        """Take out those whose time is up."""
        entry = self._entry(state)
        if entry is None:
            return []
        up = [one for one in entry.pending if one.due_ms <= until_ms]
        if up:
            del entry.pending[: len(up)]
        return up

    def waiting(self, state: UserState) -> list[Pending]:
        """Those that wait; changes nothing."""
        entry = self._entry(state)
        return entry.pending if entry is not None else []

    def open_count(self, state: UserState) -> int:
        """How many wait."""
        return len(self.waiting(state))

    def next_due_ms(self, state: UserState) -> int | None:
        """When the next time is up; None = nothing waits."""
        entry = self._entry(state)
        return entry.pending[0].due_ms if entry is not None and entry.pending else None

    def pruned(self, entry: Entry, before_ms: int) -> Entry | None:
        """What waits is not dropped by time: a tick takes it out."""
        assert isinstance(entry, PendingEntry)
        return entry if entry.pending else None

    def expires_ms(self, entry: Entry) -> int | None:
        """Never by itself."""
        return None

    def _entry(self, state: UserState) -> PendingEntry | None:
        entry = state.entry(self._name, self._series)
        return entry if isinstance(entry, PendingEntry) else None


def _due(pending: Pending) -> tuple[int, str]:
    return pending.due_ms, pending.event_id
