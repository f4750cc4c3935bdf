"""The ledger in Redis: one script call decides a batch. This file packs the question and unpacks the answer."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import redis

from schemas.errors import LedgerUnavailableError
from schemas.plans import DAY_MS
from schemas.proposals import AccountSnapshot, AccountSpec, Charge, Decision, Proposal, Use
from schemas.redis_connection import is_transient
from schemas.results import Outcome, Reason
from transforms.budget.keys import control, key
from transforms.budget.ports import LogEntry, require_valid_accounts, require_valid_batch
from transforms.budget.scripts import source

T = TypeVar("T")

_REASONS = tuple(Reason)
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_unpack_proposals = msgspec.msgpack.Decoder(list[Proposal]).decode


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
    """

    def __init__(self, client: redis.Redis, tenant: str, wait: Callable[[int], None] = try_for_seconds) -> None:
        self._client, self._tenant, self._wait = client, tenant, wait
        self._control = control(tenant)
        self._decide = client.register_script(source("decide"))
        self._define = client.register_script(source("define"))

    def define(self, accounts: Sequence[AccountSpec], who: str = "") -> int:
        require_valid_accounts(accounts)
        specs = [[spec.name, [spec.unit, spec.parent or "", _limits(spec)]] for spec in accounts]
        return int(self._answer(lambda: self._define(keys=[self._control], args=[_pack(specs), who])))

    def decide(self, proposals: Sequence[Proposal]) -> list[Decision]:
        require_valid_batch(proposals, self._tenant)
        if not proposals:
            return []
        arguments = _question(proposals)
        entry, answers = self._answer(lambda: self._decide(keys=[self._control], args=arguments))
        return _decisions(proposals, _unpack(answers), entry.decode())

    def decide_in_turn(
        self, batches: Iterable[Sequence[Proposal]]
    ) -> Iterator[tuple[Sequence[Proposal], list[Decision]]]:
        turn = _Turn(self._client, self._decide.sha, self._control, self.decide)
        try:
            for batch in batches:
                require_valid_batch(batch, self._tenant)
                arguments = _question(batch)  # while the server decides the batch before
                answered = turn.answer()
                turn.ask(batch, arguments)
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
        marked = self._answer(lambda: self._client.zrange(key(self._tenant, "unpublished"), 0, limit - 1))
        found = [self.entry(entry.decode()) for entry in marked]
        return [entry for entry in found if entry is not None]

    def entry(self, entry: str) -> LogEntry | None:
        place = f"{entry}-0"
        read = self._answer(lambda: self._client.xrange(key(self._tenant, "log"), place, place))
        if not read:
            return None
        fields = read[0][1]
        proposals = _unpack_proposals(fields[b"proposals"])
        return LogEntry(entry, proposals, _decisions(proposals, _unpack(fields[b"answers"]), entry))

    def snapshot(self) -> list[AccountSnapshot]:
        names = self._answer(lambda: self._client.smembers(key(self._tenant, "accounts")))
        order = {"tenant": 0, "theme": 1, "campaign": 2}
        ordered = sorted((name.decode() for name in names), key=lambda name: (order[name.split("/")[0]], name))
        return [self._account(name) for name in ordered]

    def _account(self, name: str) -> AccountSnapshot:
        def read() -> Any:
            with self._client.pipeline() as pipe:
                pipe.hgetall(key(self._tenant, "account", name))
                pipe.hgetall(key(self._tenant, "slices", name))
                return pipe.execute()

        account, slices = self._answer(read)
        unit, _, limits = _unpack(account[b"definition"])
        caps = {limit[0]: (None if limit[1] < 0 else limit[1], None if limit[2] < 0 else limit[2]) for limit in limits}
        uses = [_use("total", 0, account.get(b"use"), caps)]
        for field, raw in slices.items():
            period, start = field.decode().split(":")
            use = _use(period, int(start), raw, caps)
            if use.grants or use.closed:
                uses.append(use)
        ordered = [uses[0], *sorted(uses[1:], key=lambda use: (use.period, use.start_ms))]
        return AccountSnapshot(name, unit, int(account[b"version"]), tuple(ordered))

    def _answer(self, call: Callable[[], T | Any]) -> Any:
        attempt = 0
        while True:
            try:
                return call()
            except redis.RedisError as error:
                if not is_transient(error):
                    raise
                attempt += 1
                try:
                    self._wait(attempt)
                except TimeoutError:
                    raise LedgerUnavailableError(f"no answer from the ledger after {attempt} tries: {error}") from error


class _Turn:
    """One connection with at most one batch under way. A batch that got no answer is decided the patient way: its ids
    are the same, so what did happen is answered as it was."""

    def __init__(
        self, client: redis.Redis, sha: str, control: str, decide: Callable[[Sequence[Proposal]], list[Decision]]
    ) -> None:
        self._pool, self._decide = client.connection_pool, decide
        self._command = ("EVALSHA", sha, 1, control)
        self._connection: Any = None
        self._asked: Sequence[Proposal] | None = None

    def ask(self, batch: Sequence[Proposal], arguments: list[bytes | int]) -> None:
        self._asked = batch
        try:
            if self._connection is None:
                self._connection = self._pool.get_connection()
            self._connection.send_command(*self._command, *arguments)
        except redis.RedisError:
            self.end()

    def answer(self) -> tuple[Sequence[Proposal], list[Decision]] | None:
        """Of the batch asked last; None if none is under way."""
        batch, self._asked = self._asked, None
        if batch is None:
            return None
        if self._connection is not None:
            try:
                entry, answers = self._connection.read_response()
                return batch, _decisions(batch, _unpack(answers), entry.decode())
            except redis.RedisError:
                self.end()
        return batch, self._decide(batch)

    def end(self) -> None:
        """Give the connection back, closed: an answer may still be on its way."""
        if self._connection is not None:
            self._connection.disconnect()
            self._pool.release(self._connection)
            self._connection = None


def _limits(spec: AccountSpec) -> list[list[object]]:
    return [[limit.period, _cap(limit.grants), _cap(limit.amount), limit.when_full.value] for limit in spec.limits]


def _cap(cap: int | None) -> int:
    """The script has no null in its arrays: -1 is no cap."""
    return -1 if cap is None else cap


def _question(proposals: Sequence[Proposal]) -> list[bytes | int]:
    """The script's arguments. Routes, homes and users that repeat within the batch are sent once."""
    routes: dict[tuple[Charge, ...], int] = {}
    homes: dict[str, int] = {}
    users: dict[str, int] = {}
    route_of: list[int] = []
    home_of: list[int] = []
    user_of: list[int] = []
    amounts: list[int] = []
    ids: list[bytes] = []
    shapes: list[int | list[int]] = []
    decision_homes: list[str] = []
    decision_ids: list[bytes] = []
    for proposal in proposals:
        offers = proposal.offers
        if len(offers) == 1 and len(offers[0].grants) == 1:
            shapes.append(1)
        else:
            shapes.append([len(offer.grants) for offer in offers])
            decision_homes.append(f"{proposal.key.time_ms // DAY_MS}")
            decision_ids.append(proposal.decision_id)
        for offer in offers:
            for grant in offer.grants:
                route_of.append(routes.setdefault(grant.charges, len(routes) + 1))
                home_of.append(homes.setdefault(f"{grant.campaign}:{grant.generation}", len(homes) + 1))
                user_of.append(users.setdefault(grant.recipient, len(users) + 1))
                amounts.append(_sendable(grant.amount))
                ids.append(grant.grant_id)
    wire_routes = [[_wire(charge) for charge in route] for route in routes]
    columns = [wire_routes, list(homes), list(users), route_of, home_of, user_of, amounts, shapes, decision_homes]
    newest = max(proposal.key for proposal in proposals).packed()
    return [_pack(columns), _pack(proposals), b"".join(ids), b"".join(decision_ids), newest, len(proposals)]


def _sendable(amount: object) -> int:
    """The amount as it is, so that the script judges it; 0, which it refuses, for what has no 64 bits or is no int."""
    return amount if type(amount) is int and -(2**63) <= amount < 2**63 else 0


def _wire(charge: Charge) -> list[object]:
    flat: list[object] = [charge.account, -1 if charge.cost is None else charge.cost]
    for period, start in charge.slices:
        flat += (period, start)
    return flat


def _decisions(proposals: Sequence[Proposal], answers: list[Any], entry: str) -> list[Decision]:
    whole: dict[int, Decision] = {}
    decisions = []
    for proposal, answer in zip(proposals, answers, strict=True):
        if answer != 1:
            decisions.append(_decision(answer))
            continue
        amount = proposal.offers[0].grants[0].amount
        decision = whole.get(amount)
        if decision is None:
            decision = whole[amount] = Decision(Outcome.GRANTED, 0, (amount,), entry=entry, unpublished=True)
        decisions.append(decision)
    return decisions


def _decision(answer: list[Any]) -> Decision:
    granted, repeated, conflicting, entry, unpublished, *rest = answer
    marks = bool(repeated), bool(conflicting), str(entry) if entry else "", bool(unpublished)
    if granted:
        return Decision(Outcome.GRANTED, rest[0], tuple(rest[1:]), None, "", "", 0, 0, *marks)
    reason, account, period, use, cap = rest
    return Decision(Outcome.DENIED, None, (), _REASONS[reason - 1], account, period, use, cap, *marks)


def _use(period: str, start_ms: int, raw: bytes | None, caps: dict[str, tuple[int | None, int | None]]) -> Use:

    grants, amount, closed = struct.unpack(">ddB", raw) if raw else (0.0, 0.0, 0)
    return Use(period, start_ms, int(grants), int(amount), *caps.get(period, (None, None)), bool(closed))
