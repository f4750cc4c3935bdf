"""OrderKey: the one total order of everything that is decided (docs/contracts/order.md)."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

_TIME_BIAS = 1 << 63


class OrderKind(IntEnum):
    """What stands at one instant, in this order."""

    OPERATION = 0
    TIMER = 1
    EVENT = 2


class OrderKey(NamedTuple):
    """When something is decided, relative to everything else of its tenant. Compares as a tuple.

    Attributes:
      time_ms: event time in ms since the epoch, UTC.
      kind: an `OrderKind`.
      event_id, subject: as text; UTF-8 byte order and code point order are the same.
      turn: 0 for a reversal, 1 for a proposal.
      campaign: campaign or group id, one namespace.
      opening: id of the event that opened the window, or "".
      step: index of the step that fired. n: which firing of that step.
    """

    time_ms: int
    kind: int
    event_id: str
    subject: str
    turn: int
    campaign: str
    opening: str = ""
    step: int = 0
    n: int = 0

    def packed(self) -> bytes:
        """Bytes that sort as the tuple does: for a sorted set's lexicographic order."""
        return b"".join(
            (
                (self.time_ms + _TIME_BIAS).to_bytes(8, "big"),
                bytes((self.kind,)),
                _packed_text(self.event_id),
                _packed_text(self.subject),
                bytes((self.turn,)),
                _packed_text(self.campaign),
                _packed_text(self.opening),
                self.step.to_bytes(4, "big"),
                self.n.to_bytes(8, "big"),
            )
        )


def _packed_text(text: str) -> bytes:
    """UTF-8 with an order-preserving end mark: 00 inside becomes 00 FF, the end is 00 00."""
    return text.encode().replace(b"\x00", b"\x00\xff") + b"\x00\x00"
