"""Tests beside the campaigns: from their documents to events that can be judged, and what must come of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from schemas.attributes import ENVELOPE_TYPES, AttributeType, Scalar
from schemas.campaign_tests import CampaignTest, Expectation
from schemas.errors import InvalidEventError
from schemas.events import ENVELOPE, PROFILE_TYPES, PROFILE_UPDATED, Event
from schemas.grants import rfc3339
from schemas.plans import PlanSet
from transforms.event_parser import EventParser
from transforms.language.compiling import load_checked
from transforms.language.context import Context
from transforms.language.loading import Folder, meant, validated
from transforms.language.written_values import WrittenValues
from transforms.language.yaml_source import Document, KeyPath, Place


class Expected(NamedTuple):
    """One expectation.

    Attributes:
      kind: "grant", "denial" or "reversal".
      said: what the record must say, by the record's own names. details: of a grant, at least these.
    """

    place: Place
    kind: str
    said: dict[str, Any]
    details: dict[str, str]


@dataclass(frozen=True)
class ReadyTest:
    """A test that can be run.

    Attributes:
      compared: ids of the campaigns and groups whose decisions are compared; empty = all.
      places: event id -> where the event stands.
    """

    name: str
    place: Place
    events: tuple[Event, ...]
    profiles: dict[str, dict[str, Any]]
    until_ms: int | None
    compared: frozenset[str]
    expected: tuple[Expected, ...]
    places: dict[str, Place]


class TestedFolder(NamedTuple):
    """A folder, its plans, and its tests in the order of the files."""

    folder: Folder
    plan_set: PlanSet
    tests: tuple[ReadyTest, ...]


def load_tested_folder(path: Path) -> TestedFolder:
    """Read, check and compile a folder of campaign files, its tests too.

    Raises:
      CampaignFileError: all that is wrong; what is wrong in tests is told once the campaigns are right.
    """
    folder, plan_set = load_checked(path)
    parser = EventParser(plan_set.schema)
    tests: dict[str, ReadyTest] = {}
    for document in folder.tests:
        model = validated(folder, CampaignTest, document)
        if model is None:
            continue
        if model.test in tests:
            folder.problem(document.place(("test",)), f"this test stands twice; the other at {tests[model.test].place}")
        tests[model.test] = _Reading(folder, document, model, plan_set, parser).test()
    folder.require_right()
    return TestedFolder(folder, plan_set, tuple(tests.values()))


class _Reading:
    """One document being read."""

    def __init__(
        self, folder: Folder, document: Document, model: CampaignTest, plan_set: PlanSet, parser: EventParser
    ) -> None:
        self._model, self._document, self._parser = model, document, parser
        self._context = Context(folder, document, plan_set.schema)
        self._values = WrittenValues(self._context, model.zone)
        self._known = sorted({plan.campaign for plan in plan_set.plans} | {group.group for group in plan_set.groups})
        self._names = {name: plan_set.schema.source_name(name) for name in ENVELOPE}
        self._envelope: dict[str, AttributeType] = {self._names[name]: of for name, of in ENVELOPE_TYPES}
        self._users: dict[str, AttributeType] = dict(plan_set.schema.user.fields)
        self._attributes: dict[str, AttributeType] = {**dict(plan_set.schema.event.fields), **self._envelope}

    def test(self) -> ReadyTest:
        model = self._model
        events, places = self._events()
        until_ms = self._context.instant(model.until, model.zone)
        last_ms = max((event.time_ms for event in events), default=0)
        if until_ms is not None and until_ms < last_ms:
            self._context.problem(("until",), f"is before the last event, which is at {rfc3339(last_ms)}")
        for place, campaign in enumerate(model.campaigns):
            self._require_known(campaign, ("campaigns", place))
        if len(events) == len(model.events):
            self._require_events(places)
        expected = tuple(self._expected(one, ("expect", place)) for place, one in enumerate(model.expect))
        compared = model.campaigns or [one.said.get("campaign_id", "") for one in expected]
        return ReadyTest(
            model.test, self._document.place(("test",)), events, self._profiles(), until_ms, frozenset(compared),
            expected, places,
        )  # fmt: skip

    def _profiles(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for user, given in self._model.users.items():
            attributes = self._values.fields(given, self._users, ("users", user))
            try:
                found[user] = self._parser.user_profile({**attributes, self._names["user_id"]: user})[1]
            except InvalidEventError as error:
                self._context.problem(("users", user), error.detail)
        return found

    def _events(self) -> tuple[tuple[Event, ...], dict[str, Place]]:
        """The events, and where each one's id stands first."""
        each, each_is_right = self._fields(self._model.each, self._attributes, ("each",))
        self._require_declared(each, ("each",))
        events: list[Event] = []
        places: dict[str, Place] = {}
        for place in range(len(self._model.events)):
            path = ("events", place)
            record, is_right = self._record(place, each)
            if not each_is_right or not is_right:
                continue
            try:
                event = self._parser.from_record(record)
            except InvalidEventError as error:
                hint = "; say it here, or for all events in each:" if error.detail.endswith("is missing") else ""
                self._context.problem(path, f"{error.detail}{hint}")
                continue
            events.append(event)
            places.setdefault(event.event_id, self._document.place(path))
        return tuple(events), places

    def _record(self, place: int, each: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """An event as its source would give it, and whether all in it is right."""
        given, path = self._model.events[place], ("events", place)
        event_type = given.get(self._names["event_type"], each.get(self._names["event_type"]))
        shared, declared = each, self._attributes
        if event_type in PROFILE_TYPES:  # they have no attributes of events
            shared = {name: value for name, value in each.items() if name in self._envelope}
            of: dict[str, AttributeType] = self._users if event_type == PROFILE_UPDATED else _SEGMENT
            declared = {**of, **self._envelope}
        own, is_right = self._fields(given, declared, path)
        is_right &= self._require_declared(own, path)
        record = {**shared, **own}
        id_name = self._names["event_id"]
        if record.get(id_name) is None:
            record[id_name] = f"e{place + 1:03d}"
            if any(other.get(id_name) == record[id_name] for other in self._model.events):
                self._context.problem(path, f"is called {record[id_name]} by its place, as another is; name it")
        return record, is_right

    def _fields(
        self, given: dict[str, Any], declared: dict[str, AttributeType], path: KeyPath
    ) -> tuple[dict[str, Any], bool]:
        """Values by their declared types, and whether all of them are right."""
        known_problems = len(self._context.folder.problems)
        named = dict(given)
        for name, own in self._names.items():
            if name in named and name not in declared:
                self._context.problem((*path, name), f"is called {own} here (envelope: of the schema)")
                del named[name]
        return self._values.fields(named, declared, path), len(self._context.folder.problems) == known_problems

    def _require_declared(self, record: dict[str, Any], path: KeyPath) -> bool:
        name = self._names["event_type"]
        given, types = record.get(name), [*self._context.schema.event_types, *sorted(PROFILE_TYPES)]
        if given is None or given in types:
            return True
        hint = f"{meant(given, types)} (declared: {', '.join(types)})"
        self._context.problem((*path, name), f"event type {given!r} is not declared{hint}")
        return False

    def _require_events(self, known: dict[str, Place]) -> None:
        for place, expectation in enumerate(self._model.expect):
            if expectation.event is not None and expectation.event not in known:
                hint = meant(expectation.event, known)
                self._context.problem(("expect", place, "event"), f"no event is called {expectation.event!r}{hint}")

    def _expected(self, given: Expectation, path: KeyPath) -> Expected:
        campaign = self._model.campaign_of(given)
        if campaign is None:
            self._context.problem(path, "campaign: is missing; campaigns: does not name just one")
        elif given.campaign is not None:
            self._require_known(campaign, (*path, "campaign"))
        said = {
            "campaign_id": campaign,
            "user_id": given.user,
            "event_id": given.event,
            "event_time": self._time(given.at),
            "amount": given.reversed or given.amount,
            "unit": given.unit,
            "reason": given.denied and given.denied.value,
            "expires_at": self._time(given.expires),
        }
        kind = "denial" if given.denied else "reversal" if given.reversed else "grant"
        known = {name: value for name, value in said.items() if value is not None}
        return Expected(self._document.place(path), kind, known, given.details)

    def _require_known(self, campaign: str, path: KeyPath) -> None:
        if campaign not in self._known:
            hint = f"{meant(campaign, self._known)} (there is {', '.join(self._known)})"
            self._context.problem(path, f"the folder has no campaign {campaign!r}{hint}")

    def _time(self, given: datetime | None) -> str | None:
        instant = self._context.instant(given, self._model.zone)
        return None if instant is None else rfc3339(instant)


_SEGMENT: dict[str, AttributeType] = {"segment": Scalar("string")}
