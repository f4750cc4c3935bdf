"""Offers: what a firing gives, to whom, under which ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from schemas.plans import Gift, GroupPlan, Plan
from schemas.proposals import GrantRequest, Offer
from transforms.engine.firing import Firing
from transforms.engine.ids import GrantIds, event_generation, whose, window_generation
from transforms.engine.incentives import incentive_amount
from transforms.engine.routes import route_at
from transforms.language.translate import compile_value

Attributes = Mapping[str, Any]
Given = list[tuple[str, int]]
"""(recipient, amount) by gift."""


class Cause(Protocol):
    """The event that a firing belongs to, and whose state it moved."""

    @property
    def event_id(self) -> str: ...
    @property
    def time_ms(self) -> int: ...
    @property
    def subject(self) -> str: ...


class OfferMaker:
    """Makes the offers of one campaign.

    Args:
      group: of which it is an offer, if any: names the lock.
    """

    def __init__(self, plan: Plan, tenant: str, group: GroupPlan | None) -> None:
        steps = [step.gifts for step in plan.counter.steps] if plan.counter else [plan.gifts]
        self._named = (plan.campaign, plan.version, plan.hold_ms or 0)
        self._steps = [[_GiftMaker(gift, group) for gift in gifts] for gifts in steps]
        self._ids = GrantIds(tenant, plan.campaign, plan.series)
        self._per_value = plan.opening is not None and plan.opening.once_per_value

    def given(self, step: int, event: Attributes, user: Attributes, subject: str) -> Given | None:
        """Who gets how much; None where it is nothing: a part is missing or worth nothing, or a user would get two."""
        gifts = self._steps[step]
        if len(gifts) == 1 and gifts[0].recipient is None:
            only = gifts[0].amount(event, user)
            return [(subject, only)] if only else None
        found: Given = []
        for recipient, amount in self.parts(step, event, user, subject):
            if recipient is None or not amount:
                return None
            found.append((recipient, amount))
        if len(found) > 1 and len({recipient for recipient, _ in found}) < len(found):
            return None
        return found

    def parts(
        self, step: int, event: Attributes, user: Attributes, subject: str
    ) -> Iterator[tuple[str | None, int | None]]:
        """(recipient, amount) of each of a step's gifts: None = missing; an amount of None or 0 is nothing."""
        for gift in self._steps[step]:
            yield subject if gift.recipient is None else gift.recipient(event, user), gift.amount(event, user)

    def offer(self, firing: Firing, given: Given, cause: Cause, made_ms: int) -> tuple[Offer, str]:
        """The offer of a firing, and the generation of its grants' records.

        Args:
          cause: the event that fired it. made_ms: when the grant is made, which limits, slices and expiry go by.
        """
        start_ms, opening = firing.start_ms, firing.opening
        if start_ms is not None:
            generation = window_generation(start_ms)
        elif opening is None:
            generation = event_generation(cause.time_ms)
        else:
            generation = window_generation(0) if self._per_value else event_generation(opening.time_ms)
        gifts, subject = self._steps[firing.step], cause.subject
        grants = []
        for role, gift in enumerate(gifts):
            grant_id = self._grant_id(subject, given[role][0], role, firing, cause)
            grants.append(self._grant(gift, given[role], grant_id, generation, made_ms))
        return Offer(tuple(grants)), generation

    def _grant(
        self, gift: _GiftMaker, given: tuple[str, int], grant_id: bytes, generation: str, made_ms: int
    ) -> GrantRequest:
        recipient, amount = given
        campaign, version, hold_ms = self._named
        expires_ms = gift.expires(made_ms + hold_ms) if gift.expires is not None else None
        return GrantRequest(
            grant_id,
            generation,
            campaign,
            version,
            recipient,
            amount,
            gift.unit,
            gift.route(made_ms),
            gift.kind,
            gift.details,
            expires_ms,
        )

    def _grant_id(self, subject: str, recipient: str, role: int, firing: Firing, cause: Cause) -> bytes:
        who = whose(subject, recipient, role)
        step, n, start_ms, opening = firing.step, firing.n, firing.start_ms, firing.opening
        if start_ms is not None:
            return self._ids.of_window(who, start_ms, step, n)
        if opening is None:
            return self._ids.of_event(who, cause.event_id, step, n)
        if self._per_value and opening.value is not None:
            return self._ids.of_value(who, opening.value, step, n)
        return self._ids.of_opening(who, opening.event_id, step, n)


class _GiftMaker:
    __slots__ = ("recipient", "amount", "unit", "kind", "details", "expires", "route")

    def __init__(self, gift: Gift, group: GroupPlan | None) -> None:
        incentive = gift.incentive
        self.recipient = None if gift.to is None else user_named(compile_value(gift.to))
        self.amount = incentive_amount(incentive)
        self.unit, self.kind, self.details = incentive.unit, incentive.kind, incentive.details
        self.expires = _expiry(incentive.expires_after_ms, incentive.expires_at_ms)
        self.route = route_at(gift.charges, group)


def user_named(value: Callable[[Attributes, Attributes], Any]) -> Callable[[Attributes, Attributes], str | None]:
    """An id is text; a number is its decimal text, as in the envelope. What is too long for an id names nobody."""

    def named(event: Attributes, user: Attributes) -> str | None:
        found = value(event, user)
        text = str(found) if type(found) is int else found
        return text if text and len(text.encode(errors="replace")) <= 128 else None

    return named


def _expiry(after_ms: int | None, at_ms: int | None) -> Callable[[int], int] | None:
    if after_ms is not None:
        return lambda made_ms: made_ms + after_ms
    return None if at_ms is None else lambda made_ms: at_ms
