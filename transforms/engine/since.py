"""What a campaign that looks back took in since it came into force: kept until its history comes, or it fires.

A counter that starts anew, a refund or a run makes another thing of the same events in another order, so counted
history cannot be added to what was counted since: the seed is put in its place, and what came since is taken again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.events import Event
from transforms.engine.requests import Requests
from transforms.engine.state import POINTS_MAX, Entry, Noted, SinceEntry, UserState

Attributes = Mapping[str, Any]
Take = Callable[[UserState, Event, Attributes, Attributes, Requests], bool]
"""Takes an event in one role: (state, event, event's view, user's view, where requests go); False where something of
the campaign is at its maximum for this user."""


class SinceRunner:
    """What came since the cut-over for one campaign.

    Args:
      name: its entry's. cut_over_ms: when the campaign came into force. fires_from_ms: when it begins to fire.
    """

    keeps = SinceEntry

    def __init__(self, name: str, series: int, cut_over_ms: int, fires_from_ms: int, horizon_ms: int) -> None:
        self.cut_over_ms, self.fires_from_ms = cut_over_ms, fires_from_ms
        self._name, self._series, self._kept_until_ms = name, series, fires_from_ms + horizon_ms

    def noting(self, role: int, take: Take) -> Take:
        """A role's take, which notes the event first; False where no more can be noted: then it is not counted."""

        def noted(state: UserState, event: Event, view: Attributes, user: Attributes, requests: Requests) -> bool:
            return self._note(state, role, event, user) and take(state, event, view, user, requests)

        return noted

    def is_closed(self, state: UserState, newest_ms: int) -> bool:
        """Whether a seed comes too late, after events up to newest_ms: the campaign was seeded, or may have fired."""
        entry = self._entry(state)
        return newest_ms >= self._kept_until_ms if entry is None else entry.noted is None

    def close(self, state: UserState) -> list[Noted]:
        """Note nothing more, and give what was noted."""
        entry = self._entry(state)
        state.entries[self._name] = SinceEntry(self._series, None)
        return [] if entry is None else entry.noted or []

    def pruned(self, entry: Entry, before_ms: int) -> Entry | None:
        """Gone when the campaign has been firing for longer than the horizon: then a seed is too late in any case."""
        return entry if before_ms < self.fires_from_ms else None

    def expires_ms(self, entry: Entry) -> int | None:
        """When the campaign begins to fire."""
        return self.fires_from_ms

    def _note(self, state: UserState, role: int, event: Event, user: Attributes) -> bool:
        if event.time_ms >= self._kept_until_ms:
            return True
        entry = self._entry(state)
        if entry is None:
            entry = state.entries[self._name] = SinceEntry(self._series, [])
        if event.time_ms >= self.fires_from_ms:
            entry.noted = None
        if entry.noted is None:
            return True
        if len(entry.noted) >= POINTS_MAX:
            return False
        entry.noted.append(Noted(role, event, dict(user)))
        return True

    def _entry(self, state: UserState) -> SinceEntry | None:
        entry = state.entry(self._name, self._series)
        return entry if isinstance(entry, SinceEntry) else None
