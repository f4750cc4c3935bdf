"""What conditions may say, how they are refused, and how missing values behave."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.attributes import AttributeSchema, ListOf, Record, parse_type
from schemas.errors import ExpressionError
from transforms.language.expressions import check
from transforms.language.terms import equality_terms, range_terms
from transforms.language.translate import (
    attributes_read,
    compile_condition,
    compile_item_condition,
    compile_item_value,
    compile_value,
)


def record(**fields: Any) -> Record:
    found = parse_type(fields)
    assert isinstance(found, Record)
    return found


SCHEMA = AttributeSchema(
    ("purchase",),
    record(
        amount="int", country="string", rate="double", at="timestamp", ok="bool", tags=["string"],
        address={"city": "string", "geo": {"lat": "double"}}, scores={"*": "int"},
        categories=[{"category": "string", "amount": "int"}],
    ),
    record(tier="string"),
)  # fmt: skip
EVENT: dict[str, Any] = {
    "amount": 5, "country": "jp", "tags": ["a", "b"], "address": {"city": "Kyoto"}, "scores": {"x": 3},
    "at": 1_500_000_000_000, "categories": [{"category": "A", "amount": 2}, {"amount": 9}],
    "user_id": "u1", "event_time": 1_500_000_000_000,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.amount > 4 && event.country == 'jp'", True),
        ("event.rate > 0.0", False),
        ("!(event.rate > 0.0)", False),
        ("event.rate > 0.0 || event.amount == 5", True),
        ("event.amount == 5 || event.rate > 0.0", True),
        ("!(event.rate > 0.0 && event.amount == 4)", True),
        ("has(event.rate) || event.amount == 5", True),
        ("!has(event.rate) && !has(user.tier) && has(event.amount)", True),
        ("has(event.address.geo.lat)", False),
        ("!has(event.address.geo.lat)", True),
        ("event.address.city in ['Kyoto', 'Osaka']", True),
        ("user.tier != 'gold'", False),
        ("event.tags.exists(t, t == 'b')", True),
        ("event.categories.exists(c, c.category == 'A' && c.amount > 1)", True),
        ("event.categories.exists(c, c.category == 'B')", False),
        ("event.categories.all(c, c.amount > 1)", True),
        ("event.scores['x'] == 3", True),
        ("event.scores['y'] == 3", False),
        ("event.at < timestamp('2017-07-14T02:40:00.001Z')", True),
        ("event.event_time == event.at && event.user_id.startsWith('u')", True),
        ("event.country.matches('^[a-z]{2}$')", True),
        ("event.tags[2] == 'c'", False),
        ("9223372036854775807 + event.amount > 0", False),
        ("event.amount / 0 == 1 || true", True),
        ("size(event.tags) == 2 ? event.amount == 5 : event.ok", True),
    ],
)
def test_conditions(text: str, expected: bool) -> None:
    assert compile_condition(check(text, SCHEMA, result="bool"))(EVENT, {}) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("event.amout > 0", "event has no attribute 'amout'; did you mean event.amount?"),
        ("event.categories.exists(c, c.amuont > 0)", "has no attribute 'amuont'"),
        ("event.amount > 'x'", "no matching overload"),
        ("event.amount >", "mismatched input"),
        ("event.amount", "a condition is true or false, but this is of type int"),
        ("event.tags.map(t, t) == ['a']", "only exists and all are supported"),
        ("event.tags.exists(t, event.tags.exists(s, s == t))", "cannot stand inside one another"),
        ("event.country.matches('(')", "no pattern of RE2"),
        ("event.country.matches(event.country)", "takes a constant pattern"),
        ("event.at > timestamp(event.country)", "takes a constant text"),
        ("event.at > timestamp('yesterday')", "no RFC 3339 time"),
        ("event.at.getFullYear() == 2017", "getFullYear() is not supported"),
        ("int(event.country) == 1", "not supported"),
        ("amount > 0", "attributes are written event.NAME"),
        (" || ".join(["event.ok"] * 160), "at most 300 parts"),
        ("event.country == '" + "x" * 4096 + "'", "at most 4096 bytes"),
    ],
)
def test_refusals_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as error:
        check(text, SCHEMA, result="bool")
    assert message in str(error.value)


def test_a_refusal_names_its_place() -> None:
    with pytest.raises(ExpressionError) as error:
        check("event.amount > 0 &&\n  event.foo == 1", SCHEMA, result="bool")
    assert (error.value.line, error.value.column) == (2, 8)


def test_no_float_touches_an_amount() -> None:
    with pytest.raises(ExpressionError, match="no float touches an amount"):
        check("event.rate * 2.0", SCHEMA, result="int")


def test_values_are_missing_where_a_part_is() -> None:
    assert compile_value(check("event.amount * 3", SCHEMA, result="int"))(EVENT, {}) == 15
    assert compile_value(check("event.amount * 3", SCHEMA, result="int"))({}, {}) is None
    assert compile_value(check("event.amount * 9223372036854775807", SCHEMA, result="int"))(EVENT, {}) is None


def test_elements_of_an_array() -> None:
    kind = dict(SCHEMA.event.fields)["categories"]
    assert isinstance(kind, ListOf)
    where = compile_item_condition(check("item.category == 'A'", SCHEMA, result="bool", item=kind.element))
    add = compile_item_value(check("item.amount + event.amount", SCHEMA, result="int", item=kind.element))
    assert [where(EVENT, {}, item) for item in EVENT["categories"]] == [True, False]
    assert [add(EVENT, {}, item) for item in EVENT["categories"]] == [7, 14]


def test_terms_for_the_index() -> None:
    found = check("event.country in ['jp', 'us'] && event.amount > 1 && 'x' == event.country", SCHEMA, result="bool")
    assert equality_terms(found) == [
        ("event", "country", False, {"jp", "us"}),
        ("event", "country", False, {"x"}),
    ]
    assert equality_terms(check("event.country == 'jp' || event.ok", SCHEMA, result="bool")) == []
    assert attributes_read(check("has(event.ok) && user.tier == 'a'", SCHEMA, result="bool")) == ({"ok"}, {"tier"})


def test_ranges_for_the_index() -> None:
    found = check("event.amount > 4 && 10 >= event.amount && event.at < timestamp('1970-01-01T00:00:01Z')", SCHEMA,
                  result="bool")  # fmt: skip
    assert range_terms(found) == [("event", "amount", 5, 11), ("event", "at", None, 1_000)]
    assert range_terms(check("event.rate <= 0.5", SCHEMA, result="bool"))[0].high > 0.5
    for text in ("event.amount > 4 || event.ok", "event.amount != 4", "event.amount + 1 > 4", "event.scores['x'] > 4"):
        assert range_terms(check(text, SCHEMA, result="bool")) == []
