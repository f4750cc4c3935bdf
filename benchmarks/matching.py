"""Cost of an event with 10 and with 10,000 campaigns loaded, of which it concerns few; and how long loading takes."""

from __future__ import annotations

import gc
import random
import statistics
import tempfile
import time
from pathlib import Path

from schemas.events import Event
from transforms.engine import Timeline, UserState, advance
from transforms.language import load_folder

FEW, MANY = 10, 10_000
EVENTS = 40_000
USERS = 500
RUNS = 3
A_FILE = 1_000
SCHEMA = """
schema: events
types: [purchase]
attributes: {amount: int, category: string, store: int}
---
schema: users
attributes: {tier: string}
"""
CONDITIONS = (
    'event.category == "c%d"',
    '"seg%d" in user.segments',
    'user.tier == "t%d" && event.amount > 5',
    "event.store == %d && event.amount >= 100",
    'event.category in ["c%d", "other"]',
)


def main() -> None:
    """Print one table."""
    with tempfile.TemporaryDirectory() as folder:
        timelines = {number: _loaded(Path(folder) / str(number), number) for number in (FEW, MANY)}
        gc.freeze()
        events = _events()
        runs: dict[int, list[float]] = {FEW: [], MANY: []}
        for _ in range(RUNS):
            for number, timeline in timelines.items():
                runs[number].append(_microseconds(timeline, events))
    few, many = (statistics.median(runs[number]) for number in (FEW, MANY))
    print(f"matching: {few:.1f} us an event with {FEW} campaigns, {many:.1f} with {MANY:,}: {many / few:.2f} times")


def _loaded(folder: Path, number: int) -> Timeline:
    folder.mkdir()
    (folder / "schema.yaml").write_text(SCHEMA)
    for first in range(0, number, A_FILE):
        text = "---\n".join(_campaign(i) for i in range(first, min(first + A_FILE, number)))
        (folder / f"campaigns-{first}.yaml").write_text(text)
    start = time.perf_counter()
    timeline = Timeline([load_folder(folder)])
    loaded = time.perf_counter()
    timeline.at(0)
    print(
        f"{number:>6,} campaigns: loaded in {loaded - start:.1f} s, ready in {time.perf_counter() - loaded:.1f} s more"
    )
    return timeline


def _campaign(i: int) -> str:
    where = CONDITIONS[i % len(CONDITIONS)].replace("%d", str(i))
    trigger = f"{{on: purchase, where: '{where}', count: events, per: month, reach: 3}}"
    return f"campaign: c{i}\ntrigger: {trigger}\ngrant: {{points: 10}}\n"


def _events() -> list[Event]:
    draw = random.Random(1)
    start_ms = 1_735_689_600_000
    return [
        Event(
            start_ms + i * 1_000,
            f"e{i}",
            "purchase",
            f"u{i % USERS}",
            {"amount": 50, "category": f"c{draw.randrange(FEW)}", "store": draw.randrange(FEW)},
            i,
        )
        for i in range(EVENTS)
    ]


def _microseconds(timeline: Timeline, events: list[Event]) -> float:
    states: dict[str, UserState] = {}
    start = time.perf_counter()
    for event in events:
        state = states.get(event.user_id) or UserState()
        states[event.user_id] = advance(state, event, timeline).state
    return (time.perf_counter() - start) / len(events) * 1e6


if __name__ == "__main__":
    main()
