"""Where live events come from: Pub/Sub, or files and standard input. One factory; each runner executes its own kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.io.gcp.pubsub import PubsubMessage, ReadFromPubSub
from apache_beam.pvalue import PBegin, PCollection
from apache_beam.transforms.core import Windowing
from apache_beam.transforms.window import GlobalWindows

from schemas.messages import SourceMessage


@dataclass(frozen=True)
class PubSubSource:
    """A subscription, `projects/P/subscriptions/S`. id_label: an attribute Dataflow deduplicates by, beside ours."""

    subscription: str
    id_label: str | None = None


@dataclass(frozen=True)
class FilesSource:
    """Paths of JSON lines or Avro containers, in order; "-" is standard input (JSON lines)."""

    paths: tuple[str, ...]


Source = PubSubSource | FilesSource


def read_events(source: Source) -> beam.PTransform:
    """The transform that gives SourceMessage."""
    return _ReadPubSub(source) if isinstance(source, PubSubSource) else ReadFiles(source)


class _ReadPubSub(beam.PTransform):  # type: ignore[misc]
    def __init__(self, source: PubSubSource) -> None:
        super().__init__()
        self._source = source

    def expand(self, begin: PBegin) -> PCollection[SourceMessage]:
        read = ReadFromPubSub(
            subscription=self._source.subscription, with_attributes=True, id_label=self._source.id_label
        )
        return begin | "ReadPubSub" >> read | "Message" >> beam.Map(_message).with_output_types(SourceMessage)


def _message(message: PubsubMessage) -> SourceMessage:
    return SourceMessage(message.data, dict(message.attributes or {}))


class ReadFiles(beam.PTransform):  # type: ignore[misc]
    """A primitive: only the local runner can execute it, with an evaluator of its own (runners/local.py)."""

    def __init__(self, source: FilesSource) -> None:
        super().__init__()
        self.source = source

    def expand(self, begin: PBegin) -> PCollection[SourceMessage]:
        return PCollection(begin.pipeline, is_bounded=False, element_type=SourceMessage)

    def get_windowing(self, unused_inputs: Any) -> Windowing:
        return Windowing(GlobalWindows())
