"""Builders of ledger input, with names for what they mean."""

from __future__ import annotations

from hypothesis import strategies as st

from schemas.order_keys import OrderKey
from schemas.proposals import AccountSpec, Charge, GrantRequest, LimitSpec, Offer, Proposal, digest
from schemas.results import WhenFull

TENANT = "shop"
DAY_MS = 86_400_000


def an_account(name: str, *limits: LimitSpec, parent: str | None = "tenant") -> AccountSpec:
    return AccountSpec(name, parent if name != "tenant" else None, "points", tuple(limits))


def a_grant(
    occurrence: str,
    amount: int,
    user: str = "u1",
    campaign: str = "c1",
    slices: tuple[tuple[str, int], ...] = (),
    path: tuple[str, ...] = ("tenant",),
    cost: int | None = None,
) -> GrantRequest:
    charges = (*(Charge(account, (), cost) for account in path), Charge(f"campaign/{campaign}", slices))
    return GrantRequest(digest(("test", occurrence)), "d1", campaign, "v1", user, amount, "points", charges)


def a_proposal(*offers: tuple[GrantRequest, ...], at_ms: int = 0, event: str | None = None) -> Proposal:
    first = offers[0][0]
    key = OrderKey(at_ms, 2, event or first.grant_id.hex(), first.recipient, 1, first.campaign)
    return Proposal(TENANT, key, tuple(Offer(grants) for grants in offers))


def a_single(occurrence: str, amount: int, user: str = "u1", **more: object) -> Proposal:
    return a_proposal((a_grant(occurrence, amount, user, **more),))  # type: ignore[arg-type]


CAPS = st.one_of(st.none(), st.integers(0, 40))
PERIODS = ["total", "day", "user", "user/day"]


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
        for period in draw(st.lists(st.sampled_from(PERIODS), unique=True, max_size=3)):
            closable = [WhenFull.SKIP, WhenFull.CUT] if period.startswith("user") else list(WhenFull)
            limits.append(LimitSpec(period, draw(CAPS), draw(CAPS), draw(st.sampled_from(closable))))
        found.append(AccountSpec(name, parent, "points", tuple(limits)))
    return found


@st.composite
def grants(draw: st.DrawFn) -> GrantRequest:
    campaign = draw(st.sampled_from(["c1", "c1", "c2", "gone"]))
    day = draw(st.sampled_from([0, DAY_MS]))
    slices = tuple(
        (period, 0 if period == "user" else day)
        for period in draw(st.lists(st.sampled_from(PERIODS[1:]), unique=True, max_size=3))
    )
    parents = {"c1": ("tenant", "theme/t"), "c2": ("tenant",), "gone": ("tenant",)}[campaign]
    cost = draw(st.sampled_from([None, None, None, 3]))
    charges = (*(Charge(account, slices, cost) for account in parents), Charge(f"campaign/{campaign}", slices))
    amount = draw(st.one_of(st.integers(1, 15), st.sampled_from([0, -1, 10**14, 10**14 - 1, 2**53 + 1])))
    occurrence = draw(st.integers(0, 30))
    user = draw(st.sampled_from(["u1", "u2", "ü:\x00"]))
    return GrantRequest(
        digest(("test", campaign, str(occurrence))), draw(st.sampled_from(["", "d1"])), campaign, "v1", user, amount,
        "points", charges,
    )  # fmt: skip


@st.composite
def proposals(draw: st.DrawFn) -> Proposal:
    """Most often one offer of one grant; else lists, and offers of several grants."""
    if draw(st.integers(0, 3)):
        offers: tuple[Offer, ...] = (Offer((draw(grants()),)),)
    else:
        offers = tuple(
            Offer(tuple(draw(st.lists(grants(), min_size=1, max_size=3, unique_by=lambda grant: grant.grant_id))))
            for _ in range(draw(st.integers(1, 3)))
        )
    event = f"e{draw(st.integers(0, 40))}"
    return Proposal(TENANT, OrderKey(draw(st.integers(0, 10**6)), 2, event, "u1", 1, "g"), offers)
