"""A file's limits and what operators changed live: a three-way merge, limit by limit and cap by cap.

What was last applied is the common ancestor. A side that still says what was applied gives way to the other; two sides
that differ from it and from each other are in conflict, and somebody chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from schemas.proposals import AccountSpec, LimitSpec

Side = Literal["file", "live"]

FIELDS = ("amount", "grants", "when_full", "cooldown_ms", "pace")


class Difference(NamedTuple):
    """One field of one limit on which file and live differ."""

    account: str
    period: str
    field: str
    applied: Any
    file: Any
    live: Any


class Merged(NamedTuple):
    """An account's limits as they should stand.

    Attributes:
      kept: live changes that stand, because the file still says what was applied. conflicts: both were changed; decided
        for the side that wins, or for live while nobody has chosen.
    """

    spec: AccountSpec
    kept: tuple[Difference, ...]
    conflicts: tuple[Difference, ...]


def merge(
    applied: Sequence[LimitSpec] | None, file: AccountSpec, live: Sequence[LimitSpec], wins: Side | None
) -> Merged:
    """Merge one account that is in the ledger. applied: None = never by a file: all live is a change."""
    ancestors, ours, theirs = ({limit.period: limit for limit in side} for side in (applied or (), file.limits, live))
    limits, kept, conflicts = [], [], []
    for period in [*ours, *(period for period in theirs if period not in ours)]:
        empty = LimitSpec(period)
        ancestor, of_file, of_live = (side.get(period, empty) for side in (ancestors, ours, theirs))
        chosen: dict[str, Any] = {}
        for field in FIELDS:
            values = [getattr(limit, field) for limit in (ancestor, of_file, of_live)]
            difference = Difference(file.name, period, field, *values)
            if difference.file in (difference.live, difference.applied):
                chosen[field] = difference.live
                if difference.file != difference.live:
                    kept.append(difference)
            elif difference.live == difference.applied:
                chosen[field] = difference.file
            else:
                chosen[field] = difference.file if wins == "file" else difference.live
                conflicts.append(difference)
        limit = msgspec.structs.replace(empty, **chosen)
        if period in ours or limit != empty:
            limits.append(limit)
    return Merged(_without_idle_paces(file, limits), tuple(kept), tuple(conflicts))


def _without_idle_paces(file: AccountSpec, limits: Sequence[LimitSpec]) -> AccountSpec:
    """A pace of which the merge took the cap away is none."""
    return msgspec.structs.replace(
        file,
        limits=tuple(msgspec.structs.replace(one, pace=None) if one.amount is None else one for one in limits),
    )
