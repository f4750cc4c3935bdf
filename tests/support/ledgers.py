"""Builders of ledger input, with names for what they mean."""

from __future__ import annotations

import uuid
from typing import Any, Literal

import msgspec
from hypothesis import strategies as st

from schemas.grant_operations import Commit, GrantChange, GrantOperation, Redecide, Release, TakeBack
from schemas.operations import Change, Move, Operation, SetCap, SetPace, SetState
from schemas.order_keys import OrderKey
from schemas.proposals import (
    AccountSpec,
    Charge,
    GrantRequest,
    Hold,
    LimitSpec,
    Lock,
    Occurrence,
    Offer,
    Pace,
    Proposal,
    Request,
    Reversal,
    digest,
    packed_route,
)
from schemas.results import WhenFull
from transforms.budget.floors import CampaignFloor, Floors
from transforms.budget.ports import COOLDOWN

TENANT = "shop"
DAY_MS = 86_400_000
HOUR_MS = 3_600_000


def an_account(name: str, *limits: LimitSpec, parent: str | None = "tenant", unit: str = "points") -> AccountSpec:
    return AccountSpec(name, parent if name != "tenant" else None, unit, tuple(limits))


def an_operation(
    change: Change,
    operation_id: str = "",
    who: str = "ann",
    why: str = "because",
    expected: tuple[tuple[str, int], ...] = (),
) -> Operation:
    """With an id of its own, unless one is named."""
    return Operation(operation_id or uuid.uuid4().hex, change, who, why, expected)


def a_grant_operation(
    change: GrantChange, operation_id: str = "", who: str = "ann", why: str = "because"
) -> GrantOperation:
    """With an id of its own, unless one is named."""
    return GrantOperation(operation_id or uuid.uuid4().hex, change, who, why)


def the_occurrence(occurrence: str, campaign: str = "c1") -> Occurrence:
    """Of a grant as `a_grant` makes it."""
    return Occurrence(digest(("test", occurrence)), "d1", campaign)


def a_grant(
    occurrence: str,
    amount: int,
    user: str = "u1",
    campaign: str = "c1",
    slices: tuple[tuple[str, int], ...] = (),
    path: tuple[str, ...] = ("tenant",),
    cost: int | None = None,
    lock: Lock | None = None,
) -> GrantRequest:
    charges = (*(Charge(account, (), cost) for account in path), Charge(f"campaign/{campaign}", slices))
    return GrantRequest(
        digest(("test", occurrence)), "d1", campaign, "v1", user, amount, "points", packed_route(charges, lock)
    )  # fmt: skip


def a_proposal(
    *offers: tuple[GrantRequest, ...], at_ms: int = 0, event: str | None = None, hold: Hold | None = None
) -> Proposal:
    first = offers[0][0]
    key = OrderKey(at_ms, 2, event or first.grant_id.hex(), first.recipient, 1, first.campaign)
    return Proposal(TENANT, key, tuple(Offer(grants) for grants in offers), hold)


def a_single(
    occurrence: str, amount: int, user: str = "u1", at_ms: int = 0, hold: Hold | None = None, **more: Any
) -> Proposal:
    return a_proposal((a_grant(occurrence, amount, user, **more),), at_ms=at_ms, hold=hold)


def a_held(
    occurrence: str, amount: int, due_ms: int, end: Literal["commit", "release"] = "commit", **more: Any
) -> Proposal:
    return a_single(occurrence, amount, hold=Hold(due_ms, end), **more)


def a_reversal(
    cause: str,
    *occurrences: str,
    share: tuple[int, int] | None = None,
    amount: int | None = None,
    gives_back: tuple[str, ...] = ("budget", "limits", "lock"),
    at_ms: int = 0,
    campaign: str = "c1",
) -> Reversal:
    """Of grants as `a_grant` makes them; of all of each without a share or an amount."""
    named = tuple(the_occurrence(occurrence, campaign) for occurrence in occurrences)
    if share is None and amount is None:
        share = (1, 1)
    key = OrderKey(at_ms, 2, cause, "u1", 0, campaign)
    return Reversal(TENANT, key, campaign, "u1", cause, at_ms, named, share, amount, gives_back)


def capped(ledger: Any, *limits: LimitSpec) -> None:
    """The tenant and one campaign with these limits."""
    ledger.define([an_account("tenant"), an_account("campaign/c1", *limits)])


def amounts(decisions: list[Any]) -> list[Any]:
    """Of each decision its first amount, or why there is none."""
    return [decision.amounts[0] if decision.amounts else decision.reason for decision in decisions]


def total(ledger: Any, name: str = "campaign/c1") -> tuple[int, int]:
    """Grants and amount that an account's total stands at."""
    (account,) = (account for account in ledger.snapshot() if account.name == name)
    return account.uses[0].grants, account.uses[0].amount


CAPS = st.one_of(st.none(), st.none(), st.integers(0, 40), st.just(2 * 10**14))
AMOUNT_CAPS = st.one_of(st.integers(10, 60), st.none(), st.just(2 * 10**14), st.integers(0, 40))
PERIODS = ["total", "day", "user", "user/day"]
TIMES = st.integers(0, 60)
LOCKS = [None, None, Lock("g"), Lock("g"), Lock("h", DAY_MS)]
GENERATIONS = ["", "d1", "d1", "d1"]
CAMPAIGNS = ["c1", "c1", "c1", "c2", "c2", "gone"]
OCCURRENCES = st.integers(0, 8)
EDGES = [0, -1, 10**14, 10**14 - 1, 10**14 - 1, 2**53 + 1]
SHARES = [(1, 1), (1, 1), (1, 2), (1, 3), (2, 3), (3, 7), (7, 7), (10**14 - 2, 10**14 - 1), (1, 10**14 - 1)]
GIVES_BACK = [("budget", "limits", "lock")] * 3 + [(), ("budget",), ("limits", "lock"), ("lock", "budget"), ("limits",)]


def paces() -> st.SearchStrategy[Pace]:
    """Over the times that are drawn, and one that lasts long; a curve's days change their offset within them."""
    start, length, head_start = st.integers(-5, 30), st.sampled_from([1, 7, 40, 60, DAY_MS]), st.sampled_from([0, 0, 5])
    weights = st.one_of(st.just((1,)), st.lists(st.integers(0, 9), min_size=2, max_size=24).map(lambda w: (*w, 1)))
    spread = st.builds(
        lambda start, length, head, weights: Pace("even", start, start + length, head, weights[:24]),
        start, length, head_start, weights.filter(lambda w: any(w[:24])),
    )  # fmt: skip
    hours = st.lists(st.integers(1, 9), min_size=24, max_size=24).map(tuple)
    ahead = st.sampled_from([0, HOUR_MS, -HOUR_MS, 30])
    curve = st.builds(
        lambda start, length, head, hours, before, after: Pace(
            "curve", start, start + length + 2 * HOUR_MS, head, hours, ((-10, before), (25, after))
        ),
        start, length, head_start, hours, ahead, ahead,
    )  # fmt: skip
    return st.one_of(spread, curve)


NUMBERS = st.one_of(
    st.integers(0, 40), st.sampled_from([0, 1, 2 * 10**14, 2**52, 2**52 + 1, 2**53 + 1, 2**70, -1, "7", 1.5])
)
ACCOUNTS = ["campaign/c1", "tenant", "theme/t", "campaign/c2", "campaign/c1", "campaign/c2", "campaign/gone"]
FLOOR_TIMES = st.sampled_from([-1, 5, DAY_MS - 1, DAY_MS, DAY_MS + 1, 25 * HOUR_MS - 1, 25 * HOUR_MS, 49 * HOUR_MS])


@st.composite
def floors(draw: st.DrawFn) -> Floors:
    """Most often of nothing that is asked for; else of some or all of it. Days are 0 and 1, generations of day 1."""
    found = []
    for campaign in ("c1", "c2", "gone"):
        below = draw(st.sampled_from([0, 0, DAY_MS, DAY_MS, DAY_MS + 1]))
        if draw(st.integers(0, 2)):
            found.append(CampaignFloor(campaign, below, draw(st.integers(0, 5)) == 5))
    return Floors(draw(FLOOR_TIMES), tuple(found))


OPERATION_IDS = st.integers(0, 200).map(str)


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    """Any but a freeze; some under an id that is known, or on a version that is none."""
    account = draw(st.sampled_from(ACCOUNTS))
    kind = draw(st.sampled_from(["cap", "cap", "state", "pace", "move"]))
    change: Change
    if kind == "cap":
        cap = draw(st.one_of(st.none(), NUMBERS, NUMBERS))
        period, counts = draw(st.sampled_from([*PERIODS, COOLDOWN])), draw(st.sampled_from(["grants", "amount"]))
        change = SetCap(account, period, counts, cap, draw(st.sampled_from(["set", "set", "raise", "lower"])))
    elif kind == "state":
        change = SetState(account, draw(st.sampled_from(["open", "paused", "open", "closed", "open"])))
    elif kind == "pace":
        change = SetPace(account, draw(st.one_of(st.none(), paces())))
    else:
        target = draw(st.sampled_from([name for name in ACCOUNTS if name != account]))
        change = Move(account, target, draw(NUMBERS))
    expected = ((draw(st.sampled_from(ACCOUNTS)), draw(st.integers(1, 3))),) if draw(st.integers(0, 7)) == 7 else ()
    return an_operation(change, draw(OPERATION_IDS), expected=expected)


@st.composite
def accounts(draw: st.DrawFn) -> list[AccountSpec]:
    """tenant, theme/t and two campaigns with any limits."""
    found = []
    for name, parent in (
        ("tenant", None),
        ("theme/t", "tenant"),
        ("campaign/c1", "theme/t"),
        ("campaign/c2", "tenant"),
    ):
        limits = []
        periods = draw(st.lists(st.sampled_from(PERIODS[1:]), unique=True, max_size=2))
        for period in (*periods, *draw(st.sampled_from([("total",), ("total",), ("total",), ()]))):
            closable = [WhenFull.SKIP, WhenFull.CUT] if period.startswith("user") else list(WhenFull)
            limit = LimitSpec(period, draw(CAPS), draw(AMOUNT_CAPS), draw(st.sampled_from(closable)))
            if period == "total" and limit.amount is not None and draw(st.integers(0, 3)) == 0:
                limit = msgspec.structs.replace(limit, pace=draw(paces()))
            limits.append(limit)
        if draw(st.booleans()):
            limits.append(LimitSpec(COOLDOWN, cooldown_ms=draw(st.integers(1, 6))))
        found.append(AccountSpec(name, parent, "points", tuple(limits)))
    return found


@st.composite
def grants(draw: st.DrawFn) -> GrantRequest:
    campaign = draw(st.sampled_from(CAMPAIGNS))
    day = draw(st.sampled_from([0, DAY_MS]))
    slices = tuple(
        (period, day if period.endswith("day") else 0)
        for period in draw(st.lists(st.sampled_from([*PERIODS[1:], COOLDOWN]), unique=True, max_size=4))
    )
    parents = {"c1": ("tenant", "theme/t"), "c2": ("tenant",), "gone": ("tenant",)}[campaign]
    cost = draw(st.sampled_from([None, None, None, 3]))
    part = draw(st.sampled_from([None, None, (2, 5), (1, 3), (10**14 - 2, 10**14 - 1)])) if cost is None else None
    odd = draw(st.booleans()) if part else False
    charges = (
        *(Charge(account, slices, cost, part, odd) for account in parents),
        Charge(f"campaign/{campaign}", slices),
    )
    amount = draw(st.integers(1, 15) if draw(st.integers(0, 7)) else st.sampled_from(EDGES))
    user = draw(st.sampled_from(["u1", "u2", "ü:\x00"]))
    return GrantRequest(
        digest(("test", campaign, str(draw(OCCURRENCES)))), draw(st.sampled_from(GENERATIONS)), campaign, "v1", user,
        amount, "points", packed_route(charges, draw(st.sampled_from(LOCKS))),
    )  # fmt: skip


@st.composite
def proposals(draw: st.DrawFn) -> Proposal:
    """Most often one offer of one grant; else lists, and offers of several grants; some are held."""
    if draw(st.integers(0, 3)):
        offers: tuple[Offer, ...] = (Offer((draw(grants()),)),)
    else:
        offers = tuple(
            Offer(tuple(draw(st.lists(grants(), min_size=1, max_size=3, unique_by=lambda grant: grant.grant_id))))
            for _ in range(draw(st.integers(1, 3)))
        )
    hold = None
    if draw(st.integers(0, 2)) == 0:
        hold = Hold(draw(TIMES), draw(st.sampled_from(["commit", "commit", "release"])))
    event = f"e{draw(st.integers(0, 40))}"
    return Proposal(TENANT, OrderKey(draw(TIMES), 2, event, "u1", 1, "g"), offers, hold)


@st.composite
def reversals(draw: st.DrawFn) -> Reversal:
    """By share or by amount, of grants that may be made, held, denied or still to come."""
    occurrences = tuple(
        Occurrence(digest(("test", campaign, str(draw(OCCURRENCES)))), draw(st.sampled_from(GENERATIONS)), campaign)
        for campaign in draw(st.lists(st.sampled_from(CAMPAIGNS), min_size=1, max_size=8))
    )
    cause = f"r{draw(st.integers(0, 20))}"
    share, amount = None, None
    if draw(st.booleans()):
        share = draw(st.sampled_from(SHARES))
    else:
        amount = draw(st.sampled_from([1, 5, 12, 30, 10**14]))
    gives_back = draw(st.sampled_from(GIVES_BACK))
    key = OrderKey(draw(TIMES), 2, cause, "u1", 0, "c1")
    return Reversal(TENANT, key, "c1", "u1", cause, 0, occurrences, share, amount, gives_back)


@st.composite
def grant_changes(draw: st.DrawFn) -> tuple[str, int | None, tuple[str, ...], int]:
    """(kind, amount, gives_back, which of the grants that were ever asked for)."""
    kind = draw(st.sampled_from(["commit", "commit", "release", "reverse", "reverse", "redecide", "redecide"]))
    amount = draw(st.one_of(st.none(), st.integers(0, 12), st.integers(0, 12), NUMBERS))
    return kind, amount, draw(st.sampled_from(GIVES_BACK)), draw(st.integers(0, 200))


def a_change(kind: str, grant: Occurrence, amount: int | None, gives_back: tuple[str, ...], entry: str) -> GrantChange:
    """entry: of the log, which a redecide names."""
    if kind == "commit":
        return Commit(grant, amount)
    if kind == "release":
        return Release(grant)
    return TakeBack(grant, amount, gives_back, "u1", "points") if kind == "reverse" else Redecide(grant, entry)


def batches() -> st.SearchStrategy[list[Request]]:
    return st.lists(st.one_of(proposals(), proposals(), reversals()), min_size=6, max_size=20)
