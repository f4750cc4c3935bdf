"""Outcomes of a decision and the reasons of a refusal, in documented precedence.

A refusal names the first reason that applies, from the top of `Reason` down; within one reason the accounts are asked
from the tenant down to the campaign, and an account's limits in the order of its file. A grant that a user may not
have, or that a parent refuses, therefore never closes a campaign.
"""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What the ledger said."""

    GRANTED = "granted"
    DENIED = "denied"
    HELD = "held"
    COMMITTED = "committed"
    RELEASED = "released"
    REVERSED = "reversed"
    UNCHANGED = "unchanged"


class Reason(StrEnum):
    """Why the ledger refused, first applicable reason first.

    Every refusal but `TOO_OLD` and `INVALID_AMOUNT` is recorded and spends its id: asked again, the answer is the same,
    also after a cap was raised.
    """

    TOO_OLD = "too_old"
    """Its records, or those of a slice of time it would be charged to, are older than anything that may still come, and
    were dropped: it may have been decided, and is never decided anew. Recorded nowhere."""

    INVALID_AMOUNT = "invalid_amount"
    """An amount below 1 or at or above 10^14 minor units: a contradictory request, recorded nowhere."""

    REVERSED = "reversed"
    """It was taken back, whole, before it came."""

    ACCOUNT_UNKNOWN = "account_unknown"
    """An account of the path is not in the ledger: `incentives campaign apply` has not made it."""

    PAUSED = "paused"
    """An operator has paused an account of the path."""

    CLOSED = "closed"
    """An account, or the slice of time the grant falls into, was closed by a grant that did not fit."""

    LOCKED = "locked"
    """Another offer of the group has been taken by this user in this window."""

    COOLDOWN = "cooldown"
    """The user's last grant is not long enough ago."""

    USER_GRANTS = "user_grants"
    """The user has had as many grants as a limit `per: user ...` allows."""

    USER_AMOUNT = "user_amount"
    """The grant does not fit into what is left of the user's amount (cut to nothing, or not cut)."""

    GRANTS = "grants"
    """The account, or its slice of time, has given as many grants as its limit allows."""

    AMOUNT = "amount"
    """The grant does not fit into what is left of the account's amount (cut to nothing, or not cut)."""

    PACED = "paced"
    """It fits the account's cap, but not yet the part of it that the pace has let go by the event's time."""


class OperationOutcome(StrEnum):
    """What became of an operator's change, first applicable outcome first.

    Every outcome but `OUT_OF_RANGE` is recorded and spends the operation's id: asked again, the answer is the same.
    """

    OUT_OF_RANGE = "out_of_range"
    """A number that is no integer from 0 to 2^52 (a move: from 1), or a pace that cannot be: recorded nowhere."""

    ACCOUNT_UNKNOWN = "account_unknown"
    """The ledger has no such account: `incentives campaign apply` makes them."""

    VERSION_CONFLICT = "version_conflict"
    """The account is at another version than the operator has seen."""

    NO_SUCH_LIMIT = "no_such_limit"
    """The account has no limit per this period, so nothing counts by it (its file must name it first); or it has no
    cap on amounts in total, which a pace and a move need."""

    UNITS_DIFFER = "units_differ"
    """The two budgets count in different units; or an account without a unit is to cap amounts."""

    WRONG_DIRECTION = "wrong_direction"
    """To be raised, but the cap is not below that; to be lowered, but it is not above."""

    NOT_LEFT = "not_left"
    """More is to be moved than is left of the source's cap, or than the target's cap can rise to 2^52."""

    APPLIED = "applied"
    """The change is in force."""


class GrantOutcome(StrEnum):
    """What became of an operator's change of one grant, first applicable outcome first.

    Every outcome but `OUT_OF_RANGE` and `UNKNOWN` is recorded and spends the operation's id: asked again, the answer is
    the same.
    """

    OUT_OF_RANGE = "out_of_range"
    """An amount that is no integer from 0 (a reversal: from 1) to 10^14 - 1: recorded nowhere."""

    UNKNOWN = "unknown"
    """The ledger has decided no such grant; to decide it again, or the log has not what was asked. Recorded nowhere."""

    DENIED = "denied"
    """It was refused: there is nothing to commit, to release or to take back."""

    NOT_DENIED = "not_denied"
    """To be decided again: it is not refused, or not by the refusal that was named."""

    TAKEN_BACK = "taken_back"
    """To be decided again: it was taken back, whole, before it came."""

    NOT_HELD = "not_held"
    """To be committed or released: it was granted at once."""

    ABOVE = "above"
    """More than was approved; or more than stands of it, to be taken back or while it is held."""

    ALREADY_COMMITTED = "already_committed"
    """An operator has committed the hold."""

    ALREADY_RELEASED = "already_released"
    """An operator has released the hold, or nothing was left of it."""

    DUE = "due"
    """The hold's due time came first, and it came to its stated end."""

    APPLIED = "applied"
    """It is done."""


class WhenFull(StrEnum):
    """What happens to a grant that does not fit a limit."""

    SKIP = "skip"
    """Deny it; a smaller one may fit later."""

    CUT = "cut"
    """Give what is left; nothing left is a denial."""

    CLOSE = "close"
    """Deny it whole and close the account (a limit in total) or its slice of time (a limit per period)."""


class Rounding(StrEnum):
    """How an exact product becomes an integer amount; by magnitude, once."""

    FLOOR = "floor"
    HALF_UP = "half-up"
    HALF_EVEN = "half-even"
