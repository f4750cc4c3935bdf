"""Overlaps: which pairs one event can fire, and which it plainly cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from runners.ops.checking import check_folder
from runners.ops.overlaps import Overlap
from tests.support.campaigns import a_folder

SCHEMA = """
schema: events
types: [purchase, login, signup]
attributes: {amount: int, country: string, currency: string, referrer_id: string, tags: [string]}
---
schema: users
attributes: {tier: string, age: int}
"""


def overlapping(tmp_path: Path, *parts: str) -> list[Overlap]:
    """Campaigns c0, c1, ... of these parts."""
    texts = [f"campaign: c{i}\ngrant: {{points: {10**i}}}\n{part}\n" for i, part in enumerate(parts)]
    return check_folder(a_folder(tmp_path, "---\n".join(texts), SCHEMA)).overlaps.found


def on(where: str, event_type: str = "purchase") -> str:
    return f"trigger: {{on: {event_type}, where: '{where}'}}"


ANY = "trigger: {on: purchase}"
FRIEND = "trigger: {on: purchase, subject: event.referrer_id}"


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        (ANY, ANY, True),
        (ANY, "trigger: {on: login}", False),
        (ANY, "trigger: {on: [login, purchase], count: events, every: 3}", True),
        (on('event.country == "US"'), on('event.country == "DE"'), False),
        (on('event.country == "US"'), on('event.country in ["DE", "US"] && event.amount > 5'), True),
        (on('event.country == "US"'), on('event.country in ["DE", "FR"]'), False),
        (on('event.country == "US" || event.amount > 5'), on('event.country == "DE"'), True),
        (on('event.country == "US"'), on('event.currency == "USD"'), True),
        (on('"a" in event.tags'), on('"b" in event.tags'), True),
        (on("event.amount < 100"), on("event.amount >= 100"), False),
        (on("event.amount <= 100"), on("100 <= event.amount"), True),
        (on("event.amount > 99 && event.amount < 200"), on("event.amount == 99"), False),
        (on("event.amount == 100"), on("event.amount > 99"), True),
        (ANY + "\naudience: user.tier == 'gold'", ANY + "\naudience: user.tier == 'basic'", False),
        (ANY + "\naudience: user.age < 18", ANY + "\naudience: user.age > 30", False),
        # Of different users.
        (ANY + "\naudience: user.tier == 'gold'", FRIEND + "\naudience: user.tier == 'basic'", True),
        (ANY + "\naudience: {include: [a]}", ANY + "\naudience: {include: [b]}", False),
        (ANY + "\naudience: {include: [a]}", ANY + "\naudience: {exclude: [a, c]}", False),
        (ANY + "\naudience: {include: [a, b]}", ANY + "\naudience: {exclude: [a]}", True),
        (ANY + "\naudience: {include: [a]}", FRIEND + "\naudience: {include: [b]}", True),
        (ANY + "\naudience: {share: {seed: s, to: 0.5}}", ANY + "\naudience: {share: {seed: s, from: 0.5}}", False),
        (ANY + "\naudience: {share: {seed: s, to: 0.5}}", ANY + "\naudience: {share: {seed: t, from: 0.5}}", True),
        (ANY + "\naudience: {share: {seed: s, to: 0.3}}", ANY + "\naudience: {holdout: {seed: s, to: 0.4}}", False),
        (ANY + "\naudience: {share: {seed: s, to: 0.5}}", ANY + "\naudience: {holdout: {seed: s, to: 0.4}}", True),
        (ANY + "\nactive: {to: 2026-03-01}", ANY + "\nactive: {from: 2026-03-01}", False),
        (ANY + "\nactive: {to: 2026-03-02}", ANY + "\nactive: {from: 2026-03-01}", True),
        (ANY + "\nactive: {days: [sat, sun]}", ANY + "\nactive: {days: mon}", False),
        (ANY + "\nactive: {days: sat}", ANY + "\nactive: {days: mon, zone: Asia/Tokyo}", True),
        ("trigger: {on: purchase, currency: USD}", "trigger: {on: purchase, currency: EUR}", False),
        ("trigger: {on: purchase, currency: USD}", on('event.currency == "EUR"'), False),
    ],
)  # fmt: skip
def test_a_pair(tmp_path: Path, one: str, other: str, meet: bool) -> None:
    wanted = [("c0", "c1")] if meet else []
    assert [overlap.campaigns for overlap in overlapping(tmp_path, one, other)] == wanted
    swapped = [sorted(overlap.campaigns) for overlap in overlapping(tmp_path, other, one)]
    assert swapped == [list(pair) for pair in wanted]


def test_those_that_meet_the_same_others_are_told_together(tmp_path: Path) -> None:
    """c0 meets all, c1 and c2 meet c0 and each other, c3 meets c0 alone."""
    us, de = on('event.country == "US"'), on('event.country == "DE"')
    found = overlapping(tmp_path, ANY, us, us, de)
    assert [(one.campaigns, one.others, one.together) for one in found] == [
        (("c1", "c2"), ("c0",), {"points": 111}),
        (("c0",), ("c1", "c2", "c3"), {"points": 1111}),
        (("c3",), ("c0",), {"points": 1001}),
    ]


def test_offers_of_a_group_exclude_each_other_and_count_once(tmp_path: Path) -> None:
    found = overlapping(
        tmp_path,
        on("event.amount > 500"),
        on("event.amount > 100"),
        ANY + "\n---\ngroup: g\npick: one per event\noffers: [c0, c1]",
    )
    assert [(one.campaigns, one.others, one.together) for one in found] == [
        (("c2",), ("c0", "c1"), {"points": 110}),
        (("c0",), ("c2",), {"points": 101}),
        (("c1",), ("c2",), {"points": 110}),
    ]


def test_what_has_no_bound_gives_the_sum_none(tmp_path: Path) -> None:
    multiples = "trigger: {on: purchase, sum: event.amount, every: 10}"
    assert overlapping(tmp_path, ANY, multiples)[0].together == {"points": None}
    assert overlapping(tmp_path, ANY, multiples + "\nlimits: [{amount: 70}]")[0].together == {"points": 71}


def test_many_are_compared_with_a_few_each(tmp_path: Path) -> None:
    texts = [f"campaign: c{i}\ntrigger: {{on: purchase}}\ngrant: {{points: 1}}\n" for i in range(700)]
    found, compared = check_folder(a_folder(tmp_path, "---\n".join(texts), SCHEMA)).overlaps
    assert compared == 428
    assert {name for overlap in found for name in overlap.campaigns} == {f"c{i}" for i in range(700)}
    assert all(len(overlap.others) + len(overlap.campaigns) <= 429 for overlap in found)
