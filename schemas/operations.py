"""What operators ask of the ledger while it runs, what it answers, and the audit it keeps.

An operation is decided once by its id. As everything that crosses to the ledger these are array-like msgspec Structs:
append fields with defaults, never reorder.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.grant_operations import GrantState
from schemas.proposals import AccountSpec, AccountState, Occurrence, Pace
from schemas.results import OperationOutcome


class SetCap(msgspec.Struct, frozen=True, array_like=True, tag="cap"):
    """Set one cap of one limit, below its use too: that stops new grants, and takes nothing back.

    Attributes:
      period: of the limit, as in LimitSpec. counts: which of its caps. cap: 0 .. 2^52, None = no cap.
      direction: "raise" and "lower" refuse to do the other; no cap is above every cap.
    """

    account: str
    period: str
    counts: Literal["grants", "amount"]
    cap: int | None
    direction: Literal["set", "raise", "lower"] = "set"


class SetState(msgspec.Struct, frozen=True, array_like=True, tag="state"):
    """Pause an account, close its total, or resume it.

    While an account is paused or closed, everything that would be charged to it is refused; reversals and holds go on.
    "open" undoes what the account's state tells: a pause; else what is closed, its total and its slices of time.
    """

    account: str
    state: AccountState


class SetPace(msgspec.Struct, frozen=True, array_like=True, tag="pace"):
    """Set the pace of an account's total amount, or take it off."""

    account: str
    pace: Pace | None


class Move(msgspec.Struct, frozen=True, array_like=True, tag="move"):
    """Lower one account's total amount and raise another's by the same: at most what is left, 1 .. 2^52."""

    source: str
    target: str
    amount: int


class Freeze(msgspec.Struct, frozen=True, array_like=True, tag="freeze"):
    """Freeze the root: nothing is decided, no hold ends, and whoever asks gets no answer until it is unfrozen.

    Nothing is refused by it either: what is asked meanwhile is asked again afterwards. Operations go on.
    """

    frozen: bool


Change = SetCap | SetState | SetPace | Move | Freeze


class Operation(msgspec.Struct, frozen=True, array_like=True):
    """One change by one person.

    Attributes:
      operation_id: 1 to 128 bytes, made once and kept for every retry.
      who, why: for the audit; neither may be empty.
      expected: (account, version) of accounts that must still be at the version the operator has seen.
    """

    operation_id: str
    change: Change
    who: str
    why: str
    expected: tuple[tuple[str, int], ...] = ()

    @property
    def what(self) -> str:
        """Its name in the audit and on the command line."""
        change = self.change
        if isinstance(change, SetCap):
            return change.direction
        if isinstance(change, SetState):
            return {"paused": "pause", "open": "resume", "closed": "close"}[change.state]
        if isinstance(change, Freeze):
            return "freeze" if change.frozen else "unfreeze"
        return "pace" if isinstance(change, SetPace) else "move"

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts that it changes, in the order in which their versions are answered; none = the root itself."""
        change = self.change
        if isinstance(change, Move):
            return change.source, change.target
        return () if isinstance(change, Freeze) else (change.account,)


class OperationAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What became of an operation.

    Attributes:
      versions: of `Operation.accounts` after it, 0 for one that is unknown; () for the root and where out of range.
      repeated: the id was known: this is the first answer again.
      conflicting: asked with another change under a known id: the first stands. Who, why and expected may differ.
    """

    outcome: OperationOutcome
    versions: tuple[int, ...] = ()
    repeated: bool = False
    conflicting: bool = False


class Terms(msgspec.Struct, frozen=True, array_like=True):
    """What an operator may change of an account, and its state."""

    spec: AccountSpec
    state: AccountState


class ChangedGrant(msgspec.Struct, frozen=True, array_like=True):
    """What an operator's change of one grant made of it."""

    grant: Occurrence
    old: GrantState
    new: GrantState


class AuditEntry(msgspec.Struct, frozen=True, array_like=True):
    """One change of one account, of one of its grants, or of the root (account ""), as it was made.

    Attributes:
      entry: its id in the audit, ascending. at_ms: the server's clock, which decides nothing; 0 in the model.
      what: an `Operation.what`, a `GrantOperation.what`, or "define". operation_id: "" of a definition.
      version: of the account after it. old, new: how the account stood (None = it was not there) and stands.
      after: the greatest packed OrderKey that the root had seen: the change stands straight after it in the order of
        everything decided; b"" = it had seen none.
      grant: of a change of a grant; account is then its campaign's, version 0, and old and new are None.
    """

    entry: str
    at_ms: int
    what: str
    account: str
    operation_id: str
    who: str
    why: str
    version: int = 0
    old: Terms | None = None
    new: Terms | None = None
    after: bytes = b""
    grant: ChangedGrant | None = None
