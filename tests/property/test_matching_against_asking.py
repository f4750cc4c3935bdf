"""The index finds exactly the rules that asking each of them finds, in whatever way they are told apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.attributes import AttributeSchema, ListOf, Record, Scalar, parse_type
from schemas.plans import AudiencePlan, Schedule, UserShare
from transforms.engine.conditions import Rule
from transforms.engine.gates import gate_of
from transforms.engine.matching import MatchIndex
from transforms.language.expressions import check
from transforms.language.translate import compile_condition

COMPARED = ["<", "<=", ">", ">=", "=="]
EVENT = parse_type(
    {"n": "int", "m": "int", "d": "double", "at": "timestamp", "s": "string", "b": "bool", "tags": ["string"],
     "currency": "string"}
)  # fmt: skip
assert isinstance(EVENT, Record)
USER = Record((("n", Scalar("int")), ("s", Scalar("string")), ("segments", ListOf(Scalar("string")))))
SCHEMA = AttributeSchema(("a", "b"), EVENT, USER)

TEXTS = "abcd"
FAMILIES: dict[str, Callable[[Random], str]] = {
    "number": lambda r: f"event.n {r.choice(COMPARED)} {r.randint(-3, 25)}",
    "turned": lambda r: f"{r.randint(-3, 25)} {r.choice(COMPARED)} event.n",
    "both": lambda r: f"event.m >= {(low := r.randint(-3, 25))} && event.m < {low + r.randint(-1, 6)}",
    "nested": lambda r: f"event.m > {r.randint(-3, 11)} && event.m <= {r.randint(11, 25)} && event.m < 24",
    "double": lambda r: f"event.d {r.choice(COMPARED)} {r.randint(-3, 25) / 2}",
    "instant": lambda r: f'event.at {r.choice(COMPARED)} timestamp("1970-01-01T00:00:0{r.randint(0, 5)}Z")',
    "user": lambda r: f"user.n {r.choice(COMPARED)} {r.randint(-3, 25)}",
    "text": lambda r: f'event.s == "{r.choice(TEXTS)}"',
    "user's text": lambda r: f'user.s == "{r.choice(TEXTS)}"',
    "texts": lambda r: f'event.s in ["{r.choice(TEXTS)}", "{r.choice(TEXTS)}"]',
    "numbers": lambda r: f"event.n in {r.sample(range(25), 3)}",
    "element": lambda r: f'"{r.choice(TEXTS)}" in event.tags',
    "segment": lambda r: f'"{r.choice(TEXTS)}" in user.segments',
    "array": lambda r: f'event.tags == ["{r.choice(TEXTS)}"]',
    "either": lambda r: f'(event.s == "{r.choice(TEXTS)}" || event.n > {r.randint(-3, 25)})',
    "not both": lambda r: f'!(event.s == "{r.choice(TEXTS)}" && event.n > {r.randint(-3, 25)})',
    "other": lambda r: r.choice(["event.b == true", "event.b", "event.n != 3", "!has(event.n)", "10 / event.n > 2"]),
}
WHO_AND_WHEN = ("include", "exclude", "share", "holdout", "dates", "days", "currency")


def a_rule(number: int, kinds: Sequence[str], draw: Random) -> Rule:
    """A rule that says something of most of the kinds."""
    said = [kind for kind in kinds if draw.random() < 0.8]
    shares = tuple(
        UserShare("x", "growthbook", draw.randrange(10_000), draw.randrange(10_000), kind == "holdout")
        for kind in said
        if kind in ("share", "holdout")
    )
    audience = AudiencePlan(
        None,
        tuple(sorted(draw.sample(USERS, draw.randint(0, 3)))) if "include" in said else None,
        (draw.choice(USERS),) if "exclude" in said else (),
        shares,
    )
    dates = [draw.choice([None, draw.randint(0, 40)]) if "dates" in said else None for _ in range(2)]
    schedule = Schedule(*dates, (draw.randrange(7), 3) if "days" in said else ())
    conditions = tuple(check(FAMILIES[kind](draw), SCHEMA, result="bool") for kind in said if kind in FAMILIES)
    currency = draw.choice(["JPY", "USD"]) if "currency" in said else ""
    types = draw.choice([("a",), ("a", "b")])
    return Rule(number, types, conditions, currency, schedule, gate_of(schedule, "UTC", audience), audience)


USERS = ("u1", "u2", "u3", "u4", "u5")
KINDS = st.lists(st.sampled_from([*FAMILIES, *WHO_AND_WHEN]), min_size=1, max_size=4, unique=True)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(-4, 26), "m": st.integers(-4, 26), "b": st.booleans(), "at": st.integers(0, 6_000),
    "d": st.integers(-8, 54).map(lambda n: n / 4) | st.sampled_from([math.inf, -math.inf, math.nan]),
    "s": st.sampled_from(TEXTS), "tags": st.lists(st.sampled_from(TEXTS), max_size=3),
    "currency": st.sampled_from(["JPY", "USD"]),
}  # fmt: skip
PROFILES = st.fixed_dictionaries(
    {"segments": st.lists(st.sampled_from(TEXTS), max_size=3)}, optional={"n": VALUES["n"], "s": VALUES["s"]}
)
INPUTS = st.tuples(
    st.sampled_from("aaabc"),
    st.integers(-1, 41),
    st.sampled_from(USERS),
    st.fixed_dictionaries({}, optional=VALUES) | st.fixed_dictionaries(VALUES),
    PROFILES,
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


@settings(max_examples=200, deadline=None)
@given(KINDS, st.integers(1, 80), st.integers(0, 10**9), st.lists(INPUTS, min_size=5, max_size=25))
def test_the_index_finds_what_asking_each_rule_finds(kinds: list[str], count: int, seed: int, inputs: Any) -> None:
    draw = Random(seed)
    rules = [a_rule(number, kinds, draw) for number in range(count)]
    index = MatchIndex(rules)
    for given_ in inputs:
        assert index.matching(*given_) == asking_each(rules, *given_)


@pytest.mark.parametrize("kind", [*FAMILIES, *WHO_AND_WHEN])
def test_so_it_does_for_many_rules_of_one_kind(kind: str) -> None:
    draw = Random(kind)
    rules = [a_rule(number, [kind], draw) for number in range(60)]
    index = MatchIndex(rules)
    for n in range(-8, 54):
        event = {"n": n // 2, "m": n // 2, "d": n / 4, "at": n * 100, "s": draw.choice(TEXTS), "b": n % 2 == 0}
        event |= {"tags": draw.choices(TEXTS, k=2), "currency": draw.choice(["JPY", "USD"])}
        user = {"n": n // 2, "s": draw.choice(TEXTS), "segments": draw.choices(TEXTS, k=2)}
        asked = ("a", n, draw.choice(USERS), event, user)
        assert index.matching(*asked) == asking_each(rules, *asked)
