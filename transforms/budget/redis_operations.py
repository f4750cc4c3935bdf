"""Operations as the scripts are asked for them, their answers and the audit, as bytes."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from schemas.grant_operations import GRANT_CHANGES
from schemas.operations import AuditEntry, Change, Freeze, Move, Operation, OperationAnswer, SetCap, SetState, Terms
from schemas.proposals import AccountSpec, LimitSpec, Pace
from schemas.results import OperationOutcome, WhenFull
from transforms.budget.redis_grants import read_changed
from transforms.budget.redis_question import pack, sendable, unpack

_OUTCOMES = tuple(OperationOutcome)


def script_of(change: Change) -> str:
    """Which script makes the change."""
    if isinstance(change, SetCap):
        return "change_limit"
    if isinstance(change, SetState):
        return "change_state"
    if isinstance(change, Freeze):
        return "freeze"
    return "move_budget" if isinstance(change, Move) else "change_pace"


def arguments(operation: Operation) -> list[bytes | str]:
    """As in lua/parts/operations.lua."""
    change = pack(_wire(operation.change))
    content = hashlib.blake2b(operation.what.encode() + b" " + change, digest_size=16).digest()
    expected = pack(operation.expected)
    return [operation.operation_id, content, expected, operation.what, operation.who, operation.why, change]


def read_answer(reply: list[int]) -> OperationAnswer:
    outcome, repeated, conflicting, *versions = reply
    return OperationAnswer(_OUTCOMES[outcome - 1], tuple(versions), bool(repeated), bool(conflicting))


def read_audit(entry: bytes, fields: dict[bytes, bytes]) -> AuditEntry:
    what, account, operation_id, who, why = (
        fields[name].decode() for name in (b"what", b"account", b"id", b"who", b"why")
    )
    at_ms, version = int(entry.split(b"-")[0]), int(fields[b"version"])
    told = AuditEntry(entry.decode(), at_ms, what, account, operation_id, who, why, version, after=fields[b"after"])
    if what in GRANT_CHANGES:
        return msgspec.structs.replace(told, grant=read_changed(fields[b"old"], fields[b"new"]))
    return msgspec.structs.replace(told, old=_terms(fields[b"old"]), new=_terms(fields[b"new"]))


def limits_wire(spec: AccountSpec) -> list[list[object]]:
    """As in lua/parts/terms.lua."""
    return [
        [
            limit.period,
            _cap(limit.grants),
            _cap(limit.amount),
            limit.when_full.value,
            _cap(limit.cooldown_ms),
            False if limit.pace is None else _pace_wire(limit.pace),
        ]
        for limit in spec.limits
    ]


def read_limits(wire: list[list[Any]]) -> tuple[LimitSpec, ...]:
    """The limits of a definition."""
    return tuple(
        LimitSpec(period, _known(grants), _known(amount), WhenFull(full), _known(cooldown), _pace(pace))
        for period, grants, amount, full, cooldown, pace in wire
    )


def _terms(packed: bytes) -> Terms | None:
    if not packed:
        return None
    name, unit, parent, limits, state = unpack(packed)
    return Terms(AccountSpec(name, parent or None, unit, read_limits(limits)), state)


def _wire(change: Change) -> list[object]:
    if isinstance(change, SetCap):
        cap = False if change.cap is None else sendable(change.cap)
        return [change.account, change.period, change.counts, cap, change.direction]
    if isinstance(change, SetState):
        return [change.account, change.state]
    if isinstance(change, Freeze):
        return [change.frozen]
    if isinstance(change, Move):
        return [change.source, change.target, sendable(change.amount)]
    return [change.account, False if change.pace is None else _pace_wire(change.pace)]


def _pace_wire(pace: Pace) -> list[object]:
    times = [sendable(number) for number in (pace.start_ms, pace.end_ms, pace.head_start)]
    weights = [sendable(weight) for weight in pace.weights]
    offsets = [[sendable(number) for number in piece] for piece in pace.offsets]
    return [pace.shape, *times, weights, offsets, pace.zone]


def _pace(wire: Any) -> Pace | None:
    if not wire:
        return None
    shape, start, end, head_start, weights, offsets, zone = wire
    return Pace(shape, start, end, head_start, tuple(weights), tuple((at, ahead) for at, ahead in offsets), zone)


def _cap(cap: int | None) -> int:
    """The scripts have no null in their arrays: -1 is no cap, and no cool-down."""
    return -1 if cap is None else cap


def _known(cap: int) -> int | None:
    return None if cap < 0 else cap
