"""All campaigns of one set, ready to run behind one index."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from schemas.events import ENVELOPE, Event
from schemas.plans import Plan, PlanSet, expressions_of
from transforms.engine.campaigns import ROLES, CompiledCampaign, Concern, EntryRunner
from transforms.engine.conditions import Attributes
from transforms.engine.matching import MatchIndex
from transforms.engine.state import Entry, UserState
from transforms.language.translate import attributes_read


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
        named = ((i, self.campaigns[i // ROLES].subject) for i in found)
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
