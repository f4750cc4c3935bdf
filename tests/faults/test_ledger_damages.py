"""The books of a ledger that was damaged: verify and reconcile name each damage, restore repairs what it can."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest

from runners.cli import main
from runners.ops.ledger_books import Finding, reconcile, restore
from runners.tenants import note_tenant
from schemas.operations import Freeze
from schemas.proposals import Hold, LimitSpec, Lock, Request
from schemas.redis_connection import connect
from tests.support.ledger_exports import export_log
from tests.support.ledgers import TENANT, a_grant, a_proposal, a_reversal, a_single, an_account, an_operation
from transforms.budget.ports import COOLDOWN
from transforms.budget.redis_books import RedisBooks
from transforms.budget.redis_ledger import RedisLedger

SLICES = (("day", 0), ("user", 0), (COOLDOWN, 0))


class Books:
    """A ledger that was used: grants, holds, lists, refusals, reversals; exported, and published but for the last call."""

    def __init__(self, url: str, folder: Path) -> None:
        self.client: Any = connect(url)
        self.ledger, self.url = RedisLedger(self.client, TENANT), url
        self.export, self.grants = folder / "log", folder / "grants.jsonl"
        note_tenant(self.client, TENANT)
        limits = (
            LimitSpec("total", None, 3_000),
            LimitSpec("day"),
            LimitSpec("user", 9),
            LimitSpec(COOLDOWN, cooldown_ms=2),
        )
        self.ledger.define([an_account("tenant"), an_account("campaign/c1", *limits)])
        draw = random.Random(5)
        for call in range(12):
            self.ledger.decide([a_request(draw, call, n) for n in range(10)])
        self.ledger.mature(9)
        self.publish()
        self.exported = export_log(self.client, self.export)

    def publish(self) -> None:
        """Everything that is approved, and unmark it."""
        entries = self.ledger.unpublished(1000)
        names = {
            grant.grant_id.hex()
            for entry in entries
            for request, decision in [*zip(entry.requests, entry.decisions, strict=True), *entry.also,
                                      *(pair for one in entry.decisions for pair in one.also)]
            if decision.outcome in ("granted", "committed") and not decision.repeated
            for grant, amount in zip(request.offers[decision.offer].grants, decision.amounts, strict=True) if amount
        }  # fmt: skip
        self.grants.write_text("".join(f"{json.dumps({'grant_id': name})}\n" for name in sorted(names)))
        self.ledger.unmark([entry.entry for entry in entries])

    def found(self) -> list[Finding]:
        return reconcile(self.client, TENANT, self.export, [self.grants])

    def restored(self) -> None:
        self.ledger.operate(an_operation(Freeze(True)))
        restore(self.ledger, self.client, TENANT, self.export, "ann", "damaged")
        self.ledger.operate(an_operation(Freeze(False)))

    def run(self, *command: str) -> int:
        return main(["ledger", *command, "--server", self.url])

    @property
    def a_record(self) -> tuple[str, bytes]:
        """One that nothing was taken of."""
        home = "{shop}:record:c1:d1"
        return home, min(name for name, raw in self.client.hgetall(home).items() if raw[0] == 1 or raw[1] == 1)


def a_request(draw: random.Random, call: int, n: int) -> Request:
    name, user = f"{call}-{n}", f"u{draw.randrange(9)}"
    kind = draw.choice(["single", "single", "held", "list", "reversal"])
    if kind == "reversal":
        gives = draw.choice([("budget", "limits", "lock"), ("budget",), ()])
        how: Any = draw.choice([{"share": (1, 2)}, {"share": (1, 1)}, {"amount": 30}])
        return a_reversal(f"r{name}", *(f"{call - 1}-{i}" for i in range(3)), gives_back=gives, at_ms=call, **how)
    more: Any = {"slices": SLICES, "lock": Lock("g") if draw.random() < 0.5 else None}
    amount = draw.randrange(1, 60)
    if kind == "list":
        offers = [(a_grant(f"{name}-{i}", amount * (3 - i), user, **more),) for i in range(2)]
        return a_proposal(*offers, at_ms=call, event=name)
    hold = Hold(call + draw.randrange(1, 4), draw.choice(["commit", "release"])) if kind == "held" else None
    return a_single(name, amount, user, call, hold, **more)


@pytest.fixture
def books(clean_redis: str, tmp_path: Path) -> Books:
    return Books(clean_redis, tmp_path)


def kinds(found: list[Finding]) -> set[str]:
    return {one.kind for one in found}


def test_books_that_are_right_have_no_difference(books: Books, capsys: pytest.CaptureFixture[str]) -> None:
    assert books.found() == []
    assert books.run("verify") == 0
    assert books.run("reconcile", "--exported", str(books.export), "--published", str(books.grants)) == 0
    assert capsys.readouterr().out == "no difference\nno difference\n"


@pytest.mark.parametrize("place", ["account", "slices", "user", "lock", "cooldown", "held"])
def test_a_changed_counter_is_told_and_repaired(books: Books, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = {
        "account": "account:campaign/c1",
        "held": "account:campaign/c1",
        "slices": "slices:campaign/c1",
        "user": "user:campaign/c1:user:0",
        "cooldown": f"user:campaign/c1:{COOLDOWN}:0",
        "lock": "lock:g:0",
    }[place]
    home = f"{{shop}}:{name}"
    field = {"account": b"use", "held": b"held"}.get(place) or min(books.client.hkeys(home))
    if place == "held":
        books.client.hincrby(home, field, 7)
    else:
        raw = books.client.hget(home, field)
        books.client.hset(home, field, struct.pack(">d", struct.unpack(">d", raw[:8])[0] + 1) + raw[8:])
    assert books.run("verify") == 1
    assert "1 differences" in capsys.readouterr().out
    assert kinds(books.found()) == {"counter"}
    books.restored()
    assert books.found() == []


def test_a_deleted_record_is_told_and_put_back(books: Books) -> None:
    before = RedisBooks(books.client, TENANT).recomputed()
    home, name = books.a_record
    books.client.hdel(home, name)
    assert {"lost", "counter", "published_unknown"} <= kinds(books.found())
    books.restored()
    assert RedisBooks(books.client, TENANT).recomputed() == RedisBooks(books.client, TENANT).recorded() == before
    assert "lost" not in kinds(books.found())


def test_a_dropped_log_entry_is_told(books: Books) -> None:
    books.ledger.decide([a_single("late", 1, at_ms=99, slices=SLICES)])
    books.ledger.decide([a_single("later", 1, at_ms=199, slices=SLICES)])
    books.client.xdel("{shop}:log", f"{books.exported + 1}-0")
    found = books.found()
    assert Finding("log_gap", f"log entry {books.exported + 1}") in found
    assert Finding("not_exported", f"log entry {books.exported + 2}") in found


def test_what_is_published_twice_unknown_or_not_at_all_is_told(books: Books) -> None:
    lines = books.grants.read_text().splitlines(keepends=True)
    books.grants.write_text("".join([lines[0], lines[0], *lines[2:], json.dumps({"grant_id": "00" * 16}), "\n"]))
    one, missing = (json.loads(line)["grant_id"] for line in lines[:2])
    found = books.found()
    assert Finding("published_twice", f"grant {one}") in found
    assert Finding("published_unknown", f"grant {'00' * 16}") in found
    assert [each.what.split()[1] for each in found if each.kind == "unpublished"] == [missing]
    assert len(found) == 3


def test_what_was_lost_since_a_moment_comes_back_from_the_export(books: Books, tmp_path: Path) -> None:
    client, kept = books.client, {}
    for name in client.scan_iter():
        kept[name] = client.dump(name)
    draw = random.Random(9)
    for call in range(12, 18):
        books.ledger.decide([a_request(draw, call, n) for n in range(10)])
    after = RedisBooks(client, TENANT).recorded()
    export_log(client, books.export, books.exported)
    client.flushall()
    for name, content in kept.items():
        client.restore(name, 0, content)
    assert sum(one.kind == "lost" for one in books.found()) == 6
    books.restored()
    recorded = RedisBooks(client, TENANT).recorded()
    assert RedisBooks(client, TENANT).verify() == []
    assert without_holds(recorded) == without_holds(after)


def without_holds(counters: dict[Any, Any]) -> dict[Any, Any]:
    """Holds' own numbers may be others."""
    return {place: value for place, value in counters.items() if place.period != "hold"}


def test_a_ledger_that_decides_meanwhile_is_read_frozen(books: Books) -> None:
    assert books.run("verify", "--freeze") == 0
    assert books.ledger.frozen() is None
    assert [entry.what for entry in books.ledger.audit()][:2] == ["unfreeze", "freeze"]


def test_what_had_left_stands_before_a_refusal_that_came_after_the_loss(clean_redis: str, tmp_path: Path) -> None:
    client: Any = connect(clean_redis)
    ledger = RedisLedger(client, TENANT)
    ledger.define([an_account("tenant"), an_account("campaign/c1", LimitSpec("total", None, 100))])
    gone = [a_single("first", 60), a_single("second", 40)]
    for request in gone:
        ledger.decide([request])
    export_log(client, tmp_path)
    client.flushall()
    ledger.define([an_account("tenant"), an_account("campaign/c1", LimitSpec("total", None, 50))])
    assert ledger.decide(gone[:1])[0].outcome == "denied"
    ledger.operate(an_operation(Freeze(True)))
    restore(ledger, client, TENANT, tmp_path, "ann", "lost")
    ledger.operate(an_operation(Freeze(False)))
    assert [(one.outcome, one.amounts, one.repeated) for one in ledger.decide(gone)] == [
        ("granted", (60,), True),
        ("granted", (40,), True),
    ]
    assert ledger.snapshot()[1].uses[0].amount == 100


def test_restored_entries_are_numbered_behind_the_export(clean_redis: str, tmp_path: Path) -> None:
    client: Any = connect(clean_redis)
    ledger = RedisLedger(client, TENANT)
    ledger.define([an_account("tenant"), an_account("campaign/c1")])
    for n in range(5):
        ledger.decide([a_single(f"g{n}", 1)])
    last = export_log(client, tmp_path)
    client.flushall()
    ledger.define([an_account("tenant"), an_account("campaign/c1")])
    ledger.operate(an_operation(Freeze(True)))
    restore(ledger, client, TENANT, tmp_path, "ann", "lost")
    assert [int(entry.entry) for entry in ledger.unpublished(9)] == [last + n for n in range(1, 6)]


def test_where_old_records_were_dropped_a_counter_may_stand_above_the_rest(books: Books) -> None:
    books.client.unlink("{shop}:record:c1:d1")
    books.client.hset("{shop}:floors", mapping={"time": 1, "below:c1": 2 * 86_400_000})
    assert not [one for one in books.found() if one.kind == "lost" or one.kind == "counter" and " held" not in one.what]
    before = books.ledger.snapshot()
    books.restored()
    assert [one.uses[0].amount for one in books.ledger.snapshot()] == [one.uses[0].amount for one in before]
