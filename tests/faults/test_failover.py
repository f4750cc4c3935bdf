"""What moves under a client that is connected: a master that dies, a cluster's slot, a server behind TLS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.ops.budgets import the_ledger
from runners.ops.campaigns import apply_folder
from runners.ops.live import LiveRequest, run_live
from schemas.errors import RegistryUnavailableError, ServerRefusesError
from schemas.proposals import LimitSpec
from schemas.redis_connection import connect
from tests.support.campaigns import a_folder, a_stream, an_event, records
from tests.support.certificates import Certificates, certificates, tls_in_front_of
from tests.support.ledgers import TENANT, a_single, amounts, capped, total
from tests.support.servers import OwnServer, a_cluster, a_sentinel, cluster, cluster_url
from tests.support.user_states import a_write
from tests.support.waiting import wait_until
from transforms.budget.keys import control
from transforms.budget.redis_ledger import RedisLedger
from transforms.language import load_folder
from transforms.registry.redis_registry import RedisRegistry
from transforms.state.redis_state import RedisStates, back_off

CAMPAIGN = "campaign: each\ntrigger: {on: purchase}\ngrant: {points: 1}\nlimits: [{grants: 15}]"
TENANTS = ["shop", "books", "cafe", "bakery", "kiosk", "garage"]


def test_failover_by_a_sentinel_is_waited_for(tmp_path: Path) -> None:
    with (
        OwnServer(tmp_path / "one", "--repl-diskless-sync-delay", "0") as master,
        OwnServer(tmp_path / "two", "--replicaof", f"127.0.0.1 {master.port}") as replica,
        a_sentinel(tmp_path / "sentinel", "main", master) as sentinel,
    ):
        wait_until(lambda: knows_replica(sentinel), "the sentinel knows the replica")
        client = connect(f"redis+sentinel://127.0.0.1:{sentinel.port}/main?socket_timeout=0.5")
        ledger = RedisLedger(client, TENANT, wait=back_off)
        states = RedisStates(client, TENANT)
        capped(ledger, LimitSpec("total", None, 50))
        batches = [[a_single(f"{batch}/{i}", 1) for i in range(2)] for batch in range(4)]
        answers = []
        for batch, decisions in ledger.decide_in_turn(iter(batches)):
            answers.append(amounts(decisions))
            if batch == batches[1]:
                wait_until(lambda: offset(replica) >= offset(master), "the replica has it all")
                master.kill()
        states.commit(a_write(cells={"ada": b"1"}))
        assert answers == [[1, 1]] * 4
        assert replica.client.info("replication")["role"] == "master"
        assert total(ledger) == (8, 8)
        assert [decision.repeated for decision in ledger.decide(batches[0])] == [True, True]


def offset(server: OwnServer) -> int:
    return int(server.client.info("replication")["master_repl_offset"])


def knows_replica(sentinel: OwnServer) -> bool:
    (state,) = sentinel.client.sentinel_masters().values()
    return state["num-slaves"] == 1


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[OwnServer]]:
    with a_cluster(tmp_path_factory.mktemp("moving"), 3) as servers:
        yield servers


def test_tenants_live_on_their_own_nodes(nodes: list[OwnServer]) -> None:
    client = connect(cluster_url(nodes))
    for tenant in TENANTS:
        capped(RedisLedger(client, tenant), LimitSpec("total", None, 10))
    homes = {tenant: next(node.port for node in nodes if holds(node, tenant)) for tenant in TENANTS}
    assert len(set(homes.values())) == 3, homes


def test_batches_in_turn_go_to_the_node_of_their_tenant(nodes: list[OwnServer]) -> None:
    ledger = RedisLedger(connect(cluster_url(nodes)), TENANT)
    capped(ledger, LimitSpec("total", None, 10))
    ledger.decide([a_single("loads the script", 1)])
    for node in nodes:
        node.client.config_resetstat()
    batches = [[a_single(f"turn/{batch}", 1)] for batch in range(4)]
    assert [amounts(decisions) for _, decisions in ledger.decide_in_turn(iter(batches))] == [[1]] * 4
    asked = [node.client.info("commandstats").get("cmdstat_evalsha", {}) for node in nodes]
    assert [stats["calls"] for stats in asked if stats] == [4]
    assert not [node for node in nodes if "errorstat_MOVED" in node.client.info("errorstats")]


def holds(node: OwnServer, tenant: str) -> bool:
    return cluster(node, "COUNTKEYSINSLOT", cluster(node, "KEYSLOT", f"{{{tenant}}}")) > 0


@pytest.mark.parametrize("control_first", [True, False])
def test_tenant_moves_to_another_node_while_decisions_go_on(nodes: list[OwnServer], control_first: bool) -> None:
    steps: list[int] = []

    def finish_the_move(attempt: int) -> None:
        steps.append(attempt)
        move_rest(slot, source, target, nodes)

    ledger = RedisLedger(connect(cluster_url(nodes[:1])), TENANT, finish_the_move)
    states = RedisStates(connect(cluster_url(nodes[1:])), TENANT)
    connect(cluster_url(nodes)).flushall()
    capped(ledger, LimitSpec("total", None, 1_000))
    states.commit(a_write(cells={"ada": b"1"}, due={"ada": 5}))
    slot = cluster(nodes[0], "KEYSLOT", f"{{{TENANT}}}")
    source = next(node for node in nodes if cluster(node, "COUNTKEYSINSLOT", slot))
    target = next(node for node in nodes if node is not source)
    batches = [[a_single(f"{batch}/{i}", 1) for i in range(3)] for batch in range(6)]
    answers = []
    for batch, decisions in ledger.decide_in_turn(iter(batches)):
        answers += amounts(decisions)
        if batch is batches[1]:
            move_some(slot, source, target, control_first)
    assert steps == [1], "one batch met a slot that was half here and half there"
    assert cluster(source, "COUNTKEYSINSLOT", slot) == 0
    assert answers == [1] * 18
    assert total(ledger) == (18, 18)
    assert states.load(["ada"]) == {"ada": b"1"}
    states.commit(a_write(cells={"ada": b"2"}, due={"ada": 5}))
    fresh = RedisStates(connect(cluster_url(nodes[1:])), TENANT, cached_users_max=0)
    assert fresh.load(["ada"]) == {"ada": b"2"}


def move_some(slot: int, source: OwnServer, target: OwnServer, control_first: bool) -> None:
    """Begin to move a slot as operators' tools do, key by key: the root's control key first, or all but that."""
    cluster(target, "SETSLOT", slot, "IMPORTING", cluster(source, "MYID").decode())
    cluster(source, "SETSLOT", slot, "MIGRATING", cluster(target, "MYID").decode())
    keys = cluster(source, "GETKEYSINSLOT", slot, 1_000)
    migrate([key for key in keys if (key == control(TENANT).encode()) == control_first], source, target)


def move_rest(slot: int, source: OwnServer, target: OwnServer, nodes: list[OwnServer]) -> None:
    migrate(cluster(source, "GETKEYSINSLOT", slot, 1_000), source, target)
    for node in (target, source, *nodes):
        cluster(node, "SETSLOT", slot, "NODE", cluster(target, "MYID").decode())


def migrate(keys: list[bytes], source: OwnServer, target: OwnServer) -> None:
    source.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys)


def test_campaigns_run_on_a_cluster(nodes: list[OwnServer], tmp_path: Path) -> None:
    url, grants = cluster_url(nodes), tmp_path / "grants.jsonl"
    folder = a_folder(tmp_path / "campaigns", CAMPAIGN)
    plan_set = load_folder(folder)
    connect(url).flushall()
    assert apply_folder(plan_set, url, None, "test").number == 1
    assert apply_folder(plan_set, url, None, "test").published is None, "the registry has it already"
    events = [an_event(f"e{i}", f"2026-01-01T00:00:{i:02d}Z", f"u{i % 3}") for i in range(20)]
    stream = a_stream(tmp_path / "events.jsonl", events)
    request = LiveRequest((str(stream),), str(grants), None, str(tmp_path / "dead.jsonl"), url, None)
    run_live(request)
    assert len(records(grants)) == 15
    assert total(the_ledger(url, None), "campaign/each")[0] == 15


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


def test_tls_is_verified(tmp_path: Path, files: Certificates) -> None:
    with OwnServer(tmp_path) as server, tls_in_front_of(server.port, files) as tls:
        assert connect(f"rediss://127.0.0.1:{tls}?ssl_ca_certs={files.ca}").ping()
        refused(f"rediss://127.0.0.1:{tls}", "ssl_ca_certs=FILE")
        refused(f"rediss://localhost:{tls}?ssl_ca_certs={files.ca}", "CERTIFICATE_VERIFY_FAILED")
        assert connect(f"rediss://localhost:{tls}?ssl_ca_certs={files.ca}&ssl_check_hostname=no").ping()


def test_tls_with_client_certificates(tmp_path: Path, files: Certificates) -> None:
    with OwnServer(tmp_path) as server, tls_in_front_of(server.port, files, wants_client=True) as tls:
        url = f"rediss://127.0.0.1:{tls}?ssl_ca_certs={files.ca}"
        assert connect(f"{url}&ssl_certfile={files.client}&ssl_keyfile={files.client_key}").ping()
        with pytest.raises((ServerRefusesError, RegistryUnavailableError)):  # the alert may come after the cut
            RedisRegistry(connect(url), TENANT).revision()


def refused(url: str, says: str) -> None:
    with pytest.raises(ServerRefusesError, match=re.escape(says)):
        RedisRegistry(connect(url), TENANT).revision()
