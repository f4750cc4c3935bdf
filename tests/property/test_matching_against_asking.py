"""The index finds exactly the rules that asking each of them finds, in whatever way they are told apart."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.attributes import AttributeSchema, ListOf, Record, Scalar, parse_type
from schemas.plans import AudiencePlan, Schedule, UserShare
from transforms.engine.conditions import Rule
from transforms.engine.gates import gate_of
from transforms.engine.matching import MatchIndex
from transforms.language.expressions import check
from transforms.language.translate import compile_condition

EVENT = parse_type(
    {"n": "int", "m": "int", "d": "double", "at": "timestamp", "s": "string", "b": "bool", "tags": ["string"],
     "currency": "string"}
)  # fmt: skip
assert isinstance(EVENT, Record)
USER = Record((("n", Scalar("int")), ("s", Scalar("string")), ("segments", ListOf(Scalar("string")))))
SCHEMA = AttributeSchema(("a", "b"), EVENT, USER)

COMPARED = st.sampled_from(["<", "<=", ">", ">=", "=="])
SMALL = st.integers(-3, 25)
TEXTS = st.sampled_from(["a", "b", "c", "d"])
NUMBERS = st.sampled_from(["event.n", "event.m", "user.n"])
INSTANTS = st.integers(0, 5).map(lambda s: f'timestamp("1970-01-01T00:00:0{s}Z")')
CONDITIONS = st.one_of(
    st.builds(lambda a, op, c: f"{a} {op} {c}", NUMBERS, COMPARED, SMALL),
    st.builds(lambda a, op, c: f"{c} {op} {a}", NUMBERS, COMPARED, SMALL),
    st.builds(lambda a, low, more: f"{a} >= {low} && {a} < {low + more}", NUMBERS, SMALL, st.integers(-1, 6)),
    st.builds(lambda op, c: f"event.d {op} {c / 2}", COMPARED, SMALL),
    st.builds(lambda op, c: f"event.at {op} {c}", COMPARED, INSTANTS),
    st.builds(lambda a, c: f'{a} == "{c}"', st.sampled_from(["event.s", "user.s"]), TEXTS),
    st.builds(lambda c, d: f'event.s in ["{c}", "{d}"]', TEXTS, TEXTS),
    st.builds(lambda c: f"event.n in {c}", st.lists(SMALL, min_size=1, max_size=4)),
    st.builds(lambda c: f'"{c}" in event.tags', TEXTS),
    st.builds(lambda c: f'"{c}" in user.segments', TEXTS),
    st.builds(lambda c: f'event.tags == ["{c}"]', TEXTS),
    st.builds(lambda c, n: f'(event.s == "{c}" || event.n > {n})', TEXTS, SMALL),
    st.builds(lambda c, n: f'!(event.s == "{c}" && event.n > {n})', TEXTS, SMALL),
    st.sampled_from(["event.b == true", "event.b", "event.n != 3", "!has(event.n)", "10 / event.n > 2"]),
)
INCLUDED = st.none() | st.lists(st.sampled_from(["u1", "u2", "u3"]), max_size=2, unique=True).map(tuple)
UNITS = st.integers(0, 10_000)
SHARES = st.builds(UserShare, st.sampled_from(["x", "y"]), st.just("growthbook"), UNITS, UNITS, st.booleans())
AUDIENCES = st.builds(
    AudiencePlan, st.none(), INCLUDED, st.sampled_from([(), ("u1",)]), st.lists(SHARES, max_size=1).map(tuple)
)
TIMES = st.none() | st.integers(0, 40)
SCHEDULES = st.builds(Schedule, TIMES, TIMES, st.sampled_from([(), (3,), (0,)]))


@st.composite
def rules(draw: st.DrawFn) -> list[Rule]:
    """Of few kinds at a time, so that one kind is enough of them to be indexed, and parts of it once more."""
    conditions = st.lists(st.sampled_from(draw(st.lists(CONDITIONS, min_size=1, max_size=30))), max_size=3, unique=True)
    everyone = st.just(AudiencePlan())
    audiences = draw(st.sampled_from([everyone, AUDIENCES]))
    schedules = draw(st.sampled_from([st.none(), SCHEDULES]))
    found = []
    for number in range(draw(st.integers(1, 60))):
        texts, audience, schedule = draw(conditions), draw(audiences), draw(schedules)
        expressions = tuple(check(text, SCHEMA, result="bool") for text in texts)
        types = draw(st.sampled_from([("a",), ("a", "b")]))
        gate = gate_of(schedule or Schedule(), "UTC", audience)
        currency = draw(st.sampled_from(["", "", "JPY", "USD"]))
        found.append(Rule(number, types, expressions, currency, schedule, gate, audience))
    return found


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": SMALL, "m": SMALL, "d": SMALL.map(lambda n: n / 4) | st.sampled_from([math.inf, -math.inf, math.nan]),
    "at": st.integers(0, 6_000), "s": TEXTS, "b": st.booleans(), "tags": st.lists(TEXTS, max_size=3),
    "currency": st.sampled_from(["JPY", "USD"]),
}  # fmt: skip
EVENTS = st.fixed_dictionaries({}, optional=VALUES)
USERS = st.fixed_dictionaries({"segments": st.lists(TEXTS, max_size=3)}, optional={"n": SMALL, "s": TEXTS})
INPUTS = st.tuples(
    st.sampled_from(["a", "b", "c"]), st.integers(-1, 41), st.sampled_from(["u1", "u2", "u3", "u4"]), EVENTS, USERS
)


def asking_each(rules: list[Rule], event_type: str, time_ms: int, subject: str, event: Any, user: Any) -> list[int]:
    found = []
    for rule in rules:
        schedule = rule.schedule or Schedule()
        if (
            event_type in rule.event_types
            and (schedule.start_ms is None or schedule.start_ms <= time_ms)
            and (schedule.end_ms is None or time_ms < schedule.end_ms)
            and (not rule.currency or event.get("currency") == rule.currency)
            and all(compile_condition(expression)(event, user) for expression in rule.conditions)
            and (rule.gate is None or rule.gate(subject, time_ms))
        ):
            found.append(rule.number)
    return found


@settings(max_examples=250, deadline=None)
@given(rules(), st.lists(INPUTS, min_size=1, max_size=12))
def test_the_index_finds_what_asking_each_rule_finds(rules: list[Rule], inputs: list[Any]) -> None:
    index = MatchIndex(rules)
    for event_type, time_ms, subject, event, user in inputs:
        expected = asking_each(rules, event_type, time_ms, subject, event, user)
        assert index.matching(event_type, time_ms, subject, event, user) == expected
