"""Which campaigns does an event concern? By type, then by the most selective equality, then one function a bucket.

An event asks only the buckets its own values name, so the campaigns it does not concern cost nothing. A bucket is one
generated function, straight-line code over the conditions of its campaigns: built from `ast` nodes, never from text.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas.expressions import Expression
from schemas.plans import Plan
from transforms.language.translate import EVALUATION_ERRORS, HELPERS, compile_condition, equality_terms, to_ast

Attributes = Mapping[str, Any]
Bucket = Callable[[Attributes, Attributes, int, list[int]], None]
"""Appends the index of every campaign of the bucket that (event, user, event time in ms) meets."""

_TEMPLATE = """
def bucket(e, u, t, found):
    pass
"""
_ASK = """
try:
    if CONDITION:
        found.append(INDEX)
except ERRORS:
    pass
"""
_ASK_SLOWLY = """
try:
    if CONDITION:
        found.append(INDEX)
except ERRORS:
    if SLOW(e, u):
        found.append(INDEX)
"""


class MatchIndex:
    """The index over a set's plans; results are positions in the sequence it was built from."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        terms = {i: _terms(plan) for i, plan in enumerate(plans)}
        values = _distinct_values(terms.values())
        general: dict[str, list[int]] = defaultdict(list)
        keyed: dict[tuple[str, str], dict[Any, list[int]]] = defaultdict(lambda: defaultdict(list))
        for i, plan in enumerate(plans):
            chosen = max(terms[i], key=lambda term: (values[term[0]] / len(term[1]), term[0]), default=None)
            for event_type in plan.event_types:
                if chosen is None or values[chosen[0]] < 2:
                    general[event_type].append(i)
                    continue
                for value in chosen[1]:
                    keyed[event_type, chosen[0]][value].append(i)
        self._general = {event_type: _bucket(plans, members) for event_type, members in general.items()}
        self._keyed: dict[str, list[tuple[str, dict[Any, Bucket]]]] = defaultdict(list)
        for (event_type, attribute), by_value in sorted(keyed.items()):
            buckets = {value: _bucket(plans, members) for value, members in by_value.items()}
            self._keyed[event_type].append((attribute, buckets))
        self._keyed.default_factory = None

    def matching(self, event_type: str, time_ms: int, event: Attributes, user: Attributes) -> list[int]:
        """Positions of the plans whose type, dates, audience and condition are met, ascending."""
        found: list[int] = []
        bucket = self._general.get(event_type)
        if bucket is not None:
            bucket(event, user, time_ms, found)
        keyed = self._keyed.get(event_type)
        if keyed is not None:
            for attribute, buckets in keyed:
                bucket = buckets.get(event.get(attribute))
                if bucket is not None:
                    bucket(event, user, time_ms, found)
            found.sort()
        return found


def _conditions(plan: Plan) -> list[Expression]:
    return [expression for expression in (plan.where, plan.audience) if expression is not None]


def _terms(plan: Plan) -> list[tuple[str, frozenset[Any]]]:
    return [term for expression in _conditions(plan) for term in equality_terms(expression) if term[1]]


def _distinct_values(terms_by_plan: Any) -> Counter[str]:
    """How many different constants each attribute is compared with: many = selective."""
    values: dict[str, set[Any]] = defaultdict(set)
    for terms in terms_by_plan:
        for attribute, constants in terms:
            values[attribute] |= constants
    return Counter({attribute: len(constants) for attribute, constants in values.items()})


def _bucket(plans: Sequence[Plan], members: Sequence[int]) -> Bucket:
    module = ast.parse(_TEMPLATE)
    function = module.body[0]
    assert isinstance(function, ast.FunctionDef)
    namespace: dict[str, Any] = dict(HELPERS, ERRORS=EVALUATION_ERRORS)
    function.body = [_asking(plans[i], i, namespace) for i in members]
    exec(compile(ast.fix_missing_locations(module), "<conditions>", "exec"), namespace)
    bucket: Bucket = namespace["bucket"]
    return bucket


def _asking(plan: Plan, index: int, namespace: dict[str, Any]) -> ast.stmt:
    """The statement that asks one plan. An error means false, unless the condition absorbs it: then ask slowly."""
    translated = [to_ast(expression) for expression in _conditions(plan)]
    tests = [*_dates(plan), *(part.body for part in translated)]
    condition = ast.BoolOp(ast.And(), tests) if len(tests) > 1 else tests[0] if tests else ast.Constant(True)
    slowly = any(part.absorbs for part in translated)
    if slowly:
        namespace[f"slow_{index}"] = _all_of(plan)
    parts = {"CONDITION": condition, "INDEX": ast.Constant(index), "SLOW": ast.Name(f"slow_{index}", ast.Load())}
    filled: ast.stmt = _Fill(parts).visit(ast.parse(_ASK_SLOWLY if slowly else _ASK).body[0])
    return filled


def _all_of(plan: Plan) -> Callable[[Attributes, Attributes], bool]:
    conditions = [compile_condition(expression) for expression in _conditions(plan)]
    return lambda event, user: all(condition(event, user) for condition in conditions)


def _dates(plan: Plan) -> list[ast.expr]:
    tests: list[ast.expr] = []
    time = ast.Name("t", ast.Load())
    if plan.start_ms is not None:
        tests.append(ast.Compare(time, [ast.GtE()], [ast.Constant(plan.start_ms)]))
    if plan.end_ms is not None:
        tests.append(ast.Compare(time, [ast.Lt()], [ast.Constant(plan.end_ms)]))
    return tests


class _Fill(ast.NodeTransformer):
    def __init__(self, parts: Mapping[str, ast.expr]) -> None:
        self._parts = parts

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._parts.get(node.id, node)
