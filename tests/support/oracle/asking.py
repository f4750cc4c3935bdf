"""One campaign and one subject: which of the subject's events open, count, end and take back, asked of each by itself."""

from __future__ import annotations

from functools import cache, cached_property
from typing import Any

from schemas.campaigns import Campaign
from schemas.triggers import Pair, Same
from tests.support.oracle.conditions import User, holds, takes_part, value
from tests.support.oracle.history import profile_at, subject_of
from tests.support.oracle.model import Event, World
from tests.support.oracle.times import is_active


class Asking:
    """Questions about single events; they are named by their index in the subject's history."""

    def __init__(self, world: World, campaign: Campaign, subject: str, history: list[Event]) -> None:
        self.world, self.campaign, self.subject, self.history = world, campaign, subject, history
        self.trigger = campaign.trigger
        self.common, self.open_at = cache(self._common), cache(self._open_at)

    @cached_property
    def users(self) -> list[User]:
        """What was known of the subject at each event."""
        return [profile_at(self.world, self.subject, self.history[: i + 1]) for i in range(len(self.history))]

    @cached_property
    def _taken(self) -> list[bool]:
        return [subject_of(self.campaign, event) == self.subject for event in self.history]

    def _is(self, i: int, types: tuple[str, ...], where: str | None) -> bool:
        event = self.history[i]
        return self._taken[i] and event.event_type in types and holds(where, event, self.users[i])

    @cached_property
    def such(self) -> list[bool]:
        """Of each event, whether it meets `on`, `where` and `currency`."""
        currency = self.trigger.currency
        return [
            self._is(i, self.trigger.on, self.trigger.where)
            and (currency is None or event.attributes.get("currency") == currency)
            for i, event in enumerate(self.history)
        ]

    @cached_property
    def matching(self) -> list[bool]:
        """Of each event, whether it counts or fires: also by its date, its user, and the silence before it."""
        return [
            self.such[i]
            and is_active(self.campaign.active, event.time_ms)
            and takes_part(self.campaign.audience, self.subject, self.users[i], self.world)
            and self._after_silence(i)
            for i, event in enumerate(self.history)
        ]

    def _after_silence(self, i: int) -> bool:
        if self.trigger.silence is None:
            return True
        before = [event for j, event in enumerate(self.history[:i]) if self.such[j]]
        return bool(before) and self.history[i].time_ms - before[-1].time_ms >= self.trigger.silence

    @cached_property
    def opening(self) -> list[bool]:
        """Of each event, whether it opens a window."""
        after = self.trigger.after
        return [after is not None and self._is(i, after.on, after.where) for i in range(len(self.history))]

    @cached_property
    def ending(self) -> list[bool]:
        """Of each event, whether it may end an absence."""
        unless = self.trigger.unless
        return [unless is not None and self._is(i, unless.on, unless.where) for i in range(len(self.history))]

    @cached_property
    def refunding(self) -> list[bool]:
        """Of each event, whether it takes back."""
        refunds = self.campaign.refunds
        currency = self.trigger.currency if refunds is not None and refunds.same is None else None
        return [
            refunds is not None
            and self._is(i, refunds.on, refunds.where)
            and (currency is None or event.attributes.get("currency") == currency)
            for i, event in enumerate(self.history)
        ]

    def alike(self, same: Same | None, first: int, then: int) -> bool:
        """Whether two events have in common what they should."""
        if same is None:
            return True
        found = self.common(same, first, is_first=True)
        return found is not None and found == self.common(same, then, is_first=False)

    def _common(self, same: Same, i: int, *, is_first: bool) -> Any:
        """What an event has of it. `common` and `open_at` remember what they were asked, for speed alone."""
        pair = same if isinstance(same, Pair) else Pair(first=same, then=same)
        return value(pair.first if is_first else pair.then, self.history[i], self.users[i])

    def _open_at(self, i: int, *, paired: bool) -> list[int]:
        """The opening events whose windows are open at an event."""
        after = self.trigger.after
        assert after is not None
        return [
            o
            for o in range(i)
            if self.opening[o]
            and (after.within is None or self.history[i].time_ms < self.history[o].time_ms + after.within)
            and (not paired or self.alike(after.same, o, i))
        ]
