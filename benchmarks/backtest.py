"""Events per second of a backtest: ten campaigns of mixed kinds, about one proposal an event, real server included.

Start-up (building the graph, starting server and workers) is measured apart and taken off: by a backtest of a file of
the same size, so that it is run by as many processes, with one event between lines of blanks.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from pathlib import Path

from runners.ops.backtest import BacktestRequest, run_backtest
from schemas.plans import PlanSet
from transforms.language import load_folder

EVENTS = 600_000
"""Enough for a process a core."""

USERS = 20_000
RUNS = 3
TYPES = ["purchase"] * 4 + ["login"] * 4 + ["visit"] * 5
START_MS = 1_735_689_600_000
CAMPAIGNS = """
schema: events
types: [purchase, login, visit]
attributes: {amount: int, country: string, category: string}
---
campaign: first
trigger: {on: purchase, count: events, reach: 1}
grant: {points: 500}
---
campaign: third
trigger: {on: purchase, where: event.amount > 0, count: events, every: 3}
grant: {points: 20}
limits: [{amount: 1_000_000, when_full: cut}]
---
campaign: month
active: {zone: America/New_York}
trigger: {on: purchase, sum: event.amount, per: month, reach: 20000}
grant: {points: 100}
---
campaign: basket
trigger: {on: purchase, where: event.amount >= 5000}
grant: {points: {of: event.amount, tiers: [{from: 5000, value: 10}, {from: 8000, value: 30}]}}
limits: [{per: day, amount: 5_000}]
---
campaign: week
trigger: {on: purchase, count: events, last: 7d, reach: 3, restart: true}
grant: {points: 30}
---
campaign: percent
trigger: {on: purchase, where: event.country == "jp"}
grant: {points: {percent: 2.5, of: event.amount, round: half-up, max: 60}}
limits: [{per: user and month, amount: 120, when_full: cut}]
---
campaign: login
trigger: {on: login, count: events, per: day, reach: 1}
grant: {points: 1}
limits: [{per: user and day, grants: 1}]
---
campaign: toys
trigger: {on: purchase, where: 'event.category in ["toys", "games"]'}
grant: {points: 5}
limits: [{per: user, grants: 5}]
---
campaign: visits
trigger: {on: visit, where: 'event.country != "us"', count: events, every: 4}
grant: {points: 2}
---
campaign: books
trigger: {on: purchase, where: event.category == "books" && event.amount > 1000}
grant: {points: 3}
"""


def main() -> None:
    """Print one table."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "campaigns").mkdir()
        (root / "campaigns" / "all.yaml").write_text(CAMPAIGNS)
        plan_set = load_folder(root / "campaigns")
        _write(root / "many.jsonl", EVENTS)
        _write(root / "one.jsonl", 1)
        _fill(root / "one.jsonl", (root / "many.jsonl").stat().st_size)
        start_up = statistics.median(_seconds(root, plan_set, "one")[0] for _ in range(RUNS))
        runs = [_seconds(root, plan_set, "many") for _ in range(RUNS)]
        taken, proposals = statistics.median(run[0] for run in runs), runs[0][1]
        rate = EVENTS / (taken - start_up)
        size = f"{EVENTS:,} events, {USERS:,} users, 10 campaigns, {proposals:,} proposals"
        print(f"backtest: {size}; median of {RUNS} runs")
        print(
            f"  {rate:,.0f} events/s, {rate * proposals / EVENTS:,.0f} proposals/s; start-up of {start_up:.1f} s apart"
        )


def _write(path: Path, events: int) -> None:
    draw = random.Random(1)
    with open(path, "w") as out:
        for i in range(events):
            event = {
                "event_id": f"e{i:08d}",
                "event_type": draw.choice(TYPES),
                "user_id": f"user-{int(USERS * draw.random() ** 2)}",
                "event_time": START_MS + i * 5_000,
                "amount": draw.randrange(10_000),
                "country": draw.choice(["jp", "us", "de"]),
                "category": draw.choice(["toys", "books", "food", "games"]),
            }
            out.write(json.dumps(event) + "\n")


def _fill(path: Path, size: int) -> None:
    """Lengthen a file by lines of blanks."""
    blanks = b" " * ((1 << 20) - 1) + b"\n"
    with open(path, "ab") as out:
        while out.tell() < size:
            out.write(blanks)


def _seconds(root: Path, plan_set: PlanSet, name: str) -> tuple[float, int]:
    start = time.perf_counter()
    summary = run_backtest(BacktestRequest([str(root / f"{name}.jsonl")], plan_set, root / "out"))
    return time.perf_counter() - start, summary.events["proposals_made"]


if __name__ == "__main__":
    main()
