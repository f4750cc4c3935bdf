"""Publish what was settled, then tell ledger and outbox that it is out: the second half of the local order.

A repeated answer is published only while its log entry is still marked, and then as the log has it. Nothing is
unmarked before the sink has confirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import apache_beam as beam
from apache_beam.pvalue import PCollection

from schemas.grants import RECORDS, Settled, settled_in_order
from schemas.order_keys import OrderKey
from transforms.budget.ports import LogEntry
from transforms.metrics import Count, count
from transforms.settle_budgets import LedgerAddress


class Sink(Protocol):
    """Where grants and denials go; picklable, connects when first used."""

    def send(self, kind: str, records: Sequence[dict[str, Any]]) -> None:
        """Hand over records of one kind ("grant", "denial", "reversal"); they may still be on their way."""
        ...

    def confirm(self) -> None:
        """Return when everything handed over has arrived.

        Raises:
          PublishError: something did not.
        """
        ...


OnPublished = Callable[[Sequence[OrderKey]], None]
"""Told the keys of proposals that are settled and published; deletes them from an outbox where there is one."""


class PublishSettled(beam.PTransform):  # type: ignore[misc]
    """Publish lists of Settled; nothing follows."""

    def __init__(self, sink: Sink, ledger: LedgerAddress, on_published: OnPublished) -> None:
        super().__init__()
        self._sink, self._ledger, self._on_published = sink, ledger, on_published

    def expand(self, settled: PCollection[list[Settled]]) -> PCollection[None]:
        publish = _PublishSettledFn(self._sink, self._ledger, self._on_published)
        return settled | "PublishBatch" >> beam.ParDo(publish)


class _PublishSettledFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, sink: Sink, ledger: LedgerAddress, on_published: OnPublished) -> None:
        self._sink, self._ledger, self._on_published = sink, ledger, on_published
        self._sent: list[list[Settled]] = []

    def start_bundle(self) -> None:
        self._sent = []

    def process(self, batch: list[Settled]) -> Iterator[Any]:
        count(Count.RECORDS_PUBLISHED, send(self._sink, self._ledger, batch))
        self._sent.append(batch)
        yield from ()

    def finish_bundle(self) -> None:
        self._sink.confirm()
        for batch in self._sent:
            note_published(self._ledger, batch, self._on_published)
        self._sent = []


def send(sink: Sink, ledger: LedgerAddress, batch: Sequence[Settled]) -> int:
    """Hand a batch's records to the sink; returns how many."""
    waiting = [settled for settled in batch if not settled.decision.repeated]
    logged: set[str] = set()
    for settled in batch:
        entry = settled.decision.entry
        if settled.decision.repeated and settled.decision.unpublished and entry not in logged:
            logged.add(entry)
            waiting += _as_logged(ledger, settled.request.tenant, entry)
    return send_settled(sink, waiting)


def send_settled(sink: Sink, batch: Sequence[Settled]) -> int:
    """Hand the records of all answers to the sink; returns how many."""
    sent = 0
    for kind, records_of in RECORDS.items():
        records = [record for settled in batch for record in records_of(settled)]
        sink.send(kind, records)
        sent += len(records)
    return sent


def _as_logged(ledger: LedgerAddress, tenant: str, entry: str) -> list[Settled]:
    """What an earlier call decided for the first time, from the log."""
    found = ledger(tenant).entry(entry)
    if found is None:
        return []
    return logged(found)


def logged(entry: LogEntry) -> list[Settled]:
    """What a call decided for the first time, and what it brought about beside."""
    told = settled_in_order(entry.requests, entry.decisions) + [Settled(*pair) for pair in entry.also]
    return [settled for settled in told if not settled.decision.repeated]


def note_published(ledger: LedgerAddress, batch: Sequence[Settled], on_published: OnPublished) -> None:
    """Unmark the batch's log entries and delete its proposals from the outbox."""
    by_tenant: dict[str, set[str]] = {}
    for settled in batch:
        if settled.decision.unpublished and settled.decision.entry:
            by_tenant.setdefault(settled.request.tenant, set()).add(settled.decision.entry)
    for tenant, entries in by_tenant.items():
        ledger(tenant).unmark(sorted(entries))
    on_published([settled.request.key for settled in batch])
