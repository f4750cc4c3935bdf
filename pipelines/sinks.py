"""Where grants and denials go: Pub/Sub topics, or JSON lines for machines without Pub/Sub."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from concurrent.futures import Future, wait
from functools import cache, lru_cache
from typing import IO, Any

import msgspec

from schemas.codec import RecordCodec, own_schema
from schemas.errors import PublishError, UsageError

_to_json = msgspec.json.Encoder().encode
CONFIRM_S = 60.0
"""How long the broker may take to confirm before the bundle fails and is retried."""


class LinesSink:
    """JSON lines by kind: paths, or "-" for standard output; a kind without a path is left out."""

    def __init__(self, paths: dict[str, str]) -> None:
        self._paths = paths
        self._waiting: list[tuple[str, dict[str, Any]]] = []

    def send(self, kind: str, records: Sequence[dict[str, Any]]) -> None:
        if kind in self._paths:
            self._waiting += [(kind, record) for record in records]

    def confirm(self) -> None:
        """On disk when it returns: appended and synced."""
        waiting, self._waiting = self._waiting, []
        for kind, path in self._paths.items():
            lines = b"".join(_to_json(record) + b"\n" for of, record in waiting if of == kind)
            if lines:
                _append(path, lines)


def _append(path: str, lines: bytes) -> None:
    if path == "-":
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()
        return
    try:
        with open(path, "ab+") as out:
            _drop_torn_line(out)
            out.write(lines)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise PublishError(f"{path}: {error.strerror}") from error


def _drop_torn_line(out: IO[bytes]) -> None:
    """A kill may have cut the last line short; it was never confirmed, so it is sent again."""
    end = out.seek(0, os.SEEK_END)
    place = end
    while place:
        start = max(0, place - 4_096)
        out.seek(start)
        newline = out.read(place - start).rfind(b"\n")
        if newline >= 0:
            place = start + newline + 1
            break
        place = start
    if place != end:
        out.truncate(place)
    out.seek(0, os.SEEK_END)


_TOPIC = re.compile(r"projects/[^/]+/topics/[^/]+")


def sink_of(grants: str | None, denials: str | None, reversals: str | None) -> LinesSink | PubSubSink:
    """The sink of the places that commands take: topics, or files and "-"; None = nowhere.

    Raises:
      UsageError: some are topics, some are files.
    """
    given = {"grant": grants, "denial": denials, "reversal": reversals}
    named = {kind: place for kind, place in given.items() if place}
    topics = [bool(_TOPIC.fullmatch(place)) for place in named.values()]
    if any(topics) and not all(topics):
        raise UsageError("--grants, --denials and --reversals are all topics, or all files")
    return PubSubSink(named) if topics and all(topics) else LinesSink(named)


_IDS = ("grant_id", "campaign_id", "event_id")


class PubSubSink:
    """Avro records by kind to topics `projects/P/topics/T`: ids as attributes, ordered by user."""

    def __init__(self, topics: dict[str, str]) -> None:
        self._topics = topics
        self._futures: list[Future[str]] = []

    def __getstate__(self) -> dict[str, Any]:
        return {"_topics": self._topics, "_futures": []}

    def send(self, kind: str, records: Sequence[dict[str, Any]]) -> None:
        topic = self._topics.get(kind)
        for record in records if topic else ():
            data = _codec(kind).encode_binary(record)
            attributes = {"kind": kind} | {name: record[name] for name in _IDS if name in record}
            future = _publisher().publish(topic, data, ordering_key=record["user_id"], **attributes)
            self._futures.append(future)

    def confirm(self) -> None:
        futures, self._futures = self._futures, []
        done, late = wait(futures, timeout=CONFIRM_S)
        errors = [error for error in (future.exception() for future in done) if error is not None]
        if errors or late:
            _publisher.cache_clear()  # a client that failed an ordering key refuses that key from then on
            raise PublishError(
                f"{len(errors) + len(late)} records were not confirmed: {errors[0] if errors else 'no answer'}"
            )


@cache
def _codec(kind: str) -> RecordCodec:
    return RecordCodec(own_schema(kind))


@lru_cache(maxsize=1)
def _publisher() -> Any:
    from google.cloud import pubsub_v1

    return pubsub_v1.PublisherClient(publisher_options=pubsub_v1.types.PublisherOptions(enable_message_ordering=True))
