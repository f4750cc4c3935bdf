"""Grants, denials and reversals as they leave: one flat record each, the same in JSON, Avro and Pub/Sub."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from schemas.order_keys import OrderKey
from schemas.proposals import Decision, GrantRequest, Proposal, Request, Reversal
from schemas.results import Outcome


class Settled(msgspec.Struct, frozen=True, gc=False):
    """A request and the ledger's answer to it."""

    request: Request
    decision: Decision


def settled_in_order(requests: Sequence[Request], decisions: Sequence[Decision]) -> list[Settled]:
    """Requests with their answers, and what was brought about beside them in its place: holds that came to their end
    before, reversals that had waited behind."""
    found: list[Settled] = []
    for request, decision in zip(requests, decisions, strict=True):
        if not decision.also:
            found.append(Settled(request, decision))
            continue
        beside = [Settled(*pair) for pair in decision.also]
        found += [settled for settled in beside if settled.decision.outcome is not Outcome.REVERSED]
        found.append(Settled(request, decision))
        found += [settled for settled in beside if settled.decision.outcome is Outcome.REVERSED]
    return found


def rfc3339(time_ms: int) -> str:
    """`2017-01-01T11:53:26Z`; milliseconds only where there are any."""
    minute, in_minute = divmod(time_ms, 60_000)
    text = _SECONDS.get(in_minute)
    if text is None:
        second, ms = divmod(in_minute, 1000)
        text = f"{second:02d}.{ms:03d}Z"
    return _minute_text(minute) + text


_SECONDS = {second * 1000: f"{second:02d}Z" for second in range(60)}


@lru_cache(maxsize=4_096)
def _minute_text(minute: int) -> str:
    """A minute since the epoch, up to its seconds."""
    return (datetime(1970, 1, 1) + timedelta(minutes=minute)).isoformat()[:17]


_MADE = (Outcome.GRANTED, Outcome.COMMITTED)


def grant_records(settled: Settled) -> list[dict[str, Any]]:
    """The records of schemas/avro/grant.avsc for an approved proposal, one per grant made; [] for any other answer.

    What is held is made when its hold comes to its end.
    """
    proposal, decision = settled.request, settled.decision
    if decision.outcome not in _MADE or decision.offer is None or not isinstance(proposal, Proposal):
        return []
    key, hold = proposal.key, proposal.hold
    event_time = rfc3339(key.time_ms if hold is None else hold.due_ms)
    grants, amounts = proposal.offers[decision.offer].grants, decision.amounts
    if len(grants) == 1:
        return [_grant_record(proposal.tenant, key, event_time, grants[0], amounts[0])] if amounts[0] else []
    return [
        _grant_record(proposal.tenant, key, event_time, grant, amount)
        for grant, amount in zip(grants, amounts, strict=True)
        if amount
    ]


def _grant_record(tenant: str, key: OrderKey, event_time: str, grant: GrantRequest, amount: int) -> dict[str, Any]:
    return {
        "grant_id": grant.grant_id.hex(),
        "tenant": tenant,
        "campaign_id": grant.campaign,
        "campaign_version": grant.version,
        "user_id": grant.recipient,
        "event_id": key.event_id,
        "event_time": event_time,
        "amount": amount,
        "asked": grant.amount,
        "unit": grant.unit,
        "kind": grant.kind,
        "details": dict(grant.details) if grant.details else {},
        "expires_at": None if grant.expires_ms is None else rfc3339(grant.expires_ms),
    }


def denial_records(settled: Settled) -> list[dict[str, Any]]:
    """The record of schemas/avro/denial.avsc for a denied proposal; [] for an approved one.

    A denied list of offers is one denial, told by its last offer's first grant.
    """
    proposal, decision = settled.request, settled.decision
    if decision.outcome is not Outcome.DENIED or decision.reason is None or not isinstance(proposal, Proposal):
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


def reversal_records(settled: Settled) -> list[dict[str, Any]]:
    """The record of schemas/avro/reversal.avsc for a reversal that took something back; [] for any other answer."""
    reversal, decision = settled.request, settled.decision
    if decision.outcome is not Outcome.REVERSED or not isinstance(reversal, Reversal):
        return []
    parts = [
        {"grant_id": occurrence.grant_id.hex(), "amount": amount}
        for occurrence, amount in zip(reversal.occurrences, decision.amounts, strict=True)
        if amount
    ]
    return [
        {
            "tenant": reversal.tenant,
            "campaign_id": reversal.campaign,
            "user_id": reversal.user,
            "event_id": reversal.event_id,
            "event_time": rfc3339(reversal.event_time_ms),
            "amount": sum(decision.amounts),
            "unit": reversal.unit,
            "parts": parts,
        }
    ]


RECORDS = {"grant": grant_records, "denial": denial_records, "reversal": reversal_records}
"""By the kind of record."""
