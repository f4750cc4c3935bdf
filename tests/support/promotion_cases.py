"""Promotion cases of other projects' test suites as data (tests/golden/promotions), and the adapter that runs them.

A case is short: events stand in their order and get a time, a user and an order id where they name none; what is
expected names the event it hangs on. Both sides become the same lines of text, which a difference is told in.

Figures are the source's where it has any; neighbours of a bound, and choices that only we have, are ours. Expectations
follow from the source and DESIGN by hand. `differs` says where the two part (the case asserts ours), `unsaid` what the
language cannot say.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from schemas.grants import rfc3339
from tests.support.product_run import Outcome, run_product
from transforms.language import load_folder

GOLDEN = Path(__file__).parents[1] / "golden"
FIRST_MS = int(dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC).timestamp() * 1000)
HOUR_MS = 3_600_000
USER = "ann"

Told = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One case of another project.

    Attributes:
      project: short name of the file, e.g. `sylius`.
      source: repository and path of the test that it restates.
      said: the case as it stands in the file.
    """

    project: str
    source: str
    said: Told

    @property
    def name(self) -> str:
        """Unique over all files."""
        return f"{self.project}/{self.said['case']}"


def all_cases() -> list[Case]:
    """The cases of every file, in the files' order."""
    found = []
    for path in sorted((GOLDEN / "promotions").glob("*.yaml")):
        said = yaml.safe_load(path.read_text())
        found += [Case(path.stem, f"{said['source']}: {case['from']}", case) for case in said["cases"]]
    return found


def difference(case: Case, folder: Path) -> str:
    """What the product does otherwise than the case expects; empty if nothing."""
    (folder / "schema.yaml").write_text((GOLDEN / "promotions.schema.yaml").read_text())
    (folder / "campaigns.yaml").write_text(case.said["campaigns"])
    events = _events(case.said["events"])
    plan_set, profiles = load_folder(folder), case.said.get("users", {})
    until = case.said.get("until")
    found = run_product(plan_set, events, profiles, None if until is None else _ms(until))
    campaigns = [text.split()[1] for text in case.said["campaigns"].splitlines() if text.startswith("campaign:")]
    place = {event["event_id"]: n for n, event in enumerate(events)}
    by_id = {event["event_id"]: event for event in events}
    wanted = [_expected(entry, by_id, campaigns[0], case.said.get("unit", "USD")) for entry in case.said["expect"]]
    got = _told(found)
    if sorted(wanted) == sorted(got):
        return ""

    def in_order(rows: list[tuple[str, str]]) -> list[str]:
        return [text for _, text in sorted(rows, key=lambda row: (place[row[0]], row[1]))]

    lines = difflib.ndiff(in_order(wanted), in_order(got))
    return "\n".join(["", f"{case.name} ({case.source})", "- expected", "+ found", *lines])


def _ms(time: str) -> int:
    """`2026-03-01`, `2026-03-01T12:00` or with an offset; UTC without one."""
    read = dt.datetime.fromisoformat(str(time))
    return int((read if read.tzinfo else read.replace(tzinfo=dt.UTC)).timestamp() * 1000)


def _events(said: list[Told]) -> list[Told]:
    """Events in full: `{purchase: o1, amount: 500}` is a purchase o1 an hour after the event before it."""
    found: list[Told] = []
    time_ms = FIRST_MS - HOUR_MS
    for short in said:
        (event_type, event_id), *rest = short.items()
        given = dict(rest)
        time_ms = _ms(given.pop("at")) if "at" in given else time_ms + HOUR_MS
        lines = given.get("lines", [])
        totals = {name: sum(line[name] for line in lines) for name in ("amount", "quantity") if _all_have(lines, name)}
        user = given.pop("user", USER)
        envelope = {"event_type": event_type, "event_id": event_id, "user_id": user, "event_time": time_ms}
        found.append({"order_id": event_id, **totals, **given, **envelope})
    return found


def _all_have(lines: list[Told], name: str) -> bool:
    return bool(lines) and all(name in line for line in lines)


def _expected(entry: Told, by_id: Mapping[str, Told], campaign: str, unit: str) -> tuple[str, str]:
    """(event id, line) of `{for: o1, grants: 500}`, `{for: o1, denies: amount}` or `{for: r1, takes_back: 500}`."""
    event = by_id[entry["for"]]
    campaign, user = entry.get("campaign", campaign), entry.get("user", event["user_id"])
    if "denies" in entry:
        return entry["for"], _line(entry["for"], campaign, user, f"denies {entry['denies']}")
    verb = "grants" if "grants" in entry else "takes_back"
    at = rfc3339(_ms(entry["at"]) if "at" in entry else event["event_time"])
    said = f"{verb} {entry[verb]} {entry.get('unit', unit)} at {at}"
    return entry["for"], _line(entry["for"], campaign, user, said)


def _told(found: Outcome) -> list[tuple[str, str]]:
    """What the product did, in the same words."""
    rows = [(record, f"denies {record['reason']}") for record in found.denials]
    for verb, records in (("grants", found.grants), ("takes_back", found.reversals)):
        rows += [(one, f"{verb} {one['amount']} {one['unit']} at {one['event_time']}") for one in records]
    return [
        (record["event_id"], _line(record["event_id"], record["campaign_id"], record["user_id"], said))
        for record, said in rows
    ]


def _line(event_id: str, campaign: str, user: str, said: str) -> str:
    return f"{event_id}: {campaign} for {user} {said}"
