"""What the model has dropped: the floors that are in force, asked of whatever is named in a request."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.proposals import GrantRequest, Lock, Occurrence, Proposal
from transforms.budget.floors import (
    CampaignFloor,
    Floors,
    day_end_ms,
    generation_start_ms,
    lock_end_ms,
    slice_end_ms,
)


class DroppedSoFar:
    """The floors of one root; none at first."""

    def __init__(self) -> None:
        self._time_ms: int | None = None
        self._below_ms: dict[str, int] = {}
        self._over: set[str] = set()

    def floors(self) -> Floors | None:
        """As `Ledger.floors`."""
        if self._time_ms is None:
            return None
        names = sorted({*self._below_ms, *self._over})
        return Floors(
            self._time_ms, tuple(CampaignFloor(name, self._below_ms[name], name in self._over) for name in names)
        )

    def rise(self, asked: Floors, held: Iterable[tuple[str, str]]) -> None:
        """Raise the floors, but not above a generation (campaign, generation) in which a hold stands."""
        self._time_ms = asked.time_ms if self._time_ms is None else max(self._time_ms, asked.time_ms)
        standing = set(held)
        for name, below_ms, over in asked.campaigns:
            starts = [generation_start_ms(generation) for campaign, generation in standing if campaign == name]
            to_ms = min([below_ms, *(start for start in starts if start is not None)])
            self._below_ms[name] = max(to_ms, self._below_ms.get(name, to_ms))
            if over and None not in starts:
                self._over.add(name)

    def has_grant(self, grant: GrantRequest | Occurrence) -> bool:
        """Whether the group of its record was dropped."""
        if self._time_ms is None:
            return False
        start_ms = generation_start_ms(grant.generation)
        if start_ms is None:
            return grant.campaign in self._over
        return grant.campaign in self._below_ms and start_ms < self._below_ms[grant.campaign]

    def has_day(self, time_ms: int) -> bool:
        """Whether the group of lists or reversals of that day was dropped."""
        return self._is_passed(day_end_ms(time_ms))

    def has_list(self, proposal: Proposal) -> bool:
        """Whether a list, or a grant that it names, was dropped."""
        named = [grant for offer in proposal.offers for grant in offer.grants]
        return self.has_day(proposal.key.time_ms) or any(self.has_grant(grant) for grant in named)

    def has_slice(self, account: str, period: str, start_ms: int) -> bool:
        """Whether a counter that a grant would move was dropped."""
        end_ms = slice_end_ms(period, start_ms)
        if period == "total" or self._time_ms is None:
            return False
        if end_ms is None:
            return account.removeprefix("campaign/") in self._over
        return self._is_passed(end_ms)

    def has_lock(self, lock: Lock | None) -> bool:
        """Whether a lock was dropped."""
        end_ms = lock_end_ms(lock) if lock is not None else None
        return end_ms is not None and self._is_passed(end_ms)

    def has_route(self, grant: GrantRequest) -> bool:
        """Whether anything that the grant would be charged to was dropped."""
        slices = [(charge.account, *slice_) for charge in grant.charges for slice_ in charge.slices]
        return self.has_lock(grant.lock) or any(self.has_slice(*slice_) for slice_ in slices)

    def _is_passed(self, end_ms: int) -> bool:
        return self._time_ms is not None and end_ms <= self._time_ms
