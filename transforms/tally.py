"""What was settled, added up per campaign: the numbers of a backtest's table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from schemas.results import Reason

_TURNED_AWAY = {Reason.GRANTS, Reason.AMOUNT, Reason.CLOSED}
"""Refusals by a limit over all users, as against a user's own."""


class CampaignTally(msgspec.Struct, array_like=True):
    """One campaign's grants and denials.

    Attributes:
      amount: granted, in minor units. cut: grants given less than asked. users: who got at least one.
      denied: by reason. exhausted_at: event time of the first grant that a limit in total refused, RFC 3339.
      taken_back: by reversals, in minor units.
      first_at, last_at: event times of the first and the last grant.
    """

    granted: int = 0
    amount: int = 0
    unit: str = ""
    cut: int = 0
    denied: dict[str, int] = {}
    exhausted_at: str | None = None
    first_at: str | None = None
    last_at: str | None = None
    taken_back: int = 0


class Tally:
    """Adds up records in the order in which they were decided."""

    def __init__(self) -> None:
        self.campaigns: dict[str, CampaignTally] = {}

    def grant(self, records: Iterable[dict[str, Any]]) -> None:
        """Take in records of schemas/avro/grant.avsc."""
        for record in records:
            entry = self._of(record)
            entry.granted += 1
            entry.amount += record["amount"]
            entry.cut += record["amount"] < record["asked"]
            entry.first_at = entry.first_at or record["event_time"]
            entry.last_at = record["event_time"]

    def deny(self, records: Iterable[dict[str, Any]]) -> None:
        """Take in records of schemas/avro/denial.avsc."""
        for record in records:
            entry = self._of(record)
            entry.denied[record["reason"]] = entry.denied.get(record["reason"], 0) + 1
            if entry.exhausted_at is None and record["reason"] in _TURNED_AWAY and record["period"] == "total":
                entry.exhausted_at = record["event_time"]

    def reverse(self, records: Iterable[dict[str, Any]]) -> None:
        """Take in records of schemas/avro/reversal.avsc."""
        for record in records:
            self._of(record).taken_back += record["amount"]

    def _of(self, record: dict[str, Any]) -> CampaignTally:
        entry = self.campaigns.get(record["campaign_id"])
        if entry is None:
            entry = self.campaigns[record["campaign_id"]] = CampaignTally(unit=record["unit"], denied={})
        return entry

    def encoded(self) -> bytes:
        """As bytes, for `decode_tally`."""
        return msgspec.msgpack.encode(self.campaigns)


def decode_tally(raw: bytes) -> dict[str, CampaignTally]:
    """A Tally's campaigns."""
    return msgspec.msgpack.decode(raw, type=dict[str, CampaignTally])
