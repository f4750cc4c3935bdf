"""Limits to accounts: the path tenant > theme > campaign, and what a grant is charged on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import cast

import msgspec

from schemas.campaign_parts import Active, Grant
from schemas.campaigns import Campaign, Limit, PaceParts, Partner, Payer, Tenant, Theme
from schemas.pacing import is_valid_pace
from schemas.plans import PlanCharge
from schemas.proposals import AccountSpec, LimitSpec, Pace, shared
from schemas.results import WhenFull
from transforms.language.context import Context
from transforms.language.loading import Folder, Loaded, meant
from transforms.language.paces import pace_of

Problem = Callable[[tuple[str | int, ...], str], None]


def account_specs(folder: Folder, tenant: Tenant) -> tuple[AccountSpec, ...]:
    """All accounts of the folder, parents before children. A theme that nobody declares has no cap."""
    themes = {name: cast("Theme", loaded.model) for name, loaded in folder.themes.items()}
    campaigns = [cast("Campaign", folder.campaigns[name].model) for name in sorted(folder.campaigns)]
    named = sorted(set(themes) | {campaign.theme for campaign in campaigns if campaign.theme})
    of_tenant = folder.tenants[0] if folder.tenants else None
    limits = _limit_specs(folder, of_tenant, tenant.limits, Active.model_validate({"zone": tenant.zone}))
    specs = [AccountSpec("tenant", None, _unit(tenant.limits), limits)]
    for name in named:
        theme = themes.get(name) or Theme.model_validate({"theme": name})
        limits = _limit_specs(
            folder, folder.themes.get(name), theme.limits, Active.model_validate({"zone": theme.zone})
        )
        specs.append(AccountSpec(f"theme/{name}", "tenant", _unit(theme.limits), limits))
    for name, loaded in sorted(folder.partners.items()):
        partner = cast("Partner", loaded.model)
        limits = _limit_specs(folder, loaded, partner.limits, Active.model_validate({"zone": partner.zone}))
        specs.append(AccountSpec(f"partner/{name}", "tenant", _unit(partner.limits), limits))
    for campaign in campaigns:
        parent = f"theme/{campaign.theme}" if campaign.theme else "tenant"
        limits = _limit_specs(folder, folder.campaigns[campaign.campaign], campaign.limits, campaign.active)
        specs.append(AccountSpec(f"campaign/{campaign.campaign}", parent, _own_unit(campaign), limits))
    return tuple(specs)


def charged_to(
    folder: Folder, campaign: Campaign, tenant: Tenant, problem: Problem
) -> Callable[[str], tuple[PlanCharge, ...]]:
    """The function from a unit to what a grant in it is charged, from the tenant down; mistakes are told once."""
    theme = folder.themes.get(campaign.theme or "")
    path = [("tenant", tenant.limits, _unit(tenant.limits), tenant.zone)]
    if campaign.theme:
        model = cast("Theme", theme.model) if theme else Theme.model_validate({"theme": campaign.theme})
        path.append((f"theme/{campaign.theme}", model.limits, _unit(model.limits), model.zone))
    path += _partners(folder, campaign, problem)
    path.append((f"campaign/{campaign.campaign}", campaign.limits, _own_unit(campaign, problem), campaign.active.zone))
    payers = {payer.account: payer for payer in campaign.funding or ()}
    _check_payers(campaign, path, problem)

    @cache
    def charged(unit: str) -> tuple[PlanCharge, ...]:
        return tuple(
            _shared_charge(
                campaign,
                PlanCharge(account, _periods(limits), zone, _cost(campaign, account, capped, unit, problem)),
                payers.get(account),
                problem,
            )
            for account, limits, capped, zone in path
        )

    return charged


_Path = list[tuple[str, tuple[Limit, ...], str, str]]
"""(account, its limits, the unit of its caps, their zone) of each, from the tenant down."""


def _partners(folder: Folder, campaign: Campaign, problem: Problem) -> _Path:
    found: _Path = []
    for i, payer in enumerate(campaign.funding or ()):
        if payer.partner is None:
            continue
        if payer.partner not in folder.partners:
            known = meant(payer.partner, folder.partners)
            problem(("funding", i, "partner"), f"there is no partner: {payer.partner} in the folder{known}")
            continue
        model = cast("Partner", folder.partners[payer.partner].model)
        found.append((payer.account, model.limits, _unit(model.limits), model.zone))
    return found


def _check_payers(campaign: Campaign, path: _Path, problem: Problem) -> None:
    """A theme that pays is the campaign's own; and nobody who pays a share can cut: what they have left is a part."""
    limits = {account: found for account, found, _, _ in path}
    for i, payer in enumerate(campaign.funding or ()):
        if payer.theme is None:
            continue
        if payer.theme != campaign.theme:
            own = f"{campaign.theme}" if campaign.theme else "none"
            problem(("funding", i, "theme"), f"a theme that pays is the campaign's own ({own}), not {payer.theme}")
        elif any(limit.when_full == "cut" for limit in limits[payer.account]):
            problem(
                ("funding", i, "theme"),
                f"a limit of the theme {payer.theme} says when_full: cut, but what is left of a payer is only a part "
                "of a grant; right is skip or close there, and cut on the campaign or the tenant",
            )


def _shared_charge(campaign: Campaign, charge: PlanCharge, payer: Payer | None, problem: Problem) -> PlanCharge:
    """The charge as its share, of a fixed cost too."""
    if payer is None:
        return charge
    assert campaign.funding is not None
    (x, y), takes_odd = payer.share.as_integer_ratio(), payer == campaign.funding[0]
    if charge.cost is None:
        return msgspec.structs.replace(charge, share=(x, y), takes_odd=takes_odd)
    cost = shared(charge.cost, (x, y), takes_odd)
    if cost < 1:
        problem(("funding",), f"a share of {payer.share} of the cost {charge.cost} is nothing for {payer.account}")
    return msgspec.structs.replace(charge, cost=cost)


def _cost(campaign: Campaign, account: str, capped: str, unit: str, problem: Problem) -> int | None:
    """A grant in another unit than the account's caps are in is charged a stated cost."""
    if capped in ("", unit):
        return None
    if campaign.cost is not None and campaign.cost.unit == capped:
        return campaign.cost.amount
    problem(
        ("campaign",),
        f"{account} caps amounts in {capped}, the campaign grants {unit}: "
        f"say what a grant costs there, e.g. cost: {{amount: 12, unit: {capped}}}",
    )
    return None


def _own_unit(campaign: Campaign, problem: Problem | None = None) -> str:
    """The unit of the campaign's own caps on amounts: named, or the one that it grants."""
    named = sorted({limit.unit for limit in campaign.limits if limit.unit})
    granted = sorted({grant.unit_name for grant in granted_by(campaign)})
    for i, limit in enumerate(campaign.limits):
        if problem and limit.unit is not None and limit.unit not in granted and campaign.cost is None:
            problem(("limits", i, "unit"), f"the campaign grants {' and '.join(granted)}, not {limit.unit}")
            return granted[0]
    capped = any(limit.amount is not None for limit in campaign.limits)
    if problem and capped and len(named or granted) > 1:
        what = " and ".join(named or granted)
        problem(("limits",), f"the caps on amounts of one account are in one unit, not in {what}; name one: unit:")
    return (named or granted)[0] if capped or len(granted) == 1 else ""


def granted_by(campaign: Campaign) -> list[Grant]:
    """Every grant that the campaign's file names."""
    return [*(campaign.grant or ()), *(grant for step in campaign.trigger.steps or () for grant in step.grant)]


def _unit(limits: tuple[Limit, ...]) -> str:
    return next((limit.unit for limit in limits if limit.unit), "")


def _periods(limits: tuple[Limit, ...]) -> tuple[str, ...]:
    return tuple(period for limit in limits if (period := _period(limit)) != "total")


def _period(limit: Limit) -> str:
    return "user/cooldown" if limit.cooldown is not None else limit.per.replace(" and ", "/")


def _limit_specs(
    folder: Folder, loaded: Loaded | None, limits: tuple[Limit, ...], active: Active
) -> tuple[LimitSpec, ...]:
    """active: the span of a pace that says none, and the zone."""
    found = []
    for i, limit in enumerate(limits):
        pace = None
        if limit.pacing is not None:
            try:
                pace = pace_over(limit.pacing, active)
            except ValueError as error:
                assert loaded is not None
                folder.problem(loaded.document.place(("limits", i, "pace")), f"limits.{i}.pace: {error}")
        full = WhenFull(limit.when_full)
        found.append(LimitSpec(_period(limit), limit.grants, limit.amount, full, limit.cooldown, pace))
    return tuple(found)


def pace_over(parts: PaceParts, active: Active) -> Pace:
    """The pace over its own span, else over that of active. Raises ValueError for a span that is missing or empty."""
    start, end = (
        Context.instant(moment, active.zone) for moment in (parts.start or active.start, parts.end or active.end)
    )
    if start is None or end is None:
        raise ValueError(
            "needs the campaign's first and last day, e.g. active: {from: 2017-03-01, to: 2017-06-01}, "
            "or a from: and to: of its own"
        )
    if start >= end:
        raise ValueError("from: is not before to:")
    pace = pace_of(parts, start, end, active.zone)
    if not is_valid_pace(pace):
        raise ValueError("a span is at most ten years long, and holds an hour with a share above 0")
    return pace
