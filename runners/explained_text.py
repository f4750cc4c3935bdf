"""An explanation on a terminal: lines of at most 80 columns, the same story as its JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from runners.ops.explain import Explained
from runners.ops.rulings import Limit, Ruling
from runners.ops.stories import Explanation
from schemas.grants import rfc3339
from transforms.engine.explained import Step
from transforms.language.needs import shown
from transforms.language.tracing import Traced

WIDTH = 80
_NAME = 15
_STYLES = {"yes": "green", "no": "red", "-": "dim", "true": "green", "false": "red", "none": "red"}


def print_explained(explained: Explained, out: Console, whole: bool) -> None:
    """Print it: whole, or a line or two a campaign."""
    for line in explained_lines(explained, whole):
        text = Text(line)
        mark = line.split(maxsplit=1)[0] if line.strip() else ""
        if mark in _STYLES and line.startswith("  "):
            place = len(line) - len(line.lstrip())
            text.stylize(_STYLES[mark], place, place + len(mark))
        elif line and not line.startswith(" "):
            text.stylize("bold")
        out.print(text, soft_wrap=True)


def explained_json(explained: Explained) -> dict[str, Any]:
    """The explanation as plain data; times in ms since the epoch where they are numbers."""
    told: dict[str, Any] = msgspec.to_builtins(explained)
    if explained.event is not None:
        event = explained.event
        told["event"] = {
            "event_id": event.event_id,
            "event_type": event.event_type,
            "user_id": event.user_id,
            "event_time": rfc3339(event.time_ms),
            "attributes": event.attributes,
        }
    return told


def explained_lines(explained: Explained, whole: bool) -> Iterator[str]:
    """The lines."""
    event = explained.event
    if event is None:
        yield f"event {explained.event_id}: not taken in"
    else:
        yield f"event {event.event_id}: {event.event_type} of user {event.user_id} at {rfc3339(event.time_ms)}"
        attributes = ", ".join(f"{name} {shown(value)}" for name, value in sorted(event.attributes.items()))
        yield from _wrapped("  ", attributes)
    for note in explained.notes:
        yield from _wrapped("  ", note)
    if event is not None and not explained.campaigns:
        yield from _wrapped("  ", f"no campaign listens to {event.event_type}")
    for one in explained.campaigns:
        if whole:
            yield ""
            yield from _whole(one)
        else:
            yield from _short(one)


def _short(one: Explanation) -> Iterator[str]:
    told = [ruling.told for ruling in one.rulings if not ruling.needs] or list(one.caused) or list(one.difference)
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    yield from _wrapped("", f"{one.campaign}: {one.outcome}")
    if told:
        yield from _wrapped("  ", told[0] + more)


def _whole(one: Explanation) -> Iterator[str]:
    yield f"{one.campaign}: {one.outcome}"
    for section in one.sections:
        if len(one.sections) > 1 or section.role != "count":
            yield f"  as {_ROLES[section.role]}: {section.course.value}"
        for step in section.steps:
            yield from _step(step)
    for ruling in one.rulings:
        yield from _ruling(ruling)
    for told in one.caused:
        yield from _row("-", "afterwards", told)
    if one.difference:
        yield "  What would have made the difference:"
        for need in one.difference:
            yield from _wrapped("  * ", need)


_ROLES = {
    "count": "an event that counts",
    "open": "an event that opens a window",
    "close": "an event that ends a wait",
    "refund": "a refund",
}


def _step(step: Step) -> Iterator[str]:
    yield from _row({True: "yes", False: "no", None: "-"}[step.met], step.name, step.told)
    if step.condition is not None:
        parts = step.condition.parts or (step.condition,)
        for part in parts:
            yield from _part(part, 6, alone=not step.condition.parts)


def _part(part: Traced, indent: int, alone: bool = False) -> Iterator[str]:
    """A part of a condition, its value and what it read; a leaf that is the whole condition is not said twice."""
    read = ", ".join(f"{read.text} is {shown(read.value)}" for read in part.reads)
    if part.met_by is not None:
        read += f"; met by {part.met_by[0]} of {part.met_by[1]} elements"
    if not alone:
        yield from _wrapped(f"{' ' * indent}{'none' if part.value is None else shown(part.value):<5} ", part.text)
    if read and part.form == "leaf":
        yield from _wrapped(" " * (indent + 6), read)
    for inner in part.parts:
        yield from _part(inner, indent + 6)


def _ruling(ruling: Ruling) -> Iterator[str]:
    for limit in ruling.limits:
        yield from _row("-", "limit before", _limit(limit))
    if len(ruling.offers) > 1:
        for offered in ruling.offers:
            yield from _row("-", "offer", f"{offered.campaign}, {offered.gives}: {offered.answer}")
    yield from _row("yes" if ruling.grants else "no", "ledger", ruling.told)
    for told in ruling.later:
        yield from _row("-", "later", told)


def _limit(limit: Limit) -> str:
    period = "cool-down" if limit.period == "user/cooldown" else f"per {limit.period.replace('/', ' and ')}"
    told = [f"{limit.account} {'in total' if limit.period == 'total' else period}"]
    if limit.grants_cap is not None:
        told.append(f"{limit.grants:,} of {limit.grants_cap:,} grants")
    if limit.amount_cap is not None:
        told.append(f"{limit.amount:,} of {limit.amount_cap:,} {limit.unit}")
    return ", ".join([*told, "closed"] if limit.closed else told)


def _row(mark: str, name: str, told: str) -> Iterator[str]:
    yield from _wrapped(f"  {mark:<3} {name:<{_NAME}} ", told)


def _wrapped(head: str, told: str) -> Iterator[str]:
    yield from textwrap.wrap(
        told, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False,
        break_long_words=False,
    ) or [head.rstrip()]  # fmt: skip
