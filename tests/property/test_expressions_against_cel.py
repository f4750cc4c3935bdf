"""Translated conditions agree with Google's C++ runtime on random typed expressions and events, errors included."""

from __future__ import annotations

from typing import Any

from cel_expr_python import cel
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import ExpressionError
from tests.support.drawn_expressions import EVENTS, SCHEMA, bools, ints
from transforms.language.expressions import check
from transforms.language.translate import compile_condition, compile_value

TYPES = {
    "i": cel.Type.INT, "j": cel.Type.INT, "s": cel.Type.STRING, "t": cel.Type.STRING, "b": cel.Type.BOOL,
    "l": cel.Type.List(cel.Type.INT), "d": cel.Type.DOUBLE,
}  # fmt: skip
# The runtime takes qualified names, so that a missing attribute is an unbound variable: an error, as ours is.
ENVIRONMENT = cel.NewEnv(variables={f"event.{name}": kind for name, kind in TYPES.items()})


def told_by_cel(text: str, event: dict[str, Any]) -> Any:
    """The C++ runtime's answer; None for an error."""
    try:
        found = ENVIRONMENT.compile(text).eval(data={f"event.{name}": value for name, value in event.items()})
        return None if found.type() == cel.Type.ERROR else found.value()
    except RuntimeError:
        return None


@settings(max_examples=600, deadline=None)
@given(bools(3), st.lists(EVENTS, min_size=1, max_size=4))
def test_conditions_agree(text: str, events: list[dict[str, Any]]) -> None:
    try:
        condition = compile_condition(check(text, SCHEMA, result="bool"))
    except ExpressionError as error:
        # Refused for good reason: a type error, too many parts, or a quantifier inside another.
        assert any(reason in error.message for reason in ("overload", "parts", "inside one another")), (text, error)
        return
    for event in events:
        expected = told_by_cel(text, event)
        assert condition(event, {}) == (expected is True), (text, event, expected)


@settings(max_examples=300, deadline=None)
@given(ints(3), st.lists(EVENTS, min_size=1, max_size=4))
def test_values_agree(text: str, events: list[dict[str, Any]]) -> None:
    try:
        value = compile_value(check(text, SCHEMA, result="int"))
    except ExpressionError as error:
        assert "parts" in error.message or "inside one another" in error.message, (text, error)
        return
    for event in events:
        assert value(event, {}) == told_by_cel(text, event), (text, event)
