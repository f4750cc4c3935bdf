"""Keep small results of a bounded job where its launcher can read them: a folder of files, one a bundle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import msgspec


class KeepFn(beam.DoFn):  # type: ignore[misc]
    """Writes each element, bytes as they are and anything else as msgpack, to a file of its own."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(self, element: Any) -> None:
        folder = Path(self._folder)
        folder.mkdir(parents=True, exist_ok=True)
        raw = element if isinstance(element, bytes) else msgspec.msgpack.encode(element)
        number = len(list(folder.iterdir()))
        (folder / f"{os.getpid()}-{number:06d}").write_bytes(raw)


def kept(folder: str) -> Iterator[bytes]:
    """What was kept, in no order that means anything."""
    path = Path(folder)
    for found in sorted(path.iterdir()) if path.exists() else ():
        yield found.read_bytes()
