"""What people see on a terminal: tables, times and amounts, in one hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from runners.ops.expectations import RanTest
from runners.ops.summary import CampaignSummary, Say, Summary


def console() -> Console:
    """Standard output. Without a terminal it is wide enough for the tables."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=150)


def error_console() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False)


def number(value: int | None) -> str:
    """`1,234`; a dash for none."""
    return "-" if value is None else f"{value:,}"


def moment(text: str | None) -> str:
    """A day and minute of an RFC 3339 time."""
    return "-" if text is None else text[:16].replace("T", " ")


@contextmanager
def progress_bar(events: int | None = None) -> Iterator[Say]:
    """Bars for the stages of a backtest, on standard error, so that output can be piped."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<9}"),
        BarColumn(),
        TextColumn("{task.completed:>10,.0f}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=error_console(), transient=True) as progress:
        tasks = {stage: progress.add_task(stage, total=events) for stage in ("read", "advanced", "settled")}

        def say(done: dict[str, int]) -> None:
            total = max(done["read"], 1)
            for stage, count in done.items():
                progress.update(tasks[stage], completed=count, total=total if stage == "advanced" else None)

        yield say


def summary_table(summary: Summary) -> Table:
    """A backtest's campaigns: matched, granted, denied by reason, spent of cap, and when a cap was reached."""
    table = Table(title=f"Campaigns of {summary.tenant}", title_justify="left", header_style="bold")
    table.add_column("campaign")
    takes_back = any(row.taken_back for row in summary.campaigns.values())
    for heading in ("matched", "granted", "amount", *(["taken back"] if takes_back else []), "of cap"):
        table.add_column(heading, justify="right")
    table.add_column("denied")
    table.add_column("cap reached (UTC)")
    for campaign, row in sorted(summary.campaigns.items()):
        denied = ", ".join(f"{count:,} {reason}" for reason, count in sorted(row.denied.items())) or "-"
        amount = f"{row.amount:,} {row.unit}"
        back = [number(row.taken_back)] if takes_back else []
        counts = number(row.matched), number(row.granted), amount
        table.add_row(campaign, *counts, *back, _share(row), denied, moment(row.exhausted_at))
    return table


def _share(row: CampaignSummary) -> str:
    """How much of its total cap a campaign has used when all is done: what was given back is free again."""
    if row.cap_amount:
        return f"{row.used_amount / row.cap_amount:.1%} of {row.cap_amount:,}"
    if row.cap_grants:
        return f"{row.used_grants / row.cap_grants:.1%} of {row.cap_grants:,} grants"
    return "-"


def accounts_table(rows: list[dict[str, Any]], frozen: str | None = None) -> Table:
    """Accounts with their use and caps, in minor units; of the lesser columns those of which a row says something.

    Args:
      frozen: why nothing is decided at all; None = it is.
    """
    title = "Accounts" if frozen is None else f"Accounts, [bold red]frozen:[/] {escape(frozen)}"
    table = Table(title=title, title_justify="left", header_style="bold")
    shown = [
        column
        for column in _COLUMNS
        if any(column.key in row if column.always else row.get(column.key) for row in rows)
    ]
    for column in shown:
        table.add_column(column.heading, justify="right" if column.is_number else "left")
    for row in rows:
        table.add_row(*(_cell(column, row) for column in shown))
    return table


class _Column(NamedTuple):
    key: str
    heading: str
    is_number: bool = True
    always: bool = False


_COLUMNS = (
    _Column("account", "account", False, True),
    _Column("state", "state", False, True),
    _Column("committed", "committed", always=True),
    _Column("held", "held"),
    _Column("cap_amount", "cap", always=True),
    _Column("left", "left", always=True),
    _Column("paced_cap", "paced to"),
    _Column("unit", "unit", False, True),
    _Column("grants", "grants", always=True),
    _Column("cap_grants", "of"),
    _Column("per_hour", "per hour", always=True),
    _Column("gone_at", "gone at this rate (UTC)", False, True),
)


def _cell(column: _Column, row: dict[str, Any]) -> str:
    value = row.get(column.key)
    if column.key == "committed" and not row["unit"]:
        return "-"  # points and dollars do not add up
    if column.key == "state":
        return _STATES[row["state"]]
    if column.key == "left" and value is not None and value < 0:
        return f"[red]{value:,}[/]"
    if column.key == "gone_at":
        return moment(value)
    return number(value) if column.is_number else str(value or "-")


_STATES = {"open": "open", "paused": "[yellow]paused[/]", "closed": "[red]closed[/]"}


def audit_table(rows: list[dict[str, Any]]) -> Table:
    """Changes, newest first."""
    table = Table(title="Changes", title_justify="left", header_style="bold")
    for heading in ("when (UTC)", "who", "what", "account", "change", "why"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        when = row["at"][:19].replace("T", " ")
        told = (
            when,
            row["who"] or "-",
            row["what"],
            row["account"] or "all",
            "\n".join(row["changes"]),
            row["why"] or "-",
        )
        table.add_row(*(escape(text) for text in told))
    return table


def facts_table(facts: dict[str, Any]) -> Table:
    """What one thing is, a line a fact; what is unknown or none is left out."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        if value is not None:
            text = f"{value:,}" if isinstance(value, int) else ", ".join(value) if isinstance(value, list) else value
            table.add_row(f"[bold]{name.replace('_', ' ')}[/]", escape(text))
    return table


def story_table(rows: list[dict[str, Any]]) -> Table:
    """What the log tells of a grant, oldest first."""
    table = Table(title="Story", title_justify="left", header_style="bold")
    for heading in ("entry", "what", "amount", "event", "at (UTC)", "reason"):
        table.add_column(heading, justify="right" if heading in ("entry", "amount") else "left", overflow="fold")
    for row in rows:
        when = row["time"][:19].replace("T", " ")
        told = (row["entry"], row["what"], number(row["amount"]), row["event_id"], when, row["reason"] or "-")
        table.add_row(*(escape(text) for text in told))
    return table


_STYLES = {"missing": "red", "unexpected": "red", "differs": "yellow", "note": "dim"}


def report_of_test(ran: RanTest) -> Text:
    """One line for a test that passed; else what differs, a line each."""
    name, place = ran.test.name, ran.test.place
    if not ran.differences:
        return Text.assemble(("ok   ", "green"), name)
    report = Text.assemble(("FAIL ", "bold red"), (name, "bold"), f"  {place.file}:{place.line}")
    lines = [(one.what, f"{one.place.file}:{one.place.line}", one.text) for one in ran.differences]
    width = max(len(where) for _, where, _ in lines)
    for what, where, text in lines:
        report.append_text(Text.assemble("\n  ", (f"{what:<11}", _STYLES[what]), f"{where:<{width}}  {text}"))
    for note in ran.notes:
        report.append_text(Text.assemble("\n  ", (f"{'note':<11}{note}", _STYLES["note"])))
    return report
