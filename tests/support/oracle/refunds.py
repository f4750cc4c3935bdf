"""What refunds ask to be taken back: of a purchase they name, before or after it came, or of a user."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from schemas.order_keys import OrderKey, OrderKind
from tests.support.oracle.conditions import amount
from tests.support.oracle.gifts import applied, value_rule
from tests.support.oracle.model import Firing, TakeBack
from tests.support.oracle.triggers import Triggers

_TURN = 0


class Refunded(Triggers):
    """Firings and take-backs of one campaign and subject. decided: all firings so far, that ask for anything or not."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.firings: list[Firing] = []
        self.take_backs: list[TakeBack] = []

    def run(self) -> Refunded:
        """Go through the subject's history; at each event first what it takes back, then what it fires."""
        for i in range(len(self.history)):
            if self.refunding[i]:
                self._take_back(i)
            found = self.firings_at(i)
            self.firings += found
            self._taken_back_before(i, found)
        return self

    @property
    def takes_grants(self) -> str:
        """How grants are taken back."""
        refunds, trigger = self.campaign.refunds, self.trigger
        assert refunds is not None
        if refunds.grants is not None:
            return refunds.grants
        if not self.counts:
            return "pro-rata"
        steps = trigger.start is None and trigger.last is None and not trigger.restart
        return "two-way" if self.goes_down and steps else "stand"

    def _take_back(self, refund: int) -> None:
        refunds = self.campaign.refunds
        assert refunds is not None
        purchases = [p for p in range(refund) if self.refunded_by(refund, p)]
        lowers = self.set_against_user(refund)
        if self.takes_grants == "two-way":
            windows = [window for p in purchases for window in self.windows(p)]
            windows += self.windows(refund, paired=False) if lowers else []
            self._two_way(refund, windows)
        elif self.takes_grants != "stand":
            fired = [(f, p) for p in purchases for f in self.firings if f.cause is self.history[p]]
            shares = tuple(self._goal(p, refund) for _, p in fired)
            self._ask(refund, refund, tuple(f for f, _ in fired), shares=shares)
            if lowers:
                self._set_against_grants(refund)

    def _two_way(self, refund: int, windows: list[Any]) -> None:
        below = []
        for window in dict.fromkeys(windows):
            level = self.level(window, refund, at=refund, since=-1)
            below += [f for f in self.fired if f.window == window and not f.gone and f.level > level]
        for firing in below:
            firing.gone = True
        self._ask(refund, refund, tuple(below), shares=(Fraction(1),) * len(below))

    def _goal(self, purchase: int, upto: int) -> Fraction:
        share = self.refunded(purchase, upto)
        return Fraction(1) if share and self.takes_grants == "whole" else share

    def _taken_back_before(self, purchase: int, found: list[Firing]) -> None:
        """Refunds that came before their purchase take back what it fires."""
        if self.campaign.refunds is None or self.takes_grants not in ("pro-rata", "whole"):
            return
        for refund in range(purchase):
            if found and self.refunded_by(refund, purchase):
                self._ask(refund, purchase, tuple(found), shares=(self._goal(purchase, refund),) * len(found))

    def _set_against_grants(self, refund: int) -> None:
        """Newest first: so much as the campaign's value rule makes of the refund's amount, or the newest whole."""
        refunds = self.campaign.refunds
        assert refunds is not None
        newest = sorted(self.firings, key=lambda firing: firing.key, reverse=True)
        if refunds.within is not None:
            newest = [f for f in newest if self.history[refund].time_ms < f.cause.time_ms + refunds.within]
        if self.takes_grants == "whole":
            self._ask(refund, refund, tuple(newest), newest=True)
            return
        grants = self.campaign.grant or tuple(grant for step in self.trigger.steps or () for grant in step.grant)
        of = amount(refunds.amount, self.history[refund], self.users[refund]) if refunds.amount else 0
        amounts = tuple(max(0, applied(value_rule(grant), of or 0)) for grant in grants)
        self._ask(refund, refund, tuple(newest), amounts=amounts)

    def _ask(self, refund: int, at: int, firings: tuple[Firing, ...], **what: Any) -> None:
        event = self.history[at]
        key = OrderKey(event.time_ms, OrderKind.EVENT, event.event_id, self.subject, _TURN, self.campaign.campaign)
        if firings:
            self.take_backs.append(TakeBack(key, self.campaign, self.history[refund], firings, **what))
