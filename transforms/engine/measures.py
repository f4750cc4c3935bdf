"""What an event adds to a counter: 1, an amount, or the values it brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.plans import ArraySum, CelAmount, DistinctItems, DistinctValue, Measure
from transforms.engine.incentives import amount_of
from transforms.language.translate import compile_item_condition, compile_item_value, compile_value

Attributes = Mapping[str, Any]
Added = int | list[str | int]
"""An amount, or distinct values (each once)."""

MeasureOf = Callable[[Attributes, Attributes], Added | None]
"""From an event's and a user's attributes; 0, [] and None count nothing."""


def measure_of(measure: Measure) -> MeasureOf:
    """The function that tells what an event adds, where that is not just 1."""
    if isinstance(measure, CelAmount | ArraySum):
        return amount_of(measure)
    return _one_value(measure) if isinstance(measure, DistinctValue) else _item_values(measure)


def told_apart(value: Any) -> Any:
    """A value as a key: True and 1 are not the same thing."""
    return str(value).lower() if type(value) is bool else value


def _one_value(measure: DistinctValue) -> MeasureOf:
    value = compile_value(measure.expression)

    def found(event: Attributes, user: Attributes) -> Added | None:
        one = value(event, user)
        return None if one is None else [told_apart(one)]

    return found


def _item_values(measure: DistinctItems) -> MeasureOf:
    array, value = measure.array, compile_item_value(measure.of)
    where = compile_item_condition(measure.where) if measure.where else None

    def found(event: Attributes, user: Attributes) -> Added | None:
        values: dict[str | int, None] = {}
        for item in event.get(array, ()):
            if where is None or where(event, user, item):
                one = value(event, user, item)
                if one is not None:
                    values[told_apart(one)] = None
        return list(values)

    return found
