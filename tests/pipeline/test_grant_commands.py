"""`incentives grant ...` from end to end, on a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runners import cli
from schemas.redis_connection import connect
from schemas.results import Outcome
from tests.support.ledgers import a_grant, a_held, a_proposal, a_reversal, a_single, total
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
limits: [{amount: 100}]
"""


class Grants:
    """The command, and the ledger that it works on."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url, self._capsys = url, capsys
        self.ledger = RedisLedger(connect(url), "shop")

    def run(self, action: str, occurrence: str, *arguments: str) -> tuple[int, str]:
        """Exit code, and all that was printed."""
        grant_id = a_grant(occurrence, 1).grant_id.hex()
        code = cli.main(["grant", action, grant_id, *arguments, "--server", self.url])
        printed = self._capsys.readouterr()
        return code, printed.out + printed.err

    def change(self, action: str, occurrence: str, *arguments: str) -> str:
        code, printed = self.run(action, occurrence, *arguments, "--yes", "--why", "because", "--who", "ann")
        assert code == 0, printed
        return printed

    def story(self, occurrence: str) -> Any:
        code, printed = self.run("show", occurrence, "--json")
        assert code == 0, printed
        return json.loads(printed)


@pytest.fixture
def grants(clean_redis: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Grants:
    (tmp_path / "all.yaml").write_text(FOLDER)
    assert cli.main(["campaign", "apply", str(tmp_path), "--server", clean_redis]) == 0
    capsys.readouterr()
    return Grants(clean_redis, capsys)


def test_show_tells_the_whole_story_from_record_log_and_audit(grants: Grants) -> None:
    grants.ledger.decide([a_held("a", 90, 50, at_ms=5), a_single("b", 20)])
    grants.change("commit", "a", "--amount", "60")
    grants.ledger.decide([a_reversal("refund", "a", amount=10, at_ms=7)])
    told = grants.story("a")
    assert {name: told[name] for name in ("is", "user", "asked", "approved", "taken_back", "stands", "ended_by")} == {
        "is": "committed", "user": "u1", "asked": 90, "approved": 90, "taken_back": 40, "stands": 50,
        "ended_by": "operator",
    }  # fmt: skip
    assert [(row["entry"], row["what"], row["amount"]) for row in told["story"]] == [
        ("1", "held", 90), ("2", "committed", 60), ("3", "reversed", 10),
    ]  # fmt: skip
    assert [(row["what"], row["who"], row["changes"][0].split(": ")[1]) for row in told["changes"]] == [
        ("commit", "ann", "held 90 -> committed 60")
    ]
    code, table = grants.run("show", "a")
    assert code == 0 and all(text in table for text in ("taken back", "refund", "held 90 -> committed 60", "because"))
    code, audit = cli.main(["budget", "audit", "campaign/c1", "--server", grants.url]), grants._capsys.readouterr().out
    assert code == 0 and "held 90 -> committed 60" in audit


def test_show_tells_why_it_was_refused_of_a_list_too(grants: Grants) -> None:
    grants.ledger.decide([a_single("a", 101), a_proposal((a_grant("big", 300),), (a_grant("b", 200),))])
    for name in "ab":
        told = grants.story(name)
        assert told["is"] == "denied"
        assert told["story"][0]["reason"] == "amount of campaign/c1 total: 0 of 100"


@pytest.mark.parametrize(
    ("arguments", "told", "left"),
    [
        (("commit", "a", "--amount", "60"), "held 90 -> committed 60 points, 30 given back", 60),
        (("commit", "a", "--amount", "0"), "held 90 -> released, 90 given back", 0),
        (("release", "a"), "held 90 -> released, 90 given back", 0),
        (("reverse", "a", "--amount", "1"), "held 90 -> 89 points stand, 1 given back", 89),
    ],
)
def test_a_dry_run_tells_what_would_change_and_changes_nothing(
    grants: Grants, arguments: tuple[str, str], told: str, left: int
) -> None:
    grants.ledger.decide([a_held("a", 90, 50)])
    code, printed = grants.run(*arguments, "--dry-run")
    assert code == 0 and told in printed and "nothing was changed" in printed
    assert total(grants.ledger) == (1, 90)
    assert told in grants.change(*arguments)
    assert total(grants.ledger)[1] == left


def test_what_was_refused_is_decided_again_and_published(grants: Grants) -> None:
    grants.ledger.decide([a_single("a", 120), a_single("b", 5)])
    assert "the log has no refusal" in grants.run("redecide", "b", "--why", "x")[1]
    assert cli.main(["budget", "raise", "campaign/c1", "--amount", "200", "--why", "x", "--yes", "--server", grants.url]) == 0
    grants._capsys.readouterr()
    printed = grants.change("redecide", "a", "--id", "op7")
    assert "it is granted, 120 stand; log entry 2, id op7" in printed
    assert "done before" in grants.change("redecide", "a", "--id", "op7")
    assert [entry.entry for entry in grants.ledger.unpublished(9)] == ["1", "2"]
    assert [row["what"] for row in grants.story("a")["story"]] == ["denied", "granted"]
    assert grants.ledger.decide([a_single("a", 120)])[0].outcome is Outcome.GRANTED


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("commit", "a"), "granted at once"),
        (("reverse", "a", "--amount", "91"), "more than stands"),
        (("reverse", "a", "--amount", "0"), "a whole number from 1 to 99,999,999,999,999"),
        (("commit", "d"), "`incentives grant redecide` decides it again"),
        (("redecide", "a"), "no refusal"),
        (("release", "gone"), "the ledger has decided no grant"),
    ],
)
def test_a_change_that_cannot_be_says_what_can(grants: Grants, arguments: tuple[str, ...], told: str) -> None:
    grants.ledger.decide([a_single("a", 90), a_single("d", 90)])
    before = grants.ledger.snapshot()
    code, printed = grants.run(*arguments, "--why", "because", "--yes")
    assert code in (1, 2) and told in printed
    assert grants.ledger.snapshot() == before


def test_a_change_is_asked_for_and_says_why(grants: Grants) -> None:
    grants.ledger.decide([a_single("a", 90)])
    assert "say why" in grants.run("reverse", "a", "--yes")[1]
    assert "nobody is there to be asked" in grants.run("reverse", "a", "--why", "x")[1]
    code = cli.main(["grant", "show", "abc", "--server", grants.url])
    assert code == 2 and "32 hexadecimal digits" in grants._capsys.readouterr().err
    assert total(grants.ledger) == (1, 90)
