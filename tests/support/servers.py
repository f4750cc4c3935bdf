"""Servers of a test's own, as processes: single ones, replicas, sentinels, and clusters without replicas."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from runners.embedded import _binary
from tests.support.waiting import wait_until

BINARY_VARIABLE = "INCENTIVES_TEST_SERVER_BINARY"
SLOTS = 16_384


def binary() -> str:
    """The server program that tests start: the one the environment names, else the embedded one."""
    return os.environ.get(BINARY_VARIABLE) or _binary()


class OwnServer:
    """A server process of this test's own on 127.0.0.1, without password or persistence unless its options say so.

    Attributes:
      client: tries once, for the test's own commands; the code under test connects to `url`.
    """

    def __init__(self, folder: Path, *options: str, port: int | None = None, sentinel: bool = False) -> None:
        self.folder, self.port, self._options, self._sentinel = folder, port or free_port(), options, sentinel
        self.url = f"redis://127.0.0.1:{self.port}/0"
        folder.mkdir(parents=True, exist_ok=True)
        self.client = once(self.port)
        self.start()

    def start(self, *options: str) -> None:
        """Start it, again perhaps, and wait for its first answer, whatever that is."""
        config = self.folder / "server.conf"
        if not self._sentinel:
            config.write_text(f'bind 127.0.0.1\nport {self.port}\nsave ""\ndir {self.folder}\n')
        command = [binary(), str(config), *(["--sentinel"] if self._sentinel else []), *self._options, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        wait_until(lambda: listens(self.client), f"the server on port {self.port} answers")

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> OwnServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def once(port: int, kind: type[redis.Redis] = redis.Redis, **options: Any) -> redis.Redis:
    """A client that tries once."""
    retry = Retry(NoBackoff(), 0)
    return kind(port=port, retry=retry, protocol=2, **{"socket_timeout": 5.0, **options})


def listens(client: redis.Redis) -> bool:
    try:
        client.ping()
    except (redis.exceptions.BusyLoadingError, redis.AuthenticationError, redis.ResponseError):
        return True
    except redis.ConnectionError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_CANDIDATES = itertools.count(20_000 + os.getpid() % 10_000)


def port_with_a_bus() -> int:
    """A free port low enough that the cluster's bus, 10,000 above it, is a port too."""
    for port in itertools.islice(_CANDIDATES, 20_000):
        with socket.socket() as one, socket.socket() as other, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10_000))
            return port
    raise AssertionError("no free pair of ports")


@contextlib.contextmanager
def a_sentinel(folder: Path, service: str, master: OwnServer) -> Iterator[OwnServer]:
    """A sentinel that calls a master down after 0.3 s, and fails over by itself."""
    port = free_port()
    folder.mkdir(parents=True)
    (folder / "server.conf").write_text(
        f"bind 127.0.0.1\nport {port}\ndir {folder}\nsentinel monitor {service} 127.0.0.1 {master.port} 1\n"
        f"sentinel down-after-milliseconds {service} 300\nsentinel failover-timeout {service} 2000\n"
    )
    with OwnServer(folder, port=port, sentinel=True) as sentinel:
        yield sentinel


@contextlib.contextmanager
def a_cluster(folder: Path, nodes: int) -> Iterator[list[OwnServer]]:
    """Nodes without replicas that share the slots evenly and know of each other."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(OwnServer(folder / f"node-{number}", *options, port=port_with_a_bus()))
            for number in range(nodes)
        ]
        for number, server in enumerate(servers):
            first, last = number * SLOTS // nodes, (number + 1) * SLOTS // nodes - 1
            cluster(server, "SET-CONFIG-EPOCH", number + 1)
            cluster(server, "ADDSLOTSRANGE", first, last)
        for server in servers[1:]:
            cluster(server, "MEET", "127.0.0.1", servers[0].port)
        wait_until(lambda: all(is_whole(server, nodes) for server in servers), "the cluster is whole")
        yield servers


def cluster(server: OwnServer, *command: str | int) -> Any:
    return server.client.execute_command("CLUSTER", *command)


def is_whole(server: OwnServer, nodes: int) -> bool:
    info = server.client.execute_command("CLUSTER INFO")
    return info["cluster_state"] == "ok" and info["cluster_known_nodes"] == str(nodes)


def cluster_url(servers: Sequence[OwnServer]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers)
