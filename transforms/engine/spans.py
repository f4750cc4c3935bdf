"""Which of many ranges hold a number? A segment tree: no range is kept more than twice a level, whatever the overlap.

The ends of all ranges cut the numbers into segments. A node of the tree stands for a run of segments and holds the
ranges that cover it whole, and not the node above; those that hold a number are at the nodes above its segment.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TypeVar

from transforms.engine.places import Span
from transforms.language.terms import Number

Held = TypeVar("Held")


def ends_of(spans: Iterable[Span]) -> list[Number]:
    """Where segments begin, ascending; the first one begins below all of them."""
    return sorted({end for span in spans for end in span if end is not None})


def segments_of(span: Span, ends: Sequence[Number]) -> tuple[int, int]:
    """The run of segments [first, last) that a span covers."""
    first = 0 if span.low is None else bisect_left(ends, span.low) + 1
    return first, len(ends) + 1 if span.high is None else bisect_left(ends, span.high) + 1


def nodes_of(spans: Iterable[tuple[Span, Held]], ends: Sequence[Number]) -> dict[int, list[Held]]:
    """What is held at each node that holds anything. Node 1 is the whole; n stands above 2n and 2n + 1."""
    nodes: dict[int, list[Held]] = {}
    for span, held in spans:
        first, last = (len(ends) + 1 + segment for segment in segments_of(span, ends))
        while first < last:
            if first & 1:
                nodes.setdefault(first, []).append(held)
                first += 1
            if last & 1:
                last -= 1
                nodes.setdefault(last, []).append(held)
            first, last = first >> 1, last >> 1
    return nodes


def nodes_above(segment: int, ends: Sequence[Number]) -> list[int]:
    """The nodes that stand for a segment, its own first."""
    node = len(ends) + 1 + segment
    return [node >> level for level in range(node.bit_length())]
