"""Random typed expressions over a few attributes, and events that have some of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from schemas.attributes import AttributeSchema, Record, parse_type

ATTRIBUTES: dict[str, Any] = {
    "i": "int",
    "j": "int",
    "s": "string",
    "t": "string",
    "b": "bool",
    "l": ["int"],
    "d": "double",
}
EVENT = parse_type(ATTRIBUTES)
assert isinstance(EVENT, Record)
SCHEMA = AttributeSchema(("purchase",), EVENT, Record(()))

EDGES = [0, 1, -1, 2, 7, 2**31, 2**63 - 1, -(2**63)]
INTS = st.sampled_from(["event.i", "event.j", "event.l[0]", "event.l[event.i]", "size(event.s)", *map(str, EDGES[:-1])])
STRINGS = st.sampled_from(["event.s", "event.t", '"a"', '"é"', '""', '"ab"'])
DOUBLES = st.sampled_from(["event.d", "1.5", "0.0", "-2.0"])


def ints(depth: int) -> st.SearchStrategy[str]:
    if depth == 0:
        return INTS
    inner = ints(depth - 1)
    binary = st.builds(lambda a, op, b: f"({a} {op} {b})", inner, st.sampled_from("+-*/%"), inner)
    chosen = st.builds(lambda c, a, b: f"({c} ? {a} : {b})", bools(depth - 1), inner, inner)
    return st.one_of(INTS, binary, chosen, inner.map(lambda a: f"(-{a})"))


def bools(depth: int) -> st.SearchStrategy[str]:
    compare = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
    atoms = st.one_of(
        st.sampled_from(["event.b", "true", "false"]),
        st.builds(lambda a, op, b: f"({a} {op} {b})", INTS, compare, INTS),
        st.builds(lambda a, op, b: f"({a} {op} {b})", STRINGS, compare, STRINGS),
        st.builds(lambda a, op, b: f"({a} {op} {b})", DOUBLES, compare, DOUBLES),
        st.builds(
            lambda a, f, b: f"{a}.{f}({b})", STRINGS, st.sampled_from(["startsWith", "endsWith", "contains"]), STRINGS
        ),
        st.builds(lambda a: f"({a} in [1, 2, 7])", INTS),
        st.builds(lambda a: f"({a} in event.l)", INTS),
        st.builds(lambda p: f'event.s.matches("{p}")', st.sampled_from(["^a", "b$", "[é-]+", ""])),
    )
    if depth == 0:
        return atoms
    inner = bools(depth - 1)
    number = ints(depth - 1)
    return st.one_of(
        atoms,
        st.builds(lambda a, op, b: f"({a} {op} {b})", inner, st.sampled_from(["&&", "||"]), inner),
        inner.map(lambda a: f"(!{a})"),
        st.builds(lambda c, a, b: f"({c} ? {a} : {b})", inner, inner, inner),
        st.builds(lambda a, op, b: f"({a} {op} {b})", number, compare, number),
        st.builds(lambda q, a: f"event.l.{q}(x, x > {a})", st.sampled_from(["exists", "all"]), number),
        st.builds(lambda q, a: f"event.l.{q}(x, 7 / x > {a})", st.sampled_from(["exists", "all"]), INTS),
        st.builds(lambda a, b: f"(({a}) == ({b}))", inner, inner),
    )


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "i": st.sampled_from(EDGES), "j": st.sampled_from(EDGES), "s": st.sampled_from(["", "a", "ab", "é", "😀"]),
    "t": st.sampled_from(["a", "b"]), "b": st.booleans(), "l": st.lists(st.sampled_from(EDGES), max_size=3),
    "d": st.sampled_from([0.0, -0.0, 1.5, -2.0]),
}  # fmt: skip
EVENTS = st.fixed_dictionaries({}, optional=VALUES)
