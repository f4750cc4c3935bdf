"""What a counter stands at: added up again from the whole history, each time it is asked."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache, cached_property
from typing import Any

from tests.support.oracle.asking import Asking
from tests.support.oracle.conditions import amount, values
from tests.support.oracle.times import instant_ms, period, period_number


class Counting(Asking):
    """Counters of one campaign and subject, net of refunds. What is remembered is remembered for speed alone."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.windows, self.brings = cache(self._windows), cache(self._brings)
        self.set_against_user = cache(self._set_against_user)

    @property
    def counts(self) -> bool:
        """Whether the campaign has a counter; a sequence without one fires at the first event of its window."""
        return bool(self.trigger.measures)

    @property
    def goes_down(self) -> bool:
        """Whether refunds move the counter."""
        refunds = self.campaign.refunds
        of = self.trigger.count is not None or self.trigger.total is not None
        return of and refunds is not None and refunds.counter == "down"

    @cached_property
    def worth(self) -> list[int]:
        """What each event adds to a count or a sum; 0 if nothing."""
        total = self.trigger.total
        return [
            0 if not matches else 1 if total is None else amount(total, self.history[i], self.users[i]) or 0
            for i, matches in enumerate(self.matching)
        ]

    def refunded_by(self, refund: int, purchase: int) -> Fraction:
        """Which share of a purchase a refund that names it takes back."""
        return self._shares.get((refund, purchase), Fraction(0))

    @cached_property
    def _shares(self) -> dict[tuple[int, int], Fraction]:
        """The same of all pairs: purchases of one name take refunds up one after the other, whichever comes first."""
        shares: dict[tuple[int, int], Fraction] = {}
        refunds = self.campaign.refunds
        if refunds is None or refunds.same is None:
            return shares
        for i in range(len(self.history)):
            pairs = [(i, p) for p in range(i) if self.refunding[i] and self.matching[p]]
            pairs += [(r, i) for r in range(i) if self.refunding[r] and self.matching[i]]
            for refund, purchase in pairs:
                if self.alike(refunds.same, purchase, refund) and self._in_time(refund, purchase):
                    shares[refund, purchase] = self._share(refund, purchase, shares)
        return shares

    def _in_time(self, refund: int, purchase: int) -> bool:
        within = self.campaign.refunds.within if self.campaign.refunds else None
        return within is None or self.history[refund].time_ms < self.history[purchase].time_ms + within

    def _share(self, refund: int, purchase: int, so_far: dict[tuple[int, int], Fraction]) -> Fraction:
        """What is left of the refund, at most what is left of the purchase."""
        open_ = 1 - sum((share for (_, p), share in so_far.items() if p == purchase), Fraction(0))
        refunds = self.campaign.refunds
        assert refunds is not None
        if refunds.amount is None:
            return open_
        taken = self._told(refund)
        of = self._worth_of(purchase)
        if taken <= 0 or of <= 0:
            return open_ if taken > 0 else Fraction(0)
        spent = sum((share * self._worth_of(p) for (r, p), share in so_far.items() if r == refund), Fraction(0))
        return min(open_, (taken - spent) / of)

    def _told(self, refund: int) -> int:
        refunds = self.campaign.refunds
        told = refunds.amount if refunds else None
        return amount(told, self.history[refund], self.users[refund]) or 0 if told is not None else 0

    def _worth_of(self, purchase: int) -> int:
        refunds = self.campaign.refunds
        of = (refunds.of or refunds.amount) if refunds else None
        return max(0, amount(of, self.history[purchase], self.users[purchase]) or 0) if of is not None else 0

    def refunded(self, purchase: int, upto: int) -> Fraction:
        """Which share of a purchase is taken back in all by refunds up to an event."""
        return sum((self.refunded_by(r, purchase) for r in range(upto + 1)), Fraction(0))

    def _set_against_user(self, refund: int) -> int:
        """By how much a refund that names no purchase lowers the counter."""
        refunds = self.campaign.refunds
        if refunds is None or refunds.same is not None or not self.refunding[refund]:
            return 0
        if refunds.amount is None:
            return 1
        taken = self._told(refund)
        return 0 if taken <= 0 else 1 if self.trigger.total is None else taken

    def net(self, i: int, upto: int) -> int:
        """What an event adds, less what refunds up to another event took of it."""
        if not self.goes_down:
            return self.worth[i]
        share = self.refunded(i, upto)
        if self.trigger.total is None:
            return 0 if share == 1 else self.worth[i]
        return self.worth[i] - math.floor(self.worth[i] * share)

    def _windows(self, i: int, *, paired: bool = True) -> list[Any]:
        """The windows that an event counts in (or, not paired, that a refund set against the user lowers)."""
        time_ms, active = self.history[i].time_ms, self.campaign.active
        if self.trigger.after is not None:
            return self.open_at(i, paired=paired)
        per = self.trigger.per
        if isinstance(per, int):
            return [(time_ms - (instant_ms(active.start, active.zone) or 0)) // per]
        return ["ever" if per is None else period(per, time_ms, active.zone)]

    def entries(self, window: Any, upto: int) -> list[tuple[int, int]]:
        """(event, what it adds) of everything that moved the window's counter."""
        found = []
        for j in range(upto + 1):
            if self.matching[j] and window in self.windows(j):
                found.append((j, self.net(j, upto)))
            lowered = self.set_against_user(j)
            if lowered and self.goes_down and window in self.windows(j, paired=False):
                found.append((j, -lowered))
        return found

    def level(self, window: Any, upto: int, *, at: int, since: int, without: int | None = None) -> int:
        """What a window's counter stands at.

        Args:
          upto: the last event that is known. at: the event at whose time it is asked. since: only what came later than
            this event (-1: all). without: an event to leave out.
        """
        last, now = self.trigger.last, self.history[at].time_ms
        chosen = [
            (j, adds)
            for j, adds in self.entries(window, upto)
            if j > since and j != without and (last is None or now - last < self.history[j].time_ms <= now)
        ]
        if self.trigger.distinct is None:
            return sum(adds for _, adds in chosen)
        return len(frozenset().union(*(self.brings(j) for j, _ in chosen)))

    def _brings(self, i: int) -> frozenset[Any]:
        """The different values that an event brings."""
        assert self.trigger.distinct is not None
        return values(self.trigger.distinct, self.history[i], self.users[i])

    def run_at(self, i: int) -> tuple[int, int]:
        """(first period, length) of the unbroken run that ends with an event's period; length 0 if it is not the first there."""
        assert self.trigger.streak is not None
        kind, zone = self.trigger.streak.removesuffix("s"), self.campaign.active.zone
        periods = [period_number(kind, event.time_ms, zone) for event in self.history]
        here = periods[i]
        earlier = {periods[j] for j in range(i) if self.matching[j]}
        if here in earlier:
            return here, 0
        length = 1
        while here - length in earlier:
            length += 1
        return here - length + 1, length
