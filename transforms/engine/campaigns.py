"""A campaign made ready to run: a Plan's parts as functions that take an event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

from schemas.events import Event
from schemas.order_keys import OrderKey, OrderKind
from schemas.plans import GroupPlan, Plan
from schemas.proposals import Hold
from transforms.engine.absences import AbsenceRunner
from transforms.engine.conditions import Attributes, Rule
from transforms.engine.counters import CounterRunner, OpenedCounter, counter_runner
from transforms.engine.firing import CounterFull, Firing
from transforms.engine.gates import gate_of
from transforms.engine.measures import Added, MeasureOf, measure_of
from transforms.engine.offers import OfferMaker, user_named
from transforms.engine.refunds import RefundRunner, ValueOf, value_of
from transforms.engine.requests import Requests
from transforms.engine.silences import SilenceRunner
from transforms.engine.since import SinceRunner, Take
from transforms.engine.state import Entry, Made, UserState
from transforms.language.translate import compile_condition, compile_value

_EVENT_ITSELF = (Firing(0, 0, None),)
_EVENT = int(OrderKind.EVENT)


class Role(IntEnum):
    """In which way an event concerns a campaign; in this order at one event."""

    REFUND = 0
    CLOSE = 1
    COUNT = 2
    OPEN = 3


ROLES = len(Role)


class Concern(NamedTuple):
    """One way in which an event concerns a campaign; counts = it may fire at it."""

    campaign: str
    counts: bool
    take: Take


class EntryRunner(Protocol):
    """What knows when an entry of a user's state is needed no more; keeps: the entry's type."""

    @property
    def keeps(self) -> type[Entry]: ...

    def pruned(self, entry: Entry, before_ms: int) -> Entry | None: ...
    def expires_ms(self, entry: Entry) -> int | None: ...


class Parts(NamedTuple):
    """A campaign's parts. first, then: what its opening and its later events have in common."""

    plan: Plan
    counter: CounterRunner | None
    measure: MeasureOf | None
    offers: OfferMaker
    silence: SilenceRunner | None
    refunds: RefundRunner | None
    first: ValueOf | None
    then: ValueOf | None


class CompiledCampaign:
    """One campaign: take an event that met one of its rules, count it, ask for what it earned or takes back.

    Args:
      cut_over_ms: when it came into force, if it looks back; None = it has seen all there was.
    """

    def __init__(
        self, plan: Plan, tenant: str, horizon_ms: int, group: GroupPlan | None, cut_over_ms: int | None
    ) -> None:
        self.id, self.series = plan.campaign, plan.series
        self._plan, self._group, self._hold_ms = plan, plan.group, plan.hold_ms
        self._fires_from_ms = plan.schedule.start_ms or 0 if plan.lookback_ms is not None else 0
        counter = plan.counter
        self._counter: CounterRunner | None = None
        self.entries: dict[str, EntryRunner] = {}
        if counter is not None:
            self._counter = self.entries[self.id] = counter_runner(self.id, plan, counter, horizon_ms)
        self._measure = measure_of(counter.measure) if counter and counter.measure else None
        self._offers = OfferMaker(plan, tenant, group)
        self.absence: AbsenceRunner | None = None
        if plan.absence is not None:
            self.absence = self.entries[self.id] = AbsenceRunner(self.id, plan.series, plan.absence)
        self._silence: SilenceRunner | None = None
        if plan.silence_ms is not None:
            name = f"{self.id}:silence"
            self._silence = self.entries[name] = SilenceRunner(name, plan.series, plan.silence_ms, horizon_ms)
        self._refunds: RefundRunner | None = None
        if plan.refunds is not None:
            name = f"{self.id}:refunds"
            self._refunds = self.entries[name] = RefundRunner(name, plan, tenant, self._counter, horizon_ms)
        pairing = next((part.pairing for part in (plan.opening, plan.absence) if part is not None), None)
        self._first = value_of(pairing.first) if pairing else None
        self._then = value_of(pairing.then) if pairing else None
        self._is_open = _open_to(plan) if self._silence else None
        self.subject = user_named(compile_value(plan.subject)) if plan.subject is not None else None
        self.since: SinceRunner | None = None
        if cut_over_ms is not None and cut_over_ms < self._fires_from_ms:
            name = f"{self.id}:since"
            self.since = SinceRunner(name, plan.series, cut_over_ms, self._fires_from_ms, horizon_ms)
            self.entries[name] = self.since
        self.concerns = tuple(self._concerns())

    def rules(self, place: int) -> Iterator[Rule]:
        """What events concern it, numbered by its place among the campaigns and the role."""
        plan = self._plan
        audience = plan.audience.where
        where = (plan.where,) if plan.where else ()
        if self._silence is not None:
            yield Rule(place * ROLES + Role.COUNT, plan.event_types, where, plan.currency)
        else:
            conditions = (*where, audience) if audience else where
            gate = gate_of(plan.schedule, plan.zone, plan.audience)
            number = place * ROLES + Role.COUNT
            yield Rule(number, plan.event_types, conditions, plan.currency, plan.counting, gate, plan.audience)
        for role, part in ((Role.OPEN, plan.opening), (Role.CLOSE, plan.absence), (Role.REFUND, plan.refunds)):
            if part is not None:
                currency = plan.currency if role is Role.REFUND and part.pairing is None else ""
                yield Rule(place * ROLES + role, part.event_types, (part.where,) if part.where else (), currency)

    def _concerns(self) -> Iterator[Concern]:
        """The ways in which an event may concern it, by role."""
        for role in Role:
            take = self.take(role)
            yield Concern(self.id, role is Role.COUNT, take if self.since is None else self.since.noting(role, take))

    def take(self, role: int) -> Take:
        """How it takes an event in a role; chosen once, so that the common ways ask nothing twice."""
        takes: dict[int, Take] = {Role.CLOSE: self._close, Role.COUNT: self._count, Role.OPEN: self._open}
        if self._refunds is not None:
            takes[Role.REFUND] = self._refunds.refund
        elif self._silence is None and self.absence is None and self._then is None:
            takes[Role.COUNT] = self._fire_at_each if self._counter is None else self._count_plainly
        return takes.get(role, self._count)

    def due(self, state: UserState, until_ms: int, requests: Requests) -> None:
        """Propose what waited for an absence whose time is up: due before the campaign's end."""
        assert self.absence is not None
        end_ms = self._plan.schedule.end_ms
        for pending in self.absence.due(state, until_ms):
            if end_ms is not None and pending.due_ms >= end_ms:
                continue
            offer, _ = self._offers.offer(_EVENT_ITSELF[0], pending.given, pending, pending.due_ms)
            opening = pending.event_id
            key = OrderKey(pending.due_ms, OrderKind.TIMER, opening, pending.subject, 1, self.id, opening)
            hold = None if self._hold_ms is None else Hold(pending.due_ms + self._hold_ms)
            requests.propose(key, offer, hold, "")

    def _open(self, state: UserState, event: Event, view: Attributes, user: Attributes, requests: Requests) -> bool:
        assert isinstance(self._counter, OpenedCounter)
        value = self._first(view, user) if self._first else None
        return True if self._first and value is None else self._counter.open(state, event, value)

    def _close(self, state: UserState, event: Event, view: Attributes, user: Attributes, requests: Requests) -> bool:
        assert self.absence is not None
        value = self._then(view, user) if self._then else None
        if value is not None or self._then is None:
            self.absence.close(state, event, value)
        return True

    def _fire_at_each(
        self, state: UserState, event: Event, view: Attributes, user: Attributes, requests: Requests
    ) -> bool:
        self._propose(event, _EVENT_ITSELF[0], view, user, requests)
        return True

    def _count_plainly(
        self, state: UserState, event: Event, view: Attributes, user: Attributes, requests: Requests
    ) -> bool:
        """Of a counter and nothing else: what most campaigns are."""
        assert self._counter is not None
        added = 1 if self._measure is None else self._measure(view, user)
        if not added:
            return True
        counted = self._counter.count(state, event, added, None)
        firings = counted.firings if isinstance(counted, CounterFull) else counted
        for firing in firings:
            self._propose(event, firing, view, user, requests)
        return firings is counted

    @property
    def parts(self) -> Parts:
        """What it is made of, for who explains its decisions."""
        made_of = self._counter, self._measure, self._offers, self._silence, self._refunds
        return Parts(self._plan, *made_of, self._first, self._then)

    def _count(self, state: UserState, event: Event, view: Attributes, user: Attributes, requests: Requests) -> bool:
        if self._silence is not None and not self._breaks_silence(state, event, view, user):
            return True
        if self.absence is not None:
            return self._wait(state, event, view, user)
        added = 1 if self._measure is None else self._measure(view, user)
        if not added:
            return True
        if self._refunds is None:
            firings, complete = self._fired(state, event, view, user, added)
            for firing in firings:
                self._propose(event, firing, view, user, requests)
            return complete
        return self._count_refundable(self._refunds, state, event, view, user, added, requests)

    def _count_refundable(
        self,
        refunds: RefundRunner,
        state: UserState,
        event: Event,
        view: Attributes,
        user: Attributes,
        added: Added,
        requests: Requests,
    ) -> bool:
        purchase = refunds.purchase(state, event, view, user, added)
        places: list[tuple[str, int]] = []
        firings: Sequence[Firing] = _EVENT_ITSELF
        complete = True
        if self._counter is not None:
            value = self._then(view, user) if self._then else None
            places = [] if self._then and value is None else self._counter.places(state, event, value)
            firings, complete = self._fired(state, event, view, user, purchase.added) if purchase.added else ((), True)
        made = [one for firing in firings if (one := self._propose(event, firing, view, user, requests)) is not None]
        return refunds.taken(state, event, purchase, places, made, requests) and complete

    def _fired(
        self, state: UserState, event: Event, view: Attributes, user: Attributes, added: Added
    ) -> tuple[Sequence[Firing], bool]:
        """The firings of an event, and whether the counter could keep all of it."""
        if self._counter is None:
            return _EVENT_ITSELF, True
        value = None
        if self._then is not None:
            value = self._then(view, user)
            if value is None:
                return (), True
        counted = self._counter.count(state, event, added, value)
        if isinstance(counted, CounterFull):
            return counted.firings, False
        return counted, True

    def _breaks_silence(self, state: UserState, event: Event, view: Attributes, user: Attributes) -> bool:
        assert self._silence is not None and self._is_open is not None
        return self._silence.broken(state, event.time_ms) and self._is_open(event, user)

    def _wait(self, state: UserState, event: Event, view: Attributes, user: Attributes) -> bool:
        assert self.absence is not None
        value = self._first(view, user) if self._first else None
        given = self._offers.given(0, view, user, event.subject)
        if given is None or (self._first is not None and value is None):
            return True
        return self.absence.open(state, event, value, given)

    def _propose(
        self, event: Event, firing: Firing, view: Attributes, user: Attributes, requests: Requests
    ) -> Made | None:
        event_id, time_ms, subject = event.event_id, event.time_ms, event.given_subject or event.user_id
        step, n, opened = firing.step, firing.n, firing.opening
        given = self._offers.given(step, view, user, subject) if time_ms >= self._fires_from_ms else None
        if given is None:
            return None
        offer, generation = self._offers.offer(firing, given, event, time_ms)
        opening = opened.event_id if opened is not None else ""
        key = OrderKey(time_ms, _EVENT, event_id, subject, 1, self.id, opening, step, n)
        hold = None if self._hold_ms is None else Hold(time_ms + self._hold_ms)
        requests.propose(key, offer, hold, self._group)
        if self._refunds is None:
            return None
        grants = [(grant.recipient, grant.grant_id) for grant in offer.grants]
        return Made(time_ms, event_id, firing.place, step, n, generation, grants)


def _open_to(plan: Plan) -> Callable[[Event, Attributes], bool]:
    """Whether dates, hours and audience are met, where they are not asked of every event that matches."""
    schedule, gate = plan.counting, gate_of(plan.schedule, plan.zone, plan.audience)
    condition = compile_condition(plan.audience.where) if plan.audience.where else None

    def is_open(event: Event, user: Attributes) -> bool:
        time_ms = event.time_ms
        return (
            (schedule.start_ms is None or schedule.start_ms <= time_ms)
            and (schedule.end_ms is None or time_ms < schedule.end_ms)
            and (condition is None or condition({}, user))
            and (gate is None or gate(event.subject, time_ms))
        )

    return is_open
