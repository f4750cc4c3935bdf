"""Taking back: what a refund does to the counter of a campaign and to the grants it made.

A refund that names its purchase is settled against it, before or after it arrives; one that names none is set against
the user. What may be taken back is remembered here; how much still stands of it, only the ledger knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from schemas.events import Event
from schemas.order_keys import OrderKey, OrderKind
from schemas.plans import Plan
from schemas.proposals import Occurrence, Reversal
from transforms.engine.counters import CounterRunner
from transforms.engine.firing import Lowered
from transforms.engine.incentives import amount_of, worth_of
from transforms.engine.measures import Added, told_apart
from transforms.engine.requests import Requests
from transforms.engine.state import VALUES_MAX, Back, Bought, Entry, Made, RefundEntry, UserState
from transforms.language.translate import compile_value

Attributes = Mapping[str, Any]
ValueOf = Callable[[Attributes, Attributes], str | int | None]

_WHOLE = (1, 1)


class Purchase(NamedTuple):
    """A purchase as it is taken in.

    Attributes:
      name: by which refunds name it; None = they do not. of: its amount, 0 = refunds are of the whole.
      full, added: what it adds to the counter, and what early refunds leave of that. early: those refunds.
    """

    name: str | int | None
    of: int
    full: Added | None
    added: Added | None
    early: list[Back]


class _Cause(NamedTuple):
    """The refund, and the input at which it takes effect: its own event, or the purchase that came after it."""

    event_id: str
    time_ms: int
    at: Event


class RefundRunner:
    """The refunds of one campaign; name is its entry's."""

    keeps = RefundEntry

    def __init__(self, name: str, plan: Plan, tenant: str, counter: CounterRunner | None, horizon_ms: int) -> None:
        assert plan.refunds is not None
        self._horizon_ms = horizon_ms
        self._name, self._plan, self._tenant, self._counter = name, plan, tenant, counter
        refunds = self._refunds = plan.refunds
        self._purchase_name = value_of(refunds.pairing.first) if refunds.pairing else None
        self._refund_name = value_of(refunds.pairing.then) if refunds.pairing else None
        self._amount = amount_of(refunds.amount) if refunds.amount else None
        self._of = amount_of(refunds.of) if refunds.of else None
        self._unit = plan.unit
        self._worth = worth_of(plan.all_gifts[0].incentive)
        self._sums = plan.counter is not None and plan.counter.measure is not None

    def purchase(
        self, state: UserState, event: Event, view: Attributes, user: Attributes, added: Added | None
    ) -> Purchase:
        """A purchase before it counts: what it adds, less what was refunded before it came."""
        if self._purchase_name is None:
            return Purchase(None, 0, added, added, [])
        name = self._purchase_name(view, user)
        of = max(self._of(view, user) or 0, 0) if self._of is not None else 0
        entry = self._entry(state)
        early = entry.early.pop(name, []) if entry is not None and name is not None else []
        early = [back for back in early if self._in_time(event.time_ms, back.time_ms)]
        left = added
        if early and self._refunds.counter_down and type(added) is int:
            left = added - self._off(added, of, sum(_part(back.amount, of) for back in early))
        return Purchase(name, of, added, left, early)

    def taken(
        self,
        state: UserState,
        event: Event,
        purchase: Purchase,
        places: list[tuple[str, int]],
        made: list[Made],
        requests: Requests,
    ) -> bool:
        """Remember a purchase and what it fired; early refunds take back at once. False where no more can be kept."""
        if not made and (purchase.name is None or not (places or purchase.early)):
            return True
        entry = self._entry(state) or self._fresh(state)
        self._drop(entry, max(event.time_ms, state.decided_ms) - self._horizon_ms)
        if len(entry.made) + len(made) > VALUES_MAX or len(entry.bought) >= VALUES_MAX:
            return False
        entry.made += made
        if purchase.name is not None:
            full, left = (one if type(one) is int else 0 for one in (purchase.full, purchase.added))
            bought = Bought(event.time_ms, event.event_id, purchase.of, 0, full, full - left, places)
            entry.bought.setdefault(purchase.name, []).append(bought)
            for back in purchase.early:
                bought.back = min(bought.back + _part(back.amount, bought.of), bought.of or 1)
                cause = _Cause(back.event_id, back.time_ms, event)
                self._take_back(entry, [(bought, _share(bought))], [], cause, requests)
        return True

    def refund(self, state: UserState, event: Event, view: Attributes, user: Attributes, requests: Requests) -> bool:
        """Take a refund. False where no more can be kept."""
        amount = None if self._amount is None else self._amount(view, user)
        if self._amount is not None and (amount is None or amount <= 0):
            return True
        cause = _Cause(event.event_id, event.time_ms, event)
        if self._refund_name is None:
            self._against_user(state, amount, cause, requests)
            return True
        name = self._refund_name(view, user)
        if name is None:
            return True
        entry = self._entry(state) or self._fresh(state)
        bought = entry.bought.get(name)
        if bought is None:
            if len(entry.early) >= VALUES_MAX:
                return False
            entry.early.setdefault(name, []).append(Back(event.event_id, event.time_ms, amount))
            return True
        self._against_purchases(state, entry, bought, amount, cause, requests)
        return True

    def named(self, state: UserState, view: Attributes, user: Attributes) -> tuple[str | int | None, list[Bought]]:
        """The purchase that a refund names, None = it names none, and what is known of it. Changes nothing."""
        name = self._refund_name(view, user) if self._refund_name is not None else None
        entry = self._entry(state)
        return name, entry.bought.get(name, []) if entry is not None and name is not None else []

    def pruned(self, entry: Entry, before_ms: int) -> Entry | None:
        """Without `within`, what may be taken back is kept as long as the state lives."""
        assert isinstance(entry, RefundEntry)
        self._drop(entry, before_ms)
        return entry if entry.made or entry.bought or entry.early else None

    def expires_ms(self, entry: Entry) -> int | None:
        """When the newest thing that may be taken back is too old; None = never."""
        assert isinstance(entry, RefundEntry)
        if self._refunds.within_ms is None:
            return None
        times = [made.time_ms for made in entry.made]
        times += [bought.time_ms for one in entry.bought.values() for bought in one]
        times += [back.time_ms for one in entry.early.values() for back in one]
        return max(times, default=0) + self._refunds.within_ms

    def _against_purchases(
        self,
        state: UserState,
        entry: RefundEntry,
        purchases: list[Bought],
        amount: int | None,
        cause: _Cause,
        requests: Requests,
    ) -> None:
        """Purchases of one name take a refund up one after the other, each as far as it is not refunded yet."""
        shares: list[tuple[Bought, tuple[int, int]]] = []
        lowered: list[Lowered] = []
        left = amount
        for bought in purchases:
            if not self._in_time(bought.time_ms, cause.time_ms):
                continue
            room = (bought.of or 1) - bought.back
            part = room if left is None or not bought.of else min(left, room)
            if part <= 0:
                continue
            bought.back += part
            left = None if left is None else left - part
            lowered += self._lower(state, bought)
            shares.append((bought, _share(bought)))
            if left is not None and left <= 0:
                break
        self._take_back(entry, shares, lowered, cause, requests)

    def _lower(self, state: UserState, bought: Bought) -> list[Lowered]:
        if not self._refunds.counter_down or self._counter is None:
            return []
        off = self._off(bought.counted, bought.of, bought.back) - bought.lowered
        if off <= 0:
            return []
        bought.lowered += off
        return [low for place, firings in bought.places for low in self._counter.lower(state, place, firings, off)]

    def _off(self, counted: int, of: int, back: int) -> int:
        """How much of what a purchase counted is taken off: a sum in proportion, a count once all of it is refunded."""
        if not of or back >= of:
            return counted if back else 0
        return counted * back // of if self._sums else 0

    def _against_user(self, state: UserState, amount: int | None, cause: _Cause, requests: Requests) -> None:
        lowered: list[Lowered] = []
        if self._refunds.counter_down and self._counter is not None:
            off = amount if self._sums and amount is not None else 1
            places = self._counter.places(state, cause.at, None)
            lowered = [low for place, _ in places for low in self._counter.lower(state, place, None, off)]
        entry = self._entry(state)
        if entry is None:
            return
        if self._refunds.grants == "two-way":
            self._take_back(entry, [], lowered, cause, requests)
        elif self._refunds.grants == "pro-rata":
            self._take_by_worth(entry, amount, cause, requests)

    def _take_by_worth(self, entry: RefundEntry, amount: int | None, cause: _Cause, requests: Requests) -> None:
        """By the campaign's value rule on the refund's amount, newest grants first."""
        wanted = self._worth(amount or 0)
        newest_first = sorted(
            (made for made in entry.made if self._in_time(made.time_ms, cause.time_ms)),
            key=lambda made: (made.time_ms, made.event_id, made.step, made.n),
            reverse=True,
        )
        if wanted is not None and newest_first:
            occurrences = [self._occurrence(made, made.grants[0][1]) for made in newest_first]
            self._reverse(requests, cause, cause.at.subject, occurrences, 0, 0, amount=wanted)

    def _take_back(
        self,
        entry: RefundEntry,
        shares: list[tuple[Bought, tuple[int, int]]],
        lowered: list[Lowered],
        cause: _Cause,
        requests: Requests,
    ) -> None:
        """By the share of each purchase, or whole where a counter fell below its step."""
        rule = self._refunds.grants
        if rule == "two-way":
            gone = {(low.place, low.step, low.n) for low in lowered}
            self._by_share(
                requests, cause, [made for made in entry.made if (made.place, made.step, made.n) in gone], _WHOLE, 0
            )
        elif rule in ("pro-rata", "whole"):
            fired: dict[tuple[int, int], list[Made]] = {}  # purchases refunded alike are one reversal
            for bought, (back, of) in shares:
                share = _WHOLE if rule == "whole" or back >= of else (back, of)
                fired.setdefault(share, []).extend(made for made in entry.made if made.event_id == bought.event_id)
            for number, (share, made) in enumerate(fired.items()):
                self._by_share(requests, cause, made, share, number)

    def _by_share(
        self, requests: Requests, cause: _Cause, made: Iterable[Made], share: tuple[int, int], number: int
    ) -> None:
        by_recipient: dict[tuple[int, str], list[Occurrence]] = {}
        for one in made:
            for role, (recipient, grant_id) in enumerate(one.grants):
                by_recipient.setdefault((role, recipient), []).append(self._occurrence(one, grant_id))
        for (role, recipient), occurrences in by_recipient.items():
            self._reverse(requests, cause, recipient, occurrences, role, number, share=share)

    def _reverse(
        self,
        requests: Requests,
        cause: _Cause,
        recipient: str,
        occurrences: list[Occurrence],
        role: int,
        number: int,
        share: tuple[int, int] | None = None,
        amount: int | None = None,
    ) -> None:
        opening = "" if cause.at.event_id == cause.event_id else cause.event_id
        campaign = self._plan.campaign
        key = OrderKey(
            cause.at.time_ms, OrderKind.EVENT, cause.at.event_id, cause.at.subject, 0, campaign, opening, role, number
        )
        gives_back = self._refunds.gives_back
        requests.made.append(
            Reversal(
                self._tenant,
                key,
                campaign,
                recipient,
                cause.event_id,
                cause.time_ms,
                tuple(occurrences),
                share,
                amount,
                gives_back,
                self._unit,
            )
        )

    def _occurrence(self, made: Made, grant_id: bytes) -> Occurrence:
        return Occurrence(grant_id, made.generation, self._plan.campaign)

    def _in_time(self, purchase_ms: int, refund_ms: int) -> bool:
        within = self._refunds.within_ms
        return within is None or refund_ms - purchase_ms < within

    def _drop(self, entry: RefundEntry, before_ms: int) -> None:
        within = self._refunds.within_ms
        if within is None:
            return
        oldest = before_ms - within
        entry.made = [made for made in entry.made if made.time_ms > oldest]
        for name, purchases in list(entry.bought.items()):
            entry.bought[name] = [bought for bought in purchases if bought.time_ms > oldest]
            if not entry.bought[name]:
                del entry.bought[name]
        for name, backs in list(entry.early.items()):
            entry.early[name] = [back for back in backs if back.time_ms > oldest]
            if not entry.early[name]:
                del entry.early[name]

    def _entry(self, state: UserState) -> RefundEntry | None:
        entry = state.entry(self._name, self._plan.series)
        return entry if isinstance(entry, RefundEntry) else None

    def _fresh(self, state: UserState) -> RefundEntry:
        entry = state.entries[self._name] = RefundEntry(self._plan.series, [], {}, {})
        return entry


def value_of(expression: Any) -> ValueOf:
    """The function that computes a value to compare; None = missing."""
    value = compile_value(expression)

    def found(event: Attributes, user: Attributes) -> str | int | None:
        one = value(event, user)
        return None if one is None else told_apart(one)

    return found


def _part(amount: int | None, of: int) -> int:
    """How much of a purchase a refund takes: all of it where no amounts are told."""
    return (of or 1) if amount is None or not of else min(amount, of)


def _share(bought: Bought) -> tuple[int, int]:
    return bought.back, bought.of or 1
