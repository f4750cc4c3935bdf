"""What a ledger has dropped, and what it may drop: floors in event time, below which nothing is there any more.

A floor only rises, and only as the source's watermark does. What lies below it is `too_old` for whoever asks: it may
have been decided, and is never decided anew. A fresh ledger has no floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from schemas.plans import DAY_MS, Plan, PlanSet
from schemas.proposals import Lock

HOUR_MS = 3_600_000
LONGEST_MS = {"hour": 2 * HOUR_MS, "day": 25 * HOUR_MS, "week": 169 * HOUR_MS, "month": 745 * HOUR_MS}
"""At most so long after its start a slice of time ends, in any zone."""

_WINDOWS_MS = {kind: LONGEST_MS[kind] for kind in ("day", "week", "month")}


class CampaignFloor(NamedTuple):
    """Of one campaign's records.

    Attributes:
      below_ms: dated generations that start before it are gone. over: its lifetime records and its users' lifetime
        counters are gone too.
    """

    campaign: str
    below_ms: int
    over: bool = False


class Floors(NamedTuple):
    """Of a root.

    Attributes:
      time_ms: slices of time, users' counters of them, locks, lists and reversals that ended by then are gone.
      campaigns: ascending by campaign.
    """

    time_ms: int
    campaigns: tuple[CampaignFloor, ...] = ()


def generation_start_ms(generation: str) -> int | None:
    """When a generation starts; None = it is the campaign's own, for its lifetime."""
    kind, number = generation[:1], generation[1:]
    return None if not kind else int(number) * (DAY_MS if kind == "d" else 1)


def slice_end_ms(period: str, start_ms: int) -> int | None:
    """The latest end of a slice of time; None = it never ends."""
    longest = LONGEST_MS.get(period.removeprefix("user/"))
    return None if longest is None else start_ms + longest


def lock_end_ms(lock: Lock) -> int | None:
    """As `slice_end_ms`, of a group's window."""
    return lock.start_ms + LONGEST_MS["month"] if lock.start_ms else None


def day_end_ms(time_ms: int) -> int:
    """When the group of a list or a reversal ends: the UTC day of its request."""
    return (time_ms // DAY_MS + 1) * DAY_MS


def floors_of(sets: Sequence[PlanSet], watermark_ms: int) -> Floors:
    """What no repeat and no refund within its time can ask for any more, once the watermark has come so far.

    Args:
      sets: all numbered sets of the tenant, ascending; the longest of their horizons, waits and spans count.
    """
    late_ms = max(of.horizon_ms + (of.ordering.wait_ms or 0) for of in sets)
    time_ms = watermark_ms - late_ms
    by_campaign: dict[str, list[Plan]] = {}
    for plan in (plan for of in sets for plan in of.plans):
        by_campaign.setdefault(plan.campaign, []).append(plan)
    found = [_campaign_floor(name, by_campaign[name], sets, time_ms) for name in sorted(by_campaign)]
    return Floors(time_ms, tuple(floor for floor in found if floor is not None))


def _campaign_floor(
    campaign: str, plans: Sequence[Plan], sets: Sequence[PlanSet], time_ms: int
) -> CampaignFloor | None:
    spans = [_span_ms(plan) for plan in plans]
    reach_ms = None if None in spans else max(span for span in spans if span is not None)
    taken_out_ms = _taken_out_ms(campaign, sets)
    end_ms = plans[-1].schedule.end_ms if taken_out_ms is None else taken_out_ms
    if reach_ms is None and taken_out_ms is None:
        return None
    below_ms = time_ms - (reach_ms or 0)
    return CampaignFloor(campaign, below_ms, end_ms is not None and end_ms <= below_ms)


def _span_ms(plan: Plan) -> int | None:
    """How long after its generation's start a grant may be made, held or taken back; None = without end."""
    spans: list[int | None] = [_window_ms(plan), plan.hold_ms or 0]
    if plan.opening is not None:
        spans.append(plan.opening.within_ms)
    if plan.absence is not None:
        spans.append(plan.absence.within_ms)
    if plan.refunds is not None and plan.refunds.grants != "stand":
        spans.append(plan.refunds.within_ms)
    return None if None in spans else sum(span for span in spans if span is not None)


def _window_ms(plan: Plan) -> int:
    """How long a dated generation lasts."""
    window = plan.counter.window if plan.counter is not None else None
    if window is None:
        return DAY_MS
    if window.kind == "span":
        return max(window.span_ms, DAY_MS)
    return _WINDOWS_MS.get(window.period if window.kind == "run" else window.kind, DAY_MS)


def _taken_out_ms(campaign: str, sets: Sequence[PlanSet]) -> int | None:
    """When a set without the campaign, and none with it behind, came into force: nothing is judged by it any more."""
    having = [index for index, of in enumerate(sets) if any(plan.campaign == campaign for plan in of.plans)]
    return None if having[-1] == len(sets) - 1 else sets[having[-1] + 1].in_force_from_ms
