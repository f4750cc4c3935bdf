"""Grant ids: digests of the occurrence, never of what an order of arrival decides (docs/contracts/ids.md)."""

from __future__ import annotations

import hashlib

from schemas.plans import DAY_MS


class GrantIds:
    """Ids of one campaign's grants.

    An occurrence is the event itself (triggers without a counter, sliding spans), or a window's start with the step
    and the n-th firing in it. All parts are length-prefixed or of fixed width, so no two occurrences read alike.
    """

    __slots__ = ("_prefix",)

    def __init__(self, tenant: str, campaign: str, series: int) -> None:
        self._prefix = hashlib.blake2b(digest_size=16)
        for part in ("grant", tenant, campaign):
            self._prefix.update(_text(part))
        self._prefix.update(series.to_bytes(4, "big"))

    def of_event(self, recipient: str, event_id: str, step: int, n: int) -> bytes:
        """16 bytes for a grant whose occurrence is the event."""
        found = self._prefix.copy()
        found.update(b"e" + _text(recipient) + _text(event_id) + step.to_bytes(4, "big") + n.to_bytes(8, "big"))
        return found.digest()

    def of_window(self, recipient: str, start_ms: int, step: int, n: int) -> bytes:
        """16 bytes for a grant whose occurrence is the n-th firing of a step in a window."""
        found = self._prefix.copy()
        place = start_ms.to_bytes(8, "big", signed=True) + step.to_bytes(4, "big") + n.to_bytes(8, "big")
        found.update(b"w" + _text(recipient) + place)
        return found.digest()


def event_generation(time_ms: int) -> str:
    """The generation of records of a grant whose occurrence is an event: the event's UTC day."""
    return f"d{time_ms // DAY_MS}"


def window_generation(start_ms: int) -> str:
    """The generation of records of a window's grants: the window's start; a lifetime's (0) is the campaign's own."""
    return f"w{start_ms}" if start_ms else ""


def _text(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(2, "big") + raw
