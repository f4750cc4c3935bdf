"""What operators ask of the ledger about one grant, what it answers, and how a grant stands.

An operation is decided once by its id. As everything that crosses to the ledger these are array-like msgspec Structs:
append fields with defaults, never reorder.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.order_keys import OrderKey, OrderKind
from schemas.proposals import Occurrence, Reversal
from schemas.results import GrantOutcome, Outcome

EndedBy = Literal["", "due", "operator"]


class Commit(msgspec.Struct, frozen=True, array_like=True, tag="commit"):
    """End the hold that the grant belongs to: it becomes a grant, whatever end was stated.

    Attributes:
      amount: of this grant, at most what stands of it; the rest is given back to every account, to the user's limits
        and, if nothing is left, to the lock. None = all that stands; 0 gives all back. Other grants of the same hold
        are committed as they stand.
    """

    grant: Occurrence
    amount: int | None = None


class Release(msgspec.Struct, frozen=True, array_like=True, tag="release"):
    """End the hold that the grant belongs to: all its grants are given back, whatever end was stated."""

    grant: Occurrence


class TakeBack(msgspec.Struct, frozen=True, array_like=True, tag="reverse"):
    """Take a grant back, or lessen a hold; unlike a reversal by an event it never takes less than it says.

    Attributes:
      amount: at most what stands, from 1; None = all that stands. gives_back: as of a Reversal.
      user, unit: of the grant, for the record that is published.
    """

    grant: Occurrence
    amount: int | None = None
    gives_back: tuple[str, ...] = ("budget", "limits", "lock")
    user: str = ""
    unit: str = ""


class Redecide(msgspec.Struct, frozen=True, array_like=True, tag="redecide"):
    """Decide a refused proposal again, as of the greatest time the root has seen: the one way around a spent refusal.

    Attributes:
      grant: any grant of the proposal.
      entry: the log entry that tells the refusal: what was asked stands there, and no other refusal is undone.
    """

    grant: Occurrence
    entry: str


GrantChange = Commit | Release | TakeBack | Redecide

_NAMES: dict[type, str] = {Commit: "commit", Release: "release", TakeBack: "reverse", Redecide: "redecide"}
GRANT_CHANGES = tuple(_NAMES.values())
"""What a change of a grant is called in the audit."""


class GrantOperation(msgspec.Struct, frozen=True, array_like=True):
    """One change of one grant by one person.

    Attributes:
      operation_id: 1 to 128 bytes, made once and kept for every retry. who, why: for the audit; neither may be empty.
    """

    operation_id: str
    change: GrantChange
    who: str
    why: str

    @property
    def content(self) -> GrantChange:
        """What must be the same when its id is asked again: what was looked up for it may differ."""
        change = self.change
        if isinstance(change, TakeBack):
            return msgspec.structs.replace(change, user="", unit="")
        return msgspec.structs.replace(change, entry="") if isinstance(change, Redecide) else change

    @property
    def what(self) -> str:
        """Its name in the audit and on the command line."""
        return _NAMES[type(self.change)]


class GrantAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What became of an operation on a grant.

    Attributes:
      became: what the grant is after it (of a list that was decided again: what the list is); None where it was not
        found, or need not be decided again.
      amount: what stands of the grant after it; of a list that was decided again, of all its grants.
      entry: id of the log entry that tells what came of it, marked unpublished; "" where nothing did.
      repeated: the id was known: this is the first answer again.
      conflicting: asked with another change under a known id: the first stands. Who and why may differ.
    """

    outcome: GrantOutcome
    became: Outcome | None = None
    amount: int = 0
    entry: str = ""
    repeated: bool = False
    conflicting: bool = False


class GrantState(msgspec.Struct, frozen=True, array_like=True):
    """How a grant stands.

    Attributes:
      outcome: GRANTED, DENIED, HELD, COMMITTED or RELEASED. asked: in minor units.
      amount: approved; taken: taken back of it since, by a commit of less or a release too.
      entry: of the log: what told it last, parts that were taken back apart. ended_by: what ended a hold: its due time,
        an operator, or "" (a reversal of all of it, or no hold has ended).
    """

    outcome: Outcome
    user: str
    asked: int
    amount: int = 0
    taken: int = 0
    entry: str = ""
    ended_by: EndedBy = ""

    @property
    def stands(self) -> int:
        """What is left of it."""
        return self.amount - self.taken


def reversal_of(tenant: str, operation: GrantOperation, at_ms: int) -> Reversal:
    """An operator's reversal as it is told and published: caused by the operation, at the time the root had seen.

    Raises ValueError for an operation that takes nothing back.
    """
    change = operation.change
    if not isinstance(change, TakeBack):
        raise ValueError(f"{operation.what} is no reversal")
    grant, cause = change.grant, operation.operation_id
    key = OrderKey(at_ms, OrderKind.OPERATION, cause, change.user, 0, grant.campaign)
    share = None if change.amount else (1, 1)
    return Reversal(
        tenant, key, grant.campaign, change.user, cause, at_ms, (grant,), share, change.amount, change.gives_back,
        change.unit,
    )  # fmt: skip
