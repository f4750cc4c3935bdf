"""`incentives budget ...` from end to end: a folder applied, budgets spent, watched and changed on a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runners import cli
from runners.ops.budgets import Rates
from schemas.redis_connection import connect
from schemas.results import Reason
from tests.support.ledgers import a_held, a_single, amounts
from transforms.budget.redis_ledger import RedisLedger

FOLDER = """
schema: events
types: [purchase]
attributes: {amount: int}
---
tenant: shop
---
campaign: c1
trigger: {on: purchase}
grant: {points: 10}
limits: [{amount: 100}, {per: user, grants: 3}]
---
campaign: c2
trigger: {on: purchase}
grant: {points: 10}
limits: [{amount: 50}]
"""


class Budgets:
    """The command, and the ledger that it works on."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url, self._capsys = url, capsys
        self.ledger = RedisLedger(connect(url), "shop")

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code, and all that was printed."""
        code = cli.main(["budget", *arguments, "--server", self.url])
        printed = self._capsys.readouterr()
        return code, printed.out + printed.err

    def change(self, *arguments: str) -> str:
        code, printed = self.run(*arguments, "--yes", "--why", "because")
        assert code == 0, printed
        return printed

    def apply(self, folder: Path, *arguments: str, text: str = FOLDER) -> tuple[int, str]:
        """Exit code, and what was printed."""
        (folder / "all.yaml").write_text(text)
        code = cli.main(["campaign", "apply", str(folder), "--server", self.url, *arguments])
        printed = self._capsys.readouterr()
        return code, printed.out + printed.err

    def refused(self, *arguments: str) -> str:
        code, printed = self.run(*arguments, "--why", "because")
        assert code in (1, 2)
        return printed

    def json(self, *arguments: str) -> Any:
        code, printed = self.run(*arguments, "--json")
        assert code == 0, printed
        return json.loads(printed)

    def row(self, account: str) -> dict[str, Any]:
        (row,) = (row for row in self.json("list") if row["account"] == account)
        found: dict[str, Any] = row
        return found


@pytest.fixture
def budgets(clean_redis: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Budgets:
    (tmp_path / "all.yaml").write_text(FOLDER)
    assert cli.main(["campaign", "apply", str(tmp_path), "--server", clean_redis]) == 0
    capsys.readouterr()
    return Budgets(clean_redis, capsys)


def test_a_partner_has_a_budget_like_any_other(budgets: Budgets, tmp_path: Path) -> None:
    funded = FOLDER.replace("limits: [{amount: 50}]", "funding: [{partner: x, share: 0.4}, {partner: y, share: 0.6}]")
    partners = "---\npartner: x\nlimits: [{amount: 500, unit: points}]\n---\npartner: y\n"
    code, printed = budgets.apply(tmp_path, text=funded + partners)
    assert code == 0, printed
    assert budgets.row("partner/x")["cap_amount"] == 500
    assert "500 -> 700 points" in budgets.change("raise", "partner/x", "--amount", "700")
    assert [row["account"] for row in budgets.json("list")] == [
        "tenant", "partner/x", "partner/y", "campaign/c1", "campaign/c2",
    ]  # fmt: skip


def test_a_list_tells_what_is_committed_held_and_left(budgets: Budgets) -> None:
    budgets.ledger.decide([a_single("a", 40), a_held("b", 25, due_ms=9)])
    row = budgets.row("campaign/c1")
    told = ("state", "committed", "held", "cap_amount", "left", "unit")
    assert [row[key] for key in told] == ["open", 40, 25, 100, 35, "points"]
    code, table = budgets.run("list")
    assert code == 0 and "campaign/c1" in table and "committed" in table


def test_a_change_is_in_force_at_once_and_in_the_audit(budgets: Budgets) -> None:
    printed = budgets.change("raise", "campaign/c1", "--amount", "1_500", "--who", "ann")
    assert "amount in total: 100 -> 1,500 points" in printed and "version 2" in printed
    assert amounts(budgets.ledger.decide([a_single("a", 1_500)])) == [1_500]
    (entry,) = budgets.json("audit", "campaign/c1", "--limit", "1")
    assert (entry["what"], entry["who"], entry["why"]) == ("raise", "ann", "because")
    assert entry["changes"] == ["amount in total: 100 -> 1,500 points"]
    code, table = budgets.run("show", "campaign/c1")
    assert code == 0 and "per user: 3 grants" in table and "raise" in table


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("set", "campaign/c1", "--per", "user", "--grants", "7"), "grants per user: 3 -> 7"),
        (("set", "campaign/c1", "--amount", "none"), "amount in total: 100 -> no cap points"),
        (("lower", "campaign/c1", "--amount", "0"), "amount in total: 100 -> 0 points"),
        (("close", "campaign/c2"), "open -> closed"),
        (("move", "campaign/c1", "campaign/c2", "30"), "amount in total: 50 -> 80 points"),
        (
            ("pace", "campaign/c1", "even", "--from", "2026-01-01", "--to", "2026-02-01"),
            "pace: none -> even, 2026-01-01T",
        ),
        (("freeze",), "freeze"),
    ],
)
def test_a_dry_run_tells_what_would_change_and_changes_nothing(
    budgets: Budgets, arguments: tuple[str, ...], told: str
) -> None:
    before = budgets.json("list"), budgets.json("audit")
    code, printed = budgets.run(*arguments, "--dry-run")
    assert code == 0 and told in printed and "nothing was changed" in printed
    assert (budgets.json("list"), budgets.json("audit")) == before and budgets.ledger.frozen() is None
    assert told in budgets.change(*arguments)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("raise", "campaign/c1", "--amount", "100"), "does not raise the cap of campaign/c1"),
        (("set", "campaign/c1", "--amount", "-1"), "from 0 to 4,503,599,627,370,496"),
        (("set", "campaign/c1", "--amount", str(2**53 + 1)), "from 0 to 4,503,599,627,370,496"),
        (("set", "campaign/c1", "--per", "week", "--grants", "1"), "no limit per week"),
        (("set", "tenant", "--amount", "1"), "tenant has no unit"),
        (("set", "campaign/c9", "--amount", "1"), "no account 'campaign/c9'; there is tenant, campaign/c1"),
        (("move", "campaign/c1", "campaign/c2", "101"), "not so much is left"),
        (("move", "campaign/c1", "campaign/c1", "1"), "to itself"),
        (("move", "campaign/c1", "tenant", "1"), "need a cap on the amount in total"),
        (("pace", "campaign/c1", "even"), "the pace needs its span"),
        (("pace", "campaign/c1", "curve", "--curve", "1,2"), "24 shares"),
        (("pace", "campaign/c1", "curve"), "--curve goes with the shape curve"),
        (("pace", "campaign/c1", "even", "--from", "soon", "--to", "2026-02-01"), "'soon' is no date"),
        (("set", "campaign/c1", "--amount", "1", "--version", "7"), "look again"),
    ],
)
def test_a_change_that_cannot_be_says_what_can(budgets: Budgets, arguments: tuple[str, ...], told: str) -> None:
    before = budgets.json("list")
    assert told in budgets.refused(*arguments, "--yes")
    assert budgets.json("list") == before


def test_a_number_that_is_none_is_a_wrong_call(budgets: Budgets, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        budgets.run("set", "campaign/c1", "--amount", "1e5", "--why", "because")
    assert exit.value.code == 2 and "'1e5' is no whole number" in capsys.readouterr().err


def test_a_change_needs_a_reason_and_a_yes(budgets: Budgets, monkeypatch: pytest.MonkeyPatch) -> None:
    code, printed = budgets.run("raise", "campaign/c1", "--amount", "200")
    assert code == 2 and "--why" in printed
    assert "nobody is there to be asked" in budgets.refused("raise", "campaign/c1", "--amount", "200")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert "nothing was changed" in budgets.refused("raise", "campaign/c1", "--amount", "200")
    monkeypatch.setattr("builtins.input", lambda question: "y")
    assert budgets.run("raise", "campaign/c1", "--amount", "200", "--why", "because")[0] == 0
    assert budgets.row("campaign/c1")["cap_amount"] == 200


def test_what_the_ledger_refuses_is_no_wrong_call(budgets: Budgets) -> None:
    assert budgets.run("raise", "campaign/c1", "--amount", "5", "--why", "because", "--yes")[0] == 1
    assert budgets.run("raise", "campaign/no", "--amount", "5", "--why", "because", "--yes")[0] == 2


def test_asked_again_with_its_id_a_change_is_made_once(budgets: Budgets) -> None:
    arguments = ("move", "campaign/c1", "campaign/c2", "30", "--id", "mine")
    budgets.change(*arguments)
    assert "done before" in budgets.change(*arguments)
    assert [budgets.row(f"campaign/{name}")["cap_amount"] for name in ("c1", "c2")] == [70, 80]
    assert "that one stands" in budgets.refused("move", "campaign/c1", "campaign/c2", "40", "--id", "mine", "--yes")


def test_pause_and_freeze_are_not_asked_for(budgets: Budgets) -> None:
    assert budgets.run("pause", "tenant", "--why", "wrong prices")[0] == 0
    assert amounts(budgets.ledger.decide([a_single("a", 1)])) == [Reason.PAUSED]
    assert budgets.row("tenant")["state"] == "paused"
    budgets.change("resume", "tenant")
    assert budgets.run("freeze", "--why", "double grants")[0] == 0
    assert "frozen: double grants" in budgets.run("list")[1]
    budgets.change("unfreeze")
    assert amounts(budgets.ledger.decide([a_single("b", 1)])) == [1]


def test_a_pace_keeps_its_span_when_it_is_changed(budgets: Budgets) -> None:
    curve = ",".join(["1"] * 24)
    span = ("--from", "2026-03-01", "--to", "2026-04-01", "--zone", "America/New_York")
    budgets.change("pace", "campaign/c1", "curve", "--curve", curve, *span)
    budgets.change("pace", "campaign/c1", "front-loaded", "--head-start", "5")
    (account,) = (account for account in budgets.ledger.snapshot() if account.name == "campaign/c1")
    pace = account.limits[0].pace
    assert pace is not None and (pace.shape, pace.head_start, pace.zone) == ("front-loaded", 5, "America/New_York")
    assert "2026-03-01T05:00:00Z to 2026-04-01T04:00:00Z" in budgets.run("show", "campaign/c1")[1]
    budgets.change("pace", "campaign/c1", "none")
    assert budgets.row("campaign/c1")["paced_cap"] is None


def test_a_pace_of_a_file_is_in_force(budgets: Budgets, tmp_path: Path) -> None:
    pace = "pace: {by: even, from: 1970-01-01, to: 1970-01-02}"
    assert budgets.apply(tmp_path, text=FOLDER.replace("amount: 100", f"amount: 100, {pace}"))[0] == 0
    hour_ms = 3_600_000
    batch = [a_single("a", 50, at_ms=12 * hour_ms - 1), a_single("b", 50, at_ms=12 * hour_ms)]
    assert amounts(budgets.ledger.decide(batch)) == [Reason.PACED, 50]


def test_watch_reads_again_and_again(budgets: Budgets) -> None:
    code, printed = budgets.run("watch", "campaign/c1", "--readings", "2", "--every", "0.01", "--json")
    assert code == 0
    readings = [json.loads(line) for line in printed.splitlines()]
    assert [[row["account"] for row in rows] for rows in readings] == [["campaign/c1"]] * 2
    assert [rows[0]["per_hour"] for rows in readings] == [None, 0]
    assert "gone at this rate" in budgets.run("watch", "--readings", "1")[1]


def test_a_forecast_is_what_is_left_at_the_rate_seen() -> None:
    rates = Rates()
    row = {"account": "campaign/c1", "amount": 100, "left": 900}
    assert rates.add([row], 0)[0]["gone_at"] is None
    (later,) = rates.add([row | {"amount": 200, "left": 800}], 1_800_000)
    assert (later["per_hour"], later["gone_at"]) == (200, "1970-01-01T04:30:00Z")
    (full,) = rates.add([row | {"amount": 1_200, "left": -200}], 3_600_000)
    assert (full["per_hour"], full["gone_at"]) == (1_100, "1970-01-01T01:00:00Z")


CAPPED_AT_120 = FOLDER.replace("amount: 100", "amount: 120")
OTHER_RULE = FOLDER.replace("grant: {points: 10}", "grant: {points: 11}", 1)


def test_applying_a_folder_keeps_what_operators_changed(budgets: Budgets, tmp_path: Path) -> None:
    budgets.change("raise", "campaign/c1", "--amount", "150")
    code, printed = budgets.apply(tmp_path, text=OTHER_RULE)
    assert code == 0 and "kept: campaign/c1, amount in total: 150 live, 100 in the file" in printed
    assert budgets.row("campaign/c1")["cap_amount"] == 150
    code, printed = budgets.apply(tmp_path, text=OTHER_RULE.replace("grants: 3", "grants: 4"))
    assert code == 0 and "campaign/c1: grants per user: 3 -> 4" in printed
    assert budgets.row("campaign/c1")["cap_amount"] == 150


@pytest.mark.parametrize(("side", "stands"), [("file", 120), ("live", 150)])
def test_a_cap_changed_in_the_file_and_live_is_a_conflict(
    budgets: Budgets, tmp_path: Path, side: str, stands: int
) -> None:
    budgets.change("raise", "campaign/c1", "--amount", "150")
    code, printed = budgets.apply(tmp_path, text=CAPPED_AT_120)
    assert code == 1
    assert "campaign/c1, amount in total: 150 live, 120 in the file, 100 applied last" in printed
    assert "--take file, or --take live" in printed
    assert budgets.row("campaign/c1")["cap_amount"] == 150
    assert budgets.apply(tmp_path, "--take", side, text=CAPPED_AT_120)[0] == 0
    assert budgets.row("campaign/c1")["cap_amount"] == stands
    assert budgets.apply(tmp_path, text=CAPPED_AT_120.replace("points: 10", "points: 12"))[0] == 0
    assert budgets.row("campaign/c1")["cap_amount"] == stands


def test_a_folder_can_be_tried_before_it_is_applied(budgets: Budgets, tmp_path: Path) -> None:
    code, printed = budgets.apply(tmp_path, "--dry-run", text=CAPPED_AT_120)
    assert code == 0 and "campaign/c1: amount in total: 100 -> 120 points" in printed
    assert "set 2 was not published" in printed and budgets.row("campaign/c1")["cap_amount"] == 100
    code, printed = budgets.apply(tmp_path, "--why", "spring", text=CAPPED_AT_120)
    assert code == 0 and "published set 2" in printed
    assert budgets.json("audit", "--limit", "1")[0]["why"] == "spring"
