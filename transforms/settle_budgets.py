"""Settle proposals against their budgets: carry the question to the ledger, and its answer back.

A decision is keyed by its ids, so a retried bundle settles once. Batches are made inside the bundle and flushed before
it ends; no step that holds elements over a commit stands between the engine and the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, Protocol

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindows

from schemas.grants import Settled, settled_in_order
from schemas.proposals import Decision, Request, decode_request
from schemas.results import Outcome
from transforms.advance_shards import decode_run, run_slice
from transforms.budget.ports import BATCH_MAX, Ledger, LedgerInTurn
from transforms.metrics import Count, count
from transforms.progress import Progress
from transforms.rare_collections import collect_rarely

BATCH = 100
"""Proposals a call: a server is blocked about a millisecond by it (docs/benchmarks.md)."""


RUN_BATCH = BATCH_MAX
"""Proposals a call where the settler has the server for itself: the dearer half of a call is shared by more of them."""


class LedgerAddress(Protocol):
    """How a worker reaches a tenant's ledger: small, picklable, connects when called."""

    def __call__(self, tenant: str) -> Ledger: ...


class LedgerInTurnAddress(Protocol):
    """A `LedgerAddress` for a single settler."""

    def __call__(self, tenant: str) -> LedgerInTurn: ...


class SettleProposals(beam.PTransform):  # type: ignore[misc]
    """From (tenant, encoded Proposal), as they come, to Settled."""

    def __init__(self, ledger: LedgerAddress) -> None:
        super().__init__()
        self._ledger = ledger

    def expand(self, proposals: PCollection[tuple[str, bytes]]) -> PCollection[list[Settled]]:
        return proposals | "SettleBudgets" >> beam.ParDo(_SettleBundleFn(self._ledger)).with_output_types(list[Settled])


class SettleRuns(beam.PTransform):  # type: ignore[misc]
    """From (tenant, run of requests), all of them, to Settled in OrderKey order: one settler a tenant.

    Args:
      until_ms: a singleton: where time ends; holds due up to then come to their end. None = nothing was read.
    """

    def __init__(self, ledger: LedgerInTurnAddress, progress: Progress, until_ms: Any) -> None:
        super().__init__()
        self._ledger, self._progress, self._until_ms = ledger, progress, until_ms

    def expand(self, runs: PCollection[tuple[str, bytes]]) -> PCollection[list[Settled]]:
        return (
            runs
            | "GroupByTenant" >> beam.GroupByKey()
            | "SettleBudgets"
            >> beam.ParDo(_SettleRunsFn(self._ledger, self._progress), self._until_ms).with_output_types(list[Settled])
        )


class _SettleBundleFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, ledger: LedgerAddress) -> None:
        self._address = ledger
        self._waiting: dict[str, list[Request]] = {}

    def start_bundle(self) -> None:
        self._waiting = {}

    def process(self, element: tuple[str, bytes]) -> Iterator[list[Settled]]:
        tenant, raw = element
        waiting = self._waiting.setdefault(tenant, [])
        waiting.append(decode_request(raw))
        if len(waiting) >= BATCH:
            yield self._settle(tenant)

    def finish_bundle(self) -> Iterator[Any]:
        for tenant in list(self._waiting):
            if self._waiting[tenant]:
                yield GlobalWindows.windowed_value(self._settle(tenant))

    def _settle(self, tenant: str) -> list[Settled]:
        proposals, self._waiting[tenant] = self._waiting[tenant], []
        return counted(settle(self._address(tenant).decide, proposals))


class _SettleRunsFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, ledger: LedgerInTurnAddress, progress: Progress) -> None:
        self._address, self._progress = ledger, progress

    def setup(self) -> None:
        collect_rarely()

    def process(self, element: tuple[str, Iterable[bytes]], until_ms: int | None) -> Iterator[list[Settled]]:
        tenant, runs = element
        ledger = self._address(tenant)
        for batch, decisions in ledger.decide_in_turn(ordered_batches(runs)):
            self._progress.add(len(batch))
            yield counted(settled_in_order(batch, decisions))
        while until_ms is not None and (ended := ledger.mature(until_ms)):
            yield counted([Settled(*pair) for pair in ended])


def settle(decide: Callable[[list[Request]], list[Decision]], requests: list[Request]) -> list[Settled]:
    """Ask once for all of them."""
    return settled_in_order(requests, decide(requests))


def counted(batch: list[Settled]) -> list[Settled]:
    """Tell the metrics what the ledger said; to be called on the bundle's own thread."""
    granted = repeated = conflicting = 0
    others: Counter[Outcome] = Counter()
    for settled in batch:
        decision = settled.decision
        if decision.repeated:
            repeated += 1
            conflicting += decision.conflicting
        elif decision.outcome is Outcome.GRANTED:
            granted += len(decision.amounts)
        else:
            others[decision.outcome] += 1
    count(Count.GRANTS_EMITTED, granted + others[Outcome.COMMITTED])
    count(Count.HOLDS_ENDED, others[Outcome.COMMITTED] + others[Outcome.RELEASED])
    for outcome, name in _COUNTED:
        count(name, others[outcome])
    count(Count.PROPOSALS_REPEATED, repeated)
    count(Count.PROPOSALS_CONFLICTING, conflicting)
    return batch


_COUNTED = (
    (Outcome.DENIED, Count.DENIALS_EMITTED),
    (Outcome.HELD, Count.HOLDS_MADE),
    (Outcome.REVERSED, Count.REVERSALS_EMITTED),
)


def ordered_batches(runs: Iterable[bytes]) -> Iterator[list[Request]]:
    """All runs' requests in OrderKey order, in batches; one slice of time is decoded at once."""
    by_slice: dict[int, list[bytes]] = {}
    for run in runs:
        by_slice.setdefault(run_slice(run), []).append(run)
    rest: list[Request] = []
    for number in sorted(by_slice):
        proposals = [proposal for run in by_slice.pop(number) for proposal in decode_run(run)]
        proposals.sort(key=attrgetter("key"))
        proposals = rest + proposals
        whole = len(proposals) // RUN_BATCH * RUN_BATCH
        for first in range(0, whole, RUN_BATCH):
            yield proposals[first : first + RUN_BATCH]
        rest = proposals[whole:]
    if rest:
        yield rest
