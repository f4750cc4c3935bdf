"""Run the live pipeline on this machine, in the local order (docs/contracts/local-order.md)."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.incentives import LiveParts, build_incentives
from pipelines.read_events import FilesSource, PubSubSource, Source
from pipelines.sinks import LinesSink, PubSubSink
from runners.local import LocalRun, LocalStreamRunner
from runners.local_places import LocalPlace
from runners.places import server_url
from runners.readers import FilesReader, PubSubReader, Reader
from runners.tenants import the_tenant
from schemas.errors import IncentiveError, UsageError
from schemas.grants import Settled
from schemas.plans import PlanSet
from schemas.proposals import decode_request
from schemas.redis_connection import connect
from transforms.advance_bundles import AdvanceBundles, advance_bundle, count_advanced, newest_ms
from transforms.budget.redis_durability import Durability
from transforms.dead_letter import AppendDeadLetters
from transforms.event_files import expand
from transforms.metrics import Count, count, process_counts
from transforms.plan_source import PolledPlans
from transforms.publish_settled import Sink, logged, note_published, send, send_settled
from transforms.settle_budgets import BATCH, counted, settle
from transforms.state.ports import BundleWrite

_SUBSCRIPTION = re.compile(r"projects/[^/]+/subscriptions/[^/]+")
_TOPIC = re.compile(r"projects/[^/]+/topics/[^/]+")


@dataclass(frozen=True)
class LiveRequest:
    """What to run; as the options of `incentives live`."""

    events: tuple[str, ...]
    grants: str
    denials: str | None
    dead_letters: str
    server: str = field(repr=False)  # a URL may hold a password
    tenant: str | None
    reversals: str | None = None
    durability: Durability = Durability.LOOSE


def run_live(request: LiveRequest) -> dict[str, int]:
    """Run until the source ends or SIGTERM/SIGINT drains it; counts by metric name.

    Raises:
      UsageError: no campaigns are published, or a source or sink is not what it should be.
    """
    with server_url(request.server) as url:
        place = LocalPlace(url, the_tenant(connect(url), request.tenant), request.durability)
        source, sink = _source(request), _sink(request)
        settle_outbox(place, sink)
        publish_marked(place, sink)
        run = LocalRun(_reader(source, place))
        pipeline = beam.Pipeline(runner=LocalStreamRunner(run), options=PipelineOptions(["--streaming"]))
        plans = PolledPlans(place.registry)
        _require_place_for_reversals(plans.timeline().latest, request)
        parts = LiveParts(
            source=source,
            schema=plans.timeline().latest.schema,
            advance=AdvanceBundles(place.states, plans),
            ledger=place,
            sink=sink,
            dead_letters=AppendDeadLetters(request.dead_letters),
            on_published=place.clear_outbox,
        )
        build_incentives(pipeline, parts)
        before = process_counts()
        with _drained_by_signals(run):
            _finish(pipeline, run)
        if run.reader.ended:
            close_time(place, sink, plans)
        return {name: number - before[name] for name, number in process_counts().items()}


def _require_place_for_reversals(plan_set: PlanSet, request: LiveRequest) -> None:
    takes_back = [plan.campaign for plan in plan_set.plans if plan.refunds is not None]
    if takes_back and request.reversals is None:
        raise UsageError(f"{takes_back[0]} takes grants back: say where reversals go, e.g. --reversals reversals.jsonl")


def settle_outbox(place: LocalPlace, sink: Sink) -> None:
    """Decide and publish what an earlier process left in the outbox, before anything is pulled."""
    states, ledger = place.states(), place(place.tenant)
    while waiting := states.outbox(BATCH):
        batch = counted(settle(ledger.decide, [decode_request(item.proposal) for item in waiting]))
        send(sink, place, batch)
        sink.confirm()
        note_published(place, batch, place.clear_outbox)


def close_time(place: LocalPlace, sink: Sink, plans: PolledPlans) -> None:
    """The input has ended: time comes to its greatest event time, and what is due by then is decided and published."""
    states, ledger = place.states(), place(place.tenant)
    done = advance_bundle([], states, plans.timeline(), {}, closing=True)
    count_advanced(done)
    settle_outbox(place, sink)
    while counted([Settled(*pair) for pair in ledger.mature(newest_ms(states))]):
        pass
    publish_marked(place, sink)


def publish_marked(place: LocalPlace, sink: Sink) -> None:
    """Publish what the ledger's log still marks: decided outside a batch, or by a process that did not come so far."""
    ledger = place(place.tenant)
    while entries := ledger.unpublished(BATCH):
        sent = send_settled(sink, [settled for entry in entries for settled in logged(entry)])
        sink.confirm()
        count(Count.RECORDS_PUBLISHED, sent)
        ledger.unmark([entry.entry for entry in entries])


def _source(request: LiveRequest) -> Source:
    first = request.events[0]
    if _SUBSCRIPTION.fullmatch(first):
        if len(request.events) > 1:
            raise UsageError("--events takes one subscription")
        return PubSubSource(first)
    if "-" in request.events:
        return FilesSource(("-",))
    return FilesSource(tuple(expand(request.events)))


def _reader(source: Source, place: LocalPlace) -> Reader:
    if isinstance(source, PubSubSource):
        return PubSubReader(source.subscription)
    states = place.states()
    return FilesReader(
        source.paths, states.position, lambda name, at: states.commit(BundleWrite({}, {}, [], {name: at}))
    )


def _sink(request: LiveRequest) -> Sink:
    given = {"grant": request.grants, "denial": request.denials, "reversal": request.reversals}
    named = {kind: place for kind, place in given.items() if place}
    topics = [bool(_TOPIC.fullmatch(place)) for place in named.values()]
    if any(topics) and not all(topics):
        raise UsageError("--grants, --denials and --reversals are all topics, or all files")
    return PubSubSink(named) if all(topics) else LinesSink(named)


def _finish(pipeline: beam.Pipeline, run: LocalRun) -> None:
    try:
        pipeline.run().wait_until_finish()
    except RuntimeError as error:
        raise _cause(run) or error from error
    if run.failure is not None:
        raise _cause(run) or run.failure


def _cause(run: LocalRun) -> BaseException | None:
    """Our own exception under what Beam made of it."""
    error = run.failure
    while error is not None and not isinstance(error, IncentiveError):
        error = error.__cause__ or error.__context__
    return error


@contextmanager
def _drained_by_signals(run: LocalRun) -> Iterator[None]:
    """SIGTERM and SIGINT drain: finish what was taken, keep the rest for the next run."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda *_: run.drain())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
