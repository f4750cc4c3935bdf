"""The model's rules for operations on grants: what is out of range, and why an operation is refused."""

from __future__ import annotations

from schemas.grant_operations import Commit, GrantChange, GrantState, Redecide, Release, TakeBack
from schemas.results import GrantOutcome, Outcome
from transforms.budget.memory_accounts import is_valid


def is_in_range(change: GrantChange) -> bool:
    """Whether an amount can be meant at all."""
    if isinstance(change, Redecide | Release) or change.amount is None:
        return True
    nothing = isinstance(change, Commit) and type(change.amount) is int and change.amount == 0
    return nothing or is_valid(change.amount)


def refusal(change: GrantChange, state: GrantState) -> GrantOutcome:
    """Why a grant that was approved cannot be changed so; `APPLIED` if it can."""
    if isinstance(change, TakeBack):
        return GrantOutcome.ABOVE if (change.amount or 1) > state.stands else GrantOutcome.APPLIED
    if state.outcome is Outcome.GRANTED:
        return GrantOutcome.NOT_HELD
    amount = (change.amount or 0) if isinstance(change, Commit) else 0
    if amount > state.amount:
        return GrantOutcome.ABOVE
    if state.outcome is Outcome.HELD:
        return GrantOutcome.ABOVE if amount > state.stands else GrantOutcome.APPLIED
    if state.ended_by == "due":
        return GrantOutcome.DUE
    committed = state.outcome is Outcome.COMMITTED
    return GrantOutcome.ALREADY_COMMITTED if committed else GrantOutcome.ALREADY_RELEASED
