"""Cost of an event with 10 and with 10,000 campaigns loaded, of which it concerns few; and how long loading takes.

One line a way in which campaigns are told apart; all times are of the processor. The first ten campaigns are the same
in both folders and are those that events meet; the others are found by nothing, or fail at their last condition.
"""

from __future__ import annotations

import gc
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schemas.events import Event
from transforms.engine import Timeline, UserState, advance
from transforms.language import load_folder

FEW, MANY = 10, 10_000
USERS, EVENTS_A_USER = 500, 40
RUNS = 5
A_FILE = 1_000
YEAR = datetime(2025, 1, 1, tzinfo=UTC)
SCHEMA = """
schema: events
types: [purchase]
attributes: {amount: int, category: string, store: int}
---
schema: users
attributes: {tier: string}
"""
EQUALITIES = (
    'event.category == "c%d"',
    '"seg%d" in user.segments',
    'user.tier == "t%d" && event.amount > 5',
    "event.store == %d && event.amount >= 10",
    'event.category in ["c%d", "other"]',
)
NEVER = "event.amount == -1"


def _equality(i: int) -> str:
    return _trigger(EQUALITIES[i % len(EQUALITIES)].replace("%d", str(i)))


def _dates(i: int) -> str:
    days = 365 / (FEW if i < FEW else MANY)
    return _active(days * i, days) + _trigger("event.amount >= 50" if i < FEW else NEVER)


def _overlapping_dates(i: int) -> str:
    if i < FEW:
        return _dates(i)
    return _active(365 / MANY * i, 30) + _trigger(f'event.category == "c{i}"')


def _thresholds(i: int) -> str:
    return _trigger(_tenth(i) if i < FEW else f"event.amount >= {5_000 + i}")


def _ranges(i: int) -> str:
    return _trigger(_tenth(i))


def _lists(i: int) -> str:
    first = i * USERS // FEW if i < FEW else USERS + i
    users = ", ".join(f"u{first + n}" for n in range(USERS // FEW))
    return f"audience: {{include: [{users}]}}\n" + _trigger("event.amount >= 50")


def _shares(i: int) -> str:
    parts = FEW if i < FEW else MANY
    share = f"{{seed: summer, from: {i / parts}, to: {(i + 1) / parts}}}"
    return f"audience: {{share: {share}}}\n" + _trigger("event.amount >= 50" if i < FEW else NEVER)


def _tenth(i: int) -> str:
    return f"event.amount >= {10 * i} && event.amount < {10 * i + 10}"


def _active(first_day: float, days: float) -> str:
    start, end = (YEAR + timedelta(days=day) for day in (first_day, first_day + days))
    return f"active: {{from: {start:%Y-%m-%dT%H:%M:%SZ}, to: {end:%Y-%m-%dT%H:%M:%SZ}}}\n"


def _trigger(where: str) -> str:
    return f"trigger: {{on: purchase, where: '{where}', count: events, per: month, reach: 3}}\n"


FAMILIES: dict[str, Callable[[int], str]] = {
    "equality": _equality, "dates": _dates, "overlapping dates": _overlapping_dates, "thresholds": _thresholds,
    "ranges": _ranges, "lists of users": _lists, "shares of users": _shares,
}  # fmt: skip


def main() -> None:
    """Print one line a family."""
    events = _events()
    for name, family in FAMILIES.items():
        with tempfile.TemporaryDirectory() as folder:
            few, _ = _loaded(Path(folder) / "few", FEW, family)
            many, took = _loaded(Path(folder) / "many", MANY, family)
        gc.collect()
        gc.freeze()
        _microseconds(few, events)
        first = _microseconds(many, events)
        runs = [(_microseconds(few, events), _microseconds(many, events)) for _ in range(RUNS)]
        of_few, of_many = (statistics.median(column) for column in zip(*runs, strict=True))
        ratio = statistics.median(many_us / few_us for few_us, many_us in runs)
        print(
            f"{name}: {of_few:.1f} us an event with {FEW} campaigns, {of_many:.1f} with {MANY:,}: {ratio:.2f} times "
            f"({took}, built in the first pass {(first - of_many) * len(events) / 1e6:.2f} s)",
            flush=True,
        )


def _loaded(folder: Path, number: int, family: Callable[[int], str]) -> tuple[Timeline, str]:
    folder.mkdir()
    (folder / "schema.yaml").write_text(SCHEMA)
    for first in range(0, number, A_FILE):
        text = "---\n".join(
            f"campaign: c{i}\n{family(i)}grant: {{points: 10}}\n" for i in range(first, min(first + A_FILE, number))
        )
        (folder / f"campaigns-{first}.yaml").write_text(text)
    start = time.process_time()
    timeline = Timeline([load_folder(folder)])
    loaded = time.process_time()
    timeline.at(0)
    return timeline, f"loaded in {loaded - start:.1f} s, ready in {time.process_time() - loaded:.1f} s"


def _events() -> list[Event]:
    """User by user, as a backtest has them: each through the whole year."""
    draw = random.Random(1)
    start_ms, year_ms = round(YEAR.timestamp() * 1_000), 365 * 86_400_000
    events = []
    for user in range(USERS):
        for n, time_ms in enumerate(sorted(draw.randrange(year_ms) for _ in range(EVENTS_A_USER))):
            attributes = {
                "amount": draw.randrange(100),
                "category": f"c{draw.randrange(FEW)}",
                "store": draw.randrange(FEW),
            }
            events.append(Event(start_ms + time_ms, f"e{user}-{n}", "purchase", f"u{user}", attributes, n))
    return events


def _microseconds(timeline: Timeline, events: list[Event]) -> float:
    states: dict[str, UserState] = {}
    start = time.process_time()
    for event in events:
        state = states.get(event.user_id) or UserState()
        states[event.user_id] = advance(state, event, timeline).state
    return (time.process_time() - start) / len(events) * 1e6


if __name__ == "__main__":
    main()
