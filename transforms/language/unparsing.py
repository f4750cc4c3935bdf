"""From a node of checked CEL back to text: how a part of a condition is told.

Blanks and brackets are not the file's own; checked again, the text means the same.
"""

from __future__ import annotations

import json
from typing import Any

from transforms.language.checked_expr import constant, kind, quantifier

_CHOICE, _OR, _AND, _RELATION, _SUM, _PRODUCT, _UNARY, _MEMBER = range(8)
_BINARY = {
    "_||_": ("||", _OR), "_&&_": ("&&", _AND), "_==_": ("==", _RELATION), "_!=_": ("!=", _RELATION),
    "_<_": ("<", _RELATION), "_<=_": ("<=", _RELATION), "_>_": (">", _RELATION), "_>=_": (">=", _RELATION),
    "@in": ("in", _RELATION), "_+_": ("+", _SUM), "_-_": ("-", _SUM), "_*_": ("*", _PRODUCT),
    "_/_": ("/", _PRODUCT), "_%_": ("%", _PRODUCT),
}  # fmt: skip


def text_of(node: Any) -> str:
    """CEL that means what the node means."""
    return _told(node)[0]


def _told(node: Any) -> tuple[str, int]:
    """The text, and how tightly it binds."""
    form = kind(node)
    if form == "const_expr":
        text = _constant(node)
        return text, _UNARY if text.startswith("-") else _MEMBER
    if form == "ident_expr":
        return str(node.ident_expr.name), _MEMBER
    if form == "select_expr":
        path = f"{_bound(node.select_expr.operand, _MEMBER)}.{node.select_expr.field}"
        return f"has({path})" if node.select_expr.test_only else path, _MEMBER
    if form == "list_expr":
        return f"[{', '.join(map(text_of, node.list_expr.elements))}]", _MEMBER
    if form == "comprehension_expr":
        loop, macro = node.comprehension_expr, "exists" if quantifier(node) == "any" else "all"
        test = text_of(loop.loop_step.call_expr.args[1])
        return f"{_bound(loop.iter_range, _MEMBER)}.{macro}({loop.iter_var}, {test})", _MEMBER
    return _operation(node.call_expr)


def _operation(call: Any) -> tuple[str, int]:
    function, arguments = call.function, call.args
    if function in _BINARY:
        sign, binds = _BINARY[function]
        right = binds if function in ("_&&_", "_||_") else binds + 1
        return f"{_bound(arguments[0], binds)} {sign} {_bound(arguments[1], right)}", binds
    if function in ("!_", "-_"):
        is_number = function == "-_" and kind(arguments[0]) == "const_expr"  # -1 would be read as a constant
        operand = f"({text_of(arguments[0])})" if is_number else _bound(arguments[0], _MEMBER)
        return f"{function[0]}{operand}", _UNARY
    if function == "_?_:_":
        asked, then, otherwise = _bound(arguments[0], _OR), _bound(arguments[1], _OR), text_of(arguments[2])
        return f"{asked} ? {then} : {otherwise}", _CHOICE
    if function == "_[_]":
        return f"{_bound(arguments[0], _MEMBER)}[{text_of(arguments[1])}]", _MEMBER
    given = f"{function}({', '.join(map(text_of, arguments))})"
    return f"{_bound(call.target, _MEMBER)}.{given}" if call.HasField("target") else given, _MEMBER


def _bound(node: Any, least: int) -> str:
    text, binds = _told(node)
    return text if binds >= least else f"({text})"


def _constant(node: Any) -> str:
    value = constant(node)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else repr(value)
