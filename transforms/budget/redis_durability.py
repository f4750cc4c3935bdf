"""What a deployment does against a server that loses writes it has acknowledged (docs/contracts/durability.md)."""

from __future__ import annotations

import secrets
import threading
from enum import StrEnum
from typing import Any

import redis
from redis.cluster import RedisCluster
from redis.commands.core import Script

from schemas.errors import UsageError
from transforms.budget.keys import key

REPLICA_WAIT_MS = 500
"""How long one call waits for a replica: below the client's own timeout."""


class Durability(StrEnum):
    """How far an answer is trusted before anything leaves because of it."""

    OFF = "off"
    """As soon as the server gives it. A loss goes unseen."""

    LOOSE = "loose"
    """As soon as the server gives it; the next call of a worker that was answered by a lost write freezes the root."""

    STRICT = "strict"
    """When a replica has it too; as long as none has, the call is asked again. What is lost all the same is found as
    under `loose`."""


class Worker:
    """This process's calls to one ledger: each thread has a mark of its own.

    A name is never used again: it would vouch for what another has written.
    """

    def __init__(self, client: redis.Redis, tenant: str, durability: Durability) -> None:
        if durability is Durability.STRICT and isinstance(client, RedisCluster):
            raise UsageError(
                "durability strict waits for replicas of one server (or of sentinels' master), not of a cluster"
            )
        self._client: Any = client
        self._durability = durability
        self._marks = key(tenant, "marks")
        self._own = threading.local()

    def ask(self, script: Script, declared: list[str], args: list[Any]) -> Any:
        """Call a script that keeps marks, and wait for what the mode waits for.

        Raises:
          redis.ResponseError: UNREPLICATED, no replica has the answer yet; or what the script refuses.
        """
        own = self._own.__dict__
        name = own.setdefault("name", secrets.token_hex(8))
        keys, given = [*declared, self._marks], [*args, name, own.get("entry", 0)]
        if self._durability is Durability.LOOSE:
            reply = script(keys, given)
        else:
            # One connection: call and wait reach the same server, also while another is promoted.
            with self._client.pipeline(transaction=False) as pipe:
                script(keys, given, pipe)
                reply = self._replicated(pipe)
        if reply[0] != b"0":
            own["entry"] = int(reply[0])
        return reply

    def read(self, command: str, *args: Any) -> Any:
        """Read what is about to leave: under `strict` only what a replica has too."""
        if self._durability is not Durability.STRICT:
            return self._client.execute_command(command, *args)
        with self._client.pipeline(transaction=False) as pipe:
            pipe.execute_command(command, *args)
            pipe.hset(self._marks, "reader", 0)  # a write behind the reading: what was read is replicated before it
            return self._replicated(pipe)

    def _replicated(self, pipe: Any) -> Any:
        pipe.wait(1, REPLICA_WAIT_MS)
        reply, *_, replicas = pipe.execute()
        if replicas < 1:
            raise redis.ResponseError("UNREPLICATED no replica has the answer yet")
        return reply
