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
    base, worth = amount_of(value.of), worth_of(incentive)

    def given(event: Attributes, user: Attributes) -> int | None:
        amount = base(event, user)
        return None if amount is None else worth(amount)

    return given


def worth_of(incentive: Incentive) -> Callable[[int], int | None]:
    """The rule from the amount that the value is of, to the value: at least 1, or None where it is nothing."""
    value = incentive.value
    if isinstance(value, Fixed):
        fixed = value.amount
        return lambda amount: fixed
    rule = _percent(value) if isinstance(value, Percent) else _tiers(value)

    def worth(amount: int) -> int | None:
        found = rule(amount)
        return min(found, AMOUNT_LIMIT) if found > 0 else None

    return worth


def rounded(numerator: int, denominator: int, rounding: Rounding) -> int:
    """numerator/denominator (denominator > 0) as an integer, by magnitude."""
    whole, rest = divmod(abs(numerator), denominator)
    if rounding is not Rounding.FLOOR:
        twice = 2 * rest
        up = twice > denominator or (twice == denominator and (rounding is Rounding.HALF_UP or whole % 2 == 1))
        whole += up
    return whole if numerator >= 0 else -whole


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


def _percent(value: Percent) -> Callable[[int], int]:
    numerator, denominator, rounding = value.numerator, value.denominator, value.rounding
    maximum = AMOUNT_LIMIT if value.maximum is None else value.maximum
    return lambda amount: min(rounded(amount * numerator, denominator, rounding), maximum)


def _tiers(value: Tiers) -> Callable[[int], int]:
    starts = [tier.start for tier in value.tiers]
    maximum = AMOUNT_LIMIT if value.maximum is None else value.maximum

    def tiered(amount: int) -> int:
        index = bisect_right(starts, amount) - 1
        if index < 0:
            return 0
        tier = value.tiers[index]
        if tier.denominator is None:
            return min(tier.numerator, maximum)
        return min(rounded(amount * tier.numerator, tier.denominator, value.rounding), maximum)

    return tiered
