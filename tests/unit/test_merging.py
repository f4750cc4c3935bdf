"""Three-way merge of limits: a live change stands unless the file changed the same cap."""

from __future__ import annotations

import pytest

from schemas.proposals import AccountSpec, LimitSpec, Pace
from schemas.results import WhenFull
from transforms.budget.merging import Merged, Side, merge

EVEN = Pace("even", 0, 1_000)


def merged(
    applied: tuple[LimitSpec, ...] | None,
    file: tuple[LimitSpec, ...],
    live: tuple[LimitSpec, ...],
    wins: Side | None = None,
) -> Merged:
    return merge(applied, AccountSpec("campaign/c", "tenant", "points", file), live, wins)


def total(amount: int | None, grants: int | None = None, full: WhenFull = WhenFull.SKIP) -> tuple[LimitSpec, ...]:
    return (LimitSpec("total", grants, amount, full),)


@pytest.mark.parametrize(
    ("applied", "file", "live", "stands", "kept"),
    [
        (total(5), total(5), total(5), total(5), 0),
        (total(5), total(6), total(5), total(6), 0),
        (total(5), total(5), total(7), total(7), 1),
        (total(5), total(7), total(7), total(7), 0),
        (total(5), total(5, 3), total(7), total(7, 3), 1),
        (total(5), total(5, full=WhenFull.CUT), total(None, 2), total(None, 2, WhenFull.CUT), 2),
        (total(5), (), total(5), (), 0),
        ((), (), total(7), total(7), 1),
        ((), (LimitSpec("day", 1),), total(7), (LimitSpec("day", 1), *total(7)), 1),
        (None, total(5), total(5), total(5), 0),
    ],
)
def test_the_side_that_changed_stands(
    applied: tuple[LimitSpec, ...] | None,
    file: tuple[LimitSpec, ...],
    live: tuple[LimitSpec, ...],
    stands: tuple[LimitSpec, ...],
    kept: int,
) -> None:
    found = merged(applied, file, live)
    assert (found.spec.limits, found.conflicts, len(found.kept)) == (stands, (), kept)


def test_a_cap_that_both_changed_is_a_conflict_until_somebody_chooses() -> None:
    (conflict,) = merged(total(5), total(6), total(7)).conflicts
    assert (conflict.account, conflict.period, conflict.field) == ("campaign/c", "total", "amount")
    assert (conflict.applied, conflict.file, conflict.live) == (5, 6, 7)
    assert merged(total(5), total(6), total(7), "file").spec.limits == total(6)
    assert merged(total(5), total(6), total(7), "live").spec.limits == total(7)


def test_a_limit_that_the_file_drops_and_an_operator_changed_is_a_conflict() -> None:
    assert len(merged(total(5), (), total(7)).conflicts) == 1
    assert merged(total(5), (), total(7), "file").spec.limits == ()
    assert merged(total(5), (), total(7), "live").spec.limits == total(7)


def test_a_pace_is_merged_as_a_whole_and_goes_with_its_cap() -> None:
    paced = (LimitSpec("total", None, 5, pace=EVEN),)
    assert merged(total(5), total(6), paced).spec.limits == (LimitSpec("total", None, 6, pace=EVEN),)
    assert merged(total(5), total(None, 3), paced).spec.limits == total(None, 3)
