"""A campaign added in a running stream, warmed from history, grants what a backtest of the whole stream grants."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runners import embedded
from runners.cli import main
from runners.ledgers import RedisLedgerAddress
from runners.ops.backtest import BacktestRequest, run_backtest
from runners.ops.campaigns import apply_folder
from runners.ops.live import LiveRequest, run_live
from runners.tenants import note_tenant
from schemas.errors import UsageError
from schemas.redis_connection import connect
from tests.support.campaigns import a_folder, a_stream, an_event, records
from transforms.language import load_folder
from transforms.registry.ports import numbered
from transforms.registry.redis_registry import RedisRegistry

SCHEMA = """
schema: events
types: [purchase, refund, mailing]
envelope: {event_time: at}
attributes: {amount: int, order_id: string}
---
schema: users
attributes: {tier: string}
"""
BEFORE = """
tenant: shop
order: ORDER
LATE
---
campaign: thanks
trigger: {on: purchase}
grant: {points: 1}
"""
ADDED = """
---
campaign: spent
active: {from: 2026-03-12, lookback: 30d}
trigger: {on: purchase, sum: event.amount, every: 3000}
grant: {points: 10}
---
campaign: anew
active: {from: 2026-03-12, lookback: 7d}
audience: user.tier == "gold"
trigger: {on: purchase, count: events, reach: 4, restart: true}
grant: {points: 20}
---
campaign: days-in-a-row
active: {from: 2026-03-12, lookback: 30d}
trigger: {on: purchase, streak: days, every: 5}
grant: {points: 30}
---
campaign: after-mailing
active: {from: 2026-03-12, lookback: 30d}
trigger: {after: {on: mailing, within: 14d}, on: purchase, sum: event.amount, reach: 4000}
grant: {points: 40}
---
campaign: came-back
active: {from: 2026-03-12, lookback: 30d}
trigger: {on: purchase, silence: 18h}
grant: {points: 50}
---
campaign: net
active: {from: 2026-03-12, lookback: 30d}
trigger: {on: purchase, sum: event.amount, last: 3d, reach: 5000}
refunds: {on: refund, same: event.order_id, amount: event.amount}
grant: {points: 60}
"""
LOOKING = ["after-mailing", "anew", "came-back", "days-in-a-row", "net", "spent"]
CUT_OVER, FIRES = "2026-03-08T00:00:00Z", "2026-03-12T00:00:00Z"


def history(seed: int) -> list[dict[str, Any]]:
    draw, events, orders, minutes = random.Random(seed), [], ["none"], 0
    for i in range(500):
        minutes += draw.choice([5, 30, 60, 110])
        at = (datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=minutes)).isoformat()
        kind, user = draw.choice(["purchase"] * 6 + ["refund", "mailing"]), f"u{draw.choice([0, 1, 1, 2, 2, 3, 4, 5])}"
        order = f"{user}-{i}" if kind == "purchase" else draw.choice(orders)
        user = order.split("-")[0] if kind == "refund" and order != "none" else user
        orders += [order] if kind == "purchase" else []
        event = an_event(f"e{i:04d}", at, user, kind, amount=draw.randrange(1, 900), order_id=order)
        if i % 40 == 7:
            event = an_event(f"e{i:04d}", at, user, "profile.updated", tier=draw.choice(["gold", "gold", None]))
        events.append({"at": event.pop("event_time"), **event})
    return events


def between(events: list[dict[str, Any]], start: str, end: str) -> list[dict[str, Any]]:
    first, last = (datetime.fromisoformat(one) for one in (start, end))
    return [event for event in events if first <= datetime.fromisoformat(event["at"]) < last]


class _Live:
    """A server on which the second set came into force at the cut-over."""

    def __init__(self, tmp_path: Path, url: str, before: Path, after: Path) -> None:
        self._path, self.url, self._runs = tmp_path, url, 0
        registry = RedisRegistry(connect(url), "shop")
        first = numbered(load_folder(before), (), None)
        at_ms = int(datetime.fromisoformat(CUT_OVER).timestamp() * 1000)
        second = numbered(load_folder(after), (first,), at_ms)
        for plan_set in (first, second):
            RedisLedgerAddress(url)("shop").define(plan_set.accounts, who="test")
            registry.publish(plan_set)
        note_tenant(connect(url), "shop")

    def run(self, stream: Path) -> dict[str, int]:
        self._runs += 1
        grants, letters = str(self._path / f"grants-{self._runs}.jsonl"), str(self._path / "letters.jsonl")
        reversals = str(self._path / "reversals.jsonl")
        return run_live(LiveRequest((str(stream),), grants, None, letters, self.url, None, reversals))

    def warm(self, campaign: str, files: list[Path]) -> Path:
        out = self._path / f"seeds-{campaign}.jsonl"
        named = [part for file in files for part in ("--events", str(file))]
        command = ["campaign", "warm", "--campaign", campaign, *named, "--out", str(out), "--server", self.url]
        assert main(command) == 0
        return out

    def grants(self) -> list[bytes]:
        files = sorted(self._path.glob("grants-*.jsonl"))
        return sorted(line for file in files for line in file.read_bytes().splitlines())


@pytest.mark.parametrize("order", ["arrival", "event_time"])
def test_warmed_counters_grant_what_a_backtest_grants(tmp_path: Path, order: str) -> None:
    header = BEFORE.replace("ORDER", order).replace("LATE", "late: dead-letter\nwait: 6h" if order != "arrival" else "")
    before = a_folder(tmp_path / "before", header, SCHEMA)
    after = a_folder(tmp_path / "after", header + ADDED, SCHEMA)
    events = history(5)
    whole = a_stream(tmp_path / "whole.jsonl", events)
    run_backtest(BacktestRequest([str(whole)], load_folder(after), tmp_path / "out"))
    wanted = sorted((tmp_path / "out" / "grants.jsonl").read_bytes().splitlines())
    assert all(sum(f'"{name}"'.encode() in line for line in wanted) >= 2 for name in LOOKING)

    parts = {
        "old": between(events, "2026-03-01T00:00:00Z", "2026-03-05T12:00:00Z"),
        "mid": between(events, "2026-03-05T12:00:00Z", "2026-03-10T12:00:00Z"),
        "new": between(events, "2026-03-10T12:00:00Z", "2027-01-01T00:00:00Z"),
    }
    files = {name: a_stream(tmp_path / f"{name}.jsonl", part) for name, part in parts.items()}
    with embedded.start(tmp_path / "state") as server:
        live = _Live(tmp_path, server.url, before, after)
        live.run(files["old"])
        live.run(files["mid"])
        for campaign in LOOKING:
            seeds = live.warm(campaign, [files["old"], files["mid"]])
            counts = live.run(seeds)
            assert counts["events_advanced"] == len(records(seeds)) >= 2 and not counts["seeds_refused"]
        assert live.run(a_stream(tmp_path / "again.jsonl", records(seeds)))["events_duplicate"] >= 4
        live.run(files["new"])
        assert live.grants() == wanted


def test_a_seed_that_would_not_be_exact_is_a_dead_letter(tmp_path: Path) -> None:
    header = BEFORE.replace("ORDER", "arrival").replace("LATE", "")
    before = a_folder(tmp_path / "before", header, SCHEMA)
    after = a_folder(tmp_path / "after", header + ADDED, SCHEMA)
    old = a_stream(tmp_path / "old.jsonl", between(history(5), "2026-03-01T00:00:00Z", CUT_OVER))
    late = a_stream(tmp_path / "late.jsonl", between(history(5), FIRES, "2026-03-14T00:00:00Z"))
    with embedded.start(tmp_path / "state") as server:
        live = _Live(tmp_path, server.url, before, after)
        seed = next(one for one in records(live.warm("spent", [old])) if one["user_id"] == "u1")
        wrong = [
            seed | {"event_id": "s1", "campaign": "sent"},
            seed | {"event_id": "s2", "series": 1},
            seed | {"event_id": "s3", "at": "2026-03-08T01:00:00Z"},
            seed | {"event_id": "s4", "campaign": "thanks"},
            seed | {"event_id": "s5", "campaign": "net"},
            seed | {"event_id": "s6", "entries": "AAAA"},
            seed | {"event_id": "s7", "entries": 7},
        ]
        assert live.run(a_stream(tmp_path / "wrong.jsonl", wrong))["seeds_refused"] == 6
        live.run(late)
        assert live.run(a_stream(tmp_path / "seed.jsonl", [seed]))["seeds_refused"] == 1
        told = [
            (letter["event_id"], letter["reason"], letter["message"]) for letter in records(tmp_path / "letters.jsonl")
        ]
    reasons = ["seed_refused"] * 6 + ["invalid_attribute", "seed_refused"]
    assert sorted(reason for _, reason, _ in told) == sorted(reasons)
    messages = {event_id: message for event_id, _, message in told}
    assert messages["s1"] == "campaign 'sent' is not in force at 2026-03-08T00:00:00Z, the seed's cut-over"
    assert "has series 0 at its cut-over, the seed is of series 1" in messages["s2"]
    assert "counts by itself from 2026-03-08T00:00:00Z on" in messages["s3"]
    assert "has no lookback:" in messages["s4"]
    assert messages["s5"] == "entries: not what campaign 'net' remembers"
    assert "not what a counter of this version remembers" in messages["s6"]
    assert messages[seed["event_id"]].endswith("fires for it since 2026-03-12T00:00:00Z")


def test_apply_says_what_is_to_be_warmed_and_refuses_what_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = BEFORE.replace("ORDER", "arrival").replace("LATE", "")
    before = a_folder(tmp_path / "before", header, SCHEMA)
    soon = a_folder(tmp_path / "soon", header + ADDED, SCHEMA)
    later = a_folder(tmp_path / "later", header + ADDED.replace("2026-03-12", "2099-03-12"), SCHEMA)
    with embedded.start(tmp_path / "state") as server:
        apply_folder(load_folder(before), server.url, None, "test")
        with pytest.raises(UsageError, match="too soon to count its lookback:; right would be a later from:"):
            apply_folder(load_folder(soon), server.url, None, "test")
        assert main(["campaign", "apply", str(later), "--server", server.url]) == 0
        assert "spent looks back: count its history before" in capsys.readouterr().out
        assert main(["campaign", "apply", str(later), "--server", server.url]) == 0
        assert "looks back" not in capsys.readouterr().out
        command = ["campaign", "warm", "--events", str(tmp_path / "none"), "--out", str(tmp_path / "seeds")]
        assert main([*command, "--campaign", "thanks", "--server", server.url]) == 2
        assert main([*command, "--campaign", "sent", "--server", server.url]) == 2
    told = capsys.readouterr().err
    assert "has no lookback:" in told.replace("\n", " ") and "there is after-mailing, anew" in told.replace("\n", " ")


def test_a_backtest_needs_no_seeds_and_says_so(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "campaigns", BEFORE.replace("ORDER", "arrival").replace("LATE", "") + ADDED, SCHEMA)
    seed = {"event_id": "s", "event_type": "counter.seeded", "user_id": "u1", "at": CUT_OVER}
    stream = a_stream(tmp_path / "s.jsonl", [seed | {"campaign": "spent", "series": 0, "entries": "gA=="}])
    run_backtest(BacktestRequest([str(stream)], load_folder(folder), tmp_path / "out"))
    (letter,) = records(tmp_path / "out" / "dead_letters.jsonl")
    assert letter["reason"] == "seed_refused" and "was there from the first set on" in letter["message"]
    assert json.loads((tmp_path / "out" / "summary.json").read_bytes())["events"]["seeds_refused"] == 1
