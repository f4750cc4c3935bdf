"""From checked CEL to Python: `ast` nodes from a fixed list of forms and helpers, never text.

A missing attribute is an absent key, so it raises; CEL lets `&&`, `||` and quantifiers absorb an error where another
side decides. The fast form is plain Python short-circuit, which gives the same value whenever it does not raise; where
an error could be absorbed, the absorbing form, built by the same translation with lazy helpers, is asked then.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import re2

from schemas.expressions import Expression
from transforms.language.checked_expr import Checked, constant, kind, quantifier, walk

EVALUATION_ERRORS = (LookupError, ArithmeticError, ValueError)
"""What an expression may raise when it is evaluated: a missing value, overflow, division by zero, a bad index."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1

Attributes = Mapping[str, Any]


def _ranged(value: int) -> int:
    if _INT_MIN <= value <= _INT_MAX:
        return value
    raise OverflowError("integer overflow")


def _divide(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return _ranged(quotient if (left < 0) == (right < 0) else -quotient)


def _modulo(left: int, right: int) -> int:
    _divide(left, right)
    rest = abs(left) % abs(right)
    return rest if left >= 0 else -rest


def _divide_double(left: float, right: float) -> float:
    if right != 0.0:
        return left / right
    if left == 0.0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _item(values: Any, index: Any) -> Any:
    if isinstance(values, list) and index < 0:
        raise IndexError("negative index")
    return values[index]


@lru_cache(maxsize=10_000)
def _pattern(text: str) -> Any:
    return re2.compile(text)


def _matches(text: str, pattern: str) -> bool:
    return _pattern(pattern).search(text) is not None


def _or(left: Callable[[], bool], right: Callable[[], bool]) -> bool:
    try:
        if left():
            return True
    except EVALUATION_ERRORS:
        if right():
            return True
        raise
    return right()


def _and(left: Callable[[], bool], right: Callable[[], bool]) -> bool:
    try:
        if not left():
            return False
    except EVALUATION_ERRORS:
        if not right():
            return False
        raise
    return right()


def _any(values: Iterable[Any], test: Callable[[Any], bool]) -> bool:
    return _settled(values, test, True)


def _all(values: Iterable[Any], test: Callable[[Any], bool]) -> bool:
    return _settled(values, test, False)


def _settled(values: Iterable[Any], test: Callable[[Any], bool], decisive: bool) -> bool:
    """One decisive element decides; else an element's error is the whole's."""
    failed: Exception | None = None
    for value in values:
        try:
            if test(value) is decisive:
                return decisive
        except EVALUATION_ERRORS as error:
            failed = error
    if failed is not None:
        raise failed
    return not decisive


HELPERS: dict[str, Any] = {
    "__builtins__": {},
    "any": any,
    "all": all,
    "len": len,
    "h_ranged": _ranged,
    "h_divide": _divide,
    "h_modulo": _modulo,
    "h_divide_double": _divide_double,
    "h_item": _item,
    "h_matches": _matches,
    "h_or": _or,
    "h_and": _and,
    "h_any": _any,
    "h_all": _all,
}
"""All that generated code can reach."""

_ROOTS = {"event": "e", "user": "u", "item": "item"}
_COMPARE: dict[str, type[ast.cmpop]] = {
    "_==_": ast.Eq, "_!=_": ast.NotEq, "_<_": ast.Lt, "_<=_": ast.LtE, "_>_": ast.Gt, "_>=_": ast.GtE,
}  # fmt: skip
_RANGED: dict[str, type[ast.operator]] = {"_+_": ast.Add, "_-_": ast.Sub, "_*_": ast.Mult}
_METHODS = {"startsWith": "startswith", "endsWith": "endswith"}


class UnsupportedError(ValueError):
    """A form of CEL that is not translated; raised where campaigns are loaded, with the node's id."""

    def __init__(self, message: str, node_id: int = 0) -> None:
        super().__init__(message)
        self.node_id = node_id


class Translated(NamedTuple):
    """body: an expression over the names e, u and item. absorbs: an error inside may still give true as a whole."""

    body: ast.expr
    absorbs: bool


def to_ast(expression: Expression) -> Translated:
    """The fast form of an expression."""
    checked = parsed(expression.checked)
    return Translated(fast_form(checked), _absorbs(checked.expr))


def fast_form(checked: Checked) -> ast.expr:
    """The body alone. Raises UnsupportedError for a form of CEL that is not translated."""
    return _Translation(checked, lazy=False).of(checked.expr)


def compile_condition(expression: Expression) -> Callable[[Attributes, Attributes], bool]:
    """(event, user) -> bool. A condition that is an error as a whole is false."""
    return _condition(expression, ("e", "u"))


def compile_item_condition(expression: Expression) -> Callable[[Attributes, Attributes, Any], bool]:
    """(event, user, item) -> bool."""
    return _condition(expression, ("e", "u", "item"))


def compile_value(expression: Expression) -> Callable[[Attributes, Attributes], Any]:
    """(event, user) -> its value, None where it is missing or an error."""
    return _value(expression, ("e", "u"))


def compile_item_value(expression: Expression) -> Callable[[Attributes, Attributes, Any], Any]:
    """(event, user, item) -> its value, None where it is missing or an error."""
    return _value(expression, ("e", "u", "item"))


@lru_cache(maxsize=20_000)
def attributes_read(expression: Expression) -> tuple[frozenset[str], frozenset[str]]:
    """Names of the event's and of the user's attributes that an expression reads."""
    read: dict[str, set[str]] = {"event": set(), "user": set()}
    for node in walk(parsed(expression.checked).expr):
        if kind(node) == "select_expr" and kind(node.select_expr.operand) == "ident_expr":
            read.setdefault(node.select_expr.operand.ident_expr.name, set()).add(node.select_expr.field)
    return frozenset(read["event"]), frozenset(read["user"])


@lru_cache(maxsize=20_000)
def parsed(raw: bytes) -> Checked:
    """The tree of an expression's bytes."""
    return Checked(raw)


def _condition(expression: Expression, names: tuple[str, ...]) -> Callable[..., bool]:
    fast = _function(expression, names, lazy=False)
    absorbing = _function(expression, names, lazy=True) if to_ast(expression).absorbs else None

    def asked(*given: Any) -> bool:
        try:
            return fast(*given) is True
        except EVALUATION_ERRORS:
            pass
        if absorbing is None:
            return False
        try:
            return absorbing(*given) is True
        except EVALUATION_ERRORS:
            return False

    return asked


def _value(expression: Expression, names: tuple[str, ...]) -> Callable[..., Any]:
    function = _function(expression, names, lazy=True)

    def asked(*given: Any) -> Any:
        try:
            return function(*given)
        except EVALUATION_ERRORS:
            return None

    return asked


@lru_cache(maxsize=20_000)
def _function(expression: Expression, names: tuple[str, ...], *, lazy: bool) -> Callable[..., Any]:
    checked = parsed(expression.checked)
    return function_of(checked, checked.expr, names, lazy=lazy)


def function_of(
    checked: Checked, node: Any, names: tuple[str, ...], *, lazy: bool, variables: Mapping[str, str] | None = None
) -> Callable[..., Any]:
    """The function that a node of a checked expression is translated to.

    It raises one of EVALUATION_ERRORS where it has no value.

    Args:
      names: of its arguments. lazy: in the absorbing form. variables: of quantifiers around the node, to their names.
    """
    body = _Translation(checked, lazy, variables).of(node)
    wrapped = ast.fix_missing_locations(ast.Expression(_lambda(names, body)))
    function: Callable[..., Any] = eval(compile(wrapped, "<expression>", "eval"), dict(HELPERS))
    return function


def _lambda(names: Iterable[str], body: ast.expr) -> ast.Lambda:
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg(name) for name in names], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    return ast.Lambda(arguments, body)


def _name(text: str) -> ast.Name:
    return ast.Name(text, ast.Load())


def _call(function: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(_name(function), list(arguments), [])


class _Translation:
    """One expression's translation; lazy makes the absorbing form."""

    def __init__(self, checked: Checked, lazy: bool, variables: Mapping[str, str] | None = None) -> None:
        self._checked, self._lazy = checked, lazy
        self._variables: dict[str, str] = dict(variables or {})

    def of(self, node: Any) -> ast.expr:
        form = kind(node)
        if form == "const_expr":
            return ast.Constant(constant(node))
        if form == "ident_expr":
            return _name(self._variables.get(node.ident_expr.name) or _ROOTS[node.ident_expr.name])
        if form == "select_expr":
            return self._select(node.select_expr)
        if form == "list_expr":
            return ast.List([self.of(element) for element in node.list_expr.elements], ast.Load())
        if form == "comprehension_expr":
            return self._quantifier(node)
        if form == "call_expr":
            return self._operation(node)
        raise UnsupportedError("records and maps cannot be built in a condition", node.id)

    def _select(self, select: Any) -> ast.expr:
        operand = self.of(select.operand)
        field = ast.Constant(select.field)
        if not select.test_only:
            return ast.Subscript(operand, field, ast.Load())
        here: ast.expr = ast.Compare(field, [ast.In()], [operand])
        if kind(select.operand) == "select_expr":
            above = type(select)()
            above.CopyFrom(select.operand.select_expr)
            above.test_only = True
            here = ast.BoolOp(ast.And(), [self._select(above), here])
        return here

    def _quantifier(self, node: Any) -> ast.expr:
        found = quantifier(node)
        if found is None:
            raise UnsupportedError("of the macros over arrays, only exists and all are supported", node.id)
        loop = node.comprehension_expr
        values = self.of(loop.iter_range)
        variable = f"v{len(self._variables)}_{len(loop.iter_var)}"
        self._variables[loop.iter_var] = variable
        test = self.of(loop.loop_step.call_expr.args[1])
        del self._variables[loop.iter_var]
        if self._lazy:
            return _call(f"h_{found}", values, _lambda((variable,), test))
        target = ast.Name(variable, ast.Store())
        return _call(found, ast.GeneratorExp(test, [ast.comprehension(target, values, [], 0)]))

    def _operation(self, node: Any) -> ast.expr:
        call, function = node.call_expr, node.call_expr.function
        if function == "timestamp":
            return ast.Constant(timestamp_constant(node))
        arguments = [self.of(argument) for argument in call.args]
        if call.HasField("target"):
            return self._method(node, self.of(call.target), arguments)
        if function in ("_&&_", "_||_"):
            return self._logic(function, arguments)
        if function == "!_":
            return ast.UnaryOp(ast.Not(), arguments[0])
        if function == "_?_:_":
            return ast.IfExp(*arguments)
        if function in _COMPARE:
            return ast.Compare(arguments[0], [_COMPARE[function]()], [arguments[1]])
        if function == "@in":
            return ast.Compare(arguments[0], [ast.In()], [_membership(call.args[1]) or arguments[1]])
        if function == "size":
            return _call("len", *arguments)
        if function == "_[_]":
            return _call("h_item", *arguments)
        return self._arithmetic(node, arguments)

    def _logic(self, function: str, arguments: list[ast.expr]) -> ast.expr:
        if self._lazy:
            return _call("h_and" if function == "_&&_" else "h_or", *(_lambda((), each) for each in arguments))
        return ast.BoolOp(ast.And() if function == "_&&_" else ast.Or(), arguments)

    def _method(self, node: Any, target: ast.expr, arguments: list[ast.expr]) -> ast.expr:
        function = node.call_expr.function
        if function in _METHODS:
            return ast.Call(ast.Attribute(target, _METHODS[function], ast.Load()), arguments, [])
        if function == "contains":
            return ast.Compare(arguments[0], [ast.In()], [target])
        if function == "matches":
            return _call("h_matches", target, *arguments)
        if function == "size":
            return _call("len", target)
        raise UnsupportedError(f"{function}() is not supported in conditions", node.id)

    def _arithmetic(self, node: Any, arguments: list[ast.expr]) -> ast.expr:
        function, overloads = node.call_expr.function, self._checked.overloads(node)
        if function == "matches":
            return _call("h_matches", *arguments)
        whole = any("int64" in overload for overload in overloads) or not overloads
        if function in _RANGED and set(overloads) <= _ADDABLE:
            result = ast.BinOp(arguments[0], _RANGED[function](), arguments[1])
            return _call("h_ranged", result) if whole else result
        if function == "-_":
            negated = ast.UnaryOp(ast.USub(), arguments[0])
            return _call("h_ranged", negated) if whole else negated
        if function == "_/_":
            return _call("h_divide" if whole else "h_divide_double", *arguments)
        if function == "_%_":
            return _call("h_modulo", *arguments)
        raise UnsupportedError(f"{function.strip('_')} is not supported in conditions", node.id)


_ADDABLE = {
    "add_int64", "subtract_int64", "multiply_int64", "add_double", "subtract_double", "multiply_double",
    "add_string", "add_list",
}  # fmt: skip


def timestamp_constant(node: Any) -> int:
    """ms since the epoch of `timestamp("2017-01-01T00:00:00Z")`.

    Raises:
      UnsupportedError: its argument is no constant, or no RFC 3339 time.
    """
    arguments = node.call_expr.args
    if len(arguments) != 1 or kind(arguments[0]) != "const_expr" or not isinstance(constant(arguments[0]), str):
        raise UnsupportedError('timestamp() takes a constant text: timestamp("2017-01-01T00:00:00Z")', node.id)
    try:
        moment = datetime.fromisoformat(constant(arguments[0]))
    except ValueError:
        raise UnsupportedError('no RFC 3339 time; right would be "2017-01-01T00:00:00Z"', node.id) from None
    if moment.tzinfo is None:
        raise UnsupportedError('the time has no offset; right would be "2017-01-01T00:00:00Z"', node.id)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _membership(values: Any) -> ast.expr | None:
    """A list of constants as a set; booleans apart, since 1 == True in Python."""
    found = constants(values)
    if not found or any(isinstance(value, float) for value in found):
        return None
    return ast.Constant(frozenset(found))  # type: ignore[arg-type]


def constants(node: Any) -> list[Any] | None:
    """The value of a constant, or those of a list of constants; None for anything else."""
    if kind(node) == "const_expr":
        return [constant(node)]
    if kind(node) != "list_expr" or any(kind(element) != "const_expr" for element in node.list_expr.elements):
        return None
    return [constant(element) for element in node.list_expr.elements]


def conjuncts(node: Any) -> list[Any]:
    """The parts of a conjunction; of anything else, itself."""
    if kind(node) == "call_expr" and node.call_expr.function == "_&&_":
        return [part for argument in node.call_expr.args for part in conjuncts(argument)]
    return [node]


def _absorbs(expr: Any) -> bool:
    """Whether an error inside may leave the whole true: not in a conjunction of plain terms."""
    for conjunct in conjuncts(expr):
        for node in walk(conjunct):
            if kind(node) == "comprehension_expr" or (
                kind(node) == "call_expr" and node.call_expr.function in ("_&&_", "_||_")
            ):
                return True
    return False
