"""What fires, and what is taken back: one campaign and subject, event by event, each judged by the whole history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.campaign_parts import Grant
from schemas.order_keys import OrderKey, OrderKind
from tests.support.oracle.counting import Counting
from tests.support.oracle.gifts import gifts_of
from tests.support.oracle.model import Firing
from tests.support.oracle.times import instant_ms, is_looked_back_at

_TURN = 1


class Triggers(Counting):
    """Firings of one campaign and subject. fired: all so far, also steps that were only used up."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.fired: list[Firing] = []

    def firings_at(self, i: int) -> list[Firing]:
        """What the event fires."""
        if not self.matching[i]:
            return []
        if self.trigger.unless is not None:
            return self._of_absence(i)
        if self.trigger.streak is not None:
            first, length = self.run_at(i)
            return self._crossed(i, first, length - 1, length) if length else []
        if not self.counts and self.trigger.after is None:
            return [self._firing(i, self.campaign.grant or ())]
        return [firing for window in self.windows(i) for firing in self._counted(i, window)]

    def _of_absence(self, i: int) -> list[Firing]:
        unless, active, opened = self.trigger.unless, self.campaign.active, self.history[i]
        assert unless is not None
        if unless.same is not None and self.common(unless.same, i, is_first=True) is None:
            return []
        due = opened.time_ms + unless.within
        end = instant_ms(active.end, active.zone)
        came = any(
            self.ending[j] and self.history[j].time_ms < due and self.alike(unless.same, i, j)
            for j in range(i + 1, len(self.history))
        )
        if came or due > self.world.until_ms or (end is not None and due >= end):
            return []
        return [self._firing(i, self.campaign.grant or (), due_ms=due)]

    def _counted(self, i: int, window: Any) -> list[Firing]:
        since = self._used_up_to(window)
        before = self.level(window, i, at=i, since=since, without=i)
        after = self.level(window, i, at=i, since=since)
        counts = before != after  # a value that is there already, a sum of 0 and a purchase taken back do not
        return self._crossed(i, window, before, after) if counts else []

    def _used_up_to(self, window: Any) -> int:
        """The last event that restarted the window's counter."""
        if not self.trigger.restart:
            return -1
        return max((self.history.index(f.cause) for f in self.fired if f.window == window), default=-1)

    def _crossed(self, i: int, window: Any, before: int, after: int) -> list[Firing]:
        mark = self._mark(i, window)
        reached = [
            (step, n, level, grants)
            for step, n, level, grants in self._levels(before, after)
            if self._is_free(mark, step, n)
        ]
        highest = reached[-1:] if self.trigger.pick == "highest" else reached
        found = []
        for step, n, level, grants in reached:
            given = grants if (step, n, level, grants) in highest else ()
            firing = self._firing(i, given, window=window, mark=mark, step=step, n=n, level=level)
            found.append(firing)
            self.fired.append(firing)
        return found

    def _levels(self, before: int, after: int) -> Iterator[tuple[int, int, int, tuple[Grant, ...]]]:
        """(step, n, level, grants) of all that the way from before to after reaches."""
        trigger, grants = self.trigger, self.campaign.grant or ()
        if trigger.every is not None:
            for n in range(max(1, before // trigger.every + 1), after // trigger.every + 1):
                yield 0, n, n * trigger.every, grants
        elif trigger.start is not None:
            if after >= trigger.start:
                yield 0, 0, trigger.start, grants
        elif trigger.steps is not None:
            for step, part in enumerate(trigger.steps):
                if before < part.reach <= after:
                    yield step, 0, part.reach, part.grant
        elif before < (trigger.reach or 1) <= after:
            yield 0, 0, trigger.reach or 1, grants

    def _mark(self, i: int, window: Any) -> Any:
        """What a step is used up in: its window, its value, or nothing but this event."""
        trigger = self.trigger
        if trigger.after is not None and trigger.after.once == "value" and trigger.after.same is not None:
            return "value", self.common(trigger.after.same, i, is_first=False)
        again = trigger.last is not None or trigger.start is not None or trigger.restart
        return ("event", window, i) if again else ("window", window)

    def _is_free(self, mark: Any, step: int, n: int) -> bool:
        refunds = self.campaign.refunds
        again = refunds is not None and refunds.again
        return not any((f.mark, f.step, f.n) == (mark, step, n) and not (f.gone and again) for f in self.fired)

    def _firing(self, i: int, grants: tuple[Grant, ...], due_ms: int | None = None, **what: Any) -> Firing:
        event = self.history[i]
        kind = OrderKind.EVENT if due_ms is None else OrderKind.TIMER
        opening = self.history[what["window"]].event_id if self.trigger.after is not None else ""
        time_ms = event.time_ms if due_ms is None else due_ms
        key = OrderKey(
            time_ms,
            kind,
            event.event_id,
            self.subject,
            _TURN,
            self.campaign.campaign,
            opening,
            what.get("step", 0),
            what.get("n", 0),
        )
        gives = grants and not is_looked_back_at(self.campaign.active, event.time_ms)
        gifts = gifts_of(grants, event, self.subject, self.users[i]) if gives else ()
        return Firing(key, self.campaign, event, gifts, grants, **what)
