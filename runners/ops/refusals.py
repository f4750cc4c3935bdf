"""A refusal of the ledger in words: which account, its use and cap, who used it up, what would have been enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from schemas.grants import Settled
from schemas.plans import PlanSet
from schemas.proposals import Decision, GrantRequest, Offer, Proposal
from schemas.results import Outcome, Reason
from transforms.engine.explained import instant, span
from transforms.engine.windows import HOUR_MS, window_end

TAKEN = (Outcome.GRANTED, Outcome.HELD)
_COUNTED = (Reason.USER_GRANTS, Reason.USER_AMOUNT, Reason.GRANTS, Reason.AMOUNT)


class Refusal:
    """One refusal.

    Args:
      before: what was settled before it. time_ms: of the proposal. decision: that refused the offer.
    """

    def __init__(
        self, plan_set: PlanSet, before: Sequence[Settled], time_ms: int, offer: Offer, decision: Decision
    ) -> None:
        self._before, self._time_ms, self._decision = before, time_ms, decision
        charged = [grant for grant in offer.grants if self._slice_of(grant) is not None]
        self._grant = charged[0] if charged else offer.grants[0]
        plan = next(plan for plan in plan_set.plans if plan.campaign == self._grant.campaign)
        zones = {charge.account: charge.zone for gift in plan.all_gifts for charge in gift.charges}
        self._zone = zones.get(decision.account, plan.zone)
        self._unit = next((one.unit for one in plan_set.accounts if one.name == decision.account), "")

    @property
    def told(self) -> str:
        """Reason, account, use of cap."""
        decision = self._decision
        assert decision.reason is not None
        where = f" by {decision.account}" if decision.account else ""
        period = "" if decision.period in ("", "total") else f" per {decision.period.replace('/', ' and ')}"
        numbers = f", use {decision.use:,} of {decision.cap:,}" if decision.cap or decision.use else ""
        if decision.reason is Reason.COOLDOWN:
            numbers, period = f", {span(decision.use)} of {span(decision.cap)}", ""
        return f"denied: {decision.reason.value}{where}{period}{numbers}"

    def needs(self) -> Iterator[str]:
        """What would have made the difference."""
        decision, reason = self._decision, self._decision.reason
        assert reason is not None
        if reason in _COUNTED:
            yield self._full(by_count=reason in (Reason.USER_GRANTS, Reason.GRANTS))
        elif reason is Reason.COOLDOWN:
            at = instant(self._time_ms - decision.use + decision.cap, self._zone)
            yield f"the user's last grant of {decision.account} was {span(decision.use)} ago: possible again at {at}"
        elif reason is Reason.LOCKED:
            lock, holder = self._grant.lock, decision.account.removeprefix("campaign/")
            made = self._last(lambda grant: grant.campaign == holder and grant.lock == lock, own=True)
            group = lock.group if lock else ""
            yield f"the user took {holder} of the group {group} first{made}"
        elif reason is Reason.PAUSED:
            yield f"an operator paused {decision.account}: `incentives budget audit` says who and why"
        elif reason is Reason.PACED:
            yield (
                f"{decision.account} stood at {decision.use:,}; its pace had let go of {decision.cap:,} {self._unit} "
                f"by then, and the grant asks {self._grant.amount:,}: later ones find more"
            )
        elif reason is Reason.CLOSED:
            yield f"{decision.account} was closed{self._closed_by()}; only a grant that fits keeps it open"
        elif reason is Reason.REVERSED:
            yield "what earned it was refunded whole before it came"
        elif reason is Reason.ACCOUNT_UNKNOWN:
            yield f"the ledger has no account {decision.account}: run `incentives campaign apply`"
        else:
            yield f"an amount is from 1 to 10^14 - 1, not {self._grant.amount:,}"

    def _full(self, by_count: bool) -> str:
        decision = self._decision
        cost = next((one.cost for one in self._grant.charges if one.account == decision.account), None)
        asks = 1 if by_count else self._grant.amount if cost is None else cost
        unit = "grants" if by_count else self._unit
        of_user = decision.period.startswith("user")
        whose = f"of user {self._grant.recipient} " if of_user else ""
        left = max(0, decision.cap - decision.use)
        last = self._last(self._charged_alike, own=of_user)
        state = "is used up" if not left else f"has {left:,} left, the grant asks {asks:,}"
        return (
            f"the limit {whose}{self._period()}of {decision.account} {state} "
            f"({decision.use:,} of {decision.cap:,} {unit}){last}{self._renewed()}"
        )

    def _period(self) -> str:
        period = self._decision.period.removeprefix("user").strip("/")
        return "in total " if self._decision.period == "total" else f"per {period} " if period else ""

    def _renewed(self) -> str:
        """When the next period begins."""
        found = self._slice_of(self._grant)
        period = self._decision.period.removeprefix("user/")
        if found is None or period not in ("hour", "day", "week", "month"):
            return ""
        start_ms = found[1]
        end_ms = start_ms + HOUR_MS if period == "hour" else window_end(period, self._zone, start_ms)
        return f"; the next {period} begins at {instant(end_ms or 0, self._zone)}"

    def _last(self, alike: Callable[[GrantRequest], bool], own: bool) -> str:
        """The last grant before that one like it was made, and by which event."""
        for settled in self._before[::-1]:
            proposal, decision = settled.request, settled.decision
            if decision.outcome in TAKEN and isinstance(proposal, Proposal) and decision.offer is not None:
                for grant in proposal.offers[decision.offer].grants:
                    if alike(grant) and (not own or grant.recipient == self._grant.recipient):
                        who = "" if own else f" of user {grant.recipient}"
                        at = instant(proposal.key.time_ms, self._zone)
                        return f"; the last grant before was by event {proposal.key.event_id}{who} at {at}"
        return ""

    def _closed_by(self) -> str:
        for settled in self._before:
            decision, proposal = settled.decision, settled.request
            same = (decision.account, decision.period) == (self._decision.account, self._decision.period)
            if same and decision.reason in _COUNTED and isinstance(proposal, Proposal):
                refused = proposal.offers[-1].grants[0]
                if self._charged_alike(refused):
                    at = instant(proposal.key.time_ms, self._zone)
                    return f" by event {proposal.key.event_id} at {at}, whose grant did not fit"
        return ""

    def _charged_alike(self, grant: GrantRequest) -> bool:
        """Whether a grant was charged to the account and the slice that refused."""
        found = self._slice_of(grant)
        return found is not None and found == self._slice_of(self._grant)

    def _slice_of(self, grant: GrantRequest) -> tuple[str, int] | None:
        decision = self._decision
        for charge in grant.charges:
            if charge.account == decision.account:
                slices = (("total", 0), *charge.slices)
                return next((one for one in slices if one[0] == decision.period), None)
        return None
