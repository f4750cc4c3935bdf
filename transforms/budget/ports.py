"""The ledger's port and what every store behind it owes (docs/contracts/ledger.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from schemas.proposals import (
    AMOUNT_LIMIT,
    CAP_LIMIT,
    AccountSnapshot,
    AccountSpec,
    Decision,
    GrantRequest,
    LimitSpec,
    Proposal,
    Request,
    Reversal,
    unpacked_route,
)
from schemas.results import WhenFull

BATCH_MAX = 250
"""Requests in one call: more would block the server for too long."""

COOLDOWN = "user/cooldown"
"""The period of a cool-down: what is kept of it is a time, not a count."""


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
        that fits is taken; one of which a grant's id is spent by a refusal, or was wholly reversed before it came, is
        passed over. The grant of a one-grant offer is first cut to the least that every `cut` limit has left. A refused
        offer whose refusing limit says `close` closes it.

        A reversal finds grants of the same batch too. It gives back to the counters that its grant was charged to,
        whatever the campaign says now; closed accounts stay closed.

        Args:
          requests: at most BATCH_MAX of this root.

        Returns:
          One decision per request, in the same order; a refusal's reason is the first that applies in `Reason`'s order.
          A hold asked again answers as it stands: held, or the end it came to.

        Raises:
          LedgerUnavailableError: no answer; the decisions may or may not exist. Ask again with the same ids.
          ValueError: more than BATCH_MAX requests, of another root, or contradictory in themselves.

        Does not guarantee: fairness between users; that an unanswered call left no trace: what it brought about beside
        its answers is then told by the log alone; a bound on the holds that end in one call (call `mature` before).
        """
        ...

    def mature(self, until_ms: int) -> list[tuple[Request, Decision]]:
        """Bring the holds due at or before an instant to their end (at most BATCH_MAX a call, oldest first; [] = done).

        The root has then seen the instant: holds due by it, whenever they are made, end before the next request.

        Args:
          until_ms: event time, never a clock's.

        Raises:
          LedgerUnavailableError: no answer; what it may have ended stands in the log, marked unpublished.
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
        self, batches: Iterable[Sequence[Request]]
    ) -> Iterator[tuple[Sequence[Request], list[Decision]]]:
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
            if not _is_valid_cooldown(limit):
                raise ValueError(f"{account.name}: {COOLDOWN} has a cooldown_ms of 1 to {CAP_LIMIT} and nothing else")


def _is_valid_cooldown(limit: LimitSpec) -> bool:
    if limit.period != COOLDOWN:
        return limit.cooldown_ms is None
    alone = limit.grants is None and limit.amount is None and limit.when_full is WhenFull.SKIP
    return alone and limit.cooldown_ms is not None and 1 <= limit.cooldown_ms <= CAP_LIMIT


def require_valid_batch(requests: Sequence[Request], tenant: str) -> None:
    """Raise ValueError for a batch that no store may decide."""
    if len(requests) > BATCH_MAX:
        raise ValueError(f"{len(requests)} requests in one call; at most {BATCH_MAX}")
    for request in requests:
        if request.tenant != tenant:
            raise ValueError(f"a request of {request.tenant!r} at the root {tenant!r}")
        if isinstance(request, Proposal):
            _require_valid_proposal(request)
        else:
            _require_valid_reversal(request)


def _require_valid_proposal(proposal: Proposal) -> None:
    if not proposal.offers:
        raise ValueError("a proposal has offers")
    for offer in proposal.offers:
        if not offer.grants:
            raise ValueError("an offer has grants")
        if len(offer.grants) > 1 and len({_name(grant) for grant in offer.grants}) < len(offer.grants):
            raise ValueError("an offer has a grant twice")
        for grant in offer.grants:
            cost = _wrong_cost(grant.route)
            if cost is not None:
                raise ValueError(f"a cost is from 1 to {AMOUNT_LIMIT - 1}, not {cost}")


@lru_cache(maxsize=10_000)
def _wrong_cost(route: bytes) -> int | None:
    costs = [charge.cost for charge in unpacked_route(route).charges if charge.cost is not None]
    return next((cost for cost in costs if not 1 <= cost < AMOUNT_LIMIT), None)


def _name(grant: GrantRequest) -> tuple[str, str, bytes]:
    return grant.campaign, grant.generation, grant.grant_id


def _require_valid_reversal(reversal: Reversal) -> None:
    if (reversal.share is None) == (reversal.amount is None):
        raise ValueError("a reversal is by share or by amount")
    if reversal.share is not None and not 0 < reversal.share[0] <= reversal.share[1] < AMOUNT_LIMIT:
        raise ValueError(f"a share is x of y, 0 < x <= y < {AMOUNT_LIMIT}, not {reversal.share}")
    if reversal.amount is not None and not 1 <= reversal.amount <= CAP_LIMIT:
        raise ValueError(f"a reversal takes from 1 to {CAP_LIMIT}, not {reversal.amount}")
    if not set(reversal.gives_back) <= {"budget", "limits", "lock"}:
        raise ValueError(f"nobody can give back {reversal.gives_back}")
