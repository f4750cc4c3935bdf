"""Refunds that name their order: one of several purchases, and one of a window that has long ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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


DAY_MS = 86_400_000
WITHIN = "refunds: {on: refund, same: event.order, amount: event.amount, within: 60d}"


@pytest.mark.parametrize(
    "trigger",
    [
        "{on: purchase, sum: event.amount, per: month, reach: 3000}",
        "{on: purchase, sum: event.amount, per: day, reach: 3000}",
        "{on: purchase, sum: event.amount, per: 14d, reach: 3000}",
        "{on: purchase, count: events, per: week, reach: 1}",
        "{on: purchase, sum: event.amount, reach: 3000, after: {on: login, within: 2d}}",
    ],
)
@pytest.mark.parametrize("refunds", [WITHIN, WITHIN.replace(", within: 60d", "")])
def test_a_refund_finds_its_window_whatever_has_come_since(tmp_path: Path, trigger: str, refunds: str) -> None:
    text = f"campaign: c\ntrigger: {trigger}\ngrant: {{points: 100}}\n{refunds}\n"
    plan_set = a_plan_set(tmp_path, text, SCHEMA.replace("amount: int", "amount: int\n  order: string", 1))
    happened = [
        ("l1", "login", 10, "x", 1), ("p1", "purchase", 11, "o1", 4000), ("l2", "login", 40, "x", 1),
        ("p2", "purchase", 41, "o2", 5), ("back", "refund", 42, "o1", 4000),
    ]  # fmt: skip
    events: list[dict[str, Any]] = [
        {"event_id": name, "event_type": kind, "user_id": "u", "event_time": day * DAY_MS, "amount": amount, "order": order}
        for name, kind, day, order, amount in happened
    ]
    found = run_product(plan_set, events, {}).reversals
    assert [(record["event_id"], record["amount"]) for record in found] == [("back", 100)]
