"""Rules as Python functions, built from `ast` nodes, never from text: one function a rule, or one for many in a row."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FunctionType
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
    test, slowly = _test(rule)
    body = _guarded(ast.Return(test), ast.Return(slowly or ast.Constant(False)))
    asked: Asked = _shared_function(["e", "u", "t", "s"], body)
    return asked


def bucket_of(rules: Sequence[Rule]) -> Bucket:
    """One function over rules, in their order: straight-line code, the fastest where few rules are asked often."""
    body: list[ast.stmt] = []
    for rule in rules:
        test, slowly = _test(rule)
        found = ast.Expr(ast.Call(ast.Attribute(_name("found"), "append", ast.Load()), [ast.Constant(rule.number)], []))
        body.append(_guarded(ast.If(test, [found], []), ast.If(slowly, [found], []) if slowly else ast.Pass()))
    arguments = ["e", "u", "t", "s", "found"]
    bucket: Bucket = _shared_function(arguments, body[0]) if len(body) == 1 else _function(arguments, body)
    return bucket


def _test(rule: Rule) -> tuple[ast.expr, ast.expr | None]:
    """What asks a rule. An error means false, unless a condition absorbs it: then what asks it slowly.

    Functions stand in it as if they were constants, which are taken out before anything is compiled.
    """
    translated = [to_ast(expression) for expression in rule.conditions]
    tests = [*_dates(rule.schedule), *_currency(rule.currency), *(part.body for part in translated)]
    if rule.gate is not None:
        tests.append(_call(rule.gate, "s", "t"))
    test = ast.BoolOp(ast.And(), tests) if len(tests) > 1 else tests[0] if tests else ast.Constant(True)
    slowly = any(part.absorbs for part in translated)
    return test, _call(_all_of(rule), "e", "u", "t", "s") if slowly else None


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


def _call(function: Any, *arguments: str) -> ast.Call:
    return ast.Call(ast.Constant(function), [_name(argument) for argument in arguments], [])


def _function(arguments: list[str], body: list[ast.stmt]) -> Any:
    """A function of its own; what cannot be written as a constant is one of its globals."""
    taken: list[Any] = []
    body = [_without(statement, taken, [], callable) for statement in body]
    namespace = dict(_GLOBALS) | {f"k{n}": value for n, value in enumerate(taken)}
    return FunctionType(_code(arguments, body), namespace)


def _shared_function(arguments: list[str], statement: ast.stmt) -> Any:
    """A function that shares its code with all that differ from it in constants only: those are its defaults.

    Of thousands of campaigns written alike, the code is compiled once and stays in the processor's caches.
    """
    taken: list[Any] = []
    shape: list[Any] = [*arguments]
    body = _without(statement, taken, shape, lambda value: True)
    key = tuple(shape)
    code = _codes.get(key)
    if code is None:
        if len(_codes) >= _CODES_MAX:
            _codes.clear()
        code = _codes[key] = _code([*arguments, *(f"k{n}" for n in range(len(taken)))], [body])
    return FunctionType(code, _GLOBALS, "rule", tuple(taken))


_GLOBALS: dict[str, Any] = dict(HELPERS, ERRORS=EVALUATION_ERRORS)
_CODES_MAX = 10_000
_codes: dict[tuple[Any, ...], CodeType] = {}


def _without(node: Any, taken: list[Any], shape: list[Any], takes: Callable[[Any], bool]) -> Any:
    """The node with names k0, k1, ... for the constants that are taken out of it; shape tells all the rest of it."""
    if type(node) is ast.Constant and takes(node.value):
        taken.append(node.value)
        shape.append(ast.Constant)
        return _name(f"k{len(taken) - 1}")
    shape.append(type(node))
    for field in node._fields:
        value = getattr(node, field)
        if isinstance(value, list):
            shape.append(len(value))
            setattr(node, field, [_without(each, taken, shape, takes) for each in value])
        elif isinstance(value, ast.AST):
            setattr(node, field, _without(value, taken, shape, takes))
        else:
            shape.append(value)
    return node


def _code(arguments: list[str], body: list[ast.stmt]) -> CodeType:
    given = ast.arguments([], [ast.arg(argument) for argument in arguments], None, [], [], None, [])
    module = ast.fix_missing_locations(ast.Module([ast.FunctionDef("rule", given, body, [])], []))
    compiled = compile(module, "<conditions>", "exec")
    return next(part for part in compiled.co_consts if isinstance(part, CodeType))


def _name(text: str) -> ast.Name:
    return ast.Name(text, ast.Load())
