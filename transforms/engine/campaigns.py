"""Campaigns made ready to run: a Plan's parts as functions, and all campaigns of a set behind one index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol

from schemas.events import ENVELOPE, Event
from schemas.order_keys import OrderKey, OrderKind
from schemas.plans import GroupPlan, Plan, PlanSet, expressions_of
from schemas.proposals import Hold
from transforms.engine.absences import AbsenceRunner
from transforms.engine.conditions import Attributes, Rule
from transforms.engine.counters import CounterRunner, OpenedCounter, counter_runner
from transforms.engine.firing import CounterFull, Firing
from transforms.engine.gates import gate_of
from transforms.engine.matching import MatchIndex
from transforms.engine.measures import Added, MeasureOf, measure_of
from transforms.engine.offers import OfferMaker, user_named
from transforms.engine.refunds import RefundRunner, ValueOf, value_of
from transforms.engine.requests import Requests
from transforms.engine.silences import SilenceRunner
from transforms.engine.since import SinceRunner, Take
from transforms.engine.state import Entry, Made, UserState
from transforms.language.translate import attributes_read, compile_condition, compile_value

_EVENT_ITSELF = (Firing(0, 0, None),)
_EVENT = int(OrderKind.EVENT)


class Role(IntEnum):
    """In which way an event concerns a campaign; in this order at one event."""

    REFUND = 0
    CLOSE = 1
    COUNT = 2
    OPEN = 3


_ROLES = len(Role)


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
            yield Rule(place * _ROLES + Role.COUNT, plan.event_types, where, plan.currency)
        else:
            conditions = (*where, audience) if audience else where
            gate = gate_of(plan.schedule, plan.zone, plan.audience)
            number = place * _ROLES + Role.COUNT
            yield Rule(number, plan.event_types, conditions, plan.currency, plan.counting, gate, plan.audience)
        for role, part in ((Role.OPEN, plan.opening), (Role.CLOSE, plan.absence), (Role.REFUND, plan.refunds)):
            if part is not None:
                currency = plan.currency if role is Role.REFUND and part.pairing is None else ""
                yield Rule(place * _ROLES + role, part.event_types, (part.where,) if part.where else (), currency)

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


class CompiledSet:
    """All campaigns of one set, ready to run. Build it once a set: building costs milliseconds a hundred campaigns.

    Args:
      cut_overs: when campaigns that look back came into force; left out: with the first set, from the beginning.
    """

    def __init__(self, plan_set: PlanSet, cut_overs: Mapping[str, int] = MappingProxyType({})) -> None:
        self.number, self.horizon_ms, self.tenant = plan_set.number, plan_set.horizon_ms, plan_set.tenant
        self.ordering = plan_set.ordering
        self.groups = {group.group: group for group in plan_set.groups}
        plans = sorted(plan_set.plans, key=lambda plan: plan.campaign)
        tenant, horizon_ms = plan_set.tenant, plan_set.horizon_ms
        self.campaigns = [
            CompiledCampaign(plan, tenant, horizon_ms, self.groups.get(plan.group), cut_overs.get(plan.campaign))
            for plan in plans
        ]
        self.by_id = {campaign.id: campaign for campaign in self.campaigns}
        self.absences = [campaign for campaign in self.campaigns if campaign.absence is not None]
        self._entries = {
            name: (campaign.series, runner) for campaign in self.campaigns for name, runner in campaign.entries.items()
        }
        numbered = list(enumerate(self.campaigns))
        self._concerns = [concern for campaign in self.campaigns for concern in campaign.concerns]
        self._own = MatchIndex([rule for i, one in numbered if one.subject is None for rule in one.rules(i)])
        self._named = [(i, one) for i, one in numbered if one.subject is not None]
        self._of_named = MatchIndex([rule for i, one in self._named for rule in one.rules(i)])
        self._naming: dict[str, list[CompiledCampaign]] = {}
        for i, one in self._named:
            for event_type in {event_type for rule in one.rules(i) for event_type in rule.event_types}:
                self._naming.setdefault(event_type, []).append(one)
        self._reads_envelope = any(_reads_envelope(plan) for plan in plans)
        self._reads_segments = any(_reads_segments(plan) for plan in plans)

    def subjects(self, event: Event) -> list[str]:
        """Whose state an event moves: its user's first, then those that campaigns name by it."""
        found = {event.user_id: None}
        naming = self._naming.get(event.event_type)
        if naming is not None:
            view = self.view(event)
            found |= {subject: None for one in naming if one.subject and (subject := one.subject(view, {}))}
        return list(found)

    def view(self, event: Event) -> Attributes:
        """The event as conditions see it: its attributes, with its envelope where one of them names that."""
        if not self._reads_envelope:
            return event.attributes
        envelope = zip(ENVELOPE, (event.event_id, event.event_type, event.user_id, event.time_ms), strict=True)
        return {**event.attributes, **dict(envelope)}

    def user_view(self, profile: Attributes) -> Attributes:
        """The user as conditions see it: `segments` is always there."""
        return {**profile, "segments": []} if self._reads_segments and "segments" not in profile else profile

    def open_absences(self, state: UserState) -> int:
        """How many events wait for another not to come."""
        return sum(campaign.absence.open_count(state) for campaign in self.absences if campaign.absence is not None)

    def next_due_ms(self, state: UserState) -> int | None:
        """When the next absence falls due; None = none waits."""
        due = [campaign.absence.next_due_ms(state) for campaign in self.absences if campaign.absence is not None]
        return min((one for one in due if one is not None), default=None)

    def concerned(self, event: Event, view: Attributes, user: Attributes) -> list[Concern]:
        """What the event concerns, and how: campaign ids ascending, each campaign's roles in their order."""
        time_ms, user_id, event_type = event.time_ms, event.user_id, event.event_type
        concerns, subject = self._concerns, event.given_subject
        if not subject:
            return [concerns[i] for i in self._own.matching(event_type, time_ms, user_id, view, user)]
        found = self._of_named.matching(event_type, time_ms, subject, view, user)
        named = ((i, self.campaigns[i // _ROLES].subject) for i in found)
        return [concerns[i] for i, subject_of in named if subject_of is not None and subject_of(view, {}) == subject]

    def prune(self, state: UserState, time_ms: int) -> None:
        """Drop what no event from time_ms less the horizon on can need; entries of campaigns that are gone, too."""
        before_ms = time_ms - self.horizon_ms
        state.forget(before_ms)
        for name in list(state.entries):
            kept = self._kept(state, name, before_ms)
            if kept is None:
                del state.entries[name]

    def expires_ms(self, state: UserState) -> int | None:
        """When a tick would change the state: something is dropped for good, or falls due; None = not by time."""
        times = [state.newest_ms] if state.known else []
        for name in state.entries:
            runner, entry = self._entry(state, name)
            end = runner.expires_ms(entry) if runner and entry else state.newest_ms
            if end is not None:
                times.append(end)
        drops = [min(times) + self.horizon_ms + 1] if times else []
        due = [state.due_ms] if state.due_ms is not None else []
        due += [event.time_ms for event in state.waiting[:1]]
        return min([*drops, *due], default=None)

    def _entry(self, state: UserState, name: str) -> tuple[EntryRunner | None, Entry | None]:
        found = self._entries.get(name)
        if found is None:
            return None, None
        return found[1], state.entry(name, found[0])

    def _kept(self, state: UserState, name: str, before_ms: int) -> Entry | None:
        runner, entry = self._entry(state, name)
        return runner.pruned(entry, before_ms) if runner and entry else None


def _reads_envelope(plan: Plan) -> bool:
    """Whether an expression of the plan names event_id, event_type, user_id or event_time."""
    read = {name for expression in expressions_of(plan) for name in attributes_read(expression)[0]}
    return not read.isdisjoint(ENVELOPE)


def _reads_segments(plan: Plan) -> bool:
    return any("segments" in attributes_read(expression)[1] for expression in expressions_of(plan))
