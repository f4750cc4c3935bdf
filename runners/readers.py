"""What the local runner pulls from: a source that hands out messages and takes back the word that they are safe."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import fastavro
import msgspec

from schemas.errors import UsageError
from schemas.messages import SourceMessage


class Reader(Protocol):
    """A source of one run. `ended` is True when there will be no more."""

    ended: bool

    def pull(self, most: int) -> list[SourceMessage]:
        """At most so many messages; [] where none is there just now."""
        ...

    def acknowledge(self) -> None:
        """All that was pulled so far is safe: it need not come again."""
        ...


STDIN_WAIT_S = 0.2
"""How long standard input may be silent before a pull returns with what there is."""


class _Place(NamedTuple):
    file: int
    record: int


class FilesReader:
    """Files, one after the other, or standard input.

    Args:
      load, save: the place to go on from, by source name: kept with the users' state. Standard input has none.
    """

    def __init__(
        self, paths: Sequence[str], load: Callable[[str], bytes | None], save: Callable[[str, bytes], None]
    ) -> None:
        self.ended = False
        self._paths = tuple(path if path == "-" else str(Path(path).resolve()) for path in paths)
        for path in self._paths:
            if path != "-" and not os.path.isfile(path):
                raise UsageError(f"no file {path!r}")
        self._name = json.dumps(self._paths)
        self._save = save
        known = load(self._name) if "-" not in self._paths else None
        self._place = _Place(*json.loads(known)) if known else _Place(0, 0)
        self._messages = self._all()

    def pull(self, most: int) -> list[SourceMessage]:
        found: list[SourceMessage] = []
        for message, place in self._messages:
            if message is None:
                return found
            found.append(message)
            self._place = place
            if len(found) >= most:
                return found
        self.ended = True
        return found

    def acknowledge(self) -> None:
        if "-" not in self._paths:
            self._save(self._name, json.dumps(self._place).encode())

    def _all(self) -> Iterator[tuple[SourceMessage | None, _Place]]:
        """All messages, and None wherever none is there just now."""
        start = self._place
        for number in range(start.file, len(self._paths)):
            skip = start.record if number == start.file else 0
            record = 0
            for payload in _payloads(self._paths[number]):
                record += payload is not None
                place = _Place(number, record)
                if payload is None:
                    yield None, place
                elif record > skip:
                    yield SourceMessage(payload, {"file": self._paths[number], "record": str(record)}), place


def _payloads(path: str) -> Iterator[bytes | None]:
    if path == "-":
        yield from _arriving_lines(sys.stdin.fileno())
        return
    with open(path, "rb") as file:
        yield from _records(file) if path.endswith(".avro") else _lines(file)


def _arriving_lines(descriptor: int) -> Iterator[bytes | None]:
    """Lines as they arrive, and None while none does: events are not kept waiting for others, nor is a drain."""
    rest = b""
    while True:
        if not select.select([descriptor], [], [], STDIN_WAIT_S)[0]:
            yield None
            continue
        piece = os.read(descriptor, 1 << 16)
        *lines, rest = (rest + piece).split(b"\n") if piece else (rest, b"")
        yield from (line.rstrip(b"\r") for line in lines if line.strip())
        if not piece:
            return


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    for line in file:
        if not line.isspace():
            yield line.rstrip(b"\r\n")


def _records(file: IO[bytes]) -> Iterator[bytes]:
    """Avro records as JSON, which is what the parser reads of a message without a schema."""

    def plain(value: Any) -> str:
        return value.isoformat() if isinstance(value, datetime) else str(value)

    for record in fastavro.reader(file):
        yield msgspec.json.encode(record, enc_hook=plain)


class PubSubReader:
    """A subscription: pulls block for WAIT_S at most, and what is not acknowledged comes again."""

    WAIT_S = 0.2
    _PAGE = 100

    def __init__(self, subscription: str) -> None:
        from google.cloud import pubsub_v1

        self.ended = False
        self._subscription = subscription
        self._client = pubsub_v1.SubscriberClient()
        self._ack_ids: list[str] = []

    def pull(self, most: int) -> list[SourceMessage]:
        from google.api_core import exceptions

        found: list[SourceMessage] = []
        while len(found) < most:
            try:
                answer = self._client.pull(
                    subscription=self._subscription, max_messages=most - len(found), timeout=self.WAIT_S, retry=None
                )
            except (exceptions.DeadlineExceeded, exceptions.ServiceUnavailable):
                break
            for received in answer.received_messages:
                self._ack_ids.append(received.ack_id)
                found.append(SourceMessage(received.message.data, dict(received.message.attributes)))
            if len(answer.received_messages) < self._PAGE:
                break
        return found

    def acknowledge(self) -> None:
        ids, self._ack_ids = self._ack_ids, []
        for first in range(0, len(ids), 1_000):
            self._client.acknowledge(subscription=self._subscription, ack_ids=ids[first : first + 1_000])
