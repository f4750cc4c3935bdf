"""Decisions per second of server CPU, beside the server's raw limits in the same run.

One batch of 100 proposals a call, fresh ids; tenant > theme > campaign > day, amount and count caps on each, per-user
limits by count and amount (lifetime and day), records, log and unpublished mark on.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import redis

from runners import embedded
from schemas.order_keys import OrderKey
from schemas.proposals import (
    AccountSpec,
    Charge,
    Decision,
    GrantRequest,
    LimitSpec,
    Offer,
    Proposal,
    digest,
    packed_route,
)
from schemas.redis_connection import connect
from schemas.results import Outcome
from transforms.budget.redis_ledger import RedisLedger

BATCH = 100
BATCHES = 300
RUNS = 5
DAY_MS = 86_400_000
HUGE = 10**12


def main() -> None:
    """Print one table."""
    with tempfile.TemporaryDirectory() as folder, embedded.start(Path(folder)) as server:
        client = connect(server.url)
        print(f"ledger: {RUNS} runs of {BATCHES} batches of {BATCH}; medians")
        rows = [
            ("decide, fresh ids", [_decide(client, run) for run in range(RUNS)]),
            ("decide, all repeated", [_decide(client, 0) for _ in range(RUNS)]),
            ("raw HSET of a new field, pipelined", [_raw(client, run) for run in range(RUNS)]),
        ]
        for name, found in rows:
            cpu, wall = statistics.median(one[0] for one in found), statistics.median(one[1] for one in found)
            print(
                f"  {name:<36} {cpu:6.2f} us server CPU  {1e6 / cpu:>9,.0f} a core second  {1e6 / wall:>9,.0f}/s wall"
            )
    with tempfile.TemporaryDirectory() as folder, embedded.start(Path(folder)) as server:
        kept = _bytes(connect(server.url))
        print(f"  memory per decision: {kept:,.0f} B (record, user counters, log with the whole proposal)")


def _accounts() -> list[AccountSpec]:
    caps = (LimitSpec("total", HUGE, HUGE),)
    daily = (*caps, LimitSpec("day", HUGE, HUGE), LimitSpec("user", HUGE, HUGE), LimitSpec("user/day", HUGE, HUGE))
    return [
        AccountSpec("tenant", None, "points", caps),
        AccountSpec("theme/t", "tenant", "points", caps),
        AccountSpec("campaign/c", "theme/t", "points", daily),
    ]


def _batches(run: int) -> list[list[Proposal]]:
    slices = (("user", 0), ("day", DAY_MS), ("user/day", DAY_MS))
    route = packed_route((Charge("tenant"), Charge("theme/t"), Charge("campaign/c", slices)))
    batches = []
    for batch in range(BATCHES):
        proposals = []
        for i in range(BATCH):
            name = f"{run}-{batch}-{i}"
            user = f"user-{(batch * BATCH + i) % 20_000}"
            grant = GrantRequest(digest((name,)), "d1", "c", "0123456789abcdef", user, 100, "points", route)
            proposals.append(Proposal("bench", OrderKey(DAY_MS, 2, name, user, 1, "c"), (Offer((grant,)),)))
        batches.append(proposals)
    return batches


def _decide(client: redis.Redis, run: int) -> tuple[float, float]:
    """us of server CPU and us of wall time a decision."""
    ledger = RedisLedger(client, "bench")
    ledger.define(_accounts())
    batches = _batches(run)

    def work() -> None:
        for batch in batches:
            _require_granted(ledger.decide(batch))

    return _measured(client, work)


def _require_granted(decisions: list[Decision]) -> None:
    if any(decision.outcome is not Outcome.GRANTED for decision in decisions):
        raise SystemExit("the benchmark measures grants; something was denied")


def _raw(client: redis.Redis, run: int) -> tuple[float, float]:
    def work() -> None:
        for batch in range(BATCHES):
            with client.pipeline(transaction=False) as pipe:
                for i in range(BATCH):
                    pipe.hset("raw", f"{run}-{batch}-{i}", "x" * 48)
                pipe.execute()

    return _measured(client, work)


def _measured(client: redis.Redis, work: Callable[[], None]) -> tuple[float, float]:
    before, start = _cpu_s(client), time.perf_counter()
    work()
    wall, cpu = time.perf_counter() - start, _cpu_s(client) - before
    done = BATCHES * BATCH
    return cpu / done * 1e6, wall / done * 1e6


def _cpu_s(client: redis.Redis) -> float:
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def _bytes(client: redis.Redis) -> float:
    ledger = RedisLedger(client, "bench")
    ledger.define(_accounts())
    before = client.info("memory")["used_memory"]
    for batch in _batches(99):
        ledger.decide(batch)
    return float(client.info("memory")["used_memory"] - before) / (BATCHES * BATCH)


if __name__ == "__main__":
    main()
