"""What is asked of the ledger, proposals and reversals, and its answers.

A proposal says "this user has earned this, if the money allows". It names accounts and slices of time; caps live only
in the ledger. A reversal says "take this back". Everything is an array-like msgspec Struct: append fields with
defaults, never reorder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

import msgspec

from schemas.order_keys import OrderKey
from schemas.results import Outcome, Reason, WhenFull

AMOUNT_LIMIT = 10**14
"""Amounts are below this many minor units: the ledger's numbers stay exact in doubles (facts: Lua 5.1)."""

CAP_LIMIT = 2**52
"""Caps and counters are at most this: two of them still add exactly."""


AccountState = Literal["open", "paused", "closed"]


class Charge(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One account that a grant is charged to.

    Attributes:
      account: "tenant", "theme/<id>" or "campaign/<id>".
      slices: (period, start in ms) of each counter below the account's total: period is "hour", "day", "week",
        "month", or "user", "user/day", "user/week", "user/month", "user/cooldown"; start is 0 for "user" (lifetime)
        and "user/cooldown".
      cost: what the account is charged, in minor units of its own unit; None = the granted amount, or a share of it.
      share: (x, y), 0 < x < y: the account pays x of y parts, rounded down. Where two accounts share a grant, one of
        them takes the odd units.
      takes_odd: it is rounded up.
    """

    account: str
    slices: tuple[tuple[str, int], ...] = ()
    cost: int | None = None
    share: tuple[int, int] | None = None
    takes_odd: bool = False

    def charged(self, amount: int) -> int:
        """What a grant of this amount adds to the account. A fixed cost is given back when nothing of it is left."""
        if self.share is not None:
            return shared(amount, self.share, self.takes_odd)
        return amount if self.cost is None else self.cost


def shared(amount: int, share: tuple[int, int], takes_odd: bool) -> int:
    """x of y parts of an amount, the odd units up or down."""
    x, y = share
    return -(-amount * x // y) if takes_odd else amount * x // y


class Lock(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Per user and window of a group, the campaign whose grant is approved first holds the lock: others are refused.

    Attributes:
      group: id. start_ms: of the group's window, 0 for one that never ends.
    """

    group: str
    start_ms: int = 0


class Route(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a grant is charged to.

    Attributes:
      charges: from the tenant down to the campaign.
      lock: the group's lock that the grant takes, or that its user must hold.
    """

    charges: tuple[Charge, ...]
    lock: Lock | None = None


_encode_route = msgspec.msgpack.Encoder().encode
_decode_route = msgspec.msgpack.Decoder(Route).decode


def packed_route(charges: tuple[Charge, ...], lock: Lock | None = None) -> bytes:
    """A Route as a grant names it: thousands of grants share one, so it is packed and read once, and told apart by its
    bytes."""
    return _encode_route(Route(charges, lock))


@lru_cache(maxsize=10_000)
def unpacked_route(packed: bytes) -> Route:
    """Raises msgspec.DecodeError for bytes that are no Route."""
    return _decode_route(packed)


class GrantRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One grant of an offer.

    Attributes:
      grant_id: 16 bytes, digest of the occurrence (docs/contracts/ids.md).
      generation: which group of records the id belongs to; follows from the occurrence alone.
      campaign, version: version is the digest of the campaign's normalised content.
      recipient: user id. amount: asked, in minor units, 1 .. 10^14 - 1. unit: "points" or a currency code.
      route: a Route, packed.
      kind: "points", "money", "coupon", "product", "free_shipping" or "message". details: its own fields, by name.
      expires_ms: the grant is worth nothing from then on, ms since the epoch; None = never.
    """

    grant_id: bytes
    generation: str
    campaign: str
    version: str
    recipient: str
    amount: int
    unit: str
    route: bytes
    kind: str = "points"
    details: tuple[tuple[str, str], ...] = ()
    expires_ms: int | None = None

    @property
    def charges(self) -> tuple[Charge, ...]:
        """Of its route."""
        return unpacked_route(self.route).charges

    @property
    def lock(self) -> Lock | None:
        """Of its route."""
        return unpacked_route(self.route).lock


class Offer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Grants that stand or fall together. An offer of several grants is never cut."""

    grants: tuple[GrantRequest, ...]


class Hold(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The grant is reserved, and comes to its end at due_ms: committed (it becomes a grant then) or released."""

    due_ms: int
    end: Literal["commit", "release"] = "commit"


class Proposal(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="p"):
    """A list of offers in priority order (most often one), decided in one atomic step and remembered under one id.

    Attributes:
      hold: what is approved is held, not granted: all grants of the offer that is taken.
    """

    tenant: str
    key: OrderKey
    offers: tuple[Offer, ...]
    hold: Hold | None = None

    @property
    def decision_id(self) -> bytes:
        """16 bytes: digest of tenant, campaign or group, subject and cause."""
        key = self.key
        return digest(
            ("decision", self.tenant, key.campaign, key.subject, key.event_id, key.opening, str(key.step), str(key.n))
        )


class Occurrence(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A grant by its name, as in its GrantRequest, whether or not it was ever decided."""

    grant_id: bytes
    generation: str
    campaign: str


class Reversal(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="r"):
    """Take grants or holds of one user and campaign back: by a share of each, or by an amount in all.

    Attributes:
      key: where it stands in the total order; its turn is 0.
      campaign, user: of the grants. event_id, event_time_ms: of the event that caused it.
      occurrences: what it is about; for an amount in the order in which it takes (newest first).
      share: (x, y), 0 < x <= y: of each occurrence, floor(granted * x / y) is to be taken back by now, in all; less
        than was taken before takes nothing. It may come before its grant, and then waits for it: a whole one (x = y)
        denies it, a part is taken back as soon as it is granted.
      amount: at most so much is taken back over the occurrences, in order, each at most what still stands of it; of
        what is not decided yet, nothing.
      unit: of the grants.
      gives_back: of "budget" (the accounts' counters of all users), "limits" (the user's own), "lock".
    """

    tenant: str
    key: OrderKey
    campaign: str
    user: str
    event_id: str
    event_time_ms: int
    occurrences: tuple[Occurrence, ...]
    share: tuple[int, int] | None = None
    amount: int | None = None
    gives_back: tuple[str, ...] = ("budget", "limits", "lock")
    unit: str = ""

    @property
    def reversal_id(self) -> bytes:
        """16 bytes: digest of tenant, campaign, user and cause."""
        key = self.key
        return digest(
            ("reversal", self.tenant, self.campaign, self.user, self.event_id, key.opening, str(key.step), str(key.n))
        )


Request = Proposal | Reversal


class Decision(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The ledger's answer to one request.

    Attributes:
      outcome: of a proposal GRANTED, HELD or DENIED; of a reversal REVERSED or UNCHANGED; of a hold that came to its
        end COMMITTED or RELEASED.
      offer: index of the offer that was taken, None when denied.
      amounts: what each grant of that offer got, in minor units (at most what was asked); () when denied. Of a hold's
        end: what stood of each then, all 0 when released. Of a reversal: what was taken back of each occurrence's
        grant; what was taken off a hold counts 0.
      reason, account, period, use, cap: for a denial, of the last offer asked: which account refused (period "total"
        or one of Charge.slices) with its use and its cap at that moment; use and cap 0 where no number refused. Of a
        cool-down: ms since the last approval (below 0: it was later) and the cool-down; of a lock: the account of the
        campaign that holds it.
      repeated: the id was known: this is the first answer again.
      conflicting: asked with other content under a known id: the first stands.
      entry: id of the log entry that holds the decision; "" for what is recorded nowhere.
      unpublished: entry is still marked unpublished (always true of a first grant).
      also: what the same call brought about beside it, in order: before it, holds that came to their end (their
        proposal, with COMMITTED or RELEASED); after it, a reversal that had waited for the grant and took of it (with
        REVERSED, once per grant), or holds of which the reversal left nothing (with RELEASED).
    """

    outcome: Outcome
    offer: int | None = None
    amounts: tuple[int, ...] = ()
    reason: Reason | None = None
    account: str = ""
    period: str = ""
    use: int = 0
    cap: int = 0
    repeated: bool = False
    conflicting: bool = False
    entry: str = ""
    unpublished: bool = False
    also: tuple[tuple[Request, Decision], ...] = ()


class Pace(msgspec.Struct, frozen=True, array_like=True):
    """How a cap on amounts becomes available over a span of time.

    At t, floor(cap * elapsed share) + head start of it is available, and never more than all of it.

    The span is divided into as many equal parts as there are weights; or, of a curve, into the hours of local days, 24
    weights a day. Within a part its weight becomes available evenly.

    Attributes:
      shape: "even", "front-loaded" or "curve", for people.
      start_ms, end_ms: the span [start, end), ms since the epoch.
      head_start: available from the first moment on, in minor units.
      weights: 1 to 24 integers from 0 to 100, not all 0.
      offsets: of a curve: (from ms, ms that local time is ahead of UTC), ascending, the first at or before the start.
        An hour that local time repeats gives its weight once; one that it skips gives it all at once.
      zone: whose local days, for people.
    """

    shape: str
    start_ms: int
    end_ms: int
    head_start: int = 0
    weights: tuple[int, ...] = (1,)
    offsets: tuple[tuple[int, int], ...] = ()
    zone: str = "UTC"


class LimitSpec(msgspec.Struct, frozen=True, array_like=True):
    """One limit of an account: caps on grants and amount over one period of all users, or of each user.

    Attributes:
      period: "total" or a period as in Charge.slices.
      grants, amount: caps (0 .. 2^52), None = no cap. when_full: what happens to what does not fit.
      cooldown_ms: of "user/cooldown" alone, and nothing else is said there: a grant at t is refused while
        t - (time of the user's last approved grant or hold) is less than this. A reversal does not give it back; the
        grants of one offer do not see each other.
      pace: of "total" with a cap on amounts alone: what of it is available when.
    """

    period: str
    grants: int | None = None
    amount: int | None = None
    when_full: WhenFull = WhenFull.SKIP
    cooldown_ms: int | None = None
    pace: Pace | None = None


class AccountSpec(msgspec.Struct, frozen=True, array_like=True):
    """An account as its file declares it. unit is "" where no amount is capped."""

    name: str
    parent: str | None
    unit: str
    limits: tuple[LimitSpec, ...] = ()


class Use(msgspec.Struct, frozen=True, array_like=True):
    """What one counter of an account stands at, beside its caps (None = no cap).

    Attributes:
      grants, amount: used: held and committed. held: how much of the amount is held; told of totals alone.
    """

    period: str
    start_ms: int
    grants: int
    amount: int
    grants_cap: int | None
    amount_cap: int | None
    closed: bool = False
    held: int = 0


class AccountSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """An account at one moment: its total first, then its slices of time in order (users' counters are not listed).

    Attributes:
      version: raised by each change of its limits or its state. limits: as they are in force.
    """

    name: str
    unit: str
    version: int
    uses: tuple[Use, ...]
    limits: tuple[LimitSpec, ...] = ()
    paused: bool = False

    @property
    def state(self) -> AccountState:
        """What an operator calls it: a pause comes before a close."""
        if self.paused:
            return "paused"
        return "closed" if self.uses[0].closed else "open"


def digest(parts: Iterable[str]) -> bytes:
    """16 bytes over length-prefixed parts: no two lists of parts give the same text."""
    joined = b"".join(len(raw := part.encode()).to_bytes(4, "big") + raw for part in parts)
    return hashlib.blake2b(joined, digest_size=16).digest()


encode_request = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
