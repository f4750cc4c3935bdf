"""What a condition found, part by part: the checked expression that runs, asked node by node on one event and user.

Each part is translated by the functions that translate the whole, so that a trace cannot tell another story than the
run. A part without a value (a field is missing, a division by zero) says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from schemas.expressions import Expression
from schemas.grants import rfc3339
from transforms.language.checked_expr import Checked, children, kind, quantifier, walk
from transforms.language.translate import EVALUATION_ERRORS, function_of, parsed
from transforms.language.unparsing import text_of

Attributes = Mapping[str, Any]
Form = Literal["and", "or", "not", "choice", "leaf"]

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "in")
_FORMS: dict[str, Form] = {"_&&_": "and", "_||_": "or", "!_": "not", "_?_:_": "choice"}


class Read(msgspec.Struct, frozen=True):
    """Something that a part looked at, and what it was: None = missing. Times stand as RFC 3339 text.

    Attributes:
      constant: it is the same for every event and user.
    """

    text: str
    value: Any
    constant: bool = False


class Traced(msgspec.Struct, frozen=True):
    """An expression, or a part of one, on one event.

    Attributes:
      text: CEL. value: None = it has none, and why says why.
      form: how its value follows from its parts; of a choice these are the condition and the side that was taken.
      sign: of a leaf that compares, "has", or "exists" and "all"; else "".
      sides: what a comparison compares; what "has" asks for. reads: the fields a leaf reads.
      met_by: of "exists" and "all": how many of the elements meet it, and of how many.
    """

    text: str
    value: Any
    why: str = ""
    form: Form = "leaf"
    parts: tuple[Traced, ...] = ()
    sign: str = ""
    sides: tuple[Read, ...] = ()
    reads: tuple[Read, ...] = ()
    met_by: tuple[int, int] | None = None


def trace(expression: Expression, event: Attributes, user: Attributes) -> Traced:
    """Ask an expression and its parts. Of a condition that is met, the value is True."""
    checked = parsed(expression.checked)
    return _Tracer(checked, event, user).traced(checked.expr)


class _Tracer:
    def __init__(self, checked: Checked, event: Attributes, user: Attributes) -> None:
        self._checked, self._given = checked, (event, user)

    def traced(self, node: Any) -> Traced:
        form = _FORMS.get(node.call_expr.function, "leaf") if kind(node) == "call_expr" else "leaf"
        value, why = self._value(node)
        if form == "leaf":
            return self._leaf(node, value, why)
        parts = tuple(self._parts(node, form))
        why = why and (", ".join(dict.fromkeys(part.why for part in parts if part.why)) or why)
        return Traced(text_of(node), value, why, form, parts)

    def _parts(self, node: Any, form: Form) -> Iterator[Traced]:
        if form == "choice":
            asked, then, otherwise = node.call_expr.args
            first = self.traced(asked)
            yield first
            if first.value is not None:
                yield self.traced(then if first.value else otherwise)
            return
        for argument in node.call_expr.args:
            inner = self.traced(argument)
            if inner.form == form and form != "not":
                yield from inner.parts
            else:
                yield inner

    def _leaf(self, node: Any, value: Any, why: str) -> Traced:
        is_time = any(self._is_time(one) for one in walk(node))
        reads = tuple(self._read(one, is_time) for one in _fields(node))
        missing = [read.text for read in reads if read.value is None]
        why = why and (f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing" if missing else why)
        sign, sides, met_by = "", list[Any](), None
        if kind(node) == "call_expr":
            sign = node.call_expr.function.strip("_@")
            sides = list(node.call_expr.args) if sign in COMPARISONS else []
            sign = sign if sides else ""
        elif kind(node) == "comprehension_expr":
            sign, met_by = "exists" if quantifier(node) == "any" else "all", self._met_by(node)
        elif kind(node) == "select_expr" and node.select_expr.test_only:
            sign = "has"
        told = tuple(self._read(side, is_time) for side in sides) if sign != "has" else reads
        return Traced(text_of(node), value, why, "leaf", (), sign, told, reads, met_by)

    def _read(self, node: Any, is_time: bool) -> Read:
        value, _ = self._value(node)
        shown = rfc3339(value) if is_time and type(value) is int else value
        return Read(text_of(node), shown, next(_fields(node), None) is None)

    def _is_time(self, node: Any) -> bool:
        if kind(node) == "call_expr":
            return node.call_expr.function == "timestamp" or any(
                "timestamp" in overload for overload in self._checked.overloads(node)
            )
        return kind(node) == "select_expr" and text_of(node) == "event.event_time"

    def _met_by(self, node: Any) -> tuple[int, int] | None:
        loop = node.comprehension_expr
        values, _ = self._value(loop.iter_range)
        if values is None:
            return None
        test = function_of(
            self._checked, loop.loop_step.call_expr.args[1], ("e", "u", "one"), lazy=True,
            variables={loop.iter_var: "one"},
        )  # fmt: skip
        return sum(_asked(test, *self._given, one)[0] is True for one in values), len(values)

    def _value(self, node: Any) -> tuple[Any, str]:
        return _asked(function_of(self._checked, node, ("e", "u"), lazy=True), *self._given)


def _asked(function: Callable[..., Any], *given: Any) -> tuple[Any, str]:
    """The value, or None and why there is none."""
    try:
        return function(*given), ""
    except EVALUATION_ERRORS as error:
        return None, _WHY.get(type(error)) or f"{error} is missing"


_WHY: dict[type[Exception], str] = {
    ZeroDivisionError: "it divides by zero",
    OverflowError: "it does not fit into 64 bits",
    IndexError: "an index is out of range",
}


def _fields(node: Any) -> Iterator[Any]:
    """The paths `event.NAME...` and `user.NAME...` below a node, whole, each once; of has(x.y) the path it asks for."""
    found: dict[str, Any] = {}
    _collect(node, found)
    yield from found.values()


def _collect(node: Any, found: dict[str, Any]) -> None:
    if _is_path(node):
        plain = type(node)()
        plain.CopyFrom(node)
        plain.select_expr.test_only = False
        found.setdefault(text_of(plain), plain)
        return
    for child in children(node):
        _collect(child, found)


def _is_path(node: Any) -> bool:
    while kind(node) == "select_expr":
        node = node.select_expr.operand
        if kind(node) == "ident_expr":
            return node.ident_expr.name in ("event", "user")
    return False
