"""What the scripts are asked and what they answer, as bytes: columns for the question, codes for the answers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from schemas.order_keys import OrderKey, OrderKind
from schemas.plans import DAY_MS
from schemas.proposals import AMOUNT_LIMIT, Decision, GrantRequest, Hold, Proposal, Request, Reversal, unpacked_route
from schemas.results import Outcome, Reason
from transforms.budget.ports import LogEntry

pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder().decode
unpack_requests = msgspec.msgpack.Decoder(list[Request]).decode

_OUTCOMES = tuple(Outcome)
_REASONS = tuple(Reason)
_SINGLE_HELD, _LIST, _REVERSAL = 1, 2, 3
_FIXED_ARGUMENTS = 5


class Question:
    """The decide script's arguments. Routes, homes and users that repeat within the batch are sent once."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self._routes: dict[bytes, int] = {}
        self._homes: dict[str, int] = {}
        self._users: dict[str, int] = {}
        self._route_of: list[int] = []
        self._home_of: list[int] = []
        self._user_of: list[int] = []
        self._amounts: list[int] = []
        self._ids: list[bytes] = []
        self._decision_ids: list[bytes] = []
        self._extra: list[bytes] = []
        shapes = [
            self._proposal(request) if isinstance(request, Proposal) else self._reversal(request)
            for request in requests
        ]
        columns = [
            [_wire_of(route) for route in self._routes],
            list(self._homes),
            list(self._users),
            self._route_of,
            self._home_of,
            self._user_of,
            self._amounts,
            [request.key.time_ms for request in requests],
            shapes,
        ]
        newest = max([request.key for request in requests]).packed()
        ids, decision_ids = b"".join(self._ids), b"".join(self._decision_ids)
        self.arguments = [pack(columns), pack(requests), ids, decision_ids, newest, *self._extra]

    def _proposal(self, proposal: Proposal) -> object:
        offers, hold = proposal.offers, proposal.hold
        if len(offers) == 1 and len(offers[0].grants) == 1:
            self._grant(offers[0].grants[0])
            return 1 if hold is None else [_SINGLE_HELD, *self._held(proposal, hold)]
        for offer in offers:
            for grant in offer.grants:
                self._grant(grant)
        self._decision_ids.append(proposal.decision_id)
        place, ends = (0, 0) if hold is None else self._held(proposal, hold)
        return [_LIST, place, ends, day_of(proposal.key), *(len(offer.grants) for offer in offers)]

    def _grant(self, grant: GrantRequest) -> None:
        routes, users, amount = self._routes, self._users, grant.amount
        self._route_of.append(routes.setdefault(grant.route, len(routes) + 1))
        self._home_of.append(self._home(f"{grant.campaign}:{grant.generation}"))
        self._user_of.append(users.setdefault(grant.recipient, len(users) + 1))
        self._amounts.append(amount if type(amount) is int and 0 < amount < AMOUNT_LIMIT else _sendable(amount))
        self._ids.append(grant.grant_id)

    def _held(self, proposal: Proposal, hold: Hold) -> tuple[int, int]:
        """Where a hold's arguments stand, and how it ends."""
        due = proposal.key._replace(time_ms=hold.due_ms, kind=OrderKind.TIMER)
        return self._add(pack(proposal), due.packed()), int(hold.end == "commit")

    def _reversal(self, reversal: Reversal) -> object:
        content = pack(reversal)
        named = [reversal.reversal_id, _content_digest(content), *(one.grant_id for one in reversal.occurrences)]
        place = self._add(content, b"".join(named))
        x, y = reversal.share or (0, 0)
        homes = [self._home(f"{one.campaign}:{one.generation}") for one in reversal.occurrences]
        gives = " ".join(reversal.gives_back)
        return [_REVERSAL, place, day_of(reversal.key), x, y, reversal.amount or 0, gives, *homes]

    def _home(self, name: str) -> int:
        return self._homes.setdefault(name, len(self._homes) + 1)

    def _add(self, *arguments: bytes) -> int:
        """Further arguments; the place of the first, 1-based."""
        place = _FIXED_ARGUMENTS + len(self._extra) + 1
        self._extra += arguments
        return place


def instant(time_ms: int) -> bytes:
    """The least OrderKey of an instant, packed."""
    return OrderKey(time_ms, OrderKind.OPERATION, "", "", 0, "").packed()


def read_decisions(
    requests: Sequence[Request], answers: list[Any], brought: Sequence[bytes], entry: str
) -> list[Decision]:
    """One decision per request, each with what was brought about beside it."""
    granted_whole = _GrantedWhole(entry)
    decisions = [
        granted_whole[_asked(request)] if answer == 1 else _decision(answer)
        for request, answer in zip(requests, answers, strict=True)
    ]
    also: dict[int, list[tuple[Request, Decision]]] = {}
    for number, cause, decision in _read_brought(brought):
        also.setdefault(number - 1, []).append((cause, decision))
    for number, found in also.items():
        decisions[number] = msgspec.structs.replace(decisions[number], also=tuple(found))
    return decisions


def read_entry(entry: str, fields: dict[bytes, bytes]) -> LogEntry:
    """An entry of the log from the fields it has in its stream."""
    requests = unpack_requests(fields[b"requests"])
    brought = [fields[name] for name in (b"brought", b"causes") if name in fields]
    decisions = read_decisions(requests, unpack(fields[b"answers"]), brought, entry) if requests else []
    return LogEntry(entry, requests, decisions, () if requests else read_brought(brought))


def read_brought(brought: Sequence[bytes]) -> tuple[tuple[Request, Decision], ...]:
    """What a call without requests brought about."""
    return tuple((cause, decision) for _, cause, decision in _read_brought(brought))


def _read_brought(brought: Sequence[bytes]) -> list[tuple[int, Request, Decision]]:
    if not brought:
        return []
    told, causes = brought
    pairs = zip(unpack(told), unpack_requests(causes), strict=True)
    return [(number, cause, _decision(answer)) for (number, answer), cause in pairs]


def _asked(request: Request) -> int:
    assert isinstance(request, Proposal)
    return request.offers[0].grants[0].amount


class _GrantedWhole(dict[int, Decision]):
    """The decision on a single grant that got all it asked, by amount: most of a batch say the same."""

    def __init__(self, entry: str) -> None:
        super().__init__()
        self._entry = entry

    def __missing__(self, amount: int) -> Decision:
        found = self[amount] = Decision(Outcome.GRANTED, 0, (amount,), entry=self._entry, unpublished=True)
        return found


def _decision(answer: list[Any]) -> Decision:
    code, repeated, conflicting, entry, unpublished, *rest = answer
    outcome = _OUTCOMES[code - 1]
    told: dict[str, Any] = {
        "repeated": bool(repeated),
        "conflicting": bool(conflicting),
        "entry": str(entry) if entry else "",
        "unpublished": bool(unpublished),
    }
    if outcome is Outcome.DENIED:
        reason, account, period, use, cap = rest
        return Decision(outcome, reason=_REASONS[reason - 1], account=account, period=period, use=use, cap=cap, **told)
    if outcome in (Outcome.REVERSED, Outcome.UNCHANGED):
        return Decision(outcome, amounts=tuple(rest), **told)
    return Decision(outcome, rest[0], tuple(rest[1:]), **told)


@lru_cache(maxsize=10_000)
def _wire_of(packed: bytes) -> list[object]:
    """As in lua/parts/accounts.lua; the scripts have no null in their arrays: -1 is no cost, [] no lock."""
    route = unpacked_route(packed)
    wire: list[object] = [[route.lock.group, route.lock.start_ms] if route.lock else []]
    for charge in route.charges:
        flat: list[object] = [charge.account, -1 if charge.cost is None else charge.cost]
        for period, start in charge.slices:
            flat += (period, start)
        wire.append(flat)
    return wire


def _sendable(amount: object) -> int:
    """The amount as it is, so that the script judges it; 0, which it refuses, for what has no 64 bits or is no int."""
    return amount if type(amount) is int and -(2**63) <= amount < 2**63 else 0


def day_of(key: OrderKey) -> str:
    """The group of records of a decision or reversal."""
    return str(key.time_ms // DAY_MS)


def _content_digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
