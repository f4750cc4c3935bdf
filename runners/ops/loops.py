"""Rewards that trigger rewards: a grant is used elsewhere, that comes back as an event, and the event is rewarded.

Grants are no events within a run. Which event types come from the use of grants is declared in the schema file
(`follows:`); a loop is a way from such a type over a campaign and its unit back to the type.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from runners.ops.liability import Liability
from schemas.plans import Plan

Follows = Mapping[str, Sequence[str]]
"""Event type -> units of the grants whose use such events tell."""


class Step(NamedTuple):
    """A campaign that fires, counts or opens a window on an event type, and what it gives."""

    event_type: str
    campaign: str
    unit: str


class Loop(NamedTuple):
    """steps: each one's unit is followed by the next one's event type, the last one's by the first's.

    Attributes:
      ends: the step's liability that ends it for each user, or else in all; None = nothing ends it.
      for_each_user: whether that is so for each user.
    """

    steps: tuple[Step, ...]
    ends: Liability | None
    for_each_user: bool


class _Edge(NamedTuple):
    step: Step
    to_type: str


def loops(plans: Sequence[Plan], liabilities: Sequence[Liability], follows: Follows) -> list[Loop]:
    """For each campaign on a loop the worst one, of those the shortest, each told once; the endless ones first."""
    followers: dict[str, list[str]] = {}
    for event_type, units in follows.items():
        for unit in units:
            followers.setdefault(unit, []).append(event_type)
    if not followers:
        return []
    known = {(one.campaign, one.unit): one for one in liabilities}
    edges = [edge for plan in plans for edge in _edges(plan, follows, followers)]
    graphs = [_graph(edge for edge in edges if _rank(known[_key(edge.step)]) <= rank) for rank in range(3)]
    found: dict[frozenset[Step], Loop] = {}
    ways: dict[tuple[int, str, str], list[Step] | None] = {}
    told: set[str] = set()
    for edge in sorted(edges, key=lambda edge: (_rank(known[_key(edge.step)]), edge)):
        loop = None if edge.step.campaign in told else _worst(edge, graphs, known, ways)
        if loop is not None:
            told.add(edge.step.campaign)
            found.setdefault(frozenset(loop.steps), loop)
    return sorted(found.values(), key=lambda loop: (_ended(loop), len(loop.steps), loop.steps))


def _edges(plan: Plan, follows: Follows, followers: Mapping[str, Sequence[str]]) -> list[_Edge]:
    taken = {*plan.event_types, *(plan.opening.event_types if plan.opening else ())}
    units = {gift.incentive.unit for gift in plan.all_gifts}
    return [
        _Edge(Step(event_type, plan.campaign, unit), to_type)
        for event_type in sorted(taken & set(follows))
        for unit in sorted(units)
        for to_type in followers.get(unit, ())
    ]


def _key(step: Step) -> tuple[str, str]:
    return step.campaign, step.unit


def _rank(liability: Liability) -> int:
    """How far it goes by itself: 0 without end, 1 until a budget is gone, 2 as far as each user may."""
    if liability.a_user.amount is None:
        return 0
    return 1 if liability.all_to_one else 2


def _ended(loop: Loop) -> int:
    return 0 if loop.ends is None else 2 if loop.for_each_user else 1


def _graph(edges: Iterable[_Edge]) -> dict[str, dict[str, Step]]:
    """Event type -> the next event type -> one step that leads there."""
    graph: dict[str, dict[str, Step]] = {}
    for edge in edges:
        graph.setdefault(edge.step.event_type, {}).setdefault(edge.to_type, edge.step)
    return graph


def _worst(
    edge: _Edge,
    graphs: list[dict[str, dict[str, Step]]],
    known: Mapping[tuple[str, str], Liability],
    ways: dict[tuple[int, str, str], list[Step] | None],
) -> Loop | None:
    """The loop over this step that goes farthest: by steps that are no more bounded than they must be."""
    for rank in range(_rank(known[_key(edge.step)]), 3):
        place = rank, edge.to_type, edge.step.event_type
        if place not in ways:
            ways[place] = _way(graphs[rank], edge.to_type, edge.step.event_type)
        way = ways[place]
        if way is not None:
            steps = (edge.step, *way)
            first = max((known[_key(step)] for step in steps), key=_rank)
            return Loop(steps, first if rank else None, rank == 2)
    return None


def _way(graph: dict[str, dict[str, Step]], start: str, end: str) -> list[Step] | None:
    """The shortest way between two event types; there may be none, and from a type to itself it is empty."""
    ways: dict[str, list[Step]] = {start: []}
    waiting = deque([start])
    while waiting and end not in ways:
        event_type = waiting.popleft()
        for next_type, step in graph.get(event_type, {}).items():
            if next_type not in ways:
                ways[next_type] = [*ways[event_type], step]
                waiting.append(next_type)
    return ways.get(end)
