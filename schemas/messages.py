"""Messages as a live source hands them out, before anybody has looked inside."""

from __future__ import annotations

from typing import NamedTuple


class SourceMessage(NamedTuple):
    """payload: the bytes as they came. attributes: of the Pub/Sub message; of a file, its name and the record."""

    payload: bytes
    attributes: dict[str, str]
