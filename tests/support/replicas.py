"""Servers that replicate: a master, replicas of it, and promotions under the master's address."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from runners.embedded import _binary
from tests.support.waiting import wait_until


class Servers:
    """Servers in one folder, each on a port of its own. `port` is the address that clients know."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self.port = self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, master: int | None = None) -> int:
        """A server; of a replica it returns when it follows its master."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        folder = self._folder / str(port)
        folder.mkdir()
        arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        arguments += ["--repl-diskless-sync-delay", "0"]
        if master is not None:
            arguments += ["--replicaof", "127.0.0.1", str(master)]
        self._running[port] = subprocess.Popen([_binary(), *arguments], stdout=subprocess.DEVNULL, cwd=folder)
        wait_until(lambda: self._is_ready(port, master is not None), "the server answers")
        return port

    def client(self, port: int) -> Any:
        return redis.Redis(port=port, socket_timeout=5)

    def _is_ready(self, port: int, follows: bool) -> bool:
        try:
            return not follows or self.client(port).info("replication")["master_link_status"] == "up"
        except redis.ConnectionError:
            return False

    def cut(self, replica: int) -> None:
        """The replica hears no more of its master. It is one that lags as much as is written from now on."""
        self.client(self.port).wait(1, 2000)
        self.client(replica).replicaof("NO", "ONE")

    def promote(self, replica: int) -> None:
        """The master dies, and the replica takes its address."""
        self._running[self.port].kill()
        self._running[self.port].wait(10)
        self.client(replica).config_set("port", str(self.port))
        self._running[self.port] = self._running.pop(replica)

    def stop(self) -> None:
        for server in self._running.values():
            server.kill()
            server.wait(10)


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    found = Servers(folder)
    try:
        yield found
    finally:
        found.stop()
