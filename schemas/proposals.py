"""Proposals, and the ledger's answer to them.

A proposal says "this user has earned this, if the money allows". It names accounts and slices of time; caps live only
in the ledger. Everything is an array-like msgspec Struct: append fields with defaults, never reorder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from schemas.order_keys import OrderKey
from schemas.results import Outcome, Reason, WhenFull

AMOUNT_LIMIT = 10**14
"""Amounts are below this many minor units: the ledger's numbers stay exact in doubles (facts: Lua 5.1)."""

CAP_LIMIT = 2**52
"""Caps and counters are at most this: two of them still add exactly."""


class Charge(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One account that a grant is charged to.

    Attributes:
      account: "tenant", "theme/<id>" or "campaign/<id>".
      slices: (period, start in ms) of each counter below the account's total: period is "hour", "day", "week",
        "month", or "user", "user/day", "user/week", "user/month"; start is 0 for "user" (lifetime).
      cost: what the account is charged, in minor units of its own unit; None = the granted amount.
    """

    account: str
    slices: tuple[tuple[str, int], ...] = ()
    cost: int | None = None


class GrantRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One grant of an offer.

    Attributes:
      grant_id: 16 bytes, digest of the occurrence (docs/contracts/ids.md).
      generation: which group of records the id belongs to; follows from the occurrence alone.
      campaign, version: version is the digest of the campaign's normalised content.
      recipient: user id. amount: asked, in minor units, 1 .. 10^14 - 1. unit: "points" or a currency code.
      charges: from the tenant down to the campaign.
    """

    grant_id: bytes
    generation: str
    campaign: str
    version: str
    recipient: str
    amount: int
    unit: str
    charges: tuple[Charge, ...]


class Offer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Grants that stand or fall together. An offer of several grants is never cut."""

    grants: tuple[GrantRequest, ...]


class Proposal(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A list of offers in priority order (most often one), decided in one atomic step and remembered under one id."""

    tenant: str
    key: OrderKey
    offers: tuple[Offer, ...]

    @property
    def decision_id(self) -> bytes:
        """16 bytes: digest of tenant, campaign or group, subject and cause."""
        key = self.key
        return digest(
            ("decision", self.tenant, key.campaign, key.subject, key.event_id, key.opening, str(key.step), str(key.n))
        )


class Decision(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The ledger's answer to one proposal.

    Attributes:
      outcome: granted or denied. offer: index of the offer that was taken, None when denied.
      amounts: what each grant of that offer got, in minor units (at most what was asked); () when denied.
      reason, account, period, use, cap: for a denial, of the last offer asked: which account refused (period "total"
        or one of Charge.slices) with its use and its cap at that moment; use and cap 0 where no number refused.
      repeated: the id was known: this is the first answer again.
      conflicting: asked with other content under a known id: the first stands.
      entry: id of the log entry that holds the decision; "" for what is recorded nowhere.
      unpublished: entry is still marked unpublished (always true of a first grant).
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


class LimitSpec(msgspec.Struct, frozen=True, array_like=True):
    """One limit of an account: caps on grants and amount over one period of all users, or of each user.

    Attributes:
      period: "total" or a period as in Charge.slices.
      grants, amount: caps (0 .. 2^52), None = no cap. when_full: what happens to what does not fit.
    """

    period: str
    grants: int | None = None
    amount: int | None = None
    when_full: WhenFull = WhenFull.SKIP


class AccountSpec(msgspec.Struct, frozen=True, array_like=True):
    """An account as its file declares it. unit is "" where no amount is capped."""

    name: str
    parent: str | None
    unit: str
    limits: tuple[LimitSpec, ...] = ()


class Use(msgspec.Struct, frozen=True, array_like=True):
    """What one counter of an account stands at, beside its caps (None = no cap)."""

    period: str
    start_ms: int
    grants: int
    amount: int
    grants_cap: int | None
    amount_cap: int | None
    closed: bool = False


class AccountSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """An account at one moment: its total first, then its slices of time in order (users' counters are not listed)."""

    name: str
    unit: str
    version: int
    uses: tuple[Use, ...]


def digest(parts: Iterable[str]) -> bytes:
    """16 bytes over length-prefixed parts: no two lists of parts give the same text."""
    joined = b"".join(len(raw := part.encode()).to_bytes(4, "big") + raw for part in parts)
    return hashlib.blake2b(joined, digest_size=16).digest()


encode_proposal = msgspec.msgpack.Encoder().encode
decode_proposal = msgspec.msgpack.Decoder(Proposal).decode
