"""The ledger's port and what every store behind it owes (docs/contracts/ledger.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from schemas.grant_operations import GrantAnswer, GrantOperation, GrantState, Redecide, TakeBack
from schemas.operations import AuditEntry, Move, Operation, OperationAnswer
from schemas.pacing import is_valid_pace
from schemas.proposals import (
    AMOUNT_LIMIT,
    CAP_LIMIT,
    AccountSnapshot,
    AccountSpec,
    Decision,
    GrantRequest,
    LimitSpec,
    Occurrence,
    Proposal,
    Request,
    Reversal,
    unpacked_route,
)
from schemas.results import Outcome, WhenFull
from transforms.budget.floors import Floors

BATCH_MAX = 250
"""Requests in one call: more would block the server for too long."""

OPERATION_ID_BYTES_MAX = 128

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
      - Use never passes a cap, unless the cap was lowered below the use. A pace loosens no cap.
      - Whatever changes an account or moves budget between accounts is in the audit, written in the same step.
      - What was answered is kept as long as the server keeps its append-only file.
    """

    def define(
        self,
        accounts: Sequence[AccountSpec],
        who: str = "",
        why: str = "",
        expected: Sequence[tuple[str, int]] = (),
    ) -> int:
        """Make accounts, or change their limits; use, pauses and closed states stay. Idempotent, audited.

        Args:
          expected: (account, version) that must hold, 0 = there is none.

        Returns:
          How many accounts were made or changed.

        Raises:
          VersionConflictError: an account is at another version than expected; nothing was changed.
          ValueError: a user's limit that closes, a cap out of 0 .. 2^52, two limits per period, a pace that cannot be.
        """
        ...

    def operate(self, operation: Operation) -> OperationAnswer:
        """Make an operator's change, whole or not at all; what it changes is in force for the next request.

        Never needed twice: asked again with its id, the first answer is given again, marked `repeated`, whatever
        happened since. Done while the root is frozen too.

        Raises:
          LedgerUnavailableError: no answer; it may or may not have happened. Ask again with the same id.
          ValueError: no id, nobody or no reason; a move from an account to itself.
        """
        ...

    def change_grant(self, operation: GrantOperation) -> GrantAnswer:
        """Make an operator's change of one grant, whole or not at all, after the holds that are due by the greatest
        time the root has seen. Never needed twice, as `operate`. What came of it stands in the log, marked unpublished.

        Raises:
          LedgerUnavailableError: no answer, as of `operate`. Also while the root is frozen; then nothing is done.
          ValueError: no id, nobody or no reason; a reversal that gives back what nobody can, or of nobody's grant; an
            entry that is no number.
        """
        ...

    def occurrences(self, grant_id: bytes) -> list[Occurrence]:
        """The names under which grants of this id are recorded; it reads the names of all records. For people."""
        ...

    def grant_state(self, grant: Occurrence) -> GrantState | None:
        """How a grant stands; None if nothing is decided of it: a refused list is not recorded by its grants."""
        ...

    def told_of(self, grant_id: bytes) -> Iterator[LogEntry]:
        """The log entries that name a grant, newest first; reads the log as it is asked for. For people."""
        ...

    def audit(self) -> Iterator[AuditEntry]:
        """Every change of an account and of the root, newest first, read as it is asked for; decisions: the log."""
        ...

    def frozen(self) -> str | None:
        """Why the root is frozen; None if it is not."""
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
          LedgerUnavailableError: no answer; the decisions may or may not exist. Ask again with the same ids. Also while
            the root is frozen; then nothing exists.
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
          LedgerUnavailableError: no answer; what it may have ended stands in the log, marked unpublished. Also while
            the root is frozen; then nothing ends.
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

    def drop(self, floors: Floors) -> None:
        """Raise the floors, and forget what lies below them as a whole. Idempotent; a floor never falls.

        A campaign's floor stays at the generation of a hold that has not ended. What lies below a floor is denied
        `too_old` from now on, reversals too; a reversal takes nothing of an occurrence there, and gives nothing back to
        a slice of time there. Accounts and their totals stay.

        Raises:
          LedgerUnavailableError: no answer; some of it may be done. Ask again.
        """
        ...

    def floors(self) -> Floors | None:
        """What has been dropped so far; None = nothing, as in a fresh ledger."""
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
            if limit.pace is not None and (limit.period != "total" or limit.amount is None):
                raise ValueError(f"{account.name}: a pace needs a cap on amounts in total")
            if limit.pace is not None and not is_valid_pace(limit.pace):
                raise ValueError(f"{account.name}: no pace can be {limit.pace}")
            if not _is_valid_cooldown(limit):
                raise ValueError(f"{account.name}: {COOLDOWN} has a cooldown_ms of 1 to {CAP_LIMIT} and nothing else")


def _is_valid_cooldown(limit: LimitSpec) -> bool:
    if limit.period != COOLDOWN:
        return limit.cooldown_ms is None
    alone = limit.grants is None and limit.amount is None and limit.when_full is WhenFull.SKIP
    return alone and limit.cooldown_ms is not None and 1 <= limit.cooldown_ms <= CAP_LIMIT


def require_valid_operation(operation: Operation) -> None:
    """Raise ValueError for an operation that nobody can answer for."""
    _require_signed(operation)
    if isinstance(operation.change, Move) and operation.change.source == operation.change.target:
        raise ValueError(f"nothing moves from {operation.change.source} to itself")


def require_valid_grant_operation(operation: GrantOperation) -> None:
    """Raise ValueError for an operation on a grant that nobody can answer for."""
    _require_signed(operation)
    change = operation.change
    if isinstance(change, TakeBack):
        _require_known_places(change.gives_back)
        if not change.user:
            raise ValueError("a reversal says whose grant it takes back")
    if isinstance(change, Redecide) and not change.entry.isdecimal():
        raise ValueError(f"a log entry is a number, not {change.entry!r}")


def _require_signed(operation: Operation | GrantOperation) -> None:
    if not 1 <= len(operation.operation_id.encode()) <= OPERATION_ID_BYTES_MAX:
        raise ValueError(f"an operation's id has 1 to {OPERATION_ID_BYTES_MAX} bytes, not {operation.operation_id!r}")
    if not operation.who.strip() or not operation.why.strip():
        raise ValueError("an operation says who and why")


def refused_proposal(entry: LogEntry, grant: Occurrence) -> Proposal | None:
    """The proposal that a log entry tells to be refused, one of whose grants is this one."""
    name = (grant.campaign, grant.generation, grant.grant_id)
    for request, decision in zip(entry.requests, entry.decisions, strict=True):
        is_recorded = decision.outcome is Outcome.DENIED and decision.entry == entry.entry and not decision.repeated
        if not is_recorded or not isinstance(request, Proposal):
            continue
        if any(_name(one) == name for offer in request.offers for one in offer.grants):
            return request
    return None


def require_valid_batch(requests: Sequence[Request], tenant: str) -> None:
    """Raise ValueError for a batch that no store may decide."""
    if len(requests) > BATCH_MAX:
        raise ValueError(f"{len(requests)} requests in one call; at most {BATCH_MAX}")
    routes: set[bytes] = set()
    for request in requests:
        if request.tenant != tenant:
            raise ValueError(f"a request of {request.tenant!r} at the root {tenant!r}")
        if isinstance(request, Proposal):
            offers = request.offers
            if len(offers) == 1 and len(offers[0].grants) == 1:
                routes.add(offers[0].grants[0].route)
            else:
                _require_valid_offers(request)
                routes |= {grant.route for offer in offers for grant in offer.grants}
        else:
            _require_valid_reversal(request)
    for route in routes:
        cost = _wrong_cost(route)
        if cost is not None:
            raise ValueError(f"a cost is from 1 to {AMOUNT_LIMIT - 1}, not {cost}")
        share = _wrong_share(route)
        if share is not None:
            raise ValueError(f"a share is x of y, 0 < x < y < {AMOUNT_LIMIT}, beside no cost, not {share}")


def _require_valid_offers(proposal: Proposal) -> None:
    if not proposal.offers:
        raise ValueError("a proposal has offers")
    for offer in proposal.offers:
        if not offer.grants:
            raise ValueError("an offer has grants")
        if len(offer.grants) > 1 and len({_name(grant) for grant in offer.grants}) < len(offer.grants):
            raise ValueError("an offer has a grant twice")


@lru_cache(maxsize=10_000)
def _wrong_cost(route: bytes) -> int | None:
    costs = [charge.cost for charge in unpacked_route(route).charges if charge.cost is not None]
    return next((cost for cost in costs if not 1 <= cost < AMOUNT_LIMIT), None)


@lru_cache(maxsize=10_000)
def _wrong_share(route: bytes) -> tuple[int, int] | None:
    for charge in unpacked_route(route).charges:
        share = charge.share
        if share is not None and (charge.cost is not None or not 0 < share[0] < share[1] < AMOUNT_LIMIT):
            return share
    return None


def _name(grant: GrantRequest) -> tuple[str, str, bytes]:
    return grant.campaign, grant.generation, grant.grant_id


def _require_valid_reversal(reversal: Reversal) -> None:
    if (reversal.share is None) == (reversal.amount is None):
        raise ValueError("a reversal is by share or by amount")
    if reversal.share is not None and not 0 < reversal.share[0] <= reversal.share[1] < AMOUNT_LIMIT:
        raise ValueError(f"a share is x of y, 0 < x <= y < {AMOUNT_LIMIT}, not {reversal.share}")
    if reversal.amount is not None and not 1 <= reversal.amount <= CAP_LIMIT:
        raise ValueError(f"a reversal takes from 1 to {CAP_LIMIT}, not {reversal.amount}")
    _require_known_places(reversal.gives_back)


def _require_known_places(gives_back: Sequence[str]) -> None:
    if not set(gives_back) <= {"budget", "limits", "lock"}:
        raise ValueError(f"nobody can give back {gives_back}")
