"""The live graph: parse -> advance -> settle -> publish. Where a user's state lives is the one part that differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import apache_beam as beam
from apache_beam.pvalue import PCollection

from pipelines.read_events import Source, read_events
from schemas.attributes import AttributeSchema
from schemas.dead_letters import DeadLetter
from schemas.order_keys import OrderKey
from transforms.dead_letter import DeadLetterLimit
from transforms.parse_events import ParseEvents
from transforms.publish_settled import PublishSettled, Sink
from transforms.settle_budgets import LedgerAddress, SettleProposals


def no_outbox(keys: Sequence[OrderKey]) -> None:
    """Where the runner's own commit keeps proposals, there is no outbox to clear."""


@dataclass(frozen=True)
class LiveParts:
    """What a live graph is made of.

    Attributes:
      advance: from events to proposals and dead letters: AdvanceUsers (Beam's state) or AdvanceBundles (local).
      dead_letters: takes the dead letters of all steps.
      revisions: Avro schema texts by Pub/Sub revision id.
    """

    source: Source
    schema: AttributeSchema
    advance: beam.PTransform
    ledger: LedgerAddress
    sink: Sink
    dead_letters: beam.PTransform
    on_published: Callable[[Sequence[OrderKey]], None] = no_outbox
    revisions: dict[str, str] = field(default_factory=dict)
    limit: DeadLetterLimit = DeadLetterLimit()


def build_incentives(pipeline: beam.Pipeline, parts: LiveParts) -> PCollection[DeadLetter]:
    """Wire the live graph; returns all dead letters, which are also given to parts.dead_letters."""
    messages = pipeline | "ReadEvents" >> read_events(parts.source)
    parsed = messages | "ParseEvents" >> ParseEvents(parts.schema, parts.limit, parts.revisions)
    advanced = parsed.events | "AdvanceUsers" >> parts.advance
    settled = advanced.proposals | "SettleProposals" >> SettleProposals(parts.ledger)
    settled | "PublishSettled" >> PublishSettled(parts.sink, parts.ledger, parts.on_published)
    letters: PCollection[DeadLetter] = (parsed.dead_letter, advanced.dead_letter) | "DeadLetters" >> beam.Flatten()
    letters | "ArchiveDeadLetters" >> parts.dead_letters
    return letters
