"""What the engine asks of the ledger at one input: collected campaign by campaign, offers of a group in one list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.order_keys import OrderKey, OrderKind
from schemas.plans import GroupPlan
from schemas.proposals import Hold, Offer, Proposal, Request


class Requests:
    """Collects one input's requests."""

    __slots__ = ("made", "_tenant", "_offers")

    def __init__(self, tenant: str) -> None:
        self.made: list[Request] = []
        self._tenant = tenant
        self._offers: dict[str, list[tuple[str, Offer, OrderKey, Hold | None]]] | None = None

    def propose(self, key: OrderKey, offer: Offer, hold: Hold | None, group: str) -> None:
        """Propose an offer, by itself or as one of its group's."""
        if group:
            self._offers = self._offers or {}
            self._offers.setdefault(group, []).append((key.campaign, offer, key, hold))
        else:
            self.made.append(Proposal(self._tenant, key, (offer,), hold))

    def all(self, groups: Mapping[str, GroupPlan]) -> Sequence[Request]:
        """Everything asked, the groups' lists best offer first."""
        for name, offers in self._offers.items() if self._offers else ():
            best_first = {campaign: place for place, campaign in enumerate(groups[name].offers)}
            offers.sort(key=lambda offer: best_first[offer[0]])
            _, _, key, hold = offers[0]
            group_key = OrderKey(key.time_ms, OrderKind.EVENT, key.event_id, key.subject, 1, name)
            self.made.append(Proposal(self._tenant, group_key, tuple(offer for _, offer, _, _ in offers), hold))
        return self.made
