"""Progress of a running job, told across processes: a file a stage, a byte a unit of work done.

Appending single bytes is atomic on every system we run on, so that workers need no channel of their own; the launcher
looks at the sizes.
"""

from __future__ import annotations

import os
from pathlib import Path

UNIT = 1_000
"""Items a byte stands for."""


class Progress:
    """Counts items of one stage."""

    def __init__(self, folder: str, stage: str) -> None:
        self._path = Path(folder) / f"{stage}.progress"
        self._rest = 0

    def add(self, items: int) -> None:
        """Note items done; writes once a UNIT of them is full."""
        units, self._rest = divmod(self._rest + items, UNIT)
        if units:
            with open(self._path, "ab", buffering=0) as out:
                out.write(b"." * units)


def progress_of(folder: str, stage: str) -> int:
    """Items done in a stage so far, to the last full UNIT."""
    try:
        return os.path.getsize(Path(folder) / f"{stage}.progress") * UNIT
    except FileNotFoundError:
        return 0
