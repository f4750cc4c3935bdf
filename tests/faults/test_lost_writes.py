"""A replica that lags is promoted: what each durability mode emits, with real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.ops.ledger_books import reconcile, restore
from schemas.errors import LedgerUnavailableError, UsageError
from schemas.operations import Freeze
from schemas.proposals import LimitSpec
from schemas.redis_connection import connect
from tests.support.ledger_exports import export_log
from tests.support.ledgers import TENANT, a_single, an_account, an_operation, total
from tests.support.replicas import Servers, servers
from tests.support.servers import a_cluster, cluster_url
from transforms.budget.redis_durability import Durability
from transforms.budget.redis_ledger import RedisLedger

CAP = 1_000


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Servers]:
    with servers(tmp_path) as found:
        yield found


def at_once(_: int) -> None:
    raise TimeoutError


def a_ledger(running: Servers, durability: Durability) -> RedisLedger:
    return RedisLedger(connect(running.url), TENANT, at_once, durability)


def define(ledger: RedisLedger) -> None:
    ledger.define([an_account("tenant"), an_account("campaign/c1", LimitSpec("total", None, CAP), LimitSpec("user"))])


def emit(ledger: RedisLedger, name: str, grants: int) -> int:
    """Ask for grants of 10 in calls of ten; what leaves of them."""
    emitted = 0
    for first in range(0, grants, 10):
        batch = [a_single(f"{name}-{n}", 10, slices=(("user", 0),)) for n in range(first, min(first + 10, grants))]
        emitted += sum(sum(decision.amounts) for decision in ledger.decide(batch))
    return emitted


def test_without_a_mode_a_promotion_overspends_unseen(running: Servers) -> None:
    ledger = a_ledger(running, Durability.OFF)
    define(ledger)
    replica = running.start(running.port)
    emitted = emit(ledger, "kept", 40)
    running.cut(replica)
    emitted += emit(ledger, "lost", 40)
    running.promote(replica)
    emitted += emit(ledger, "new", 60)
    assert emitted == 1_400
    assert connect(running.url).exists("{shop}:marks") == 0


def test_loose_finds_the_loss_at_the_first_call_and_restores_what_was_emitted(running: Servers, tmp_path: Path) -> None:
    ledger, other = a_ledger(running, Durability.LOOSE), a_ledger(running, Durability.LOOSE)
    define(ledger)
    replica = running.start(running.port)
    emitted = emit(ledger, "kept", 40) + emit(other, "others", 5)
    running.cut(replica)
    emitted += emit(ledger, "lost", 20) + emit(other, "others-lost", 10)
    export_log(connect(running.url), tmp_path / "log")
    running.promote(replica)
    emitted += emit(a_ledger(running, Durability.LOOSE), "a worker that has just come", 5)

    with pytest.raises(LedgerUnavailableError, match="ROLLBACK"):
        emit(ledger, "new", 60)
    assert "writes were lost" in (ledger.frozen() or "")
    with pytest.raises(LedgerUnavailableError, match="FROZEN"):
        emit(other, "new", 60)
    with pytest.raises(LedgerUnavailableError, match="FROZEN"):
        ledger.mature(0)

    client = connect(running.url)
    done = restore(ledger, client, TENANT, tmp_path / "log", "ann", "failover")
    assert (done.entries, done.copied, done.counters, done.left) == (3, 1, [], [])
    again = restore(ledger, client, TENANT, tmp_path / "log", "ann", "failover")
    assert (again.entries, again.copied, again.counters, again.left) == (0, 0, [], [])
    assert total(ledger) == (80, emitted)
    ledger.operate(an_operation(Freeze(False)))

    emitted += emit(ledger, "new", 60) + emit(other, "newer", 60)
    assert emitted == CAP
    export_log(client, tmp_path / "log", 7)
    assert reconcile(client, TENANT, tmp_path / "log", []) == []


def test_a_loss_that_nothing_restores_freezes_once_a_worker(running: Servers) -> None:
    ledger = a_ledger(running, Durability.LOOSE)
    define(ledger)
    replica = running.start(running.port)
    emit(ledger, "kept", 10)
    running.cut(replica)
    emit(ledger, "lost", 10)
    running.promote(replica)
    with pytest.raises(LedgerUnavailableError, match="ROLLBACK"):
        ledger.mature(0)
    ledger.operate(an_operation(Freeze(False)))
    assert emit(ledger, "new", 10) == 100


def test_restore_is_refused_while_decisions_go_on(running: Servers, tmp_path: Path) -> None:
    ledger = a_ledger(running, Durability.LOOSE)
    define(ledger)
    with pytest.raises(UsageError, match="freeze"):
        restore(ledger, connect(running.url), TENANT, tmp_path, "ann", "to see")


def test_strict_emits_nothing_that_is_lost(running: Servers) -> None:
    ledger = a_ledger(running, Durability.STRICT)
    define(ledger)
    replica = running.start(running.port)
    emitted = emit(ledger, "kept", 40)
    running.cut(replica)
    with pytest.raises(LedgerUnavailableError, match="no replica"):
        emit(ledger, "lost", 10)
    assert total(ledger) == (50, 500)  # decided here, and told to nobody
    with pytest.raises(LedgerUnavailableError, match="no replica"):
        emit(ledger, "lost", 10)  # a repeat is no proof either
    with pytest.raises(LedgerUnavailableError, match="no replica"):
        ledger.unpublished(10)
    running.promote(replica)
    with pytest.raises(LedgerUnavailableError, match="no replica"):
        emit(ledger, "lost", 10)
    running.start(running.port)
    emitted += emit(ledger, "lost", 10) + emit(ledger, "new", 60)
    assert emitted == CAP
    assert len(ledger.unpublished(100)) == 11


def test_strict_is_refused_in_a_cluster(tmp_path: Path) -> None:
    with a_cluster(tmp_path, 1) as nodes, pytest.raises(UsageError, match="not of a cluster"):
        RedisLedger(connect(cluster_url(nodes)), TENANT, durability=Durability.STRICT)
