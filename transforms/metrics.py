"""Every metric by its name: a counter that is not listed here does not exist. One namespace on every runner."""

from __future__ import annotations

from enum import StrEnum

from apache_beam.metrics import Metrics
from apache_beam.metrics.metric import Metrics as _Metrics

NAMESPACE = "incentives"


class Count(StrEnum):
    """Counters."""

    EVENTS_PARSED = "events_parsed"
    EVENTS_ADVANCED = "events_advanced"
    EVENTS_MATCHED = "events_matched"
    EVENTS_DUPLICATE = "events_duplicate"
    EVENTS_CONFLICTING_DUPLICATE = "events_conflicting_duplicate"
    EVENTS_TOO_OLD = "events_too_old"
    EVENTS_DEAD_LETTERED = "events_dead_lettered"
    COUNTERS_OVER_LIMIT = "counters_over_limit"
    PROPOSALS_MADE = "proposals_made"
    PROPOSALS_REPEATED = "proposals_repeated"
    PROPOSALS_CONFLICTING = "proposals_conflicting"
    GRANTS_EMITTED = "grants_emitted"
    DENIALS_EMITTED = "denials_emitted"
    RECORDS_PUBLISHED = "records_published"


def counter(count: Count) -> _Metrics.DelegatingCounter:
    """The Beam counter of that name."""
    return Metrics.counter(NAMESPACE, count.value)
