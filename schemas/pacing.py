"""How much of a cap its pace has let go by a moment of event time (`schemas.proposals.Pace`): integers throughout."""

from __future__ import annotations

from schemas.proposals import AMOUNT_LIMIT, CAP_LIMIT, Pace

HOUR_MS = 3_600_000
WEIGHT_LIMIT = 100
TIME_LIMIT = 10**13
_DAY_MS = 24 * HOUR_MS


def paced_cap(pace: Pace, cap: int, time_ms: int) -> int:
    """What a cap on amounts is at a moment: floor(cap * elapsed share) + head start, at most the cap."""
    if time_ms >= pace.end_ms:
        return cap
    if time_ms < pace.start_ms:
        return min(cap, pace.head_start)
    return min(cap, cap * _passed(pace, time_ms) // _passed(pace, pace.end_ms) + pace.head_start)


def is_valid_pace(pace: Pace) -> bool:
    """Whether every store can keep it: numbers in range, something let go within the span, exact in doubles."""
    pieces = [number for piece in pace.offsets for number in piece]
    numbers = (pace.start_ms, pace.end_ms, pace.head_start, *pace.weights, *pieces)
    if not all(type(number) is int for number in numbers):
        return False
    times = (pace.start_ms, pace.end_ms, *(start for start, _ in pace.offsets))
    starts = [start for start, _ in pace.offsets]
    return (
        all(abs(time) < TIME_LIMIT for time in times)
        and pace.start_ms < pace.end_ms
        and 0 <= pace.head_start <= CAP_LIMIT
        and 1 <= len(pace.weights) <= 24
        and all(0 <= weight <= WEIGHT_LIMIT for weight in pace.weights)
        and (not starts or (len(pace.weights) == 24 and starts == sorted(set(starts)) and starts[0] <= pace.start_ms))
        and all(abs(ahead) <= _DAY_MS for _, ahead in pace.offsets)
        and 0 < _passed(pace, pace.end_ms) < AMOUNT_LIMIT
    )


def _passed(pace: Pace, time_ms: int) -> int:
    """Weight that has become available from the start on, in a unit in which it is whole."""
    if pace.offsets:
        return _of_days(pace.weights, _local(pace, time_ms)) - _of_days(pace.weights, _local(pace, pace.start_ms))
    span, count = pace.end_ms - pace.start_ms, len(pace.weights)
    part, rest = divmod(count * (time_ms - pace.start_ms), span)
    return sum(pace.weights[:part]) * span + (pace.weights[part] * rest if rest else 0)


def _of_days(weights: tuple[int, ...], local_ms: int) -> int:
    days, rest = divmod(local_ms, _DAY_MS)
    hour, rest = divmod(rest, HOUR_MS)
    return (days * sum(weights) + sum(weights[:hour])) * HOUR_MS + weights[hour] * rest


def _local(pace: Pace, time_ms: int) -> int:
    """Local time that never goes back: an hour that is repeated stands still."""
    ends = [start for start, _ in pace.offsets[1:]]
    reached = [
        min(time_ms, end) + ahead
        for (start, ahead), end in zip(pace.offsets, [*ends, time_ms], strict=True)
        if start <= time_ms or start == pace.offsets[0][0]
    ]
    return max(reached)
