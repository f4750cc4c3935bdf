"""Which rules does an event concern? By type, then by the most selective equality, then one function a bucket.

An event asks only the buckets its own values name, so the campaigns it does not concern cost nothing. A bucket is one
generated function, straight-line code over the conditions of its rules: built from `ast` nodes, never from text.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from schemas.expressions import Expression
from schemas.plans import Schedule
from transforms.language.translate import (
    EVALUATION_ERRORS,
    HELPERS,
    Term,
    compile_condition,
    equality_terms,
    to_ast,
)

Attributes = Mapping[str, Any]
Gate = Callable[[str, int], bool]
"""Asked with (subject, event time in ms): weekdays, hours, lists and shares of users."""

Bucket = Callable[[Attributes, Attributes, int, str, list[int]], None]
"""Appends the number of every rule of the bucket that (event, user, event time in ms, subject) meets."""


class Rule(NamedTuple):
    """What an event must be to concern a campaign in one way.

    Attributes:
      number: what is found. event_types: any of them.
      conditions: all of them. currency: of the event's attribute, "" = any.
      schedule: None = not asked of this event. gate: None = nothing more is asked.
    """

    number: int
    event_types: tuple[str, ...]
    conditions: tuple[Expression, ...]
    currency: str = ""
    schedule: Schedule | None = None
    gate: Gate | None = None


class _Place(NamedTuple):
    root: str
    name: str
    each: bool


_TEMPLATE = """
def bucket(e, u, t, s, found):
    pass
"""
_ASK = """
try:
    if CONDITION:
        found.append(NUMBER)
except ERRORS:
    pass
"""
_ASK_SLOWLY = """
try:
    if CONDITION:
        found.append(NUMBER)
except ERRORS:
    if SLOW(e, u, t, s):
        found.append(NUMBER)
"""


class MatchIndex:
    """The index over rules; what it finds are their numbers."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        general: dict[str, list[Rule]] = defaultdict(list)
        keyed: dict[tuple[str, _Place], dict[Any, list[Rule]]] = defaultdict(lambda: defaultdict(list))
        terms = [_terms(rule) for rule in rules]
        distinct = _distinct_constants(terms)
        for rule, own in zip(rules, terms, strict=True):
            chosen = max(
                own, key=lambda term: (len(distinct[_place(term)]) / len(term.constants), term[:3]), default=None
            )
            for event_type in rule.event_types:
                if chosen is None or len(distinct[_place(chosen)]) < 2:
                    general[event_type].append(rule)
                    continue
                for value in chosen.constants:
                    keyed[event_type, _place(chosen)][value].append(rule)
        self._general = {event_type: _bucket(members) for event_type, members in general.items()}
        self._keyed: dict[str, list[tuple[_Place, dict[Any, Bucket]]]] = {}
        for (event_type, place), by_value in sorted(keyed.items(), key=lambda item: item[0]):
            buckets = {value: _bucket(members) for value, members in by_value.items()}
            self._keyed.setdefault(event_type, []).append((place, buckets))

    def matching(self, event_type: str, time_ms: int, subject: str, event: Attributes, user: Attributes) -> list[int]:
        """Numbers of the rules that are met, ascending."""
        found: list[int] = []
        bucket = self._general.get(event_type)
        if bucket is not None:
            bucket(event, user, time_ms, subject, found)
        keyed = self._keyed.get(event_type)
        if keyed is not None:
            for place, buckets in keyed:
                value = (event if place.root == "event" else user).get(place.name)
                for one in dict.fromkeys(value or ()) if place.each else (value,):
                    bucket = buckets.get(one)
                    if bucket is not None:
                        bucket(event, user, time_ms, subject, found)
            found.sort()
        return found


def _place(term: Term) -> _Place:
    return _Place(term.root, term.name, term.each)


def _terms(rule: Rule) -> list[Term]:
    found = [term for expression in rule.conditions for term in equality_terms(expression)]
    return [*found, Term("event", "currency", False, frozenset((rule.currency,)))] if rule.currency else found


def _distinct_constants(terms_by_rule: Iterable[Sequence[Term]]) -> dict[_Place, set[Any]]:
    """The different constants each attribute is compared with: many = selective."""
    values: dict[_Place, set[Any]] = defaultdict(set)
    for terms in terms_by_rule:
        for term in terms:
            values[_place(term)] |= term.constants
    return values


def _bucket(rules: Sequence[Rule]) -> Bucket:
    module = ast.parse(_TEMPLATE)
    function = module.body[0]
    assert isinstance(function, ast.FunctionDef)
    namespace: dict[str, Any] = dict(HELPERS, ERRORS=EVALUATION_ERRORS)
    function.body = [_asking(rule, namespace) for rule in rules]
    exec(compile(ast.fix_missing_locations(module), "<conditions>", "exec"), namespace)
    bucket: Bucket = namespace["bucket"]
    return bucket


def _asking(rule: Rule, namespace: dict[str, Any]) -> ast.stmt:
    """The statement that asks one rule. An error means false, unless a condition absorbs it: then ask slowly."""
    translated = [to_ast(expression) for expression in rule.conditions]
    tests = [*_dates(rule.schedule), *_currency(rule.currency), *(part.body for part in translated)]
    if rule.gate is not None:
        namespace[f"gate_{rule.number}"] = rule.gate
        tests.append(ast.Call(_name(f"gate_{rule.number}"), [_name("s"), _name("t")], []))
    condition = ast.BoolOp(ast.And(), tests) if len(tests) > 1 else tests[0] if tests else ast.Constant(True)
    slowly = any(part.absorbs for part in translated)
    if slowly:
        namespace[f"slow_{rule.number}"] = _all_of(rule)
    parts = {"CONDITION": condition, "NUMBER": ast.Constant(rule.number), "SLOW": _name(f"slow_{rule.number}")}
    filled: ast.stmt = _Fill(parts).visit(ast.parse(_ASK_SLOWLY if slowly else _ASK).body[0])
    return filled


def _all_of(rule: Rule) -> Callable[[Attributes, Attributes, int, str], bool]:
    conditions = [compile_condition(expression) for expression in rule.conditions]
    gate, currency, schedule = rule.gate, rule.currency, rule.schedule or Schedule()
    start, end = schedule.start_ms, schedule.end_ms

    def met(event: Attributes, user: Attributes, time_ms: int, subject: str) -> bool:
        return (
            (start is None or start <= time_ms)
            and (end is None or time_ms < end)
            and (not currency or event.get("currency") == currency)
            and all(condition(event, user) for condition in conditions)
            and (gate is None or gate(subject, time_ms))
        )

    return met


def _dates(schedule: Schedule | None) -> list[ast.expr]:
    tests: list[ast.expr] = []
    if schedule is not None and schedule.start_ms is not None:
        tests.append(ast.Compare(_name("t"), [ast.GtE()], [ast.Constant(schedule.start_ms)]))
    if schedule is not None and schedule.end_ms is not None:
        tests.append(ast.Compare(_name("t"), [ast.Lt()], [ast.Constant(schedule.end_ms)]))
    return tests


def _currency(currency: str) -> list[ast.expr]:
    if not currency:
        return []
    of_event = ast.Subscript(_name("e"), ast.Constant("currency"), ast.Load())
    return [ast.Compare(of_event, [ast.Eq()], [ast.Constant(currency)])]


def _name(text: str) -> ast.Name:
    return ast.Name(text, ast.Load())


class _Fill(ast.NodeTransformer):
    def __init__(self, parts: Mapping[str, ast.expr]) -> None:
        self._parts = parts

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._parts.get(node.id, node)
