"""Grants, denials and reversals as they leave: one flat record each, the same in JSON, Avro and Pub/Sub."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from schemas.proposals import Decision, Proposal
from schemas.results import Outcome


class Settled(msgspec.Struct, frozen=True, gc=False):
    """A proposal and the ledger's answer to it."""

    proposal: Proposal
    decision: Decision


def rfc3339(time_ms: int) -> str:
    """`2017-01-01T11:53:26Z`; milliseconds only where there are any."""
    minute, in_minute = divmod(time_ms, 60_000)
    second, ms = divmod(in_minute, 1000)
    return f"{_minute_text(minute)}{second:02d}.{ms:03d}Z" if ms else f"{_minute_text(minute)}{second:02d}Z"


@lru_cache(maxsize=4_096)
def _minute_text(minute: int) -> str:
    """A minute since the epoch, up to its seconds."""
    return (datetime(1970, 1, 1) + timedelta(minutes=minute)).isoformat()[:17]


def grant_records(settled: Settled) -> list[dict[str, Any]]:
    """The records of schemas/avro/grant.avsc for an approved proposal, one per grant made; [] for a denied one."""
    proposal, decision = settled.proposal, settled.decision
    if decision.outcome is not Outcome.GRANTED or decision.offer is None:
        return []
    key, tenant = proposal.key, proposal.tenant
    event_id, event_time = key.event_id, rfc3339(key.time_ms)
    return [
        {
            "grant_id": grant.grant_id.hex(),
            "tenant": tenant,
            "campaign_id": grant.campaign,
            "campaign_version": grant.version,
            "user_id": grant.recipient,
            "event_id": event_id,
            "event_time": event_time,
            "amount": amount,
            "asked": grant.amount,
            "unit": grant.unit,
        }
        for grant, amount in zip(proposal.offers[decision.offer].grants, decision.amounts, strict=True)
        if amount
    ]


def denial_records(settled: Settled) -> list[dict[str, Any]]:
    """The record of schemas/avro/denial.avsc for a denied proposal; [] for an approved one.

    A denied list of offers is one denial, told by its last offer's first grant.
    """
    proposal, decision = settled.proposal, settled.decision
    if decision.outcome is not Outcome.DENIED or decision.reason is None:
        return []
    key, grant = proposal.key, proposal.offers[-1].grants[0]
    return [
        {
            "grant_id": grant.grant_id.hex(),
            "tenant": proposal.tenant,
            "campaign_id": key.campaign,
            "campaign_version": grant.version,
            "user_id": grant.recipient,
            "event_id": key.event_id,
            "event_time": rfc3339(key.time_ms),
            "asked": grant.amount,
            "unit": grant.unit,
            "reason": decision.reason.value,
            "account": decision.account,
            "period": decision.period,
            "use": decision.use,
            "cap": decision.cap,
        }
    ]
