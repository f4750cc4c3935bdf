"""The ledger in Redis: one script call decides a batch. This file packs the question and unpacks the answer."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import redis

from schemas.errors import LedgerUnavailableError, VersionConflictError
from schemas.operations import AuditEntry, Operation, OperationAnswer
from schemas.proposals import AccountSnapshot, AccountSpec, Decision, LimitSpec, Request, Use
from schemas.redis_connection import answered, pool_of
from schemas.redis_errors import CAUGHT
from transforms.budget.keys import control, declared, key
from transforms.budget.ports import (
    BATCH_MAX,
    LogEntry,
    require_valid_accounts,
    require_valid_batch,
    require_valid_operation,
)
from transforms.budget.redis_durability import Durability, Worker
from transforms.budget.redis_operations import arguments, limits_wire, read_answer, read_audit, read_limits, script_of
from transforms.budget.redis_question import (
    Question,
    instant,
    pack,
    read_brought,
    read_decisions,
    read_entry,
    unpack,
)
from transforms.budget.scripts import NAMES, source

AUDIT_PAGE = 100

T = TypeVar("T")


def try_for_seconds(attempt: int) -> None:
    """The default patience: five tries within about two seconds, then give up and let the runner retry."""
    if attempt >= 5:
        raise TimeoutError
    time.sleep(0.05 * 2**attempt)


class RedisLedger:
    """`Ledger` of one tenant on one Redis or Valkey server.

    Args:
      client: from `schemas.redis_connection.connect`; answers must be bytes.
      wait: called with the number of failed tries while the server does not answer, before each further one; raises
        TimeoutError to give up. The same ids are asked again, so a call that did happen is answered as it was.
      durability: what is done against a server that loses what it has acknowledged.
    """

    def __init__(
        self,
        client: redis.Redis,
        tenant: str,
        wait: Callable[[int], None] = try_for_seconds,
        durability: Durability = Durability.OFF,
    ) -> None:
        self._client, self._tenant, self._wait = client, tenant, wait
        self._keys = declared(tenant)
        self._worker = None if durability is Durability.OFF else Worker(client, tenant, durability)
        self._scripts = {name: client.register_script(source(name)) for name in NAMES}
        self._decide = self._scripts["decide"]

    def define(
        self,
        accounts: Sequence[AccountSpec],
        who: str = "",
        why: str = "",
        expected: Sequence[tuple[str, int]] = (),
    ) -> int:
        require_valid_accounts(accounts)
        specs = [[spec.name, spec.unit, spec.parent or "", limits_wire(spec)] for spec in accounts]
        changed = int(self._call("define", [pack(specs), who, why, pack(expected)]))
        if changed < 0:
            raise VersionConflictError("an account is at another version than expected")
        return changed

    def operate(self, operation: Operation) -> OperationAnswer:
        require_valid_operation(operation)
        return read_answer(self._call(script_of(operation.change), arguments(operation)))

    def audit(self) -> Iterator[AuditEntry]:
        last = "+"
        while page := self._audit_before(last):
            for entry, fields in page:
                yield read_audit(entry, fields)
            last = f"({page[-1][0].decode()}"

    def _audit_before(self, last: str) -> Any:
        return self._answer(lambda: self._client.xrevrange(key(self._tenant, "audit"), last, "-", AUDIT_PAGE))

    def frozen(self) -> str | None:
        why = self._answer(lambda: self._client.hget(control(self._tenant), "frozen"))
        return why.decode() if why is not None else None

    def decide(self, requests: Sequence[Request]) -> list[Decision]:
        require_valid_batch(requests, self._tenant)
        if not requests:
            return []
        entry, answers, *brought = self._decided("decide", Question(requests).arguments)
        return read_decisions(requests, unpack(answers), brought, entry.decode())

    def mature(self, until_ms: int) -> list[tuple[Request, Decision]]:
        _, _, *brought = self._decided("mature", [until_ms, instant(until_ms), BATCH_MAX, pack([])])
        return list(read_brought(brought))

    def decide_in_turn(
        self, batches: Iterable[Sequence[Request]]
    ) -> Iterator[tuple[Sequence[Request], list[Decision]]]:
        if self._worker is not None:
            for batch in batches:
                yield batch, self.decide(batch)
            return
        turn = _Turn(self._client, self._decide.sha, self._keys, self.decide)
        try:
            for batch in batches:
                require_valid_batch(batch, self._tenant)
                question = Question(batch).arguments  # while the server decides the batch before
                answered = turn.answer()
                turn.ask(batch, question)
                if answered is not None:
                    yield answered
            answered = turn.answer()
            if answered is not None:
                yield answered
        finally:
            turn.end()

    def unmark(self, entries: Sequence[str]) -> None:
        if entries:
            self._answer(lambda: self._client.zrem(key(self._tenant, "unpublished"), *entries))

    def unpublished(self, limit: int) -> list[LogEntry]:
        marked = self._read("ZRANGE", key(self._tenant, "unpublished"), 0, limit - 1)
        found = [self.entry(entry.decode()) for entry in marked]
        return [entry for entry in found if entry is not None]

    def entry(self, entry: str) -> LogEntry | None:
        place = f"{entry}-0"
        read = self._read("XRANGE", key(self._tenant, "log"), place, place)
        return read_entry(entry, read[0][1]) if read else None

    def snapshot(self) -> list[AccountSnapshot]:
        names = self._answer(lambda: self._client.smembers(key(self._tenant, "accounts")))
        order = {"tenant": 0, "theme": 1, "campaign": 2}
        ordered = sorted((name.decode() for name in names), key=lambda name: (order[name.split("/")[0]], name))
        return [self._account(name) for name in ordered]

    def _account(self, name: str) -> AccountSnapshot:
        def read() -> Any:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.hgetall(key(self._tenant, "account", name))
                pipe.hgetall(key(self._tenant, "slices", name))
                return pipe.execute()

        account, slices = (_fields(answer) for answer in self._answer(read))
        unit, _, wire, paused = unpack(account[b"definition"])
        limits = read_limits(wire)
        caps = {limit.period: limit for limit in limits}
        held = int(account.get(b"held", 0))
        uses = [_use("total", 0, account.get(b"use"), caps, held)]
        for field, raw in slices.items():
            period, start = field.decode().split(":")
            use = _use(period, int(start), raw, caps)
            if use.grants or use.amount or use.closed:
                uses.append(use)
        ordered = (uses[0], *sorted(uses[1:], key=lambda use: (use.period, use.start_ms)))
        return AccountSnapshot(name, unit, int(account[b"version"]), ordered, limits, paused == 1)

    def _decided(self, script: str, args: list[Any]) -> Any:
        worker = self._worker
        if worker is None:
            return self._call(script, args)
        return self._answer(lambda: worker.ask(self._scripts[script], self._keys, args))

    def _read(self, command: str, *args: Any) -> Any:
        read = self._client.execute_command if self._worker is None else self._worker.read
        return self._answer(lambda: read(command, *args))

    def _call(self, script: str, args: Sequence[bytes | str | int]) -> Any:
        return self._answer(lambda: self._scripts[script](keys=self._keys, args=args))

    def _answer(self, call: Callable[[], T | Any]) -> Any:
        return answered(self._client, call, self._wait, LedgerUnavailableError)


class _Turn:
    """One connection with at most one batch under way. A batch that got no answer is decided the patient way: its ids
    are the same, so what did happen is answered as it was."""

    def __init__(
        self, client: redis.Redis, sha: str, keys: list[str], decide: Callable[[Sequence[Request]], list[Decision]]
    ) -> None:
        self._client, self._root, self._decide = client, keys[0], decide
        self._command = ("EVALSHA", sha, len(keys), *keys)
        self._pool: Any = None
        self._connection: Any = None
        self._asked: Sequence[Request] | None = None

    def ask(self, batch: Sequence[Request], arguments: Sequence[bytes | int]) -> None:
        self._asked = batch
        try:
            if self._connection is None:
                self._pool = pool_of(self._client, self._root)  # in a cluster another node may hold the root by now
                self._connection = self._pool.get_connection()
            self._connection.send_command(*self._command, *arguments)
        except CAUGHT:
            self.end()

    def answer(self) -> tuple[Sequence[Request], list[Decision]] | None:
        """Of the batch asked last; None if none is under way."""
        batch, self._asked = self._asked, None
        if batch is None:
            return None
        if self._connection is not None:
            try:
                entry, answers, *brought = self._connection.read_response()
                return batch, read_decisions(batch, unpack(answers), brought, entry.decode())
            except CAUGHT:
                self.end()
        return batch, self._decide(batch)

    def end(self) -> None:
        """Give the connection back, closed: an answer may still be on its way."""
        if self._connection is not None:
            self._connection.disconnect()
            self._pool.release(self._connection)
            self._connection = None


def _fields(answer: Any) -> dict[bytes, bytes]:
    """Of a hash. A cluster's transaction gives its answers as they came: name, value, name, value."""
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))


def _use(period: str, start_ms: int, raw: bytes | None, caps: dict[str, LimitSpec], held: int = 0) -> Use:
    grants, amount, closed = struct.unpack(">ddB", raw) if raw else (0.0, 0.0, 0)
    limit = caps.get(period)
    found = (limit.grants, limit.amount) if limit else (None, None)
    return Use(period, start_ms, int(grants), int(amount), *found, bool(closed), held)
