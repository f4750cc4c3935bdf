"""Decisions: each firing and take-back in the total order, against everything that was approved before it."""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from typing import Any

from schemas.campaigns import Limit
from schemas.order_keys import OrderKey
from tests.support.oracle.accounts import Account, Approved, Books, charged, cost, is_of_user, slice_of
from tests.support.oracle.model import Answer, Denied, Event, Firing, Gift, Given, TakeBack, TakenBack, World


class Money:
    """The money of one tenant. closed: (account, limit's period, slice). waiting: refunds that came before their grant."""

    def __init__(self, world: World) -> None:
        self.world, self.books, self.answer = world, Books(world), Answer()
        self.closed: set[tuple[str, str, Any]] = set()
        self.waiting: dict[Firing, list[tuple[Event, Fraction]]] = defaultdict(list)
        self.decided: set[Firing] = set()
        self._grants: list[tuple[OrderKey, Approved]] = []

    def finished(self) -> Answer:
        """The answer: grants made by the end of time, in order; a hold is one at its due time, less what was taken."""
        for key, approved in sorted(self._grants, key=lambda made: made[0]):
            taken = sum(amount for refund, amount in approved.taken if not self._is_made(approved, refund.time_ms))
            if self._is_made(approved, self.world.until_ms) and approved.amount > taken:
                gift, event_id = approved.gift, approved.firing.cause.event_id
                self.answer.grants.append(
                    Given(
                        approved.campaign.campaign,
                        gift.recipient,
                        event_id,
                        key.time_ms,
                        approved.amount - taken,
                        gift.unit,
                    )
                )
        return self.answer

    def propose(self, offers: list[Firing], name: str) -> None:
        """Take the first offer that everything allows; if there is none, deny once, by the last one's reason."""
        reason = ""
        for firing in offers:
            reason = self._try(firing)
            if not reason:
                return
        last = offers[-1]
        denied = Denied(name, last.gifts[0].recipient, last.cause.event_id, last.key.time_ms, reason)
        self.answer.denials.append(denied)

    def _try(self, firing: Firing) -> str:
        """Grant a firing; or say why not."""
        self.decided.add(firing)
        if any(share == 1 for _, share in self.waiting[firing]):
            return "reversed"
        hold = firing.campaign.hold
        due_ms = None if hold is None else firing.key.time_ms + hold
        made: list[Approved] = []
        for gift in firing.gifts:
            outcome = self._fits(firing, gift)
            if isinstance(outcome, str):
                for approved in made:
                    self.books.remove(approved)
                return outcome
            approved = Approved(firing, gift, firing.key.time_ms, outcome, due_ms)
            self.books.add(approved)
            made.append(approved)
        for approved in made:
            time_ms, kind = (firing.key.time_ms, firing.key.kind) if due_ms is None else (due_ms, 1)
            self._grants.append((firing.key._replace(time_ms=time_ms, kind=kind), approved))
        for refund, share in self.waiting[firing]:
            self._record(refund, self._take_share(made, share, refund))
        return ""

    def _fits(self, firing: Firing, gift: Gift) -> int | str:
        """The amount that all limits allow, or the first reason against it, in the order of the documentation."""
        time_ms, campaign = firing.key.time_ms, firing.campaign
        path = self.books.path(campaign)
        limits = [(account, limit) for account in path for limit in account.limits]
        if any(
            (a.name, limit.per, slice_of(a, limit, time_ms)) in self.closed
            for a, limit in limits
            if not is_of_user(limit)
        ):
            return "closed"
        if self.books.locked_by(campaign, gift.recipient, time_ms):
            return "locked"
        for account, limit in limits:
            last = None if limit.cooldown is None else self.books.last_approved(account, gift.recipient)
            if last is not None and time_ms - last < (limit.cooldown or 0):
                return "cooldown"
        caps = [(account, limit) for account, limit in limits if limit.cooldown is None]
        return self._fits_caps(firing, gift, caps)

    def _fits_caps(self, firing: Firing, gift: Gift, caps: list[tuple[Account, Limit]]) -> int | str:
        time_ms, campaign = firing.key.time_ms, firing.campaign
        used = [self.books.used(account, limit, gift.recipient, time_ms) for account, limit in caps]
        left = [
            max(0, limit.amount - amount)
            if limit.when_full == "cut" and limit.amount is not None and self._is_cuttable(firing, gift, account)
            else None
            for (account, limit), (_, amount) in zip(caps, used, strict=True)
        ]
        asked = min([gift.amount, *(rest for rest in left if rest is not None)])
        for of_user, by_count, reason in (
            (True, True, "user_grants"), (True, False, "user_amount"), (False, True, "grants"), (False, False, "amount"),
        ):  # fmt: skip
            for (account, limit), (grants, amount), rest in zip(caps, used, left, strict=True):
                if is_of_user(limit) is not of_user:
                    continue
                if by_count:
                    full = limit.grants is not None and grants + 1 > limit.grants
                else:
                    more = charged(account, campaign, gift.unit, asked)
                    full = rest == 0 or (limit.amount is not None and amount + more > limit.amount)
                if full:
                    if limit.when_full == "close":
                        self.closed.add((account.name, limit.per, slice_of(account, limit, time_ms)))
                    return reason
        return asked

    def _is_cuttable(self, firing: Firing, gift: Gift, account: Account) -> bool:
        return len(firing.gifts) == 1 and cost(account, firing.campaign, gift.unit) is None

    def take_back(self, asked: TakeBack) -> None:
        """Take back what stands; of a grant that has not come yet, remember it."""
        stands = [
            a
            for firing in asked.firings
            for a in self.books.of_campaign(asked.campaign.campaign)
            if a.firing is firing and a.stands
        ]
        if asked.newest:
            self._record(
                asked.cause,
                self._take_share([a for a in stands if a.firing is stands[0].firing], Fraction(1), asked.cause),
            )
        elif asked.amounts is not None:
            taken = []
            for role, amount in enumerate(asked.amounts):
                for approved in (a for a in stands if a.gift.role == role):
                    part = min(amount, approved.stands)
                    amount -= part
                    taken += self._take(approved, part, asked.cause)
            self._record(asked.cause, taken)
        elif asked.shares is not None:
            taken = []
            for firing, share in zip(asked.firings, asked.shares, strict=True):
                taken += self._take_share([a for a in stands if a.firing is firing], share, asked.cause)
                if firing not in self.decided:
                    self.waiting[firing].append((asked.cause, share))
            self._record(asked.cause, taken)

    def _take_share(self, approved: list[Approved], share: Fraction, refund: Event) -> list[tuple[Approved, int]]:
        """So much of each grant in all."""
        found = []
        for each in approved:
            already = each.amount - each.stands
            found += self._take(each, max(0, math.floor(each.amount * share) - already), refund)
        return found

    def _take(self, approved: Approved, amount: int, refund: Event) -> list[tuple[Approved, int]]:
        if not amount:
            return []
        approved.taken.append((refund, amount))
        return [(approved, amount)] if self._is_made(approved, refund.time_ms) else []

    def _is_made(self, approved: Approved, time_ms: int) -> bool:
        """Whether it is a grant, and no hold any more."""
        return approved.due_ms is None or approved.due_ms <= time_ms

    def _record(self, refund: Event, taken: list[tuple[Approved, int]]) -> None:
        """One record per user."""
        for recipient in sorted({approved.gift.recipient for approved, _ in taken}):
            own = [(approved, amount) for approved, amount in taken if approved.gift.recipient == recipient]
            parts = tuple(sorted((a.firing.cause.event_id, a.due_ms or a.time_ms, amount) for a, amount in own))
            self.answer.reversals.append(
                TakenBack(
                    own[0][0].campaign.campaign, recipient, refund.event_id, refund.time_ms,
                    sum(amount for _, amount in own), parts,
                )
            )  # fmt: skip
