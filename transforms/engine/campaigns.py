"""Campaigns made ready to run: a Plan's parts as functions, and all campaigns of a set behind one index."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.events import ENVELOPE, Event
from schemas.order_keys import OrderKey, OrderKind
from schemas.plans import Counter, Incentive, Plan, PlanCharge, PlanSet, expressions_of
from schemas.proposals import Charge, GrantRequest, Offer, Proposal
from transforms.engine.counters import CounterFull, CounterRunner, Firing, counter_runner
from transforms.engine.ids import GrantIds, event_generation, window_generation
from transforms.engine.incentives import Attributes, amount_of, incentive_amount
from transforms.engine.matching import MatchIndex
from transforms.engine.state import Entry, UserState
from transforms.engine.windows import window_start
from transforms.language.translate import attributes_read

_EVENT_ITSELF = (Firing(0, 0, None),)


class CompiledCampaign:
    """One campaign: take an event that met its condition, count it, propose what it earned."""

    __slots__ = ("id", "_plan", "_tenant", "_counter", "_measure", "_incentives", "_ids", "_charges")

    def __init__(self, plan: Plan, tenant: str, horizon_ms: int) -> None:
        self.id = plan.campaign
        self._plan, self._tenant = plan, tenant
        counter = plan.counter
        self._counter: CounterRunner | None = None
        if counter is not None:
            self._counter = counter_runner(plan.campaign, plan.series, counter, plan.zone, horizon_ms)
        self._measure = amount_of(counter.measure) if counter and counter.measure else None
        self._incentives = [(incentive.unit, incentive_amount(incentive)) for incentive in _incentives(plan, counter)]
        self._ids = GrantIds(tenant, plan.campaign, plan.series)
        self._charges = _charges_at(plan.charges)

    @property
    def counter(self) -> CounterRunner | None:
        return self._counter

    def take(self, state: UserState, event: Event, view: Attributes, proposals: list[Proposal]) -> bool:
        """Count the event and append what it earned; False where the counter is at its maximum for this user."""
        firings: Sequence[Firing] = _EVENT_ITSELF
        complete = True
        if self._counter is not None:
            amount = 1 if self._measure is None else self._measure(view, state.profile)
            if not amount:
                return True
            counted = self._counter.count(state, event.time_ms, amount)
            complete = not isinstance(counted, CounterFull)
            firings = counted.firings if isinstance(counted, CounterFull) else counted
        for firing in firings:
            unit, incentive = self._incentives[firing.step]
            given = incentive(view, state.profile)
            if given:
                proposals.append(self._proposal(event, firing, given, unit))
        return complete

    def _proposal(self, event: Event, firing: Firing, amount: int, unit: str) -> Proposal:
        plan, user = self._plan, event.user_id
        step, n, start_ms = firing
        if start_ms is None:
            grant_id = self._ids.of_event(user, event.event_id, step, n)
            generation = event_generation(event.time_ms)
        else:
            grant_id = self._ids.of_window(user, start_ms, step, n)
            generation = window_generation(start_ms)
        charges = self._charges(event.time_ms)
        grant = GrantRequest(grant_id, generation, self.id, plan.version, user, amount, unit, charges)
        key = OrderKey(event.time_ms, OrderKind.EVENT, event.event_id, user, 1, self.id, "", step, n)
        return Proposal(self._tenant, key, (Offer((grant,)),))


class CompiledSet:
    """All campaigns of one set, ready to run. Build it once a set: building costs milliseconds a hundred campaigns."""

    def __init__(self, plan_set: PlanSet) -> None:
        self.number, self.horizon_ms = plan_set.number, plan_set.horizon_ms
        plans = sorted(plan_set.plans, key=lambda plan: plan.campaign)
        self._campaigns = [CompiledCampaign(plan, plan_set.tenant, plan_set.horizon_ms) for plan in plans]
        self._by_id = {campaign.id: campaign for campaign in self._campaigns}
        self._index = MatchIndex(plans)
        self._reads_envelope = any(_reads_envelope(plan) for plan in plans)

    def view(self, event: Event) -> Attributes:
        """The event as conditions see it: its attributes, with its envelope where one of them names that."""
        if not self._reads_envelope:
            return event.attributes
        envelope = zip(ENVELOPE, (event.event_id, event.event_type, event.user_id, event.time_ms), strict=True)
        return {**event.attributes, **dict(envelope)}

    def matching(self, event: Event, view: Attributes, profile: Attributes) -> list[CompiledCampaign]:
        """The campaigns whose type, dates, audience and condition the event meets, ids ascending."""
        found = self._index.matching(event.event_type, event.time_ms, view, profile)
        campaigns = self._campaigns
        return [campaigns[i] for i in found]

    def prune(self, state: UserState, time_ms: int) -> None:
        """Drop what no event from time_ms less the horizon on can need; entries of campaigns that are gone, too."""
        before_ms = time_ms - self.horizon_ms
        state.forget(before_ms)
        for campaign_id in list(state.entries):
            kept = self._kept(state, campaign_id, before_ms)
            if kept is None:
                del state.entries[campaign_id]

    def expires_ms(self, state: UserState) -> int | None:
        """When a tick would drop something of the state for good; None = not by time."""
        times = [state.newest_ms] if state.known else []
        for campaign_id in state.entries:
            counter, entry = self._entry(state, campaign_id)
            end = counter.expires_ms(entry) if counter and entry else state.newest_ms
            if end is not None:
                times.append(end)
        return min(times) + self.horizon_ms + 1 if times else None

    def _entry(self, state: UserState, campaign_id: str) -> tuple[CounterRunner | None, Entry | None]:
        campaign = self._by_id.get(campaign_id)
        if campaign is None or campaign.counter is None:
            return None, None
        return campaign.counter, state.entry(campaign_id, campaign._plan.series)

    def _kept(self, state: UserState, campaign_id: str, before_ms: int) -> Entry | None:
        counter, entry = self._entry(state, campaign_id)
        return counter.pruned(entry, before_ms) if counter and entry else None


def _reads_envelope(plan: Plan) -> bool:
    """Whether an expression of the plan names event_id, event_type, user_id or event_time."""
    read = {name for expression in expressions_of(plan) for name in attributes_read(expression)[0]}
    return not read.isdisjoint(ENVELOPE)


def _incentives(plan: Plan, counter: Counter | None) -> list[Incentive]:
    if counter is not None:
        return [step.incentive for step in counter.steps]
    return [plan.incentive] if plan.incentive else []


def _charges_at(charges: Sequence[PlanCharge]) -> Callable[[int], tuple[Charge, ...]]:
    """The accounts of a grant at an event time. Grants of the same slices share one tuple: the ledger groups by it."""
    finders: list[Callable[[int], int]] = []
    for charge in charges:
        finders += [window_start(period.removeprefix("user/"), charge.zone) for period in _timed(charge)]
    built: dict[tuple[int, ...], tuple[Charge, ...]] = {}

    def at(time_ms: int) -> tuple[Charge, ...]:
        starts = tuple([find(time_ms) for find in finders])
        found = built.get(starts)
        if found is None:
            if len(built) >= 1_000:
                built.clear()
            found = built[starts] = _built(charges, list(starts))
        return found

    return at


def _timed(charge: PlanCharge) -> list[str]:
    return [period for period in charge.periods if period != "user"]


def _built(charges: Sequence[PlanCharge], starts: list[int]) -> tuple[Charge, ...]:
    result = []
    for charge in charges:
        slices = [("user", 0)] if "user" in charge.periods else []
        slices += [(period, starts.pop(0)) for period in _timed(charge)]
        result.append(Charge(charge.account, tuple(slices), charge.cost))
    return tuple(result)
