"""Change a budget: see what a change would do, make it once, and say in words what became of it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from pydantic import ValidationError

from runners.ops.budgets import differences, named, period_text
from schemas.campaign_parts import Active
from schemas.campaigns import PaceParts
from schemas.errors import ChangeRefusedError, UsageError
from schemas.grants import rfc3339
from schemas.operations import Move, Operation, OperationAnswer, SetCap, SetPace, Terms
from schemas.proposals import CAP_LIMIT, AccountSnapshot, AccountSpec, Pace
from schemas.results import OperationOutcome
from transforms.budget.memory_accounts import Account, Accounts, Count
from transforms.budget.memory_operations import Operations
from transforms.budget.ports import Ledger, require_valid_operation
from transforms.language.accounts import pace_over


class Preview(NamedTuple):
    """What a change would do, had it been made of the accounts as they stood when they were looked at.

    Attributes:
      outcome: what would become of it. changes: per account what would become other.
      operation: to be sent: it expects the accounts at the versions that were looked at.
    """

    outcome: OperationOutcome
    changes: dict[str, list[str]]
    operation: Operation


def preview(ledger: Ledger, operation: Operation) -> Preview:
    """By the model's own rules, on the accounts as they stand; nothing is changed.

    Raises:
      UsageError: an account that is not there; nobody, or no reason.
    """
    try:
        require_valid_operation(operation)
    except ValueError as error:
        raise UsageError(str(error)) from None
    snapshot = ledger.snapshot()
    before = {account.name: account for account in named(snapshot, operation.accounts)} if operation.accounts else {}
    accounts = _modelled(snapshot)
    outcome = Operations(accounts).operate(msgspec.structs.replace(operation, expected=()), b"").outcome
    changes = {}
    for account in accounts.snapshot({}):
        if account.name in before:
            changes[account.name] = differences(_terms(before[account.name]), _terms(account))
    expected = tuple((name, account.version) for name, account in before.items())
    return Preview(outcome, changes, msgspec.structs.replace(operation, expected=operation.expected or expected))


def _terms(account: AccountSnapshot) -> Terms:
    return Terms(AccountSpec(account.name, None, account.unit, account.limits), account.state)


def _modelled(snapshot: list[AccountSnapshot]) -> Accounts:
    accounts = Accounts()
    for one in snapshot:
        counts = {(use.period, use.start_ms): Count(use.grants, use.amount, use.closed) for use in one.uses}
        accounts.by_name[one.name] = Account(_terms(one).spec, one.version, one.paused, counts)
    return accounts


def require_applied(operation: Operation, answer: OperationAnswer) -> None:
    """Raise ChangeRefusedError for an operation that did not happen, saying why and what would."""
    if answer.conflicting:
        raise ChangeRefusedError(
            f"another change was made under the id {operation.operation_id!r}, and that one stands"
        )
    refusal = refusal_text(operation, answer.outcome)
    if refusal is not None:
        raise ChangeRefusedError(refusal)


def refusal_text(operation: Operation, outcome: OperationOutcome) -> str | None:
    """Why not, and what would; None if it is applied."""
    accounts = " and ".join(operation.accounts)
    if outcome is OperationOutcome.OUT_OF_RANGE:
        return _range_text(operation)
    if outcome is OperationOutcome.ACCOUNT_UNKNOWN:
        return f"no account {accounts}; `incentives budget list` names them"
    if outcome is OperationOutcome.VERSION_CONFLICT:
        return f"{accounts} was changed since it was looked at; look again, then decide"
    if outcome is OperationOutcome.NO_SUCH_LIMIT:
        return _limit_text(operation)
    if outcome is OperationOutcome.UNITS_DIFFER:
        if isinstance(operation.change, Move):
            return f"{accounts} count in different units"
        return f"{accounts} has no unit, so amounts cannot be capped; name one in its file"
    if outcome is OperationOutcome.WRONG_DIRECTION:
        return f"that does not {operation.what} the cap of {accounts}; `budget set` goes both ways"
    if outcome is OperationOutcome.NOT_LEFT:
        source, target = operation.accounts
        return f"not so much is left of {source}, or the cap of {target} would pass {CAP_LIMIT:,}"
    return None


def _range_text(operation: Operation) -> str:
    if isinstance(operation.change, SetPace):
        return "a pace spans at most ten years, with an hour in it that has a share above 0"
    return f"right would be a whole number from {int(isinstance(operation.change, Move))} to {CAP_LIMIT:,}"


def _limit_text(operation: Operation) -> str:
    accounts, change = " and ".join(operation.accounts), operation.change
    if isinstance(change, SetCap):
        per = period_text(change.period)
        return f"{accounts} has no limit {per}: name it in its file, so that the engine counts by it"
    return f"{accounts}: a pace and a move need a cap on the amount in total; set it first"


def pace_for(
    account: AccountSnapshot, parts: dict[str, object], start: str | None, end: str | None, zone: str | None
) -> Pace:
    """A pace in the words of a file; span and zone that are not said are those of the pace that the account has.

    Raises:
      UsageError: what is said cannot be a pace.
    """
    known = next((limit.pace for limit in account.limits if limit.period == "total"), None)
    span = {
        "from": start or (rfc3339(known.start_ms) if known else None),
        "to": end or (rfc3339(known.end_ms) if known else None),
        "zone": zone or (known.zone if known else "UTC"),
    }
    try:
        active = Active.model_validate({name: value for name, value in span.items() if value is not None})
        return pace_over(PaceParts.model_validate(parts), active)
    except ValidationError as error:
        raise UsageError(error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")) from None
    except ValueError:
        raise UsageError(
            "the pace needs its span, e.g. --from 2017-03-01 --to 2017-06-01, the first before the last"
        ) from None
