"""`incentives keeper` from end to end: behind a live run, and ended by a signal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners import cli, embedded
from runners.ops.log_files import LogFiles
from schemas.redis_connection import connect
from tests.support.campaigns import an_event
from transforms.budget.redis_ledger import RedisLedger
from transforms.budget.redis_log import RedisLog

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
limits: [{amount: 30}]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[str]:
    """A server on which a folder is in force and five events have been taken in."""
    with embedded.start(tmp_path / "server") as server:
        fill(tmp_path, server.url)
        yield server.url


def fill(tmp_path: Path, url: str) -> None:
    (tmp_path / "campaigns").mkdir()
    (tmp_path / "campaigns" / "all.yaml").write_text(FOLDER)
    events = [an_event(f"e{n}", f"2026-01-0{n + 1}T00:00:00Z", f"u{n}", amount=5) for n in range(5)]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    place = ["--server", url]
    assert cli.main(["campaign", "apply", str(tmp_path / "campaigns"), *place]) == 0
    live = ["live", "--events", str(tmp_path / "events.jsonl"), "--dead-letters", str(tmp_path / "dead.jsonl")]
    assert cli.main([*live, "--grants", str(tmp_path / "grants.jsonl"), *place]) == 0


def test_one_round_exports_what_a_live_run_has_published_and_trims_the_log(
    shop: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, ledger = RedisLog(connect(shop), "shop"), RedisLedger(connect(shop), "shop")
    assert log.watermark_ms() == 1_767_571_200_000, "live tells it when a bundle is settled"
    entries = log.last()
    assert cli.main(["keeper", "--once", "--export", str(tmp_path / "exported"), "--server", shop]) == 0
    said = capsys.readouterr().out
    assert "shop: watermark 2026-01-05T00:00:00Z, 0 entries unpublished" in said
    assert f"exported to entry {entries}, {entries} entries trimmed" in said
    files = LogFiles(tmp_path / "exported", "shop")
    assert [entry.sequence for entry in files.read("log")] == list(range(1, entries + 1))
    assert {entry.kind for entry in files.read("audit")} == {"define"}
    assert ledger.entry("1") is None and ledger.unpublished(1) == []


def test_a_problem_is_told_and_ends_with_an_error(
    shop: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(shop).delete("{shop}:log")
    assert cli.main(["keeper", "--once", "--export", str(tmp_path / "exported"), "--server", shop]) == 1
    assert "error: shop: the log has no entries 1 to" in capsys.readouterr().err


def test_a_tenant_that_is_not_there_is_a_wrong_call(shop: str) -> None:
    assert cli.main(["keeper", "--once", "--tenant", "other", "--server", shop]) == 2


def test_it_ends_with_a_signal_and_gives_its_lease_up(shop: str) -> None:
    command = [sys.executable, "-m", "runners.cli", "keeper", "--server", shop]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdout is not None
        assert "shop: watermark" in keeper.stdout.readline()
        log = RedisLog(connect(shop), "shop")
        assert log.lease("other", log.clock_ms(), 1_000)[0] == 0
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(20) == 0
    assert log.lease("other", log.clock_ms(), 1_000)[0] == 2
