"""Check conditions and amounts: CEL against the declared attributes, before anything runs.

The checker is Google's (cel-expr-python); attributes are declared to it as protobuf messages, so that fields of
records inside arrays are checked too. Only this file needs the native package; workers get the checked bytes.
"""

from __future__ import annotations

import difflib
import re
from functools import lru_cache
from typing import Any, Literal, NoReturn

import re2
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, timestamp_pb2

from schemas.attributes import ENVELOPE_TYPES, AttributeSchema, AttributeType, ListOf, MapOf, Record, Scalar
from schemas.errors import ExpressionError
from schemas.expressions import Expression
from transforms.language.checked_expr import Checked, constant, kind, quantifier, walk
from transforms.language.translate import UnsupportedError, fast_form, parsed

TEXT_BYTES_MAX = 4_096
NODES_MAX = 300

_SCALAR_FIELDS = {"bool": 8, "int": 3, "double": 1, "string": 9, "timestamp": 11}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PACKAGE = "attributes"


def check(
    text: str, schema: AttributeSchema, *, result: Literal["bool", "int", "value"], item: AttributeType | None = None
) -> Expression:
    """Parse and type-check one expression.

    Args:
      text: CEL over `event` and `user`, and `item` where item is the type of an array's elements.
      result: "bool" for a condition, "int" for an amount in minor units, "value" for a text, an integer or a truth
        value (what can be told apart exactly).

    Raises:
      ExpressionError: with the 1-based line and column in the text, and what would be right.
    """
    if len(text.encode()) > TEXT_BYTES_MAX:
        raise ExpressionError(
            f"an expression is at most {TEXT_BYTES_MAX} bytes long, this one {len(text.encode())}", 1, 1
        )
    return _checked(text, schema, result, item)


@lru_cache(maxsize=20_000)
def _checked(
    text: str, schema: AttributeSchema, result: Literal["bool", "int", "value"], item: AttributeType | None
) -> Expression:
    environment = _environment(schema, item)
    try:
        compiled = environment.compile(text)
    except RuntimeError as error:
        _refuse(str(error), schema, item)
    raw: bytes = compiled.serialize()
    _require_result(compiled.return_type().name(), result)
    checked = parsed(raw)
    try:
        _require_bounds(checked)
        fast_form(checked)
    except UnsupportedError as error:
        line, column = _place(text, _positions(raw).get(error.node_id, 0))
        raise ExpressionError(str(error), line, column) from None
    return Expression(text, raw, result)


def _require_result(found: str, result: str) -> None:
    wanted = {"bool": ("BOOL",), "int": ("INT",), "value": ("STRING", "INT", "BOOL")}[result]
    if found in wanted:
        return
    if result == "int" and found == "DOUBLE":
        raise ExpressionError(
            "an amount is an integer in minor units, this is a double: no float touches an amount", 1, 1
        )
    what = {"bool": "a condition is true or false", "int": "an amount is an integer"}.get(
        result, "what is compared or told apart is a text, an integer or a truth value"
    )
    raise ExpressionError(f"{what}, but this is of type {found.lower()}", 1, 1)


def _require_bounds(checked: Checked) -> None:
    nodes = list(walk(checked.expr))
    if len(nodes) > NODES_MAX:
        raise UnsupportedError(f"an expression has at most {NODES_MAX} parts, this one {len(nodes)}")
    for node in nodes:
        form = kind(node)
        if form == "comprehension_expr":
            inner = [each for each in walk(node) if each is not node and kind(each) == "comprehension_expr"]
            if inner and quantifier(node):
                raise UnsupportedError("exists and all cannot stand inside one another", inner[0].id)
        if form == "call_expr" and node.call_expr.function == "matches":
            _require_pattern(node)


def _require_pattern(node: Any) -> None:
    pattern = node.call_expr.args[-1]
    if kind(pattern) != "const_expr":
        raise UnsupportedError('matches() takes a constant pattern: event.code.matches("^A[0-9]+$")', node.id)
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(constant(pattern), options)
    except re2.error as error:
        reason = error.args[0] if error.args else b""
        told = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise UnsupportedError(f"no pattern of RE2: {told}", pattern.id) from None


def _refuse(message: str, schema: AttributeSchema, item: AttributeType | None) -> NoReturn:
    """Turn the checker's text into an error with a position and what would be right."""
    found = re.search(r"ERROR: <input>:(\d+):(\d+): (.*)", message)
    line, column, told = (int(found[1]), int(found[2]), found[3]) if found else (1, 1, message)
    field = re.search(r"undefined field '([^']*)' not found in struct '([^']*)'", told)
    if field:
        owner, names = _declared_in(field[2], schema, item)
        told = _unknown_name(field[1], owner, names)
    else:
        told = told.replace(" (in container '')", "").replace("Syntax error: ", "")
        undeclared = re.match(r"undeclared reference to '([^']*)'", told)
        if undeclared and undeclared[1] in ("event", "user", "item") + tuple(dict(schema.event.fields)):
            told += "; attributes are written event.NAME or user.NAME"
        told = re.sub(r"attributes\.(\w+)", r"\1", told)
    raise ExpressionError(told, line, column)


def _unknown_name(name: str, owner: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {owner}.{close[0]}?" if close else ""
    return f"{owner} has no attribute {name!r}{hint} (declared: {', '.join(names) or 'none'})"


def _declared_in(message: str, schema: AttributeSchema, item: AttributeType | None) -> tuple[str, list[str]]:
    short = message.removeprefix(f"{_PACKAGE}.")
    roots = {"Event": ("event", _event_record(schema)), "User": ("user", schema.user)}
    if short in roots:
        owner, record = roots[short]
        return owner, [name for name, _ in record.fields]
    for name, nested in _Messages(schema, item).records.items():
        if name == short:
            return "the element", [field for field, _ in nested.fields]
    return short, []


def _event_record(schema: AttributeSchema) -> Record:
    fields = dict(schema.event.fields) | dict(ENVELOPE_TYPES)
    return Record(tuple(sorted(fields.items())))


class _Messages:
    """The declared attributes as protobuf messages."""

    def __init__(self, schema: AttributeSchema, item: AttributeType | None) -> None:
        self.file = descriptor_pb2.FileDescriptorProto(
            name="attributes.proto",
            package=_PACKAGE,
            syntax="proto3",
            dependency=["google/protobuf/timestamp.proto"],
        )
        self.records: dict[str, Record] = {}
        self._add("Event", _event_record(schema))
        self._add("User", schema.user)
        if isinstance(item, Record):
            self._add("Item", item)

    def _add(self, name: str, record: Record) -> str:
        self.records[name] = record
        message = self.file.message_type.add(name=name)
        usable = [(field, of) for field, of in record.fields if _IDENTIFIER.fullmatch(field)]
        for number, (field, of) in enumerate(usable, start=1):
            added = message.field.add(name=field, number=number, label=1)
            self._describe(added, of, f"{name}_{field}", message)
        return f".{_PACKAGE}.{name}"

    def _describe(self, field: Any, of: AttributeType, name: str, owner: Any) -> None:
        if isinstance(of, ListOf):
            self._describe(field, of.element, name, owner)
            field.label = 3
        elif isinstance(of, Record):
            field.type, field.type_name = 11, self._add(name, of)
        elif isinstance(of, MapOf):
            entry = owner.nested_type.add(name="".join(p.title() for p in field.name.split("_")) + "Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, label=1, type=9)
            self._describe(entry.field.add(name="value", number=2, label=1), of.value, name, owner)
            field.type, field.label = 11, 3
            field.type_name = f".{_PACKAGE}.{owner.name}.{entry.name}"
        else:
            assert isinstance(of, Scalar)
            field.type = _SCALAR_FIELDS[of.kind]
            if of.kind == "timestamp":
                field.type_name = ".google.protobuf.Timestamp"


@lru_cache(maxsize=256)
def _environment(schema: AttributeSchema, item: AttributeType | None) -> Any:
    from cel_expr_python import cel

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)  # type: ignore[no-untyped-call]
    pool.AddSerializedFile(_Messages(schema, item).file.SerializeToString())  # type: ignore[no-untyped-call]
    variables = {"event": cel.Type(f"{_PACKAGE}.Event"), "user": cel.Type(f"{_PACKAGE}.User")}
    if isinstance(item, Record):
        variables["item"] = cel.Type(f"{_PACKAGE}.Item")
    elif isinstance(item, Scalar):
        variables["item"] = getattr(cel.Type, item.kind.upper())
    return cel.NewEnv(pool, variables=variables)


def _positions(raw: bytes) -> dict[int, int]:
    """Code point offsets of the nodes, by id: SourceInfo.positions (field 4) of CheckedExpr.source_info (field 5)."""
    positions: dict[int, int] = {}
    for number, body in _fields(any_pb2.Any.FromString(raw).value):
        if number == 5 and isinstance(body, bytes):
            for inner, entry in _fields(body):
                if inner == 4 and isinstance(entry, bytes):
                    pair = {key: value for key, value in _fields(entry) if isinstance(value, int)}
                    positions[pair.get(1, 0)] = pair.get(2, 0)
    return positions


def _fields(raw: bytes) -> list[tuple[int, int | bytes]]:
    """The fields of a message on the wire: varints and length-delimited ones; fixed ones are passed over."""
    found: list[tuple[int, int | bytes]] = []
    place = 0
    while place < len(raw):
        tag, place = _varint(raw, place)
        if tag & 7 == 0:
            number, place = _varint(raw, place)
            found.append((tag >> 3, number))
        elif tag & 7 == 2:
            length, place = _varint(raw, place)
            found.append((tag >> 3, raw[place : place + length]))
            place += length
        else:
            place += 8 if tag & 7 == 1 else 4
    return found


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def _place(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
