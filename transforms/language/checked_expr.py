"""Read cel.expr.CheckedExpr bytes: the protobuf messages, described here so that no generated code is needed.

Field numbers are those of the CEL specification's syntax.proto and checked.proto; only what the translation reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

_INT64, _BOOL, _STRING, _DOUBLE, _UINT64, _BYTES, _INT32, _MESSAGE = 3, 8, 9, 1, 4, 12, 5, 11
_ONE, _MANY = 1, 3

_MESSAGES: dict[str, list[tuple[str, int, int, int, str]]] = {
    "Constant": [
        ("null_value", 1, _INT32, _ONE, ""),
        ("bool_value", 2, _BOOL, _ONE, ""),
        ("int64_value", 3, _INT64, _ONE, ""),
        ("uint64_value", 4, _UINT64, _ONE, ""),
        ("double_value", 5, _DOUBLE, _ONE, ""),
        ("string_value", 6, _STRING, _ONE, ""),
        ("bytes_value", 7, _BYTES, _ONE, ""),
    ],
    "Ident": [("name", 1, _STRING, _ONE, "")],
    "Select": [
        ("operand", 1, _MESSAGE, _ONE, "Expr"),
        ("field", 2, _STRING, _ONE, ""),
        ("test_only", 3, _BOOL, _ONE, ""),
    ],
    "Call": [
        ("target", 1, _MESSAGE, _ONE, "Expr"),
        ("function", 2, _STRING, _ONE, ""),
        ("args", 3, _MESSAGE, _MANY, "Expr"),
    ],
    "List": [("elements", 1, _MESSAGE, _MANY, "Expr")],
    "Struct": [("message_name", 1, _STRING, _ONE, "")],
    "Comprehension": [
        ("iter_var", 1, _STRING, _ONE, ""),
        ("iter_range", 2, _MESSAGE, _ONE, "Expr"),
        ("accu_var", 3, _STRING, _ONE, ""),
        ("accu_init", 4, _MESSAGE, _ONE, "Expr"),
        ("loop_condition", 5, _MESSAGE, _ONE, "Expr"),
        ("loop_step", 6, _MESSAGE, _ONE, "Expr"),
        ("result", 7, _MESSAGE, _ONE, "Expr"),
    ],
    "Expr": [
        ("id", 2, _INT64, _ONE, ""),
        ("const_expr", 3, _MESSAGE, _ONE, "Constant"),
        ("ident_expr", 4, _MESSAGE, _ONE, "Ident"),
        ("select_expr", 5, _MESSAGE, _ONE, "Select"),
        ("call_expr", 6, _MESSAGE, _ONE, "Call"),
        ("list_expr", 7, _MESSAGE, _ONE, "List"),
        ("struct_expr", 8, _MESSAGE, _ONE, "Struct"),
        ("comprehension_expr", 9, _MESSAGE, _ONE, "Comprehension"),
    ],
    "Reference": [("name", 1, _STRING, _ONE, ""), ("overload_id", 3, _STRING, _MANY, "")],
    "ReferenceEntry": [("key", 1, _INT64, _ONE, ""), ("value", 2, _MESSAGE, _ONE, "Reference")],
    "CheckedExpr": [("reference_map", 2, _MESSAGE, _MANY, "ReferenceEntry"), ("expr", 4, _MESSAGE, _ONE, "Expr")],
}
_ONEOF = {"Constant": "value", "Expr": "kind"}


@lru_cache(maxsize=1)
def _message_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="incentives/checked.proto", package="incentives.cel", syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name in _ONEOF:
            message.oneof_decl.add(name=_ONEOF[name])
        for field, number, kind, label, of in fields:
            added = message.field.add(name=field, number=number, type=kind, label=label)  # type: ignore[arg-type]
            if of:
                added.type_name = f".incentives.cel.{of}"
            if name in _ONEOF and field != "id":
                added.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call]
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("incentives.cel.CheckedExpr"))


class Checked:
    """A parsed CheckedExpr: its tree and which overload each call was resolved to."""

    def __init__(self, raw: bytes) -> None:
        message = _message_class()()
        message.ParseFromString(any_pb2.Any.FromString(raw).value)
        self.expr: Any = message.expr
        self._overloads = {entry.key: tuple(entry.value.overload_id) for entry in message.reference_map}

    def overloads(self, node: Any) -> tuple[str, ...]:
        """Overload ids of a call, e.g. ("add_int64",)."""
        return self._overloads.get(node.id, ())


def kind(node: Any) -> str:
    """Which of the seven forms a node has: "const_expr", "ident_expr", "select_expr", ..."""
    form: str = node.WhichOneof("kind")
    return form


def children(node: Any) -> Iterator[Any]:
    """The nodes directly below, a comprehension's as they were written: its range and its predicate."""
    form = kind(node)
    if form == "select_expr":
        yield node.select_expr.operand
    elif form == "call_expr":
        if node.call_expr.HasField("target"):
            yield node.call_expr.target
        yield from node.call_expr.args
    elif form == "list_expr":
        yield from node.list_expr.elements
    elif form == "comprehension_expr":
        loop = node.comprehension_expr
        yield loop.iter_range
        if loop.loop_step.call_expr.args:
            yield loop.loop_step.call_expr.args[-1]


def walk(node: Any) -> Iterator[Any]:
    """The node and all below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def constant(node: Any) -> Any:
    """A constant's value."""
    return getattr(node.const_expr, node.const_expr.WhichOneof("value"))


def quantifier(node: Any) -> str | None:
    """ "any" for exists, "all" for all, None for every other comprehension."""
    loop = node.comprehension_expr
    step, start = loop.loop_step, loop.accu_init
    if kind(step) != "call_expr" or kind(start) != "const_expr" or start.const_expr.WhichOneof("value") != "bool_value":
        return None
    found = {"_||_": (False, "any"), "_&&_": (True, "all")}.get(step.call_expr.function)
    same = kind(loop.result) == "ident_expr" and loop.result.ident_expr.name == loop.accu_var
    return found[1] if found and same and constant(start) is found[0] else None
