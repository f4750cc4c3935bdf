"""Backtests end to end: files in, files out, on the real server; and live gives the same bytes."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import runners.ops.backtest as ops
from runners import embedded
from runners.ops.backtest import BacktestRequest, run_backtest
from runners.ops.campaigns import apply_folder
from runners.ops.live import LiveRequest, run_live
from runners.ops.summary import Summary
from schemas.errors import DeadLetterLimitError, UsageError
from tests.support.campaigns import a_folder, a_plan_set, a_stream, an_event, records
from transforms.dead_letter import DeadLetterLimit
from transforms.language import load_folder


def backtest(tmp_path: Path, campaigns: str, events: list[dict[str, Any]], **more: Any) -> Summary:
    """Run a backtest of these events into tmp_path/out."""
    stream = a_stream(tmp_path / "events.jsonl", events)
    folder = a_folder(tmp_path / "campaigns", campaigns)
    return run_backtest(BacktestRequest([str(stream)], load_folder(folder), tmp_path / "out", **more))


def grants(tmp_path: Path) -> list[tuple[str, str, int]]:
    return [(r["event_id"], r["user_id"], r["amount"]) for r in records(tmp_path / "out" / "grants.jsonl")]


def day(number: int, hour: int = 0) -> str:
    return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number, hours=hour)).isoformat()


def test_budgets_run_out_in_total_order_across_users(tmp_path: Path) -> None:
    campaign = "campaign: c\ntrigger: {on: purchase}\ngrant: {points: 40}\nlimits: [{amount: 100, when_full: cut}]"
    events = [an_event(f"e{i}", day(0), f"u{9 - i}", amount=1) for i in (3, 1, 0, 2)]
    summary = backtest(tmp_path, campaign, events)
    assert grants(tmp_path) == [("e0", "u9", 40), ("e1", "u8", 40), ("e2", "u7", 20)]
    denial = records(tmp_path / "out" / "denials.jsonl")[0]
    assert (denial["event_id"], denial["reason"], denial["account"]) == ("e3", "amount", "campaign/c")
    assert (denial["use"], denial["cap"]) == (100, 100)
    row = summary.campaigns["c"]
    assert (row.matched, row.granted, row.amount, row.cut, row.denied) == (4, 3, 100, 1, {"amount": 1})
    assert row.exhausted_at == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(("when_full", "amounts"), [("skip", [40, 40, 15]), ("cut", [40, 40, 20]), ("close", [40, 40])])
def test_what_does_not_fit(tmp_path: Path, when_full: str, amounts: list[int]) -> None:
    campaign = f"""
campaign: c
trigger: {{on: purchase}}
grant: {{points: {{percent: 100, of: event.amount}}}}
limits: [{{amount: 100, when_full: {when_full}}}]
"""
    events = [an_event(f"e{i}", day(i), f"u{i}", amount=amount) for i, amount in enumerate([40, 40, 30, 15])]
    backtest(tmp_path, campaign, events)
    assert [amount for _, _, amount in grants(tmp_path)] == amounts


def test_periods_follow_the_zone(tmp_path: Path) -> None:
    campaign = """
campaign: c
active: {zone: America/New_York}
trigger: {on: purchase}
grant: {points: 1}
limits: [{per: user and day, grants: 1}, {per: day, grants: 2}]
"""
    late, early = "2026-01-02T04:59:59Z", "2026-01-02T05:00:00Z"
    events = [
        an_event("a", late),
        an_event("b", late),
        an_event("c", late, "u2"),
        an_event("d", late, "u3"),
        an_event("e", early),
    ]
    backtest(tmp_path, campaign, events)
    assert [event for event, _, _ in grants(tmp_path)] == ["a", "c", "e"]
    reasons = [r["reason"] for r in records(tmp_path / "out" / "denials.jsonl")]
    assert reasons == ["user_grants", "grants"]


def test_all_formats_give_the_same_grants(tmp_path: Path) -> None:
    campaign = """
campaign: c
trigger: {on: purchase, where: 'event.categories.exists(x, x.category == "A" && x.amount > 1)', count: events, every: 2}
grant: {points: {percent: 2.5, of: {add: item.amount, in: event.categories}, round: half-up}}
"""
    events = [
        an_event(
            f"e{i}",
            day(i),
            f"u{i % 3}",
            amount=i,
            categories=[{"category": "A", "amount": 100 + i}, {"category": "B", "amount": i}],
        )
        for i in range(30)
    ]
    backtest(tmp_path, campaign, events)
    expected = (tmp_path / "out" / "grants.jsonl").read_bytes()
    assert expected.count(b"\n") == 15
    rows = [{**event, "event_time": datetime.fromisoformat(event["event_time"])} for event in events]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "events.parquet", row_group_size=7)
    with open(tmp_path / "events.avro", "wb") as out:
        item = {
            "type": "record",
            "name": "I",
            "fields": [{"name": "category", "type": "string"}, {"name": "amount", "type": "long"}],
        }
        fields = [{"name": name, "type": "string"} for name in ("event_id", "event_type", "user_id")]
        fields.append({"name": "event_time", "type": {"type": "long", "logicalType": "timestamp-micros"}})  # type: ignore[dict-item]
        fields.append({"name": "amount", "type": ["null", "long"]})  # type: ignore[dict-item]
        fields.append({"name": "categories", "type": {"type": "array", "items": item}})  # type: ignore[dict-item]
        fastavro.writer(
            out, fastavro.parse_schema({"type": "record", "name": "E", "fields": fields}), rows, sync_interval=200
        )
    for name in ("events.parquet", "events.avro"):
        plan_set = load_folder(tmp_path / "campaigns")
        run_backtest(BacktestRequest([str(tmp_path / name)], plan_set, tmp_path / "other"))
        assert (tmp_path / "other" / "grants.jsonl").read_bytes() == expected


@pytest.mark.parametrize("events", [0, 400])
def test_a_large_input_is_shared_by_processes_and_gives_the_same(
    tmp_path: Path, events: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = """
campaign: c
trigger: {on: purchase}
grant: {points: {percent: 100, of: event.amount}}
limits: [{amount: 9_000, when_full: cut}]
"""
    stream = [an_event(f"e{i}", day(i % 40, i % 24), f"u{i % 17}", amount=i) for i in range(events)]
    alone = backtest(tmp_path, campaign, stream)
    (tmp_path / "out").rename(tmp_path / "alone")
    monkeypatch.setattr(ops, "SHARED_BYTES", 0)
    monkeypatch.setattr(ops, "PART_BYTES", 4_000)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    shared = backtest(tmp_path, campaign, stream)
    assert shared == alone
    for name in ("grants", "denials", "dead_letters"):
        assert records(tmp_path / "out" / f"{name}.jsonl") == records(tmp_path / "alone" / f"{name}.jsonl")
        with open(tmp_path / "out" / f"{name}.avro", "rb") as file:
            assert list(fastavro.reader(file)) == records(tmp_path / "out" / f"{name}.jsonl")


def test_nothing_matched_still_writes_every_file(tmp_path: Path) -> None:
    backtest(tmp_path, "campaign: c\ntrigger: {on: login}\ngrant: {points: 1}", [an_event("e", day(0))])
    for name in ("grants", "denials", "reversals", "dead_letters"):
        assert (tmp_path / "out" / f"{name}.jsonl").read_bytes() == b""
        with open(tmp_path / "out" / f"{name}.avro", "rb") as file:
            assert list(fastavro.reader(file)) == []
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["campaigns"]["c"]["granted"] == 0


def test_users_of_a_file_decide_the_audience(tmp_path: Path) -> None:
    campaign = 'campaign: c\naudience: user.tier == "gold"\ntrigger: {on: purchase}\ngrant: {points: 1}'
    users = a_stream(tmp_path / "users.jsonl", [{"user_id": "u1", "tier": "gold"}, {"user_id": "u2", "tier": None}])
    events = [an_event(f"e{i}", day(0), f"u{i}") for i in (1, 2, 3)]
    backtest(tmp_path, campaign, events, users=[str(users)])
    assert grants(tmp_path) == [("e1", "u1", 1)]


def test_bad_lines_become_dead_letters_and_the_rest_counts(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "campaigns", "campaign: c\ntrigger: {on: purchase}\ngrant: {points: 1}")
    good = json.dumps(an_event("ok", day(0), amount=1))
    bad = [
        "{", "[]", "7", "7a", '{"amount": "1", "event_id": ', '{"event_id": "x"}', good.replace('"amount": 1', '"amount": 1.5'),
        good.replace('"amount": 1', f'"amount": {2**63}'), good.replace('"amount": 1', '"rate": NaN'),
        good.replace("2026-01-01", "1969-01-01"), good.replace("2026-01-01", "someday"),
        json.dumps(an_event("big", day(0), country="x" * 300_000)),
        json.dumps(an_event("long", day(0), categories=[{"category": "A", "amount": 1}] * 1001)),
        json.dumps(an_event("i" * 129, day(0))), json.dumps(an_event("", day(0))),
    ]  # fmt: skip
    stream = tmp_path / "events.jsonl"
    stream.write_text("\n".join([*bad, good, ""]))
    run_backtest(BacktestRequest([str(stream)], load_folder(folder), tmp_path / "out"))
    assert [event for event, _, _ in grants(tmp_path)] == ["ok"]
    letters = records(tmp_path / "out" / "dead_letters.jsonl")
    assert sorted(letter["payload"] for letter in letters) == sorted(bad)
    assert all(f"{stream}: line " in letter["message"] for letter in letters)
    reasons = [letter["reason"] for letter in sorted(letters, key=lambda one: int(one["attributes"]["line"]))]
    assert reasons == [
        "undecodable", "undecodable", "undecodable", "undecodable", "undecodable", "missing_envelope", "invalid_attribute", "invalid_attribute",
        "undecodable", "absurd_time", "missing_envelope", "too_large", "too_large", "missing_envelope", "missing_envelope",
    ]  # fmt: skip


def test_a_truncated_avro_file_keeps_what_stands_before(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "campaigns", "campaign: c\ntrigger: {on: purchase}\ngrant: {points: 1}")
    fields = [{"name": name, "type": "string"} for name in ("event_id", "event_type", "user_id", "event_time")]
    schema = fastavro.parse_schema({"type": "record", "name": "E", "fields": fields})
    path = tmp_path / "events.avro"
    with open(path, "wb") as out:
        fastavro.writer(out, schema, [an_event(f"e{i:03d}", day(0)) for i in range(500)], sync_interval=1000)
    path.write_bytes(path.read_bytes()[:-700])
    (tmp_path / "empty.avro").write_bytes(b"")
    (tmp_path / "noise.avro").write_bytes(b"no avro at all")
    run_backtest(BacktestRequest([str(tmp_path / "*.avro")], load_folder(folder), tmp_path / "out"))
    assert 400 < len(grants(tmp_path)) < 500
    letters = records(tmp_path / "out" / "dead_letters.jsonl")
    assert {(letter["reason"], Path(letter["attributes"]["file"]).name) for letter in letters} == {
        ("unreadable_file", "events.avro"), ("unreadable_file", "empty.avro"), ("unreadable_file", "noise.avro"),
    }  # fmt: skip


def test_too_much_that_is_no_event_stops_the_job(tmp_path: Path) -> None:
    stream = a_stream(tmp_path / "events.jsonl", [{"id": i} for i in range(60)])
    plan_set = load_folder(a_folder(tmp_path / "c", "campaign: c\ntrigger: {on: purchase}\ngrant: {points: 1}"))
    request = BacktestRequest([str(stream)], plan_set, tmp_path / "out", limit=DeadLetterLimit(consecutive=50))
    with pytest.raises(
        DeadLetterLimitError, match=r"50 inputs in a row are no events; the last: .*event_id is missing"
    ):
        run_backtest(request)


def test_a_glob_that_matches_nothing_says_so(tmp_path: Path) -> None:
    plan_set = load_folder(a_folder(tmp_path / "c", "campaign: c\ntrigger: {on: purchase}\ngrant: {points: 1}"))
    with pytest.raises(UsageError, match="no file matches"):
        run_backtest(BacktestRequest([str(tmp_path / "*.jsonl")], plan_set, tmp_path / "out"))


def test_live_publishes_the_bytes_a_backtest_writes(tmp_path: Path) -> None:
    campaigns = """
tenant: shop
---
campaign: third
trigger: {on: purchase, count: events, every: 3}
grant: {points: 50}
---
campaign: month
trigger: {on: purchase, sum: event.amount, per: month, reach: 300}
grant: {points: {percent: 10, of: event.amount, round: half-even}}
---
campaign: fast
trigger: {on: purchase, count: events, last: 2d, from: 3}
grant: {points: 7}
limits: [{per: user and week, amount: 21}]
"""
    events = [an_event(f"e{i:04d}", day(i // 20, i % 20), f"u{i * 7 % 11}", amount=i % 90) for i in range(2_500)]
    backtest(tmp_path, campaigns, events)
    expected = (tmp_path / "out" / "grants.jsonl").read_bytes().splitlines()
    with embedded.start(tmp_path / "server") as server:
        apply_folder(load_folder(tmp_path / "campaigns"), server.url, None, "test")
        request = LiveRequest(
            (str(tmp_path / "events.jsonl"),),
            str(tmp_path / "live.jsonl"),
            None,
            str(tmp_path / "dead.jsonl"),
            server.url,
            None,
        )
        counts = run_live(request)
        assert run_live(request)["grants_emitted"] == 0
    assert counts["events_advanced"] == 2_500 and not (tmp_path / "dead.jsonl").exists()
    assert sorted((tmp_path / "live.jsonl").read_bytes().splitlines()) == sorted(expected)
    assert len(expected) > 500


def test_the_summary_tells_what_counts_against_a_cap_not_what_was_ever_granted(tmp_path: Path) -> None:
    text = (
        "campaign: back\ntrigger: {on: purchase}\ngrant: {points: {of: event.amount}}\nlimits: [{amount: 100}]\n"
        "refunds: {on: refund, same: event.country, amount: event.amount}\n"
    )
    bought = {"amount": 90, "country": "order-1"}
    stream = a_stream(
        tmp_path / "events.jsonl",
        [
            an_event("e1", "2026-03-01T10:00:00Z", **bought),
            an_event("e2", "2026-03-02T10:00:00Z", kind="refund", **bought),
            an_event("e3", "2026-03-03T10:00:00Z", amount=80, country="order-2"),
        ],
    )
    plan_set = a_plan_set(tmp_path / "campaigns", text)
    row = run_backtest(BacktestRequest([str(stream)], plan_set, tmp_path / "out")).campaigns["back"]
    assert (row.granted, row.amount, row.taken_back) == (2, 170, 90)
    assert (row.used_grants, row.used_amount, row.cap_amount) == (1, 80, 100)
