"""What a firing gives: from an Incentive and an event to an amount in minor units.

Rates are exact fractions; the exact product is rounded once, by magnitude.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any

from schemas.plans import Amount, ArraySum, CelAmount, Fixed, Incentive, Percent, Tiers
from schemas.proposals import AMOUNT_LIMIT
from schemas.results import Rounding
from transforms.language.translate import compile_item_condition, compile_item_value, compile_value

Attributes = Mapping[str, Any]
AmountOf = Callable[[Attributes, Attributes], int | None]
"""From an event's and a user's attributes to an integer; None = missing."""


def amount_of(amount: Amount) -> AmountOf:
    """The function that computes an amount. A magnitude of 10^14 or more is missing (docs/contracts/bounds.md)."""
    value = compile_value(amount.expression) if isinstance(amount, CelAmount) else _array_sum(amount)

    def bounded(event: Attributes, user: Attributes) -> int | None:
        found = value(event, user)
        return found if found is not None and -AMOUNT_LIMIT < found < AMOUNT_LIMIT else None

    return bounded


def incentive_amount(incentive: Incentive) -> AmountOf:
    """The function that computes what a firing gives: at least 1, or None where it gives nothing.

    10^14 stands for all that is larger: the ledger refuses it as invalid_amount.
    """
    value = incentive.value
    if isinstance(value, Fixed):
        fixed = value.amount
        return lambda event, user: fixed
    return _positive(_percent(value) if isinstance(value, Percent) else _tiers(value))


def rounded(numerator: int, denominator: int, rounding: Rounding) -> int:
    """numerator/denominator (denominator > 0) as an integer, by magnitude."""
    whole, rest = divmod(abs(numerator), denominator)
    if rounding is not Rounding.FLOOR:
        twice = 2 * rest
        up = twice > denominator or (twice == denominator and (rounding is Rounding.HALF_UP or whole % 2 == 1))
        whole += up
    return whole if numerator >= 0 else -whole


def _positive(value: AmountOf) -> AmountOf:
    def positive(event: Attributes, user: Attributes) -> int | None:
        amount = value(event, user)
        return min(amount, AMOUNT_LIMIT) if amount is not None and amount > 0 else None

    return positive


def _array_sum(amount: ArraySum) -> AmountOf:
    array, add = amount.array, compile_item_value(amount.add)
    where = compile_item_condition(amount.where) if amount.where else None

    def total(event: Attributes, user: Attributes) -> int | None:
        items = event.get(array)
        if items is None:
            return None
        result = 0
        for item in items:
            if where is None or where(event, user, item):
                result += add(event, user, item) or 0
        return result

    return total


def _percent(value: Percent) -> AmountOf:
    base, numerator, denominator = amount_of(value.of), value.numerator, value.denominator
    rounding, maximum = value.rounding, value.maximum

    def percent(event: Attributes, user: Attributes) -> int | None:
        amount = base(event, user)
        if amount is None:
            return None
        result = rounded(amount * numerator, denominator, rounding)
        return result if maximum is None or result <= maximum else maximum

    return percent


def _tiers(value: Tiers) -> AmountOf:
    base, starts, maximum = amount_of(value.of), [tier.start for tier in value.tiers], value.maximum

    def tiered(event: Attributes, user: Attributes) -> int | None:
        amount = base(event, user)
        index = bisect_right(starts, amount) - 1 if amount is not None else -1
        if index < 0 or amount is None:
            return None
        tier = value.tiers[index]
        given = tier.numerator
        if tier.denominator is not None:
            given = rounded(amount * tier.numerator, tier.denominator, value.rounding)
        return given if maximum is None else min(given, maximum)

    return tiered
