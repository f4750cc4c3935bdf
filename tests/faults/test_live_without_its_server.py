"""The server goes away while live runs, and comes back: live waits, goes on, and nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from runners import embedded
from runners.ops.campaigns import apply_folder
from schemas.operations import Freeze, SetCap
from schemas.redis_connection import connect
from tests.support.campaigns import a_folder, a_stream, an_event, records
from tests.support.ledgers import an_operation
from tests.support.waiting import wait_until
from transforms.budget.redis_ledger import RedisLedger
from transforms.language import load_folder

CAMPAIGN = "campaign: each\ntrigger: {on: purchase}\ngrant: {points: 1}\nlimits: [{grants: 5_500}]"
EVENTS = 6_000


def started(tmp_path: Path, url: str) -> tuple[subprocess.Popen[str], Path]:
    """Live on a stream of events, and the file of its grants."""
    events = [
        an_event(f"e{i:05d}", f"2026-01-01T{i // 3600:02d}:{i // 60 % 60:02d}:{i % 60:02d}Z", f"u{i % 50}")
        for i in range(EVENTS)
    ]
    stream, grants = a_stream(tmp_path / "events.jsonl", events), tmp_path / "grants.jsonl"
    command = [sys.executable, "-m", "runners.cli", "live", "--events", str(stream), "--grants", str(grants)]
    live = subprocess.Popen(
        [*command, "--server", url], cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, text=True
    )
    return live, grants


def put_in_force(tmp_path: Path, url: str) -> None:
    apply_folder(load_folder(a_folder(tmp_path / "campaigns", CAMPAIGN)), url, None, "test")


def granted(grants: Path) -> list[str]:
    """Events that have grants, each once."""
    return sorted({record["event_id"] for record in records(grants)})


def test_live_waits_for_its_server(tmp_path: Path) -> None:
    server = embedded.start(tmp_path / "server")
    put_in_force(tmp_path, server.url)
    live, grants = started(tmp_path, server.url)
    try:
        wait_until(lambda: grants.exists() and grants.stat().st_size > 0, "the first grants are out", 60)
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        server = embedded.start(tmp_path / "server")
        _, told = live.communicate(timeout=60)
    finally:
        live.kill()
        server.stop()
    assert live.returncode == 0, told
    assert granted(grants) == [f"e{i:05d}" for i in range(5_500)]


def test_live_waits_while_the_ledger_is_frozen_and_goes_on_with_the_budget_as_it_is_then(tmp_path: Path) -> None:
    with embedded.start(tmp_path / "server") as server:
        put_in_force(tmp_path, server.url)
        client = connect(server.url)
        ledger = RedisLedger(client, "default")
        ledger.operate(an_operation(Freeze(True)))
        live, grants = started(tmp_path, server.url)
        try:
            wait_until(lambda: "errorstat_FROZEN" in client.info("errorstats"), "live has asked in vain", 60)
            ledger.operate(an_operation(SetCap("campaign/each", "total", "grants", 5_800, "raise")))
            assert [account.uses[0].grants for account in ledger.snapshot()] == [0, 0] and live.poll() is None
            ledger.operate(an_operation(Freeze(False)))
            _, told = live.communicate(timeout=60)
        finally:
            live.kill()
    assert live.returncode == 0, told
    assert granted(grants) == [f"e{i:05d}" for i in range(5_800)]


def test_a_server_that_is_not_there_is_told_in_one_line() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "runners.cli", "budget", "show", "--server", "redis://127.0.0.1:1/0"],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert told.returncode == 1
    assert told.stderr.startswith("error: the server does not answer") and "Traceback" not in told.stderr
