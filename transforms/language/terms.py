"""What a condition says of one attribute at a time, for an index: conjuncts that must hold wherever the whole does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from schemas.expressions import Expression
from transforms.language.checked_expr import constant, kind
from transforms.language.translate import conjuncts, constants, parsed, timestamp_constant

Number = int | float


class Term(NamedTuple):
    """A conjunct that pins an attribute to constants.

    Attributes:
      root: "event" or "user". name: of its attribute.
      each: the attribute is an array of which one element is such a constant; else it is one itself.
    """

    root: str
    name: str
    each: bool
    constants: frozenset[Any]


class Range(NamedTuple):
    """All comparisons of one attribute with numbers or instants: it lies in [low, high); None = no bound."""

    root: str
    name: str
    low: Number | None
    high: Number | None


def equality_terms(expression: Expression) -> list[Term]:
    """The conjuncts `event.NAME == constant`, `event.NAME in [constants]`, `constant in event.NAME`; of user, too."""
    terms = []
    for node in conjuncts(parsed(expression.checked).expr):
        if kind(node) != "call_expr" or node.call_expr.function not in ("_==_", "@in"):
            continue
        left, right = node.call_expr.args
        equals = node.call_expr.function == "_==_"
        if equals and kind(left) == "const_expr":
            left, right = right, left
        each = not equals and kind(left) == "const_expr" and kind(right) == "select_expr"
        if each:
            left, right = right, left
        found, values = _attribute(left), None if equals and kind(right) == "list_expr" else constants(right)
        if found is not None and values:
            terms.append(Term(*found, each, frozenset(values)))
    return terms


def range_terms(expression: Expression) -> list[Range]:
    """The conjuncts that compare `event.NAME` or `user.NAME` with a number or an instant, one Range an attribute."""
    found: dict[tuple[str, str], Range] = {}
    for root, name, low, high in _comparisons(expression):
        known = found.get((root, name), Range(root, name, None, None))
        lows = [bound for bound in (known.low, low) if bound is not None]
        highs = [bound for bound in (known.high, high) if bound is not None]
        found[root, name] = Range(root, name, max(lows, default=None), min(highs, default=None))
    return list(found.values())


_TURNED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_", "_==_": "_==_"}


def _comparisons(expression: Expression) -> Iterator[Range]:
    for node in conjuncts(parsed(expression.checked).expr):
        function = node.call_expr.function if kind(node) == "call_expr" else ""
        if function not in _TURNED:
            continue
        left, right = node.call_expr.args
        attribute, bound = _attribute(left), _number(right)
        if attribute is None:
            attribute, bound, function = _attribute(right), _number(left), _TURNED[function]
        if attribute is not None and bound is not None:
            low = None if function in ("_<_", "_<=_") else _above(bound) if function == "_>_" else bound
            high = None if function in ("_>_", "_>=_") else bound if function == "_<_" else _above(bound)
            yield Range(*attribute, low, high)


def _above(bound: Number) -> Number | None:
    """The least number above the bound; None for infinity."""
    if isinstance(bound, int):
        return bound + 1
    return None if math.isinf(bound) else math.nextafter(bound, math.inf)


def _number(node: Any) -> Number | None:
    if kind(node) == "call_expr" and node.call_expr.function == "timestamp":
        return timestamp_constant(node)
    if kind(node) != "const_expr" or node.const_expr.WhichOneof("value") not in ("int64_value", "double_value"):
        return None
    found: Number = constant(node)
    return found


def _attribute(node: Any) -> tuple[str, str] | None:
    """(root, name) of `event.NAME` or `user.NAME`."""
    if kind(node) != "select_expr" or node.select_expr.test_only:
        return None
    operand = node.select_expr.operand
    root = operand.ident_expr.name if kind(operand) == "ident_expr" else ""
    return (root, str(node.select_expr.field)) if root in ("event", "user") else None
