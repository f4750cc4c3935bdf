"""`incentives campaign check`, as an operator runs it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from runners.check_output import print_report
from runners.cli import main
from runners.ops.checking import check_folder
from tests.support.campaigns import a_folder

JOURNEY = Path(__file__).parents[2] / "examples" / "complete_journey"
SCHEMA = "schema: events\ntypes: [purchase, spent]\nattributes: {amount: int}\nfollows: {spent: points}\n"
ENDLESS = "campaign: endless\ntrigger: {on: [purchase, spent]}\ngrant: {points: {of: event.amount}}\n"


def test_the_demo_s_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", "check", str(JOURNEY)]) == 0
    told = capsys.readouterr().out
    assert "10 campaigns of tenant grocery are right" in told
    assert "no bound" not in told and "loop" not in told
    (row,) = (line.split(maxsplit=4) for line in told.splitlines() if line.startswith(" spend-200-a-month"))
    assert row[:4] == ["spend-200-a-month", "1,000", "5,000", "3,000,000"]
    assert row[4].strip() == "5 grants of at most 1,000 a user"
    assert "one purchase can fire all of big-basket" in told
    assert "together at most 11,110 points" in told


def test_the_demo_s_folder_for_tools(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", "check", "--json", str(JOURNEY)]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    campaigns = {one["campaign"]: one for one in told["campaigns"]}
    assert campaigns["welcome"]["a_user"] == {"amount": 500, "why": "once a user"}
    assert campaigns["welcome"]["at"].endswith("loyalty.yaml:2")
    assert [one["in_all"]["amount"] for one in told["totals"]] == [20_000_000]
    assert (told["loops"], len(told["overlaps"]), told["overlaps_compared"]) == ([], 1, None)


def test_what_has_no_bound_comes_first_and_a_warning_fails_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = a_folder(tmp_path, ENDLESS, SCHEMA)
    assert main(["campaign", "check", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(
        "no bound in all: endless: nothing bounds what a grant is worth; right would be e.g. limits:"
    )
    assert lines[2].startswith("no bound a user: endless")
    (loop,) = (line for line in lines if line.startswith("loop"))
    assert loop.startswith("loop without end: spent -> endless (") and "campaigns.yaml:1) -> points -> spent;" in loop


def test_a_mistake_fails_as_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = a_folder(tmp_path, ENDLESS.replace("event.amount", "event.amout"), SCHEMA)
    assert main(["campaign", "check", "--json", str(folder)]) == 1
    told = capsys.readouterr()
    assert told.out == "" and "did you mean event.amount?" in told.err


def test_a_narrow_terminal_shows_every_number_whole() -> None:
    screen = io.StringIO()
    print_report(Console(file=screen, width=80), check_folder(JOURNEY))
    table = screen.getvalue().split("Worst case by campaign")[1].split("overlap")[0]
    assert all(len(line) <= 80 for line in table.splitlines())
    assert "20,000,000" in table and "every-third-basket" in table
