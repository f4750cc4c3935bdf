"""Run a campaign test: judge its events and tell what was expected and did not come, and what came unexpected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from runners.ops.campaign_tests import Expected, ReadyTest
from runners.ops.judging import Judged, judge
from schemas.grants import RECORDS, rfc3339
from schemas.plans import PlanSet
from schemas.proposals import Proposal
from schemas.results import Outcome
from transforms.language.yaml_source import Place


class Difference(NamedTuple):
    """place: of the expectation; of what came unexpected, its event's."""

    what: Literal["missing", "differs", "unexpected"]
    place: Place
    text: str


class RanTest(NamedTuple):
    """A test with its differences, none = passed.

    Attributes:
      notes: what explains a difference: events not taken in, what was still open when time ended.
    """

    test: ReadyTest
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


class _Came(NamedTuple):
    """A record of what was decided. kind: as of `Expected`."""

    kind: str
    record: dict[str, Any]


def run_test(plan_set: PlanSet, test: ReadyTest) -> RanTest:
    """Judge the test's events by all campaigns of the set, and compare what it speaks of."""
    judged = judge([plan_set], test.events, test.profiles, test.until_ms)
    came = [
        _Came(kind, record)
        for settled in judged.settled
        for kind, records in RECORDS.items()
        for record in records(settled)
        if not test.compared or record["campaign_id"] in test.compared
    ]
    differences = _differences(test, came)
    return RanTest(test, differences, tuple(_notes(test, judged)) if differences else ())


def _differences(test: ReadyTest, came: Sequence[_Came]) -> tuple[Difference, ...]:
    """Each expectation takes one of what came, so that as many as possible agree; of the rest, those that are about the
    same campaign and event are told together."""
    taken = _assigned(test.expected, came)
    left = [one for place, one in enumerate(came) if place not in taken.values()]
    found: list[Difference] = []
    for place, expected in enumerate(test.expected):
        if place in taken:
            continue
        alike = max(left, key=lambda one: _likeness(expected, one), default=None)
        if alike is None or not _likeness(expected, alike):
            found.append(Difference("missing", expected.place, f"{_wanted(expected)}: {_about(expected.said)}"))
            continue
        left.remove(alike)
        found.append(Difference("differs", expected.place, f"{_told_apart(expected, alike)}: {_who(test, alike)}"))
    for one in left:
        place_of_event = test.places[one.record["event_id"]]
        found.append(Difference("unexpected", place_of_event, f"{_what_came(one)}: {_who(test, one)}"))
    return tuple(found)


def _assigned(expected: Sequence[Expected], came: Sequence[_Came]) -> dict[int, int]:
    """Expectation -> what came, by place: a greatest matching, by augmenting paths. What is left over is of those that
    say least."""
    agreeing = [[place for place, one in enumerate(came) if _agrees(wanted, one)] for wanted in expected]
    taken_by: dict[int, int] = {}

    def takes_one(wanted: int, tried: set[int]) -> bool:
        for place in agreeing[wanted]:
            if place not in tried:
                tried.add(place)
                if place not in taken_by or takes_one(taken_by[place], tried):
                    taken_by[place] = wanted
                    return True
        return False

    for wanted in sorted(range(len(expected)), key=lambda place: -len(expected[place].said)):
        takes_one(wanted, set())
    return {wanted: place for place, wanted in taken_by.items()}


def _agrees(expected: Expected, came: _Came) -> bool:
    return expected.kind == came.kind and not _disagreeing(expected, came.record)


def _disagreeing(expected: Expected, record: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """(name, expected, what it is) of what is not as expected."""
    said = [(name, value, record.get(name)) for name, value in expected.said.items()]
    said += [(name, value, record.get("details", {}).get(name)) for name, value in expected.details.items()]
    return [(name, wanted, is_now) for name, wanted, is_now in said if wanted != is_now]


def _likeness(expected: Expected, came: _Came) -> int:
    """How well what came may stand for what did not: 0 = not at all; of the same campaign and event, at best."""
    said, record = expected.said, came.record
    same = [name for name in ("campaign_id", "event_id", "user_id") if said.get(name) == record[name]]
    if "campaign_id" not in same or len(same) < 2:
        return 0
    at_event, of_kind = "event_id" in same, came.kind == expected.kind
    if not of_kind and not at_event and "event_id" in said:
        return 0
    return 100 * at_event + 50 * of_kind + 40 - len(_disagreeing(expected, record))


_WORDS = {
    "campaign_id": "campaign", "user_id": "user", "event_id": "event", "event_time": "at", "expires_at": "expires",
    "reason": "denied",
}  # fmt: skip


def _told_apart(expected: Expected, came: _Came) -> str:
    if came.kind != expected.kind:
        return f"{_what_came(came)}, expected {_wanted(expected)}"
    parts = []
    for name, wanted, is_now in _disagreeing(expected, came.record):
        shown = "none" if is_now is None else f"{is_now:,}" if isinstance(is_now, int) else is_now
        parts.append(f"{_WORDS.get(name, name)} {shown}, expected {_plain(wanted)}")
    return "; ".join(parts)


def _plain(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _wanted(expected: Expected) -> str:
    said = expected.said
    amount = " ".join(_plain(said[name]) for name in ("amount", "unit") if name in said)
    if expected.kind == "denial":
        return f"a denial by {said['reason']}"
    if expected.kind == "reversal":
        return f"a reversal of {amount}"
    details = ", ".join(f"{name} {value}" for name, value in expected.details.items())
    return "a grant" + (f" of {amount}" if amount else "") + (f" ({details})" if details else "")


def _what_came(came: _Came) -> str:
    record = came.record
    if came.kind == "denial":
        period = f", {record['period']}" if record["period"] else ""
        at = f" ({record['account']}{period}: {record['use']:,} of {record['cap']:,})" if record["account"] else ""
        return f"a denial by {record['reason']}{at}"
    amount = f"{record['amount']:,} {record['unit']}"
    if came.kind == "reversal":
        return f"a reversal of {amount}"
    details = ", ".join(f"{name} {value}" for name, value in record["details"].items())
    return f"a grant of {amount}" + (f" ({details})" if details else "")


def _about(said: dict[str, Any]) -> str:
    """What an expectation says of whose it is."""
    names = [said[name] for name in ("campaign_id", "user_id", "event_id") if name in said]
    return ", ".join([*names, *([f"at {said['event_time']}"] if "event_time" in said else [])])


def _who(test: ReadyTest, came: _Came) -> str:
    """Whose it is; with its time, where that is not its event's."""
    record = came.record
    times = {rfc3339(event.time_ms) for event in test.events if event.event_id == record["event_id"]}
    at = "" if record["event_time"] in times else f", at {record['event_time']}"
    return f"{record['campaign_id']}, {record['user_id']}, {record['event_id']}{at}"


def _notes(test: ReadyTest, judged: Judged) -> list[str]:
    found = [f"{event.event_id} was not taken in: {verdict.value}" for event, verdict in judged.refused]
    open_holds = {
        settled.request.decision_id: settled.request
        for settled in judged.settled
        if isinstance(settled.request, Proposal) and settled.decision.outcome is Outcome.HELD
    }
    for settled in judged.settled:
        if isinstance(settled.request, Proposal) and settled.decision.outcome is not Outcome.HELD:
            open_holds.pop(settled.request.decision_id, None)
    end = f"when time ended ({rfc3339(judged.until_ms)}; until: says otherwise)"
    for held in open_holds.values():
        key, hold = held.key, held.hold
        if hold is not None and (not test.compared or key.campaign in test.compared):
            found.append(f"{key.campaign}, {key.event_id}: held up to {rfc3339(hold.due_ms)}, still open {end}")
    if judged.open_absences:
        found.append(f"events that still waited for another not to come {end}: {judged.open_absences:,}")
    return found
