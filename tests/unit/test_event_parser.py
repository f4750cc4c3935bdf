"""Records to events: what users have is read like what events have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.attributes import AttributeSchema, Record, Scalar
from schemas.errors import InvalidEventError
from transforms.event_parser import EventParser

TIME = Scalar("timestamp")
PARSER = EventParser(
    AttributeSchema(
        ("purchase",), Record((("due", TIME),)), Record((("due", Scalar("string")), ("joined", TIME), ("tier", Scalar("string"))))
    )
)  # fmt: skip


def profile_event(**attributes: Any) -> dict[str, Any]:
    event = {"event_id": "1", "event_type": "profile.updated", "user_id": "ann", "event_time": 1, **attributes}
    return PARSER.from_json(json.dumps(event).encode()).attributes


def test_a_profile_event_removes_an_attribute_where_events_have_timestamps() -> None:
    assert profile_event(tier=None) == {"tier": None}


def test_a_users_timestamps_may_be_text() -> None:
    assert profile_event(joined="2026-01-01", due="soon") == {"joined": 1_767_225_600_000, "due": "soon"}
    user = {"user_id": "ann", "joined": "2026-01-01T00:00:00+01:00", "tier": None}
    assert PARSER.user_profile(user) == ("ann", {"joined": 1_767_222_000_000})
    with pytest.raises(InvalidEventError, match="joined = 'soon' is no timestamp"):
        PARSER.user_profile({"user_id": "ann", "joined": "soon"})
