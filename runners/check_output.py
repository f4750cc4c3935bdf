"""What `campaign check` prints: first what has no bound, then the worst cases, loops and overlaps."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runners.console import number
from runners.ops.bounds import Bound
from runners.ops.checking import Report
from runners.ops.liability import Liability, some
from runners.ops.loops import Loop
from runners.ops.overlaps import Overlap

ROWS_MAX = 100
WARNINGS_MAX = 20


def print_report(console: Console, report: Report) -> None:
    """For people; what is left out stands in the JSON."""
    for line in _without_bounds(report):
        console.print(line, soft_wrap=True)
    console.print(_totals(report))
    console.print(_campaigns(report))
    _more(console, "campaigns", len(report.worst.campaigns), ROWS_MAX)
    for loop in report.loops[:WARNINGS_MAX]:
        console.print(_loop(report, loop), soft_wrap=True)
    _more(console, "loops", len(report.loops), WARNINGS_MAX)
    found, compared = report.overlaps
    if compared is not None:
        console.print(f"overlaps: each campaign was compared with {compared:,} others only")
    for overlap in found[:WARNINGS_MAX]:
        console.print(_overlap(overlap), soft_wrap=True)
    _more(console, "overlaps", len(found), WARNINGS_MAX)


def _more(console: Console, what: str, count: int, shown: int) -> None:
    if count > shown:
        console.print(f"and {count - shown:,} more {what}: --json tells all")


def _without_bounds(report: Report) -> Iterator[str]:
    """The campaigns whose number is infinite, by what is wrong with them."""
    for who, right in (
        ("in all", "limits: [{amount: 1_000_000}]"),
        ("a user", "limits: [{per: user, amount: 1_000}]"),
    ):
        by_why: dict[str, list[str]] = {}
        for one in report.worst.campaigns:
            bound = one.in_all if who == "in all" else one.a_user
            if bound.amount is None:
                by_why.setdefault(bound.why, []).append(one.campaign)
        for why, names in sorted(by_why.items()):
            named = some(list(dict.fromkeys(names)))
            yield f"[bold red]no bound {who}[/]: {named}: {escape(why)}; right would be e.g. {escape(right)}"


def _amount(bound: Bound) -> str:
    return "[bold red]no bound[/]" if bound.amount is None else number(bound.amount)


def _totals(report: Report) -> Table:
    table = _table("Worst case of the folder", "unit")
    for heading in ("a user", "in all"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what bounds it", overflow="fold")
    for one in report.worst.totals:
        table.add_row(one.unit, _amount(one.a_user), _amount(one.in_all), _why(one.a_user, one.in_all))
    return table


def _campaigns(report: Report) -> Table:
    """The unit has a column only where there are several."""
    units = {one.unit for one in report.worst.campaigns}
    one_unit = f", {min(units)}" if len(units) == 1 else ""
    table = _table(f"Worst case by campaign{one_unit}", "campaign")
    if not one_unit:
        table.add_column("unit", no_wrap=True)
    for heading in ("a grant", "a user", "in all"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what bounds it", overflow="fold", min_width=14)
    for one in sorted(report.worst.campaigns, key=_worst_first)[:ROWS_MAX]:
        a_user = "all of it" if one.all_to_one and one.a_user.amount else _amount(one.a_user)
        named = [one.campaign] if one_unit else [one.campaign, one.unit]
        table.add_row(*named, _amount(one.a_grant), a_user, _amount(one.in_all), _why(one.a_user, one.in_all))
    return table


def _table(title: str, first: str) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE, pad_edge=False)
    table.add_column(first, overflow="fold", min_width=min(len(first), 12))
    return table


def _worst_first(one: Liability) -> tuple[bool, bool, int, str]:
    return one.in_all.amount is not None, one.a_user.amount is not None, -(one.in_all.amount or 0), one.campaign


def _why(a_user: Bound, in_all: Bound) -> str:
    if a_user == in_all:
        return escape(in_all.why)
    return escape(f"{a_user.why}\n{in_all.why}")


def _loop(report: Report, loop: Loop) -> str:
    parts = [
        f"{step.event_type} -> {step.campaign} ({report.place(step.campaign)}) -> {step.unit}" for step in loop.steps
    ]
    way = escape(" -> ".join([*parts, loop.steps[0].event_type]))
    if loop.ends is None:
        return f"[bold red]loop without end[/]: {way}; right would be a limit per user on one of them"
    bound = loop.ends.a_user
    whose = "a user" if loop.for_each_user else "everything"
    ends = f"{loop.ends.campaign} gives {whose} at most {number(bound.amount)} {loop.ends.unit} ({bound.why})"
    return f"[yellow]loop[/]: {way}; it ends: {escape(ends)}"


def _overlap(overlap: Overlap) -> str:
    together = [
        f"{'any number of' if amount is None else number(amount)} {unit}" for unit, amount in overlap.together.items()
    ]
    types, most = " or ".join(overlap.event_types), f"together at most {', '.join(together)}"
    names = some(overlap.campaigns, 6)
    if not overlap.others:
        return f"[yellow]overlap[/]: one {types} can fire all of {names}: {most}"
    also = f"on the same {types} as {some(overlap.others)}"
    return f"[yellow]overlap[/]: {names} {'fires' if len(overlap.campaigns) == 1 else 'fire'} {also}: {most}"
