"""A refund of an order that several purchases make up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.campaigns import SCHEMA, a_plan_set
from tests.support.product_run import run_product

CASHBACK = """
campaign: cashback
trigger: {on: purchase}
grant: {points: {percent: 10, of: event.amount}}
refunds: {on: refund, same: event.order, amount: event.amount}
"""
BOUGHT = [("p1", "purchase", 100), ("p2", "purchase", 200), ("p3", "purchase", 300)]


def reversals(path: Path, refunded: int) -> list[tuple[str, int, int]]:
    """(event, amount, parts) of each record."""
    plan_set = a_plan_set(path, CASHBACK, SCHEMA.replace("amount: int", "amount: int\n  order: string", 1))
    events: list[dict[str, Any]] = [
        {"event_id": name, "event_type": kind, "user_id": "ann", "event_time": time_ms, "amount": amount, "order": "o"}
        for time_ms, (name, kind, amount) in enumerate([*BOUGHT, ("back", "refund", refunded)])
    ]
    found = run_product(plan_set, events, {}).reversals
    return [(record["event_id"], record["amount"], len(record["parts"])) for record in found]


def test_a_refund_of_the_whole_order_is_one_reversal(tmp_path: Path) -> None:
    assert reversals(tmp_path, 600) == [("back", 60, 3)]


def test_the_purchase_that_is_refunded_in_part_is_one_of_its_own(tmp_path: Path) -> None:
    assert reversals(tmp_path, 450) == [("back", 30, 2), ("back", 15, 1)]
