"""The demo: a year of real purchases, a backtest, then the live pipeline on a slice of the same stream."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fastavro
import msgspec
from rich.table import Table

from runners import embedded
from runners.console import accounts_table, console, error_console, progress_bar, summary_table
from runners.demo_data import make_stream
from runners.ops.backtest import BacktestRequest, run_backtest
from runners.ops.budgets import account_rows, clock_ms, the_ledger
from runners.ops.campaigns import apply_folder
from runners.ops.live import LiveRequest, run_live
from runners.ops.summary import Summary
from transforms.language import load_folder

CAMPAIGNS = Path(__file__).resolve().parents[2] / "examples" / "complete_journey"
SLICE_USERS = 100
SHOWN = 12


def run_demo(out: Path) -> int:
    """Run the whole demo into a folder; returns the exit code."""
    say = console()
    say.rule("1. A year of purchases as an Avro event stream", align="left")
    stream = make_stream(out / "stream")
    say.print(f"{stream.events:,} events of {stream.users:,} households: {stream.events_path}")
    say.rule("2. Backtest: ten campaigns over the year, paying nobody", align="left")
    summary = _backtest(out, stream)
    say.print(summary_table(summary))
    say.rule(f"3. Live: the same campaigns on {SLICE_USERS} households of the same stream", align="left")
    _live(out, stream)
    say.rule("Where the files are", align="left")
    for text in _files(out):
        say.print(text)
    return 0


def _backtest(out: Path, stream: Any) -> Summary:
    request = BacktestRequest(
        [str(stream.events_path)], load_folder(CAMPAIGNS), out / "backtest", [str(stream.users_path)]
    )
    with progress_bar(stream.events) as say:
        return run_backtest(request, say)


def _live(out: Path, stream: Any) -> None:
    slice_path, events = _slice(out, stream.events_path)
    shutil.rmtree(out / "live", ignore_errors=True)
    grants = out / "live" / "grants.jsonl"
    with embedded.start(out / "live" / "server") as server:
        apply_folder(load_folder(CAMPAIGNS), server.url, None, "demo")
        shown = _Shown(events)
        letters = str(out / "live" / "dead_letters.jsonl")
        with _followed(grants, shown.grant):
            run_live(LiveRequest((str(slice_path),), str(grants), None, letters, server.url, None))
        console().print(shown.table())
        console().print(accounts_table(account_rows(the_ledger(server.url, None), [], False, clock_ms())))


def _slice(out: Path, events_path: Path) -> tuple[Path, int]:
    """The events of the first households, as JSON lines: what an app team would publish."""
    users: set[str] = set()
    path, count = out / "stream" / "slice.jsonl", 0
    with open(events_path, "rb") as source, open(path, "wb") as target:
        for record in fastavro.reader(source):
            assert isinstance(record, dict)
            user = str(record["user_id"])
            if user in users or len(users) < SLICE_USERS:
                users.add(user)
                record["event_time"] = record["event_time"].isoformat()
                target.write(msgspec.json.encode({k: v for k, v in record.items() if v is not None}) + b"\n")
                count += 1
    return path, count


@contextmanager
def _followed(path: Path, seen: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Tell of each record as it is appended to a file, while the body runs and what it left behind."""
    done = threading.Event()

    def follow() -> None:
        place = 0
        while True:
            last = done.wait(0.1)
            if path.exists():
                with open(path, "rb") as lines:
                    lines.seek(place)
                    for line in lines:
                        if line.endswith(b"\n"):
                            place += len(line)
                            seen(msgspec.json.decode(line))
            if last:
                return

    following = threading.Thread(target=follow, name="follow", daemon=True)
    following.start()
    try:
        yield
    finally:
        done.set()
        following.join()


class _Shown:
    """Prints the first grants as they come, then counts."""

    def __init__(self, events: int) -> None:
        self._events, self._by_campaign, self._amounts = events, Counter[str](), Counter[str]()

    def grant(self, record: dict[str, Any]) -> None:
        if sum(self._by_campaign.values()) < SHOWN:
            error_console().print(
                f"  {record['event_time']}  user {record['user_id']:>5}  {record['amount']:>6,} {record['unit']}  "
                f"[cyan]{record['campaign_id']}[/]"
            )
        elif sum(self._by_campaign.values()) == SHOWN:
            error_console().print("  ...")
        self._by_campaign[record["campaign_id"]] += 1
        self._amounts[record["campaign_id"]] += record["amount"]

    def table(self) -> Table:
        table = Table(title=f"Live grants on {self._events:,} events", title_justify="left", header_style="bold")
        table.add_column("campaign")
        table.add_column("grants", justify="right")
        table.add_column("amount", justify="right")
        for campaign, grants in sorted(self._by_campaign.items()):
            table.add_row(campaign, f"{grants:,}", f"{self._amounts[campaign]:,}")
        return table


def _files(out: Path) -> list[str]:
    return [
        f"  {out}/stream/     events.avro, users.jsonl: the stream; slice.jsonl: what the live run read",
        f"  {out}/backtest/   grants, denials, reversals, dead_letters (.jsonl, .avro), summary.json",
        f"  {out}/live/       grants.jsonl as published, dead_letters.jsonl, server/: budgets and users' state",
        f"  {CAMPAIGNS}/   the campaigns: change them, and run `make demo` again",
    ]
