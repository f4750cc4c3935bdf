"""Operations on grants as the scripts are asked for them, their answers, and states of grants, as bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from schemas.grant_operations import (
    Commit,
    EndedBy,
    GrantAnswer,
    GrantOperation,
    GrantState,
    Redecide,
    Release,
    TakeBack,
    reversal_of,
)
from schemas.operations import ChangedGrant
from schemas.proposals import Occurrence, Proposal
from schemas.results import GrantOutcome, Outcome, Reason
from transforms.budget.ports import LogEntry, refused_proposal
from transforms.budget.redis_question import Question, pack, reason_code, record_of, sendable, unpack

_OUTCOMES = tuple(GrantOutcome)
_DECIDED = tuple(Outcome)
_ENDED: tuple[EndedBy, ...] = ("", "operator", "due")
_SCRIPTS: dict[type, str] = {Commit: "commit_grant", Release: "release_grant", TakeBack: "reverse_grant"}
_SOME_TIME_MS = -(2**62)
"""Stands for the time in a reversal until the script knows it; no text of UTF-8 has its packed bytes."""


Arguments = Sequence[bytes | str | int]


def script_of(operation: GrantOperation) -> str:
    """Which script makes the change."""
    return _SCRIPTS.get(type(operation.change), "redecide")


def arguments(tenant: str, operation: GrantOperation, entry: LogEntry | None) -> Arguments:
    """As in lua/parts/grant_operations.lua, after what the script takes itself.

    Args:
      entry: the one that a proposal to be decided again is told by, if there still is one.
    """
    change, grant = operation.change, operation.change.grant
    own: Arguments = []
    if isinstance(change, Commit):
        own = [_amount(change.amount)]
    elif isinstance(change, TakeBack):
        own = [_amount(change.amount), " ".join(change.gives_back), *_told(tenant, operation, change)]
    elif isinstance(change, Redecide):
        proposal = refused_proposal(entry, grant) if entry else None
        own = _proposal_arguments(proposal, change.entry) if proposal else [""] * 5
    content = hashlib.blake2b(repr(operation.content).encode(), digest_size=16).digest()
    signed: Arguments = [operation.operation_id, content, operation.what, operation.who, operation.why]
    return [*own, *signed, grant.campaign, grant.generation, grant.grant_id]


def _told(tenant: str, operation: GrantOperation, reversal: TakeBack) -> list[bytes]:
    if isinstance(sendable(reversal.amount), str) and reversal.amount is not None:
        return [b""] * 3  # the script refuses it
    pieces = pack(reversal_of(tenant, operation, _SOME_TIME_MS)).split(pack(_SOME_TIME_MS))
    assert len(pieces) == 3
    return pieces


def _proposal_arguments(proposal: Proposal, entry: str) -> Arguments:
    kind, group, name = record_of(proposal)
    return [*Question([proposal]).arguments, kind, group, name, entry, reason_code(Reason.REVERSED)]


def _amount(amount: int | None) -> bytes:
    return pack(False if amount is None else sendable(amount))


def read_answer(reply: list[int]) -> GrantAnswer:
    outcome, repeated, conflicting, became, amount, entry = reply
    return GrantAnswer(
        _OUTCOMES[outcome - 1],
        _DECIDED[became - 1] if became else None,
        amount,
        str(entry) if entry else "",
        bool(repeated),
        bool(conflicting),
    )


def read_state(packed: bytes | None) -> GrantState | None:
    """Of lua/grant_state.lua."""
    return _state(unpack(packed)) if packed else None


def read_changed(old: bytes, new: bytes) -> ChangedGrant:
    """Of an audit entry."""
    campaign, generation, grant_id, before = unpack(old)
    after = unpack(new)[3]
    return ChangedGrant(Occurrence(bytes.fromhex(grant_id), generation, campaign), _state(before), _state(after))


def _state(wire: list[Any]) -> GrantState:
    outcome, user, asked, amount, taken, entry, ended = wire
    return GrantState(_DECIDED[outcome - 1], user, asked, amount, taken, str(entry) if entry else "", _ENDED[ended])
