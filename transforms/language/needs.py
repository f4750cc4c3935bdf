"""What would have to be otherwise for a condition to be met: sentences from its trace, each of them necessary."""

from __future__ import annotations

import json
from typing import Any

from transforms.language.tracing import COMPARISONS, Read, Traced

_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "in": "not in"}
_TURNED = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_ASKS = {
    "==": "", "!=": "other than ", "<": "below ", "<=": "at most ", ">": "above ", ">=": "at least ",
    "in": "one of ", "not in": "none of ",
}  # fmt: skip
_SHOWN_MAX = 60


def needs(traced: Traced, wanted: bool = True) -> list[str]:
    """What must be otherwise for the part to be what is wanted; [] = it is so already. All of the sentences together
    are needed; where one of several would do, they stand in one sentence, joined by "or"."""
    if traced.value is wanted:
        return []
    if traced.form == "not":
        return needs(traced.parts[0], not wanted)
    if traced.form == "choice":
        return _either([needs(traced.parts[0], not traced.parts[0].value), *_taken(traced, wanted)])
    if traced.form == "leaf":
        return [_leaf(traced, wanted)]
    of_parts = [needs(part, wanted) for part in traced.parts]
    if (traced.form == "and") is wanted:
        return list(dict.fromkeys(sentence for sentences in of_parts for sentence in sentences))
    return _either(of_parts)


def _taken(traced: Traced, wanted: bool) -> list[list[str]]:
    return [needs(part, wanted) for part in traced.parts[1:]]


def _either(ways: list[list[str]]) -> list[str]:
    told = list(dict.fromkeys(" and ".join(way) for way in ways if way))
    return [", or ".join(told)] if told else []


def _leaf(traced: Traced, wanted: bool) -> str:
    if traced.sign == "has":
        (asked,) = traced.sides
        return f"{asked.text} is missing; it must be there" if wanted else f"{asked.text} must not be there"
    if traced.met_by is not None:
        met, elements = traced.met_by
        why = f" ({traced.why})" if traced.why else ""
        return f"{traced.text} must be {_word(wanted)}: it is met by {met} of {elements} elements{why}"
    if traced.value is None:
        return traced.why
    if traced.sign in COMPARISONS:
        return _comparison(traced, wanted)
    if len(traced.reads) == 1 and traced.reads[0].text == traced.text:
        return f"{traced.text} is {_word(traced.value)}; it must be {_word(wanted)}"
    found = "".join(f"; {read.text} is {shown(read.value)}" for read in traced.reads)
    return f"{traced.text} must be {_word(wanted)}{found}"


def _comparison(traced: Traced, wanted: bool) -> str:
    (left, right), sign = traced.sides, traced.sign
    if sign != "in" and left.constant and not right.constant:
        left, right, sign = right, left, _TURNED[sign]
    sign = sign if wanted else _OPPOSITE[sign]
    if sign in ("in", "not in") and not right.constant:
        holds = "hold" if sign == "in" else "not hold"
        return f"{right.text} is {shown(right.value)}; it must {holds} {_named(left)}"
    return f"{left.text} is {shown(left.value)}; it must be {_ASKS[sign]}{_named(right)}{_distance(left, right, sign)}"


def _distance(left: Read, right: Read, sign: str) -> str:
    if type(left.value) is not int or type(right.value) is not int or sign not in ("<", "<=", ">", ">="):
        return ""
    apart = abs(right.value - left.value) + (sign in ("<", ">"))
    return f": {apart:,} {'more' if sign in ('>', '>=') else 'less'}"


def _named(read: Read) -> str:
    """A constant by its value, anything else by its text and value."""
    value = shown(read.value)
    return value if read.constant else f"{read.text} ({value})"


def _word(value: Any) -> str:
    return str(value).lower()


def shown(value: Any) -> str:
    """A value as people read it: numbers grouped, text quoted, what is long shortened."""
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return _word(value)
    if isinstance(value, int):
        return f"{value:,}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 3]}..."
