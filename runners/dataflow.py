"""The live graph for Dataflow: Beam's own state per user, native Pub/Sub, ledger and registry on a Redis server.

Submission, Flex Template and deployment are the live issue's; here the graph is built, so that it stays portable.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import apache_beam as beam

from pipelines.incentives import LiveParts, build_incentives
from pipelines.read_events import PubSubSource
from pipelines.sinks import PubSubSink
from runners.ledgers import RedisLedgerAddress
from schemas.attributes import AttributeSchema
from transforms.advance_users import AdvanceUsers
from transforms.dead_letter import PublishDeadLetters
from transforms.plan_source import PlanSource


@dataclass(frozen=True)
class DataflowRequest:
    """Names are full: projects/P/subscriptions/S, projects/P/topics/T. server: a URL (schemas.redis_urls)."""

    subscription: str
    grants: str
    denials: str
    reversals: str
    dead_letters: str
    server: str = field(repr=False)  # a URL may hold a password


def build_for_dataflow(
    pipeline: beam.Pipeline, request: DataflowRequest, schema: AttributeSchema, plans: PlanSource
) -> None:
    """Wire the live graph with Dataflow's places."""
    parts = LiveParts(
        source=PubSubSource(request.subscription, id_label="event_id"),
        schema=schema,
        advance=AdvanceUsers(plans),
        ledger=RedisLedgerAddress(request.server),
        sink=PubSubSink({"grant": request.grants, "denial": request.denials, "reversal": request.reversals}),
        dead_letters=PublishDeadLetters(request.dead_letters),
    )
    build_incentives(pipeline, parts)
