"""Each store behind the ledger's port: the model, Redis, a cluster's node, and a cluster of three by its own client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from schemas.redis_connection import connect
from tests.support.ledgers import TENANT
from tests.support.servers import a_cluster, cluster_url
from transforms.budget.memory import MemoryLedger
from transforms.budget.redis_ledger import RedisLedger


@pytest.fixture(scope="session")
def node_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One cluster-enabled server that owns all slots, for a client that knows nothing of clusters."""
    with a_cluster(tmp_path_factory.mktemp("node"), 1) as (server,):
        yield server.url


@pytest.fixture(scope="session")
def nodes_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of three nodes, for its own client."""
    with a_cluster(tmp_path_factory.mktemp("nodes"), 3) as servers:
        yield cluster_url(servers)


@pytest.fixture(params=["memory", "redis", "node", "cluster"])
def ledger(request: pytest.FixtureRequest) -> Any:
    if request.param == "memory":
        return MemoryLedger(TENANT)
    if request.param == "redis":
        request.getfixturevalue("clean_redis")
        return RedisLedger(connect(request.getfixturevalue("redis_url")), TENANT)
    client = connect(request.getfixturevalue("node_url" if request.param == "node" else "nodes_url"))
    client.flushall()
    return RedisLedger(client, TENANT)
