"""Builders of campaign folders, events and streams."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from schemas.events import Event
from schemas.plans import PlanSet
from transforms.event_parser import EventParser
from transforms.language import load_folder

SCHEMA = """
schema: events
types: [purchase, refund, login]
attributes:
  amount: int
  country: string
  rate: double
  categories: [{category: string, amount: int}]
---
schema: users
attributes: {tier: string, age: int}
"""


def a_folder(path: Path, campaigns: str, schema: str = SCHEMA) -> Path:
    """A folder with these campaigns, checked by whoever loads it."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "schema.yaml").write_text(schema)
    (path / "campaigns.yaml").write_text(campaigns)
    return path


def a_plan_set(path: Path, campaigns: str, schema: str = SCHEMA) -> PlanSet:
    """The plans of these campaigns."""
    return load_folder(a_folder(path, campaigns, schema))


def an_event(event_id: str, time: str, user: str = "u1", kind: str = "purchase", **attributes: Any) -> dict[str, Any]:
    """An event as an app team would publish it."""
    return {"event_id": event_id, "event_type": kind, "user_id": user, "event_time": time, **attributes}


def parsed(plan_set: PlanSet, events: Iterable[dict[str, Any]]) -> list[Event]:
    """The events as the engine sees them."""
    parser = EventParser(plan_set.schema)
    return [parser.from_json(json.dumps(event).encode()) for event in events]


def a_stream(path: Path, events: Iterable[dict[str, Any]]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def records(path: Path) -> list[dict[str, Any]]:
    """The records of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]
