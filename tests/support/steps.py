"""Steps for tests of runners: in a module, since Beam copies what is defined in a script by value."""

from __future__ import annotations

from collections.abc import Callable

import apache_beam as beam

from schemas.messages import SourceMessage

SEEN: list[bytes] = []
"""Payloads in the order in which they were worked on; tests clear it."""

BUNDLES: list[int] = []
"""Elements of each bundle."""


class SeeFn(beam.DoFn):  # type: ignore[misc]
    """Notes what comes by. `on_message` may raise, or wait."""

    def __init__(self, on_message: Callable[[bytes], None] | None = None) -> None:
        self._on_message = on_message
        self._count = 0

    def start_bundle(self) -> None:
        self._count = 0

    def process(self, message: SourceMessage) -> None:
        if self._on_message is not None:
            self._on_message(message.payload)
        SEEN.append(message.payload)
        self._count += 1

    def finish_bundle(self) -> None:
        if self._count:
            BUNDLES.append(self._count)


def fail_at_e700(payload: bytes) -> None:
    """For SeeFn: refuse one message, always."""
    if payload == b'{"event_id":"e700"}':
        raise ValueError("e700 cannot be worked on")
