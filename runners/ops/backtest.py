"""Run a backtest: history through the engine and a throwaway ledger, and the numbers of its summary."""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipelines.backtest import BacktestInput, build_backtest
from runners import embedded
from runners.ledgers import RedisLedgerAddress
from runners.ops.budgets import account_row
from runners.ops.summary import CampaignSummary, Say, Summary
from schemas.errors import DeadLetterLimitError
from schemas.plans import PlanSet
from schemas.proposals import AccountSnapshot
from transforms.archive_records import RecordFiles
from transforms.dead_letter import DeadLetterLimit
from transforms.event_files import expand, read_users, split
from transforms.event_parser import EventParser
from transforms.keep import KeepFn, kept
from transforms.metrics import NAMESPACE, Count
from transforms.progress import progress_of
from transforms.rare_collections import rare_collections
from transforms.tally import CampaignTally, decode_tally

RECORDS = {"grants": "grant", "denials": "denial", "reversals": "reversal"}
"""Written also where there are none of them."""

PART_BYTES = 16 << 20

SHARED_BYTES = 64 << 20
"""From so many bytes of JSON lines on, a process a core shares in reading and advancing; their start takes seconds."""

PACKED = 8
"""Bytes of JSON lines that a byte of a compressed file stands for, about."""


@dataclass(frozen=True)
class BacktestRequest:
    """What to run.

    Attributes:
      events, users: paths or globs. out: folder for the results, made if missing.
      until_ms: where time ends, ms since the epoch; None = at the input's greatest event time.
    """

    events: Sequence[str]
    plan_set: PlanSet
    out: Path
    users: Sequence[str] = ()
    limit: DeadLetterLimit = DeadLetterLimit()
    until_ms: int | None = None


def run_backtest(request: BacktestRequest, say: Say | None = None) -> Summary:
    """Run it, write its files and summary.json, and return the summary.

    Args:
      say: called a few times a second while it works.

    Raises:
      UsageError: no file matches. DeadLetterLimitError: too much of the input is no event.
    """
    given = _input(request)
    request.out.mkdir(parents=True, exist_ok=True)
    for name, schema in RECORDS.items():
        RecordFiles(request.out, name, schema).close()
    with _throwaway_server() as url:
        address = RedisLedgerAddress(url)
        ledger = address(request.plan_set.tenant)
        ledger.define(request.plan_set.accounts)
        counts, tally, matched = _run(request, given, address, say)
        accounts = ledger.snapshot()
    summary = Summary(
        tenant=request.plan_set.tenant,
        events=counts,
        campaigns=_campaigns(request.plan_set, tally, matched, accounts),
        accounts=[account_row(account, account.uses[0]) for account in accounts],
        files=sorted(str(path) for path in request.out.iterdir() if path.suffix in (".jsonl", ".avro")),
    )
    encoded = msgspec.json.format(msgspec.json.encode(summary), indent=2)
    (request.out / "summary.json").write_bytes(encoded + b"\n")
    return summary


def _input(request: BacktestRequest) -> BacktestInput:
    parts = [part for path in expand(request.events) for part in split(path, PART_BYTES)]
    profiles: list[tuple[str, dict[str, Any]]] = []
    if request.users:
        parser = EventParser(request.plan_set.schema)
        profiles = [profile for path in expand(request.users) for profile in read_users(path, parser)]
    return BacktestInput(tuple(parts), tuple(profiles), (request.plan_set,), request.until_ms)


@contextmanager
def _throwaway_server() -> Iterator[str]:
    """A real server of its own: a backtest moves nobody's budget."""
    with (
        tempfile.TemporaryDirectory(prefix="incentives-backtest-") as folder,
        embedded.start(Path(folder), durable=False) as server,
    ):
        yield server.url


def _run(
    request: BacktestRequest, given: BacktestInput, address: RedisLedgerAddress, say: Say | None
) -> tuple[dict[str, int], dict[str, CampaignTally], dict[str, int]]:
    """Build and run the graph; counts by metric name, the tally, and events matched by campaign."""
    with tempfile.TemporaryDirectory(prefix="incentives-progress-") as scratch:
        pipeline = beam.Pipeline(runner=FnApiRunner(), options=_options(_workers(given)))
        built = build_backtest(pipeline, given, address, str(request.out), scratch, request.limit)
        built.tally | "KeepTally" >> beam.ParDo(KeepFn(f"{scratch}/tally"))
        built.matched | "KeepMatched" >> beam.ParDo(KeepFn(f"{scratch}/matched"))
        with _watched(scratch, say), rare_collections():
            result = _finished(pipeline)
        matched = dict(msgspec.msgpack.decode(raw) for raw in kept(f"{scratch}/matched"))
        tallies = [decode_tally(raw) for raw in kept(f"{scratch}/tally")]
    return metric_counts(result), tallies[0] if tallies else {}, matched


def _workers(given: BacktestInput) -> int:
    """How many processes the input is worth: 1, or one a core."""
    lines = {part.path: os.path.getsize(part.path) * (1 if part.format == "jsonl" else PACKED) for part in given.parts}
    # Beam starts its workers by a shell, and quotes nothing.
    if sum(lines.values()) < SHARED_BYTES or shlex.quote(sys.executable) != sys.executable:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _options(workers: int) -> PipelineOptions:
    if workers == 1:
        return PipelineOptions([])
    # What its workers log: a warning that they are in no container, and errors that are raised here all the same.
    logging.getLogger("apache_beam.runners.portability.local_job_service").setLevel(logging.CRITICAL)
    return PipelineOptions([], direct_running_mode="multi_processing", direct_num_workers=workers)


def _finished(pipeline: beam.Pipeline) -> Any:
    """Run to the end. Beam wraps what a step raises into a RuntimeError; a limit that was passed is told as such."""
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except RuntimeError as error:
        limit = re.search(r"DeadLetterLimitError: (.*?)(?: \[while running|$)", str(error))
        if limit:
            raise DeadLetterLimitError(limit.group(1)) from error
        raise
    return result


@contextmanager
def _watched(scratch: str, say: Say | None) -> Iterator[None]:
    """Tell the caller how far the stages are while the body runs."""
    if say is None:
        yield
        return
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.2):
            say({stage: progress_of(scratch, stage) for stage in ("read", "advanced", "settled")})

    looking = threading.Thread(target=look, name="progress", daemon=True)
    looking.start()
    try:
        yield
    finally:
        done.set()
        looking.join()


def metric_counts(result: Any) -> dict[str, int]:
    """Every counter of ours by name, from a finished pipeline."""
    counters = result.metrics().query()["counters"]
    found = {metric.key.metric.name: metric.result for metric in counters if metric.key.metric.namespace == NAMESPACE}
    return {count.value: found.get(count.value, 0) for count in Count}


def _campaigns(
    plan_set: PlanSet, tally: dict[str, CampaignTally], matched: dict[str, int], accounts: list[AccountSnapshot]
) -> dict[str, CampaignSummary]:
    caps = {account.name: account.uses[0] for account in accounts}
    rows = {}
    for plan in plan_set.plans:
        entry, total = tally.get(plan.campaign, CampaignTally()), caps[f"campaign/{plan.campaign}"]
        rows[plan.campaign] = CampaignSummary(
            matched=matched.get(plan.campaign, 0),
            granted=entry.granted,
            amount=entry.amount,
            unit=plan.unit,
            cut=entry.cut,
            denied=entry.denied,
            cap_grants=total.grants_cap,
            cap_amount=total.amount_cap,
            used_grants=total.grants,
            used_amount=total.amount,
            exhausted_at=entry.exhausted_at,
            taken_back=entry.taken_back,
            first_at=entry.first_at,
            last_at=entry.last_at,
        )
    return rows
