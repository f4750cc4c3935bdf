"""`order: event_time`: a shuffled, late and doubled delivery, run live, gives the bytes a backtest of the stream gives."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runners import embedded
from runners.ops.backtest import BacktestRequest, run_backtest
from runners.ops.campaigns import apply_folder
from runners.ops.live import LiveRequest, run_live
from tests.support.campaigns import a_folder, a_stream, an_event, records
from transforms.language import load_folder

SCHEMA = """
schema: events
types: [purchase, refund, mailing, login]
attributes: {amount: int, order_id: string, kind: string}
---
schema: users
attributes: {tier: string}
"""
CAMPAIGNS = """
tenant: shop
order: event_time
wait: 6h
late: LATE
---
campaign: every-third
trigger: {on: purchase, count: events, every: 3}
grant: {points: 20}
limits: [{amount: 900, when_full: cut}]
---
campaign: three-percent-back
trigger: {on: purchase}
grant: {points: {percent: 3, of: event.amount}}
refunds: {on: refund, same: event.order_id, amount: event.amount}
hold: 1d
---
campaign: after-mailing
trigger:
  after: {on: mailing, within: 8h}
  on: purchase
grant: {points: 7}
---
campaign: come-back
trigger:
  on: login
  unless: {on: purchase, within: 5h}
grant: {message: {template: come-back}}
limits: [{per: day, grants: 4}]
---
campaign: gold
audience: user.tier == "gold"
trigger: {on: purchase, last: 12h, sum: event.amount, reach: 2000}
grant: {points: 50}
---
group: one-of-two
pick: one per user and day
offers: [big, small]
---
campaign: big
trigger: {on: purchase, where: event.amount > 900}
grant: {points: 100}
limits: [{grants: 5}]
---
campaign: small
trigger: {on: purchase}
grant: {points: 1}
"""
FILES = ("grants", "denials", "reversals")


def history(seed: int) -> list[dict[str, Any]]:
    """Ten days of a few users, in the total order; a tie every now and then."""
    draw, events, minutes = random.Random(seed), [], 0
    orders: dict[str, list[str]] = {f"u{user}": [] for user in range(5)}
    for i in range(400):
        minutes += draw.choice([0, 7, 30, 60])
        time = (datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=minutes)).isoformat()
        kind = draw.choice(["purchase"] * 5 + ["refund", "mailing", "login", "login"])
        user, event_id = f"u{draw.randrange(5)}", f"e{i:04d}"
        if draw.random() < 0.02:
            events.append(an_event(event_id, time, user, "profile.updated", tier=draw.choice(["gold", None])))
            continue
        order = draw.choice(orders[user] or ["none"]) if kind == "refund" else f"o{i:04d}"
        orders[user] += [order] if kind == "purchase" else []
        events.append(an_event(event_id, time, user, kind, amount=draw.randrange(1, 1_200), order_id=order))
    return events


def delivered(events: list[dict[str, Any]], seed: int, hours: float) -> list[dict[str, Any]]:
    """Each event up to so many hours late, every fifth twice."""
    draw = random.Random(seed)

    def arrival(event: dict[str, Any]) -> datetime:
        return datetime.fromisoformat(event["event_time"]) + timedelta(hours=draw.random() * hours)

    copies = [*events, *(event for event in events if draw.random() < 0.2)]
    return [event for _, _, event in sorted((arrival(event), i, event) for i, event in enumerate(copies))]


def backtested(tmp_path: Path, folder: Path, events: list[dict[str, Any]]) -> dict[str, list[bytes]]:
    stream = a_stream(tmp_path / "sorted.jsonl", events)
    run_backtest(BacktestRequest([str(stream)], load_folder(folder), tmp_path / "out"))
    return {name: (tmp_path / "out" / f"{name}.jsonl").read_bytes().splitlines() for name in FILES}


def lived(tmp_path: Path, folder: Path, events: list[dict[str, Any]]) -> tuple[dict[str, list[bytes]], dict[str, int]]:
    stream = a_stream(tmp_path / "delivered.jsonl", events)
    with embedded.start(tmp_path / "state") as server:
        apply_folder(load_folder(folder), server.url, None, "test")
        grants, denials, reversals = (str(tmp_path / f"live-{name}.jsonl") for name in FILES)
        letters = str(tmp_path / "letters.jsonl")
        counts = run_live(LiveRequest((str(stream),), grants, denials, letters, server.url, None, reversals))
    written = {name: tmp_path / f"live-{name}.jsonl" for name in FILES}
    return {name: path.read_bytes().splitlines() if path.exists() else [] for name, path in written.items()}, counts


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_late_and_doubled_deliveries_give_what_a_backtest_gives(tmp_path: Path, seed: int) -> None:
    folder = a_folder(tmp_path / "campaigns", CAMPAIGNS.replace("LATE", "decide"), SCHEMA)
    events = history(seed)
    wanted = backtested(tmp_path, folder, events)
    found, counts = lived(tmp_path, folder, delivered(events, seed, 5.9))
    assert all(len(wanted[name]) > 3 for name in FILES)
    assert found == wanted
    assert counts["events_duplicate"] > 40 and counts["events_late"] == 0


@pytest.mark.parametrize(("policy", "decided"), [("decide", True), ("dead-letter", False)])
def test_what_is_later_than_the_wait(tmp_path: Path, policy: str, decided: bool) -> None:
    folder = a_folder(tmp_path / "campaigns", CAMPAIGNS.replace("LATE", policy), SCHEMA)
    on_time = [an_event(f"e{i:04d}", f"2026-03-0{1 + i // 1000}T00:00:00Z", "u1", amount=100) for i in range(2_000)]
    late = an_event("late", "2026-03-01T01:00:00Z", "u2", amount=1_000)
    found, counts = lived(tmp_path, folder, [*on_time, late])
    assert any(b'"late"' in line for line in found["grants"]) is decided
    assert counts["events_late" if decided else "events_too_late"] == 1
    if not decided:
        assert [letter["reason"] for letter in records(tmp_path / "letters.jsonl")] == ["too_late"]


def test_what_a_run_decided_when_it_ended_is_past_in_the_next_one(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "campaigns", CAMPAIGNS.replace("LATE", "dead-letter"), SCHEMA)
    first = [an_event("first", "2026-03-01T12:00:00Z", amount=1)]
    bundle = [an_event(f"e{i:04d}", "2026-03-01T13:00:00Z", amount=1) for i in range(1_000)]
    second = [*bundle, an_event("late", "2026-03-01T10:00:00Z", amount=1)]
    out = [str(tmp_path / f"live-{name}.jsonl") for name in FILES]
    with embedded.start(tmp_path / "state") as server:
        apply_folder(load_folder(folder), server.url, None, "test")
        for name, events in (("first", first), ("second", second)):
            stream = a_stream(tmp_path / f"{name}.jsonl", events)
            letters = str(tmp_path / "letters.jsonl")
            counts = run_live(LiveRequest((str(stream),), out[0], out[1], letters, server.url, None, out[2]))
    assert counts["events_too_late"] == 1, "within the wait, but time had come to noon"
