"""Limits to accounts: the path tenant > theme > campaign, and what a grant is charged on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import cast

from schemas.campaign_parts import Grant
from schemas.campaigns import Campaign, Limit, Tenant, Theme
from schemas.plans import PlanCharge
from schemas.proposals import AccountSpec, LimitSpec
from schemas.results import WhenFull
from transforms.language.loading import Folder

Problem = Callable[[tuple[str | int, ...], str], None]


def account_specs(folder: Folder, tenant: Tenant) -> tuple[AccountSpec, ...]:
    """All accounts of the folder, parents before children. A theme that nobody declares has no cap."""
    themes = {name: cast("Theme", loaded.model) for name, loaded in folder.themes.items()}
    campaigns = [cast("Campaign", folder.campaigns[name].model) for name in sorted(folder.campaigns)]
    named = sorted(set(themes) | {campaign.theme for campaign in campaigns if campaign.theme})
    specs = [AccountSpec("tenant", None, _unit(tenant.limits), _limit_specs(tenant.limits))]
    for name in named:
        limits = themes[name].limits if name in themes else ()
        specs.append(AccountSpec(f"theme/{name}", "tenant", _unit(limits), _limit_specs(limits)))
    for campaign in campaigns:
        parent = f"theme/{campaign.theme}" if campaign.theme else "tenant"
        name = f"campaign/{campaign.campaign}"
        specs.append(AccountSpec(name, parent, _own_unit(campaign), _limit_specs(campaign.limits)))
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
    path.append((f"campaign/{campaign.campaign}", campaign.limits, _own_unit(campaign, problem), campaign.active.zone))

    @cache
    def charged(unit: str) -> tuple[PlanCharge, ...]:
        return tuple(
            PlanCharge(account, _periods(limits), zone, _cost(campaign, account, capped, unit, problem))
            for account, limits, capped, zone in path
        )

    return charged


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


def _limit_specs(limits: tuple[Limit, ...]) -> tuple[LimitSpec, ...]:
    return tuple(
        LimitSpec(_period(limit), limit.grants, limit.amount, WhenFull(limit.when_full), limit.cooldown)
        for limit in limits
    )
