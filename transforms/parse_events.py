"""Parse live messages: Pub/Sub's Avro conventions or plain JSON; what is no event becomes a dead letter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import PCollection, TaggedOutput

from schemas.attributes import AttributeSchema
from schemas.codec import RecordCodec, decode_message, parse_avro_schema
from schemas.dead_letters import DeadLetter, DeadLetterReason
from schemas.errors import InvalidEventError
from schemas.events import Event
from schemas.messages import SourceMessage
from transforms.dead_letter import DeadLetterLimit, DeadLetterWatch
from transforms.event_parser import EventParser
from transforms.metrics import Count, count

DEAD_LETTER = "dead_letter"
SKEW_MS = 60_000
"""An event further ahead of the clock than this is a dead letter, before it can move time for the others."""


def clock_ms() -> int:
    """The wall clock. Used here alone: no later step asks it."""
    return int(time.time() * 1000)


class ParseEventsResult(NamedTuple):
    """events and what was none."""

    events: PCollection[Event]
    dead_letter: PCollection[DeadLetter]


class ParseEvents(beam.PTransform):  # type: ignore[misc]
    """From SourceMessage to Event.

    Args:
      revisions: Avro schema texts by Pub/Sub schema revision id.
    """

    def __init__(
        self,
        schema: AttributeSchema,
        limit: DeadLetterLimit,
        revisions: Mapping[str, str],
        clock: Callable[[], int] = clock_ms,
    ) -> None:
        super().__init__()
        self._schema, self._limit, self._revisions, self._clock = schema, limit, dict(revisions), clock

    def expand(self, messages: PCollection[SourceMessage]) -> ParseEventsResult:
        parse = _ParseEventsFn(self._schema, self._limit, self._revisions, self._clock)
        parsed = messages | "ParseEvent" >> beam.ParDo(parse).with_outputs(DEAD_LETTER, main="events")
        events = parsed.events | "Events" >> beam.Map(_same).with_output_types(Event)
        return ParseEventsResult(events, parsed[DEAD_LETTER])


def _same(event: Event) -> Event:
    return event


class _ParseEventsFn(beam.DoFn):  # type: ignore[misc]
    def __init__(
        self, schema: AttributeSchema, limit: DeadLetterLimit, revisions: dict[str, str], clock: Callable[[], int]
    ) -> None:
        self._schema, self._revisions, self._clock = schema, revisions, clock
        self._watch = DeadLetterWatch(limit)
        self._parser: EventParser | None = None
        self._codecs: dict[str, RecordCodec] = {}

    def setup(self) -> None:
        self._parser = EventParser(self._schema)
        self._codecs = {name: RecordCodec(parse_avro_schema(text)) for name, text in self._revisions.items()}

    def process(self, message: SourceMessage) -> Iterator[Any]:
        try:
            event = self._parsed(message)
        except InvalidEventError as error:
            letter = DeadLetter(
                stage="ParseEvents",
                reason=error.reason,
                message=error.detail,
                payload=message.payload,
                attributes=dict(message.attributes),
                exception_class=type(error).__name__,
            )
            count(Count.EVENTS_DEAD_LETTERED)
            self._watch.refused(letter)
            yield TaggedOutput(DEAD_LETTER, letter)
            return
        count(Count.EVENTS_PARSED)
        self._watch.accepted()
        yield event

    def _parsed(self, message: SourceMessage) -> Event:
        assert self._parser is not None
        record = decode_message(message.payload, message.attributes, self._codecs)
        event = self._parser.from_json(message.payload) if record is None else self._parser.from_record(record)
        if event.time_ms > self._clock() + SKEW_MS:
            raise InvalidEventError(
                DeadLetterReason.ABSURD_TIME, f"event_time {event.time_ms} ms is ahead of the clock"
            )
        return event
