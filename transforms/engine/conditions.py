"""Rules as Python functions, built from `ast` nodes, never from text: one function a rule, or one for many in a row."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from schemas.expressions import Expression
from schemas.plans import AudiencePlan, Schedule
from transforms.language.translate import EVALUATION_ERRORS, HELPERS, compile_condition, to_ast

Attributes = Mapping[str, Any]
Gate = Callable[[str, int], bool]
"""Asked with (subject, event time in ms): weekdays, hours, lists and shares of users."""

Asked = Callable[[Attributes, Attributes, int, str], bool]
"""Whether (event, user, event time in ms, subject) meets a rule."""

Bucket = Callable[[Attributes, Attributes, int, str, list[int]], None]
"""Appends the number of every rule of the bucket that (event, user, event time in ms, subject) meets."""


class Rule(NamedTuple):
    """What an event must be to concern a campaign in one way.

    Attributes:
      number: what is found. event_types: any of them.
      conditions: all of them. currency: of the event's attribute, "" = any.
      schedule: None = not asked of this event. gate: None = nothing more is asked.
      audience: whose lists and shares the gate asks for; here only to find the rule by them.
    """

    number: int
    event_types: tuple[str, ...]
    conditions: tuple[Expression, ...]
    currency: str = ""
    schedule: Schedule | None = None
    gate: Gate | None = None
    audience: AudiencePlan = AudiencePlan()


def asked_of(rule: Rule) -> Asked:
    """One rule's function."""
    namespace: dict[str, Any] = dict(HELPERS, ERRORS=EVALUATION_ERRORS)
    test, slowly = _test(rule, namespace)
    body = _guarded(ast.Return(test), ast.Return(slowly or ast.Constant(False)))
    asked: Asked = _compiled("asked", ["e", "u", "t", "s"], [body], namespace)
    return asked


def bucket_of(rules: Sequence[Rule]) -> Bucket:
    """One function over rules, in their order: straight-line code, the fastest where few rules are asked often."""
    namespace: dict[str, Any] = dict(HELPERS, ERRORS=EVALUATION_ERRORS)
    body: list[ast.stmt] = []
    for rule in rules:
        test, slowly = _test(rule, namespace)
        found = ast.Expr(ast.Call(ast.Attribute(_name("found"), "append", ast.Load()), [ast.Constant(rule.number)], []))
        body.append(_guarded(ast.If(test, [found], []), ast.If(slowly, [found], []) if slowly else ast.Pass()))
    bucket: Bucket = _compiled("bucket", ["e", "u", "t", "s", "found"], body, namespace)
    return bucket


def _test(rule: Rule, namespace: dict[str, Any]) -> tuple[ast.expr, ast.expr | None]:
    """What asks a rule. An error means false, unless a condition absorbs it: then what asks it slowly."""
    translated = [to_ast(expression) for expression in rule.conditions]
    tests = [*_dates(rule.schedule), *_currency(rule.currency), *(part.body for part in translated)]
    if rule.gate is not None:
        namespace[f"gate_{rule.number}"] = rule.gate
        tests.append(ast.Call(_name(f"gate_{rule.number}"), [_name("s"), _name("t")], []))
    test = ast.BoolOp(ast.And(), tests) if len(tests) > 1 else tests[0] if tests else ast.Constant(True)
    if not any(part.absorbs for part in translated):
        return test, None
    namespace[f"slow_{rule.number}"] = _all_of(rule)
    return test, ast.Call(_name(f"slow_{rule.number}"), [_name(name) for name in ("e", "u", "t", "s")], [])


def _all_of(rule: Rule) -> Asked:
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


def _guarded(tried: ast.stmt, failed: ast.stmt) -> ast.stmt:
    return ast.Try([tried], [ast.ExceptHandler(_name("ERRORS"), None, [failed])], [], [])


def _compiled(name: str, arguments: list[str], body: list[ast.stmt], namespace: dict[str, Any]) -> Any:
    given = ast.arguments([], [ast.arg(argument) for argument in arguments], None, [], [], None, [])
    module = ast.Module([ast.FunctionDef(name, given, body, [])], [])
    for node in ast.walk(module):
        if "lineno" in node._attributes:
            node.lineno = node.end_lineno = 1  # type: ignore[attr-defined]
            node.col_offset = node.end_col_offset = 0  # type: ignore[attr-defined]
    exec(compile(module, "<conditions>", "exec"), namespace)
    return namespace[name]


def _name(text: str) -> ast.Name:
    return ast.Name(text, ast.Load())
