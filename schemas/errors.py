"""The one tree of exceptions: bad data, weather and bugs. Business outcomes are enums (schemas/results.py).

The class decides the treatment, never the message: `InvalidInputError` is never retried, `TransientError` always
with the same ids, `InvariantError` crashes the bundle.
"""

from __future__ import annotations

from typing import Any


class IncentiveError(Exception):
    """Base of every exception this project raises on purpose.

    Subclasses with more than a message override `__reduce__` through `_fields`, so that each one pickles: Beam
    carries exceptions between processes.
    """

    _fields: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._fields:
            return type(self), tuple(getattr(self, name) for name in self._fields)
        return type(self), self.args


class InvalidInputError(IncentiveError):
    """Input that will never become right by trying again."""


class InvalidEventError(InvalidInputError):
    """An input that is no event: it becomes a dead letter with this reason.

    Attributes:
      reason: a value of `schemas.dead_letters.DeadLetterReason`.
    """

    _fields = ("reason", "detail")

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class SchemaError(InvalidInputError):
    """An Avro schema, or a declaration of attributes, that cannot be used."""


class CampaignFileError(InvalidInputError):
    """One or more mistakes in a folder of campaign files; the message lists all of them, a line each."""

    _fields = ("problems",)

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class ExpressionError(InvalidInputError):
    """A condition or an amount that does not parse, does not type-check or is refused; position 1-based in its text."""

    _fields = ("message", "line", "column")

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


class UsageError(InvalidInputError):
    """A command that was called with what cannot work; the message says what would."""


class VersionConflictError(IncentiveError):
    """Something was changed since it was read, and nothing was written: read it again, then decide again."""


class ChangeRefusedError(IncentiveError):
    """An operator's change that was not made; the message says why, and what could be."""


class LedgerBusyError(IncentiveError):
    """The ledger could not be read whole, because it decides: read it again, or freeze it for the moment."""


class DeadLetterLimitError(IncentiveError):
    """Too many inputs in a row, or too large a share, are no events: the job stops instead of draining its source."""


class TransientError(IncentiveError):
    """Weather: the same call may succeed later, and must be repeated with the same ids."""


class LedgerUnavailableError(TransientError):
    """No answer from the ledger: decisions may or may not exist. Ask again, same ids; grant nothing meanwhile."""


class StateUnavailableError(TransientError):
    """No answer from the server that keeps the users' state."""


class RegistryUnavailableError(TransientError):
    """No answer from the server that keeps the registry of campaigns."""


class ServerRefusesError(IncentiveError):
    """Redis or Valkey refuses what we need, and time does not mend that; the message says what would be right."""


class PublishError(TransientError):
    """The broker did not acknowledge a message."""


class InvariantError(IncentiveError):
    """A promise of the code itself is broken: a bug, never the input's fault."""
