"""One grant: find it, tell its story, see what an operator's change would make of it, and say what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runners.ops.budgets import audit_rows_of, standing_text
from schemas.errors import ChangeRefusedError, UsageError
from schemas.grant_operations import (
    Commit,
    GrantAnswer,
    GrantChange,
    GrantOperation,
    GrantState,
    Redecide,
    Release,
    TakeBack,
)
from schemas.grants import rfc3339
from schemas.proposals import AMOUNT_LIMIT, Decision, GrantRequest, Occurrence, Proposal, Request
from schemas.results import GrantOutcome, Outcome
from transforms.budget.memory_grants import is_in_range, refusal
from transforms.budget.ports import Ledger, LogEntry, refused_proposal
from transforms.publish_settled import logged


@dataclass(frozen=True)
class Found:
    """A grant with everything that the ledger has of it.

    Attributes:
      state: None for a grant of a refused list, which the log alone tells. entries: of the log, oldest first.
      proposal: it was asked by, with the grant's place in it; None if the log has it no more.
    """

    name: Occurrence
    state: GrantState | None
    entries: list[LogEntry]
    proposal: Proposal | None
    request: GrantRequest | None

    @property
    def unit(self) -> str:
        """Of its amounts, "" if nobody knows it any more."""
        return self.request.unit if self.request else ""


def find(ledger: Ledger, grant_id: str) -> Found:
    """A grant by its id as grants and denials are published with it.

    Raises:
      UsageError: no id, or one that the ledger does not know.
    """
    try:
        raw = bytes.fromhex(grant_id)
    except ValueError:
        raw = b""
    if len(raw) != 16:
        raise UsageError(f"{grant_id!r} is no grant's id: right would be 32 hexadecimal digits, as it is published")
    entries = list(ledger.told_of(raw))[::-1]
    asked = [(request, grant) for entry in entries for request in _proposals(entry) for grant in _grants(request, raw)]
    known = ledger.occurrences(raw)
    known = known or [Occurrence(raw, grant.generation, grant.campaign) for _, grant in asked[-1:]]
    if not known:
        raise UsageError(f"the ledger has decided no grant {grant_id}")
    proposal, request = asked[-1] if asked else (None, None)
    return Found(known[0], ledger.grant_state(known[0]), entries, proposal, request)


def _proposals(entry: LogEntry) -> list[Proposal]:
    return [settled.request for settled in logged(entry) if isinstance(settled.request, Proposal)]


def _grants(request: Proposal, grant_id: bytes) -> list[GrantRequest]:
    return [grant for offer in request.offers for grant in offer.grants if grant.grant_id == grant_id]


def facts(found: Found) -> dict[str, Any]:
    """What the grant is now, by name."""
    state, proposal, request = found.state, found.proposal, found.request
    told: dict[str, Any] = {"grant_id": found.name.grant_id.hex(), "campaign": found.name.campaign}
    if state is not None:
        told |= {"is": state.outcome.value, "user": state.user, "asked": state.asked, "approved": state.amount}
        told |= {"taken_back": state.taken, "stands": state.stands, "ended_by": state.ended_by or None}
    else:
        told |= {"is": "denied", "user": request.recipient if request else None}
    told["unit"] = found.unit or None
    if proposal is not None and request is not None:
        held = state is not None and state.outcome is Outcome.HELD
        told["event_id"], told["event_time"] = proposal.key.event_id, rfc3339(proposal.key.time_ms)
        told["due"] = rfc3339(proposal.hold.due_ms) if proposal.hold and held else None
        told["due_end"] = proposal.hold.end if proposal.hold and held else None
        told["accounts"] = [charge.account for charge in request.charges]
        told["expires"] = None if request.expires_ms is None else rfc3339(request.expires_ms)
    return told


def story(found: Found) -> list[dict[str, Any]]:
    """What the log tells of the grant, oldest first."""
    rows = []
    for entry in found.entries:
        for settled in logged(entry):
            row = _row(settled.request, settled.decision, found.name.grant_id)
            if row is not None:
                rows.append({"entry": entry.entry} | row)
    return rows


def _row(request: Request, decision: Decision, grant_id: bytes) -> dict[str, Any] | None:
    if isinstance(request, Proposal):
        if not _grants(request, grant_id):
            return None
        time_ms = request.key.time_ms
        if request.hold and decision.outcome in (Outcome.COMMITTED, Outcome.RELEASED):
            time_ms = request.hold.due_ms
        taken = [] if decision.offer is None else request.offers[decision.offer].grants
        pairs = zip(taken, decision.amounts, strict=True)
        amount = next((amount for grant, amount in pairs if grant.grant_id == grant_id), None)
        event_id = request.key.event_id
    else:
        pairs_of = zip(request.occurrences, decision.amounts, strict=True)
        amounts = [amount for one, amount in pairs_of if one.grant_id == grant_id]
        if not amounts:
            return None
        amount, event_id, time_ms = amounts[0], request.event_id, request.event_time_ms
    return {
        "what": decision.outcome.value,
        "amount": amount,
        "event_id": event_id,
        "time": rfc3339(time_ms),
        "reason": _reason(decision),
    }


def _reason(decision: Decision) -> str | None:
    if decision.reason is None:
        return None
    place = f" of {decision.account} {decision.period}".rstrip() if decision.account else ""
    use = f": {decision.use:,} of {decision.cap:,}" if decision.use or decision.cap else ""
    return f"{decision.reason}{place}{use}"


def changes(ledger: Ledger, found: Found) -> list[dict[str, Any]]:
    """What operators did to the grant, newest first."""
    return audit_rows_of(
        entry for entry in ledger.audit() if entry.grant is not None and entry.grant.grant == found.name
    )


def asked_change(ledger: Ledger, found: Found, action: str, amount: int | None, gives: tuple[str, ...]) -> GrantChange:
    """The change in the ledger's words.

    Raises:
      UsageError: to be decided again, but no refusal of it stands in the log.
    """
    name = found.name
    if action == "commit":
        return Commit(name, amount)
    if action == "release":
        return Release(name)
    if action == "reverse":
        unit = found.unit or _unit_of(ledger, f"campaign/{name.campaign}")
        user = found.state.user if found.state else found.request.recipient if found.request else ""
        return TakeBack(name, amount, gives, user, unit)
    refused = [entry.entry for entry in found.entries if refused_proposal(entry, name)]
    if not refused:
        raise UsageError(f"the log has no refusal of {name.grant_id.hex()}: only what was refused is decided again")
    return Redecide(name, refused[-1])


def _unit_of(ledger: Ledger, account: str) -> str:
    return next((one.unit for one in ledger.snapshot() if one.name == account), "")


def preview(found: Found, change: GrantChange) -> GrantOutcome:
    """What would become of it, had it been made of the grant as it stands; a hold that is due meanwhile is not seen."""
    state = found.state
    if not is_in_range(change):
        return GrantOutcome.OUT_OF_RANGE
    denied = state is None or state.outcome is Outcome.DENIED
    if isinstance(change, Redecide):
        return GrantOutcome.APPLIED if denied else GrantOutcome.NOT_DENIED
    return GrantOutcome.DENIED if denied or state is None else refusal(change, state)


def change_text(found: Found, change: GrantChange) -> str:
    """`held 900 -> committed 400 points, 500 given back`, of a change that can be made."""
    state = found.state
    before = standing_text(state) if state else "denied"
    stands = state.stands if state else 0
    if isinstance(change, Redecide):
        return f"{before} -> decided again, as of now"
    left = 0 if isinstance(change, Release) else stands
    if isinstance(change, Commit):
        left = stands if change.amount is None else change.amount
        after = f"committed {left:,} {found.unit}".rstrip() if left else "released"
    elif isinstance(change, Release):
        after = "released"
    else:
        left = 0 if change.amount is None else stands - change.amount
        after = f"{left:,} {found.unit}".rstrip() + " stand"
    given = f", {stands - left:,} given back" if stands > left else ""
    return f"{before} -> {after}{given}{_with_others(found, change)}"


def _with_others(found: Found, change: GrantChange) -> str:
    """Grants of one hold end together."""
    if isinstance(change, TakeBack) or found.proposal is None:
        return ""
    offers = [offer.grants for offer in found.proposal.offers if found.request in offer.grants]
    others = len(offers[0]) - 1 if offers else 0
    return f"; with it {others} more of the same hold" if others else ""


def require_done(operation: GrantOperation, answer: GrantAnswer) -> None:
    """Raise ChangeRefusedError for an operation that did not happen, saying why and what would."""
    if answer.conflicting:
        raise ChangeRefusedError(
            f"another change was made under the id {operation.operation_id!r}, and that one stands"
        )
    text = refusal_text(operation.change, answer.outcome)
    if text is not None:
        raise ChangeRefusedError(text)


def refusal_text(change: GrantChange, outcome: GrantOutcome) -> str | None:
    """Why not, and what would; None if it is done."""
    least = 0 if isinstance(change, Commit) else 1
    texts = {
        GrantOutcome.OUT_OF_RANGE: f"right would be a whole number from {least} to {AMOUNT_LIMIT - 1:,}",
        GrantOutcome.UNKNOWN: "the ledger has it no more: its record, or what was asked, is gone",
        GrantOutcome.DENIED: "it was denied; `incentives grant redecide` decides it again",
        GrantOutcome.NOT_DENIED: "it is not refused, or not by the refusal that was looked at; look again",
        GrantOutcome.TAKEN_BACK: "it was taken back, whole, before it came: there is nothing to give",
        GrantOutcome.NOT_HELD: "it was granted at once: no hold is to end; `incentives grant reverse` takes it back",
        GrantOutcome.ABOVE: "more than stands of it; `incentives grant show` tells how much",
        GrantOutcome.ALREADY_COMMITTED: "it is committed already; `incentives grant reverse` takes it back",
        GrantOutcome.ALREADY_RELEASED: "it is released already: nothing of it stands",
        GrantOutcome.DUE: "its due time came first, and it came to its stated end; `incentives grant show` tells it",
    }
    return texts.get(outcome)
