"""Dead letters: inputs that cannot be processed, kept whole with their reason."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

PIPELINE_VERSION = "0.1.0"
MESSAGE_LENGTH_MAX = 1_000


class DeadLetterReason(StrEnum):
    """Why an input is no event, in the order in which it is asked."""

    UNREADABLE_FILE = "unreadable_file"
    """A file that cannot be opened or read on (truncated Avro, a damaged block): what was read before it stands."""

    TOO_LARGE = "too_large"
    """The record is larger than schemas.events.EVENT_BYTES_MAX, or an array longer than ARRAY_LENGTH_MAX."""

    UNKNOWN_REVISION = "unknown_revision"
    """The message names a schema revision that nobody declared."""

    UNDECODABLE = "undecodable"
    """The bytes are not what their encoding says."""

    MISSING_ENVELOPE = "missing_envelope"
    """event_id, event_type, user_id or event_time is missing, empty, too long or of another type."""

    ABSURD_TIME = "absurd_time"
    """The event time is before 1970, from 2100 on, or further ahead of the source's clock than the allowed skew."""

    INVALID_ATTRIBUTE = "invalid_attribute"
    """A declared attribute has a value of another type, out of 64 bits, or not finite."""

    TOO_OLD = "too_old"
    """Older than what the user's list of known event ids still covers: it might be a repeat. Outside the stop limit."""

    TOO_LATE = "too_late"
    """Later than the tenant's wait, whose policy is not to decide it. Outside the stop limit."""

    SEED_REFUSED = "seed_refused"
    """A seed that would not make a campaign's counters exact; the message says why. Outside the stop limit."""


OUTSIDE_LIMIT = frozenset({DeadLetterReason.TOO_OLD, DeadLetterReason.TOO_LATE, DeadLetterReason.SEED_REFUSED})
"""Reasons that do not count towards the limit that stops a job."""


class DeadLetter(NamedTuple):
    """One input that could not be processed.

    Attributes:
      stage: the step that refused it. payload: the input's original bytes. attributes: of the message, or the file and
        the place in it.
      event_id, event_time_ms: where they could be read.
    """

    stage: str
    reason: str
    message: str
    payload: bytes
    attributes: dict[str, str]
    exception_class: str = ""
    event_id: str | None = None
    event_time_ms: int | None = None
    pipeline_version: str = PIPELINE_VERSION

    def record(self) -> dict[str, object]:
        """As the Avro record of schemas/avro/dead_letter.avsc."""
        return self._replace(message=self.message[:MESSAGE_LENGTH_MAX])._asdict()
