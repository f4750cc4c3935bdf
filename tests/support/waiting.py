"""Wait for a condition by asking again, with a deadline: what tests use in place of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], what: str, bound_s: float = 20.0) -> None:
    """Return when `condition` holds; fail, naming `what` was awaited, when it does not in time."""
    deadline_s = time.monotonic() + bound_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {bound_s} s in vain: {what}"
        time.sleep(0.005)
