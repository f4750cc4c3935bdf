"""Events: what a user did, as the engine sees it.

Every source (Avro, JSON, Parquet, Pub/Sub) is brought to this one form by transforms/parse_events.py; attributes are
plain dicts without nulls, so that "missing" has one meaning everywhere: the key is not there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

EVENT_BYTES_MAX = 256 * 1024
"""A larger record is a dead letter (docs/contracts/bounds.md)."""

ARRAY_LENGTH_MAX = 1_000
"""An event with a longer array is a dead letter."""

ID_BYTES_MAX = 128
"""User and event ids are at most this many bytes of UTF-8, at least one."""

ENVELOPE = ("event_id", "event_type", "user_id", "event_time")
"""What every event must have, by its canonical names."""

PROFILE_UPDATED, SEGMENT_JOINED, SEGMENT_LEFT = "profile.updated", "segment.joined", "segment.left"
PROFILE_TYPES = frozenset((PROFILE_UPDATED, SEGMENT_JOINED, SEGMENT_LEFT))
"""Events that say what a user is; they need not be declared. A removed attribute of a profile stands as None."""

TIME_MIN_MS = 0
TIME_MAX_MS = 4_102_444_800_000
"""Event times from 1970 up to 2100 (exclusive) are believed; anything else is a dead letter."""

COUNTER_SEEDED = "counter.seeded"
"""What a campaign with a lookback would remember of a user at its cut-over (transforms/engine/seeds.py)."""

RESERVED_TYPES = PROFILE_TYPES | {COUNTER_SEEDED}
"""Event types that mean the same to every tenant; no schema file declares them."""


class Event(NamedTuple):
    """One event.

    Attributes:
      time_ms: event time, ms since the epoch, UTC.
      event_id: unique per subject within the dedup horizon.
      attributes: declared attributes only, without nulls at any level; amounts are integers in minor units.
      digest: CRC-32 of the attributes' encoding: tells a repeat from other content under the same id.
      given_subject: whose state the event moves where that is not its user's; "" = its user's.
    """

    time_ms: int
    event_id: str
    event_type: str
    user_id: str
    attributes: dict[str, Any]
    digest: int
    given_subject: str = ""

    @property
    def subject(self) -> str:
        """Whose state the event moves."""
        return self.given_subject or self.user_id
