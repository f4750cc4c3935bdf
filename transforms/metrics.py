"""Every metric by its name: a counter that is not listed here does not exist. One namespace on every runner.

Counts go to Beam, and are added up in this process too: the bundle-based runner that live runs on keeps only the first
bundle's metrics of each step (its state sampler caches the first container), so locally the process's own sums count.
"""

from __future__ import annotations

import threading
from collections import Counter
from enum import StrEnum

from apache_beam.metrics import Metrics

NAMESPACE = "incentives"


class Count(StrEnum):
    """Counters."""

    EVENTS_PARSED = "events_parsed"
    EVENTS_ADVANCED = "events_advanced"
    EVENTS_MATCHED = "events_matched"
    EVENTS_DUPLICATE = "events_duplicate"
    EVENTS_CONFLICTING_DUPLICATE = "events_conflicting_duplicate"
    EVENTS_TOO_OLD = "events_too_old"
    EVENTS_LATE = "events_late"
    EVENTS_TOO_LATE = "events_too_late"
    SEEDS_REFUSED = "seeds_refused"
    ABSENCES_OPEN = "absences_open"
    EVENTS_DEAD_LETTERED = "events_dead_lettered"
    COUNTERS_OVER_LIMIT = "counters_over_limit"
    PROPOSALS_MADE = "proposals_made"
    PROPOSALS_REPEATED = "proposals_repeated"
    PROPOSALS_CONFLICTING = "proposals_conflicting"
    GRANTS_EMITTED = "grants_emitted"
    DENIALS_EMITTED = "denials_emitted"
    REVERSALS_EMITTED = "reversals_emitted"
    HOLDS_MADE = "holds_made"
    HOLDS_ENDED = "holds_ended"
    RECORDS_PUBLISHED = "records_published"


_lock = threading.Lock()
_sums: Counter[Count] = Counter()


def count(name: Count, by: int = 1) -> None:
    """Add to a counter; by 0 is nothing."""
    if by:
        Metrics.counter(NAMESPACE, name.value).inc(by)
        with _lock:
            _sums[name] += by


def process_counts() -> dict[str, int]:
    """What this process has counted since it began, by name; attempts that failed and were repeated count again."""
    with _lock:
        return {name.value: _sums[name] for name in Count}
