"""Give a frozen root back what its log or its export tells and its records do not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis

from schemas.plans import DAY_MS
from schemas.proposals import CAP_LIMIT, Decision, Proposal, Request
from schemas.results import Outcome, Reason
from transforms.budget.keys import declared, key
from transforms.budget.ports import COOLDOWN, LogEntry
from transforms.budget.recounting import Difference
from transforms.budget.redis_question import Question, day_of, instant, pack, unpack
from transforms.budget.scripts import source

_DENIED, _HELD = 2, 3
_REASONS = tuple(Reason)
_APPROVED = (Outcome.GRANTED, Outcome.HELD)
_ENDED = (Outcome.COMMITTED, Outcome.RELEASED)


class _Trace(NamedTuple):
    """What an answer has left in the records: hash, field, and the outcomes that say it is not there (yet)."""

    hash: str
    field: bytes
    not_yet: tuple[int, ...] = ()


class RedisRestoring:
    """One tenant's records, to be made whole again. Everything is idempotent; its errors are redis-py's own."""

    def __init__(self, client: redis.Redis, tenant: str) -> None:
        self._client: Any = client
        self._tenant = tenant
        names = ("decide", "recount", "copy_entries")
        self._scripts = {name: client.register_script(source(name)) for name in names}

    def lost(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """Those of which an answer has no record."""
        floors = self._client.hgetall(key(self._tenant, "floors"))
        traces = [
            (number, trace)
            for number, entry in enumerate(entries)
            for trace in self._traces(entry)
            if not (floors and _is_dropped(trace, floors))
        ]
        with self._client.pipeline(transaction=False) as pipe:
            for _, trace in traces:
                pipe.hget(trace.hash, trace.field)
            found = pipe.execute()
        lost = {
            number
            for (number, trace), raw in zip(traces, found, strict=True)
            if raw is None or (raw[0] != 1 and raw[1] in trace.not_yet)
        }
        return [entry for number, entry in enumerate(entries) if number in lost]

    def restore(self, entry: LogEntry, floor: int) -> bool:
        """Put back what is missing of an entry, and charge it above the caps too; False if nothing was.

        Args:
          floor: the greatest sequence that was ever exported: no number is given twice.
        """
        fresh = [
            (request, decision)
            for request, decision in zip(entry.requests, entry.decisions, strict=True)
            if not decision.repeated
        ]
        requests = [request for request, _ in fresh]
        ended = [cause for one in entry.decisions for cause in one.also] + list(entry.also)
        dues = [request.hold.due_ms for request, _ in ended if isinstance(request, Proposal) and request.hold]
        told = [part for request, decision in fresh for part in _told(request, decision)]
        if requests:
            question = Question(requests).arguments
            columns = unpack(question[0])
        else:
            question = [b"", pack([]), b"", b"", instant(max(dues, default=0))]
            columns = [[] for _ in range(9)]
        columns[7] += [max(dues)] if dues else []
        question[0] = pack([*columns, [floor, told]])
        return bool(self._scripts["decide"](keys=declared(self._tenant), args=question)[0] != b"0")

    def copy(self, sequences: Sequence[int], floor: int) -> int:
        """Put log entries again above the floor, so that they are exported: how many."""
        return int(self._scripts["copy_entries"](keys=declared(self._tenant), args=[floor, *sequences]))

    def recount(self, differences: Sequence[Difference], who: str, why: str) -> int:
        """Set counters to what the records say: how many. Holds are not counters, and stay."""
        wires = [wire for wire in map(_counter_wire, differences) if wire]
        return int(self._scripts["recount"](keys=declared(self._tenant), args=[pack(wires), who, why]))

    def settle_marks(self) -> None:
        """What workers were answered before is settled by what was restored: nobody freezes the root for it again."""
        place = key(self._tenant, "marks")
        for worker in self._client.hkeys(place):
            self._client.hset(place, worker, CAP_LIMIT)

    def _traces(self, entry: LogEntry) -> list[_Trace]:
        found = []
        for request, decision in zip(entry.requests, entry.decisions, strict=True):
            found += self._ends(decision.also)
            if not decision.repeated and decision.reason is not Reason.INVALID_AMOUNT:
                found += self._answered(request, decision)
        return found + self._ends(entry.also)

    def _answered(self, request: Request, decision: Decision) -> list[_Trace]:
        if not isinstance(request, Proposal):
            return [_Trace(key(self._tenant, "reversal", day_of(request.key)), request.reversal_id)]
        if decision.offer is not None:
            grants = request.offers[decision.offer].grants
            return [_Trace(self._home(grant), grant.grant_id, (_DENIED, 8)) for grant in grants]
        if len(request.offers) == 1 and len(request.offers[0].grants) == 1:
            return [_Trace(self._home(request.offers[0].grants[0]), request.offers[0].grants[0].grant_id)]
        return [_Trace(key(self._tenant, "decision", day_of(request.key)), request.decision_id)]

    def _ends(self, also: Sequence[tuple[Request, Decision]]) -> list[_Trace]:
        return [
            _Trace(self._home(grant), grant.grant_id, (_HELD,))
            for request, decision in also
            if decision.outcome in _ENDED and isinstance(request, Proposal) and decision.offer is not None
            for grant in request.offers[decision.offer].grants
        ]

    def _home(self, grant: Any) -> str:
        return key(self._tenant, "record", f"{grant.campaign}:{grant.generation}")


def _is_dropped(trace: _Trace, floors: dict[bytes, bytes]) -> bool:
    """Whether it lies in a generation that went as a whole. floors: time, below:<campaign>, over:<campaign>."""
    _, kind, name = trace.hash.split(":", 2)
    if kind != "record":
        return (int(name) + 1) * DAY_MS <= int(floors.get(b"time", 0))
    campaign, _, generation = name.partition(":")
    dated = re.fullmatch(r"([dw])(-?\d+)", generation)
    if dated is None:
        return f"over:{campaign}".encode() in floors
    start_ms = int(dated[2]) * (DAY_MS if dated[1] == "d" else 1)
    return start_ms < int(floors.get(f"below:{campaign}".encode(), start_ms))


def _told(request: Request, decision: Decision) -> list[object]:
    """As in lua/parts/restoring.lua, for each grant of a proposal."""
    if not isinstance(request, Proposal):
        return []
    told: list[object] = []
    for index, offer in enumerate(request.offers):
        if decision.outcome in _APPROVED:
            told += decision.amounts if index == decision.offer else [False] * len(offer.grants)
        else:
            assert decision.reason is not None
            reason = _REASONS.index(decision.reason) + 1
            told += [[reason, decision.account, decision.period, decision.use, decision.cap]] * len(offer.grants)
    return told


def _counter_wire(difference: Difference) -> list[object] | None:
    """As in lua/recount.lua."""
    (account, period, start_ms, user), _, value = difference
    if period == "hold":
        return None
    if period == "lock":
        form = ["holder", *value] if value else ["none"]
        return ["lock", f"{account.removeprefix('lock/')}:{start_ms}", user, *form]
    if period == "held":
        return ["account", account, "held", "number", *(value or (0,))]
    if period == "total":
        return ["account", account, "use", "count", *(value or (0, 0))]
    if not period.startswith("user"):
        return ["slices", account, f"{period}:{start_ms}", "count", *(value or (0, 0))]
    form = ["time" if period == COOLDOWN else "count", *value] if value else ["none"]
    return ["user", f"{account}:{period}:{start_ms}", user, *form]
