"""Kill the reference loop between any two steps, start it again, and nothing is lost, doubled or changed.

The stores live on, as they would; the loop's memory does not. On memory and on the real server.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.events import Event
from schemas.plans import PlanSet
from schemas.redis_connection import connect
from tests.support.campaigns import a_plan_set, an_event, parsed
from tests.support.reference_loop import Broker, Killed, ReferenceLoop, Source, Step
from transforms.budget.memory import MemoryLedger
from transforms.budget.redis_ledger import RedisLedger
from transforms.engine import Timeline
from transforms.state.memory import MemoryStates
from transforms.state.redis_state import RedisStates

CAMPAIGNS = """
campaign: third
trigger: {on: purchase, count: events, every: 3}
grant: {points: 50}
limits: [{amount: 700, when_full: cut}]
---
campaign: each
trigger: {on: purchase, where: event.amount >= 50}
grant: {points: {percent: 10, of: event.amount, round: half-up}}
limits: [{per: user, amount: 40}]
---
campaign: week
trigger: {on: purchase, sum: event.amount, last: 7d, reach: 100, restart: true}
grant: {points: 20}
"""

Stores = Callable[[], tuple[Any, Any]]


@pytest.fixture(params=["memory", "redis"])
def stores(request: pytest.FixtureRequest) -> Stores:
    """Fresh state and ledger; called again it gives what a restarted process would find."""
    if request.param == "memory":
        kept = MemoryStates(), MemoryLedger("shop")
        return lambda: kept
    request.getfixturevalue("clean_redis")
    client = connect(request.getfixturevalue("redis_url"))
    return lambda: (RedisStates(client, "shop"), RedisLedger(client, "shop"))


@pytest.fixture
def plan_set(tmp_path: Path) -> PlanSet:
    return a_plan_set(tmp_path / "campaigns", "tenant: shop\n---" + CAMPAIGNS)


def a_history(plan_set: PlanSet) -> list[Event]:
    draw = random.Random(7)
    events = [
        an_event(
            f"e{i}",
            f"2026-01-{1 + i // 4:02d}T{i % 24:02d}:00:00Z",
            f"u{draw.randrange(4)}",
            amount=draw.randrange(1, 120),
        )
        for i in range(100)
    ]
    return parsed(plan_set, [*events, *events[80:]])


def run_killed(events: list[Event], plan_set: PlanSet, stores: Stores, kills: Callable[[Step], bool]) -> Broker:
    """Run to the end, killed wherever `kills` says; returns what was published."""
    source, broker = Source(events, bundle=7), Broker()
    stores()[1].define(plan_set.accounts)

    def after(step: Step) -> None:
        if kills(step):
            raise Killed

    while True:
        states, ledger = stores()
        try:
            ReferenceLoop(source, states, Timeline([plan_set]), ledger, broker, after).run()
            return broker
        except Killed:
            continue


def undisturbed(events: list[Event], plan_set: PlanSet) -> list[tuple[str, str]]:
    kept = MemoryStates(), MemoryLedger("shop")
    return run_killed(events, plan_set, lambda: kept, lambda step: False).published


@pytest.mark.parametrize("step", list(Step))
def test_a_kill_after_any_step_changes_no_grant(step: Step, stores: Stores, plan_set: PlanSet) -> None:
    events = a_history(plan_set)
    expected = undisturbed(events, plan_set)
    reached = 0

    def every_third_time(at: Step) -> bool:
        nonlocal reached
        reached += at is step
        return at is step and reached % 3 == 1

    broker = run_killed(events, plan_set, stores, every_third_time)
    assert reached > 3
    assert set(broker.published) == set(expected)
    assert len(expected) == len(set(expected)) > 30
    states, ledger = stores()
    assert states.outbox(1) == [] and ledger.unpublished(1) == []


def test_the_whole_topic_again_gives_no_new_grant(stores: Stores, plan_set: PlanSet) -> None:
    events = a_history(plan_set)
    once = run_killed(events, plan_set, stores, lambda step: False)
    again = run_killed(events, plan_set, stores, lambda step: False)
    assert len(once.published) > 30 and again.published == []


def test_random_kills_change_no_grant(stores: Stores, plan_set: PlanSet) -> None:
    events = a_history(plan_set)
    draw = random.Random(5)
    broker = run_killed(events, plan_set, stores, lambda step: draw.random() < 0.05)
    assert set(broker.published) == set(undisturbed(events, plan_set))
