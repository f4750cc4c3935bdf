"""The accounts a grant is charged to, and what has been used of a limit: added up from the plain list of all grants."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from schemas.campaigns import Campaign, Limit
from tests.support.oracle.model import Event, Firing, Gift, World
from tests.support.oracle.times import period


@dataclass(eq=False)
class Approved:
    """A grant or hold that was approved.

    Attributes:
      time_ms: when. amount: granted. due_ms: when a hold becomes a grant, None = it is one. taken: (refund, amount).
    """

    firing: Firing
    gift: Gift
    time_ms: int
    amount: int
    due_ms: int | None
    taken: list[tuple[Event, int]] = field(default_factory=list)

    @property
    def stands(self) -> int:
        return self.amount - sum(amount for _, amount in self.taken)

    @property
    def campaign(self) -> Campaign:
        return self.firing.campaign

    def frees(self, what: str) -> bool:
        """Whether what is taken back of it frees budget, limits or lock."""
        return self.campaign.refunds is not None and what in self.campaign.refunds.gives_back


class Account(NamedTuple):
    """The tenant, a theme or a campaign. unit: of its caps on amounts, "" if it has none."""

    name: str
    limits: tuple[Limit, ...]
    unit: str
    zone: str


def path_of(world: World, campaign: Campaign) -> list[Account]:
    """From the tenant down."""
    tenant, found = world.tenant, []
    found.append(Account("tenant", tenant.limits, _named_unit(tenant.limits), tenant.zone))
    theme = world.themes.get(campaign.theme or "")
    if theme is not None:
        found.append(Account(f"theme/{theme.theme}", theme.limits, _named_unit(theme.limits), theme.zone))
    steps = campaign.trigger.steps or ()
    grants = [*(campaign.grant or ()), *(grant for step in steps for grant in step.grant)]
    own = _named_unit(campaign.limits) or grants[0].unit_name
    found.append(Account(f"campaign/{campaign.campaign}", campaign.limits, own, campaign.active.zone))
    return found


def _named_unit(limits: tuple[Limit, ...]) -> str:
    return next((limit.unit for limit in limits if limit.unit), "")


def is_of_user(limit: Limit) -> bool:
    """Whether it is each user's own."""
    return limit.cooldown is not None or limit.per.startswith("user")


def slice_of(account: Account, limit: Limit, time_ms: int) -> Any:
    """Which of the limit's periods an instant lies in."""
    kind = limit.per.removeprefix("user").removeprefix(" and ")
    return "ever" if kind in ("", "total") else period(kind, time_ms, account.zone)


def charged(account: Account, campaign: Campaign, unit: str, amount: int) -> int:
    """What a grant takes from the account: its amount, or its cost in the account's unit."""
    return amount if cost(account, campaign, unit) is None else cost(account, campaign, unit) or 0


def cost(account: Account, campaign: Campaign, unit: str) -> int | None:
    """The stated cost under caps of another unit, else None."""
    if account.unit in ("", unit) or campaign.cost is None:
        return None
    return campaign.cost.amount


class Books:
    """All that was approved, in order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._approved: dict[str, list[Approved]] = {name: [] for name in world.campaigns}
        self._paths = {name: path_of(world, campaign) for name, campaign in world.campaigns.items()}

    def path(self, campaign: Campaign) -> list[Account]:
        return self._paths[campaign.campaign]

    def add(self, approved: Approved) -> None:
        """One more."""
        self._approved[approved.campaign.campaign].append(approved)

    def remove(self, approved: Approved) -> None:
        """It was not to be: another grant of its list did not fit."""
        self._approved[approved.campaign.campaign].remove(approved)

    def of_campaign(self, name: str) -> list[Approved]:
        """What a campaign gave."""
        return self._approved[name]

    def under(self, account: Account) -> list[Approved]:
        """Everything that is charged to an account."""
        charging = [name for name, path in self._paths.items() if any(each.name == account.name for each in path)]
        return [approved for name in charging for approved in self._approved[name]]

    def used(self, account: Account, limit: Limit, recipient: str, time_ms: int) -> tuple[int, int]:
        """(grants, amount) that the limit has seen in the period of an instant, less what was given back."""
        grants = total = 0
        here = slice_of(account, limit, time_ms)
        for a in self.under(account):
            if slice_of(account, limit, a.time_ms) != here or (is_of_user(limit) and a.gift.recipient != recipient):
                continue
            frees = a.frees("limits" if is_of_user(limit) else "budget")
            gone = frees and a.stands == 0
            grants += 0 if gone else 1
            if cost(account, a.campaign, a.gift.unit) is not None:
                total += 0 if gone else charged(account, a.campaign, a.gift.unit, a.amount)
            else:
                total += a.stands if frees else a.amount
        return grants, total

    def last_approved(self, account: Account, recipient: str) -> int | None:
        """When the user's last grant here was approved."""
        return max((a.time_ms for a in self.under(account) if a.gift.recipient == recipient), default=None)

    def locked_by(self, campaign: Campaign, recipient: str, time_ms: int) -> bool:
        """Whether another offer of the campaign's group holds the user's lock."""
        group = self.world.group_of(campaign.campaign)
        if group is None or group.pick == "one per event":
            return False
        kind = group.pick.removeprefix("one per user").removeprefix(" and ")

        def window(at_ms: int) -> Any:
            return period(kind, at_ms, group.zone) if kind else "ever"

        return any(
            a.campaign is not campaign
            and a.gift.recipient == recipient
            and window(a.time_ms) == window(time_ms)
            and not (a.stands == 0 and a.frees("lock"))
            for offer in group.offers
            for a in self.of_campaign(offer)
        )
