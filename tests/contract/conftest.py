"""Each store behind the ledger's port: the model, Redis, and Redis as a node of a cluster."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from runners.embedded import _binary
from schemas.redis_connection import connect
from tests.support.ledgers import TENANT
from tests.support.waiting import wait_until
from transforms.budget.memory import MemoryLedger
from transforms.budget.redis_ledger import RedisLedger


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One cluster-enabled server that owns all slots."""
    folder = tmp_path_factory.mktemp("cluster")
    port = a_port_with_a_bus()
    arguments = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--cluster-enabled",
        "yes",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    server = subprocess.Popen([_binary(), *arguments], stdout=subprocess.DEVNULL, cwd=folder)
    try:
        client = redis.Redis(port=port)
        wait_until(lambda: answers(client), "the cluster node answers")
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_until(lambda: b"cluster_state:ok" in raw_info(client), "the cluster is whole")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


def a_port_with_a_bus() -> int:
    """A free port low enough that the cluster's bus, 10,000 above it, is a port too."""
    for port in range(20_000 + os.getpid() % 10_000, 50_000):
        with socket.socket() as one, socket.socket() as other, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10_000))
            return port
    raise AssertionError("no free pair of ports")


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def raw_info(client: redis.Redis) -> bytes:
    found: Any = client.execute_command("CLUSTER", "INFO")
    return found if isinstance(found, bytes) else "\n".join(f"{k}:{v}" for k, v in found.items()).encode()


@pytest.fixture(params=["memory", "redis", "cluster"])
def ledger(request: pytest.FixtureRequest) -> Any:
    if request.param == "memory":
        return MemoryLedger(TENANT)
    if request.param == "redis":
        request.getfixturevalue("clean_redis")
        return RedisLedger(connect(request.getfixturevalue("redis_url")), TENANT)
    client = connect(request.getfixturevalue("cluster_url"))
    client.flushall()
    return RedisLedger(client, TENANT)
