"""Exclusive groups: which campaign is an offer of which group, and whether a group can do what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from schemas.campaigns import Group
from schemas.plans import AudiencePlan, Counter, Fixed, GroupPlan, Plan
from transforms.language.loading import Folder, Loaded, meant

_LOCKS: dict[str, Any] = {
    "one per event": None, "one per user": "ever", "one per user and day": "day", "one per user and week": "week",
    "one per user and month": "month",
}  # fmt: skip


def groups_by_offer(folder: Folder) -> dict[str, str]:
    """Campaign id -> the group it is an offer of."""
    found: dict[str, str] = {}
    for name, loaded in sorted(folder.groups.items()):
        for i, offer in enumerate(cast("Group", loaded.model).offers):
            if offer not in folder.campaigns:
                hint = meant(offer, folder.campaigns)
                _problem(folder, loaded, i, f"there is no campaign {offer!r}{hint}")
            elif offer in found:
                _problem(folder, loaded, i, f"{offer!r} is an offer of {found[offer]!r} already")
            else:
                found[offer] = name
    return found


def group_plans(folder: Folder, plans: Mapping[str, Plan]) -> tuple[GroupPlan, ...]:
    """The groups, ids ascending. An offer that cannot be one of several, or can never be taken, is a mistake."""
    found = []
    for name, loaded in sorted(folder.groups.items()):
        group = cast("Group", loaded.model)
        offers = [(i, plans[offer]) for i, offer in enumerate(group.offers) if offer in plans]
        for i, plan in offers:
            if why := _fires_more_than_once(plan):
                _problem(folder, loaded, i, f"{plan.campaign!r} may fire more than once at an event ({why})")
        if len({plan.hold_ms for _, plan in offers}) > 1:
            _problem(folder, loaded, None, "all offers of a group are held equally long, or none is")
        _require_reachable(folder, loaded, offers)
        found.append(GroupPlan(name, _LOCKS[group.pick], group.zone, group.offers))
    return tuple(found)


def _fires_more_than_once(plan: Plan) -> str:
    counter = plan.counter
    if plan.absence is not None:
        return "unless: fires by time"
    if counter is None:
        return ""
    if counter.window.kind == "opened":
        return "after: opens several windows"
    if len(counter.steps) > 1 and counter.pick == "every":
        return "steps: with pick: every; right would be pick: highest"
    if counter.fires == "every" and _crosses_several(counter):
        return "every: over a sum may be crossed several times"
    return ""


def _crosses_several(counter: Counter) -> bool:
    return counter.measure is not None and counter.window.kind != "run"


def _require_reachable(folder: Folder, loaded: Loaded, offers: list[tuple[int, Plan]]) -> None:
    """An offer without limits that fires whenever a later one does leaves nothing to that one."""
    accounts = {name: cast("Any", found.model).limits for name, found in folder.campaigns.items()}
    for place, (_, first) in enumerate(offers):
        if accounts[first.campaign] or first.counter or first.silence_ms or first.subject:
            continue
        for i, second in offers[place + 1 :]:
            if _covers(first, second):
                _problem(
                    folder, loaded, i, f"{second.campaign!r} is never reached: {first.campaign!r} comes first always"
                )


def _covers(first: Plan, second: Plan) -> bool:
    """Whether the first fires at every event at which the second does; told only where it is plain."""
    return (
        set(second.event_types) <= set(first.event_types)
        and (first.where is None or first.where == second.where)
        and first.audience in (AudiencePlan(), second.audience)
        and first.currency in ("", second.currency)
        and _within(second.schedule.start_ms, second.schedule.end_ms, first)
        and not first.schedule.days
        and not first.schedule.hours
        and _always_gives(first)
    )


def _within(start_ms: int | None, end_ms: int | None, outer: Plan) -> bool:
    begins = outer.schedule.start_ms is None or (start_ms is not None and outer.schedule.start_ms <= start_ms)
    ends = outer.schedule.end_ms is None or (end_ms is not None and end_ms <= outer.schedule.end_ms)
    return begins and ends


def _always_gives(plan: Plan) -> bool:
    return all(isinstance(gift.incentive.value, Fixed) and gift.to is None for gift in plan.gifts)


def _problem(folder: Folder, loaded: Loaded, i: int | None, message: str) -> None:
    path = ("offers",) if i is None else ("offers", i)
    folder.problem(loaded.document.place(path), f"{'.'.join(map(str, path))}: {message}")
