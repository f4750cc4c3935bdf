"""The ledger's port and what every store behind it owes (docs/contracts/ledger.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from schemas.proposals import AMOUNT_LIMIT, CAP_LIMIT, AccountSnapshot, AccountSpec, Decision, Proposal, Request
from schemas.results import WhenFull

BATCH_MAX = 250
"""Proposals in one call: more would block the server for too long."""


class LogEntry(NamedTuple):
    """One call's decisions as the log keeps them, requests and answers in the order of the call.

    A call without requests has none; what it brought about stands in `also`, which is empty otherwise.
    """

    entry: str
    requests: list[Request]
    decisions: list[Decision]
    also: tuple[tuple[Request, Decision], ...] = ()


class Ledger(Protocol):
    """The accounts and decisions of one root (a tenant).

    Obligations of a store:
      - `decide` is one atomic step: each proposal is checked whole against all its accounts before anything of it is
        written, in the order given; killed at any moment, a call has happened or it has not.
      - An id is decided once. Asked again, the first answer is given again, marked `repeated`, whatever was raised,
        lowered or defined meanwhile.
      - Use never passes a cap, unless the cap was lowered below the use.
      - What was answered is kept as long as the server keeps its append-only file.
    """

    def define(self, accounts: Sequence[AccountSpec], who: str = "") -> int:
        """Make accounts, or change their limits; use and closed states stay. Idempotent, audited.

        Returns:
          How many accounts were made or changed.

        Raises:
          ValueError: a user's limit that closes, a cap out of 0 .. 2^52, two limits per period.
        """
        ...

    def decide(self, requests: Sequence[Request]) -> list[Decision]:
        """Decide each request in order: all of a proposal's limits allow it, or nothing is written for it.

        Before each, the holds that are due by the greater of its time and the greatest time the root has seen come to
        their end, in OrderKey order (the due time, kind TIMER, else the proposal's own key).

        A list of which a grant is made already ends with that answer. Else offers are tried in their order, the first
        that fits is taken; one of which a grant's id is spent by a refusal is passed over. The grant of a one-grant
        offer is first cut to the least that every `cut` limit has left. A refused offer whose refusing limit says
        `close` closes it.

        Args:
          requests: at most BATCH_MAX of this root.

        Returns:
          One decision per request, in the same order; a refusal's reason is the first that applies in `Reason`'s order.

        Raises:
          LedgerUnavailableError: no answer; the decisions may or may not exist. Ask again with the same ids.
          ValueError: more than BATCH_MAX requests, or of another root.

        Does not guarantee: fairness between users; that an unanswered call left no trace.
        """
        ...

    def mature(self, until_ms: int) -> list[tuple[Request, Decision]]:
        """Bring the holds due at or before an instant to their end (at most BATCH_MAX a call, oldest first; [] = done).

        Args:
          until_ms: event time, never a clock's.
        """
        ...

    def unmark(self, entries: Sequence[str]) -> None:
        """Note that everything in these log entries is published. Idempotent; unknown entries are no error."""
        ...

    def unpublished(self, limit: int) -> list[LogEntry]:
        """At most `limit` entries that are still marked, oldest first."""
        ...

    def entry(self, entry: str) -> LogEntry | None:
        """One entry of the log; None if there is none (any more)."""
        ...

    def snapshot(self) -> list[AccountSnapshot]:
        """All accounts with their use, parents before children, names ascending."""
        ...


class LedgerInTurn(Ledger, Protocol):
    """A ledger that its one user need not wait for."""

    def decide_in_turn(
        self, batches: Iterable[Sequence[Proposal]]
    ) -> Iterator[tuple[Sequence[Proposal], list[Decision]]]:
        """`decide` each batch in its turn, and give it back with its decisions.

        One batch is always with the ledger while the caller uses the decisions on the one before. Raises as `decide`.
        """
        ...


def require_valid_accounts(accounts: Sequence[AccountSpec]) -> None:
    """Raise ValueError for limits that no store may keep."""
    for account in accounts:
        periods = [limit.period for limit in account.limits]
        if len(periods) != len(set(periods)):
            raise ValueError(f"{account.name} has two limits of one period")
        for limit in account.limits:
            if limit.period.startswith("user") and limit.when_full is WhenFull.CLOSE:
                raise ValueError(f"{account.name}: a user's limit closes nothing")
            if any(cap is not None and not 0 <= cap <= CAP_LIMIT for cap in (limit.grants, limit.amount)):
                raise ValueError(f"{account.name}: a cap is from 0 to {CAP_LIMIT}")


def require_valid_batch(proposals: Sequence[Proposal], tenant: str) -> None:
    """Raise ValueError for a batch that no store may decide."""
    if len(proposals) > BATCH_MAX:
        raise ValueError(f"{len(proposals)} proposals in one call; at most {BATCH_MAX}")
    for proposal in proposals:
        if proposal.tenant != tenant:
            raise ValueError(f"a proposal of {proposal.tenant!r} at the root {tenant!r}")
        if not proposal.offers or not all(offer.grants for offer in proposal.offers):
            raise ValueError("a proposal has offers, and an offer has grants")
        for offer in proposal.offers:
            for grant in offer.grants:
                for charge in grant.charges:
                    if charge.cost is not None and not 1 <= charge.cost < AMOUNT_LIMIT:
                        raise ValueError(f"a cost is from 1 to {AMOUNT_LIMIT - 1}, not {charge.cost}")
