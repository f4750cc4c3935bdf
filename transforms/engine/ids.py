"""Grant ids: digests of the occurrence, never of what an order of arrival decides (docs/contracts/ids.md)."""

from __future__ import annotations

import hashlib
from struct import Struct

from schemas.plans import DAY_MS

_SAME = bytes(2)
"""In place of a recipient that is the subject."""

_FIRING = Struct(">IQ").pack
_LENGTHS = [length.to_bytes(2, "big") for length in range(512)]


class GrantIds:
    """Ids of one campaign's grants.

    An occurrence is the event itself (triggers without a counter, silence, sliding spans), a window's start with the
    step and the n-th firing in it (of a run: the period's), an opening event, or the value that opening events share.
    All parts are length-prefixed or of fixed width, so no two occurrences read alike.
    """

    __slots__ = ("_prefix",)

    def __init__(self, tenant: str, campaign: str, series: int) -> None:
        self._prefix = hashlib.blake2b(digest_size=16)
        for part in ("grant", tenant, campaign):
            self._prefix.update(_text(part))
        self._prefix.update(series.to_bytes(4, "big"))

    def of_event(self, who: bytes, event_id: str, step: int, n: int) -> bytes:
        """16 bytes for a grant whose occurrence is the event; who: of `whose`."""
        return self._of(b"e" + who + _text(event_id) + _FIRING(step, n))

    def of_window(self, who: bytes, start_ms: int, step: int, n: int) -> bytes:
        """16 bytes for a grant whose occurrence is the n-th firing of a step in a window."""
        return self._of(b"w" + who + start_ms.to_bytes(8, "big", signed=True) + _FIRING(step, n))

    def of_opening(self, who: bytes, event_id: str, step: int, n: int) -> bytes:
        """16 bytes for a grant whose occurrence is a firing after an opening event."""
        return self._of(b"o" + who + _text(event_id) + _FIRING(step, n))

    def of_value(self, who: bytes, value: str | int, step: int, n: int) -> bytes:
        """16 bytes for a grant whose occurrence is a firing after opening events of one value."""
        kind = b"v" if isinstance(value, str) else b"i"
        return self._of(kind + who + _text(str(value)) + _FIRING(step, n))

    def _of(self, occurrence: bytes) -> bytes:
        found = self._prefix.copy()
        found.update(occurrence)
        return found.digest()


def whose(subject: str, recipient: str, role: int) -> bytes:
    """Whose counter fired, who gets the grant, and which of the offer's grants it is."""
    return _text(subject) + (_SAME if recipient == subject else _text(recipient)) + role.to_bytes(1, "big")


def event_generation(time_ms: int) -> str:
    """The generation of records of a grant whose occurrence is an event: the event's UTC day."""
    return f"d{time_ms // DAY_MS}"


def window_generation(start_ms: int) -> str:
    """The generation of records of a window's grants: the window's start; a lifetime's (0) is the campaign's own."""
    return f"w{start_ms}" if start_ms else ""


def _text(text: str) -> bytes:
    raw = text.encode()
    return (_LENGTHS[len(raw)] if len(raw) < 512 else len(raw).to_bytes(2, "big")) + raw
