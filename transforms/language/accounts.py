"""Limits to accounts: the path tenant > theme > campaign, and what a grant is charged on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from schemas.campaigns import Campaign, Grant, Limit, Tenant, Theme
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


def charges(folder: Folder, campaign: Campaign, tenant: Tenant, problem: Problem) -> tuple[PlanCharge, ...]:
    """What a grant of the campaign is charged, from the tenant down."""
    theme = folder.themes.get(campaign.theme or "")
    unit = _own_unit(campaign)
    _require_one_unit(campaign, unit, problem)
    path = [_charge("tenant", tenant.limits, tenant.zone, campaign, unit, problem)]
    if campaign.theme:
        model = cast("Theme", theme.model) if theme else Theme.model_validate({"theme": campaign.theme})
        path.append(_charge(f"theme/{campaign.theme}", model.limits, model.zone, campaign, unit, problem))
    periods = _periods(campaign.limits)
    path.append(PlanCharge(f"campaign/{campaign.campaign}", periods, campaign.active.zone))
    return tuple(path)


def _charge(
    account: str, limits: tuple[Limit, ...], zone: str, campaign: Campaign, unit: str, problem: Problem
) -> PlanCharge:
    capped = _unit(limits)
    cost = None
    if capped not in ("", unit):
        if campaign.cost is None or campaign.cost.unit != capped:
            problem(
                ("campaign",),
                f"{account} caps amounts in {capped}, the campaign grants {unit}: "
                f"say what a grant costs there, e.g. cost: {{amount: 12, unit: {capped}}}",
            )
        else:
            cost = campaign.cost.amount
    return PlanCharge(account, _periods(limits), zone, cost)


def _require_one_unit(campaign: Campaign, unit: str, problem: Problem) -> None:
    steps = campaign.trigger.steps or ()
    if len({_grant_unit(step.grant) for step in steps}) > 1:
        problem(("trigger", "steps"), "trigger.steps: all steps of a campaign grant the same unit")
    for i, limit in enumerate(campaign.limits):
        if limit.unit not in (None, unit):
            problem(("limits", i, "unit"), f"limits.{i}.unit: the campaign grants {unit}; its own limits are in {unit}")


def _own_unit(campaign: Campaign) -> str:
    grant = campaign.grant or (campaign.trigger.steps[0].grant if campaign.trigger.steps else None)
    return _grant_unit(grant) if grant else ""


def _grant_unit(grant: Grant) -> str:
    return "points" if grant.points is not None else grant.unit or ""


def _unit(limits: tuple[Limit, ...]) -> str:
    return next((limit.unit for limit in limits if limit.unit), "")


def _periods(limits: tuple[Limit, ...]) -> tuple[str, ...]:
    return tuple(_period(limit) for limit in limits if limit.per != "total")


def _period(limit: Limit) -> str:
    return limit.per.replace(" and ", "/")


def _limit_specs(limits: tuple[Limit, ...]) -> tuple[LimitSpec, ...]:
    return tuple(LimitSpec(_period(limit), limit.grants, limit.amount, WhenFull(limit.when_full)) for limit in limits)
