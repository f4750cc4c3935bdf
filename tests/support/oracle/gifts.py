"""What a firing gives: recipients, and amounts by exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

from schemas.campaign_parts import Grant, PercentValue, TieredValue
from tests.support.oracle.conditions import User, amount, named_user
from tests.support.oracle.model import Event, Gift

Value = int | PercentValue | TieredValue


def gifts_of(grants: tuple[Grant, ...], event: Event, subject: str, user: User) -> tuple[Gift, ...]:
    """All grants of a firing, or none: if a recipient is missing or named twice, or if one of them is worth nothing."""
    found = []
    for role, grant in enumerate(grants):
        recipient = subject if grant.to is None else named_user(grant.to, event, user)
        worth = _worth(grant, event, user)
        if recipient is None or worth is None or worth <= 0:
            return ()
        found.append(Gift(role, recipient, worth, grant.unit_name))
    return tuple(found) if len({gift.recipient for gift in found}) == len(found) else ()


def _worth(grant: Grant, event: Event, user: User) -> int | None:
    rule = value_rule(grant)
    if isinstance(rule, int):
        return rule
    of = amount(rule.of, event, user)
    return None if of is None else applied(rule, of)


def value_rule(grant: Grant) -> Value:
    """How much it gives; what has no amount counts as 1, a product as its quantity."""
    if grant.points is not None:
        return grant.points
    if grant.money is not None:
        return grant.money
    return grant.product.quantity if grant.product is not None else 1


def applied(rule: Value, of: int) -> int:
    """The value rule on an amount."""
    if isinstance(rule, int):
        return rule
    if isinstance(rule, PercentValue):
        worth = _share(of, Fraction(100) if rule.percent is None else Fraction(rule.percent), rule.rounding)
    else:
        reached = [tier for tier in rule.tiers if of >= tier.start]
        if not reached:
            return 0
        tier = reached[-1]
        worth = tier.value if tier.value is not None else _share(of, Fraction(tier.percent or 0), rule.rounding)
    return worth if rule.maximum is None else min(worth, rule.maximum)


def _share(of: int, percent: Fraction, rounding: str) -> int:
    exact = of * percent / 100
    below = math.floor(exact)
    rest = exact - below
    if rounding == "floor" or rest < Fraction(1, 2):
        return below
    if rest > Fraction(1, 2) or rounding == "half-up":
        return below + 1
    return below + below % 2
