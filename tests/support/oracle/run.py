"""Everything together: all subjects' firings and take-backs, merged in the total order and decided one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from schemas.campaign_parts import Audience, ListFile
from schemas.campaigns import Campaign, Group, Tenant, Theme
from schemas.order_keys import OrderKey
from tests.support.oracle.history import history_of, subjects
from tests.support.oracle.model import Answer, Firing, TakeBack, World, an_event_of
from tests.support.oracle.money import Money
from tests.support.oracle.refunds import Refunded
from transforms.language.loading import Folder


def world_of(
    folder: Folder,
    events: Iterable[Mapping[str, Any]],
    profiles: Mapping[str, Mapping[str, Any]] | None = None,
    until_ms: int | None = None,
) -> World:
    """A world from a folder that was read, and plain events; time ends at the greatest event time unless said otherwise."""
    campaigns = {name: cast("Campaign", loaded.model) for name, loaded in folder.campaigns.items()}
    tenants = [cast("Tenant", loaded.model) for loaded in folder.tenants]
    happened = tuple(an_event_of(event) for event in events)
    return World(
        campaigns=campaigns,
        groups={name: cast("Group", loaded.model) for name, loaded in folder.groups.items()},
        themes={name: cast("Theme", loaded.model) for name, loaded in folder.themes.items()},
        tenant=tenants[0] if tenants else Tenant.model_validate({"tenant": "default"}),
        lists={name: _read_list(folder, name) for campaign in campaigns.values() for name in _lists_of(campaign)},
        events=happened,
        profiles=profiles or {},
        until_ms=max((event.time_ms for event in happened), default=0) if until_ms is None else until_ms,
    )


def _lists_of(campaign: Campaign) -> list[str]:
    audience = campaign.audience
    named = (audience.include, audience.exclude) if isinstance(audience, Audience) else ()
    return [users.file for users in named if isinstance(users, ListFile)]


def _read_list(folder: Folder, name: str) -> frozenset[str]:
    return frozenset(line.strip() for line in (folder.path / name).read_text().splitlines()) - {""}


def interpret(world: World) -> Answer:
    """What the campaigns give, take back and deny."""
    money = Money(world)
    for _, name, what in sorted(_requests(world), key=lambda request: request[0]):
        if isinstance(what, TakeBack):
            money.take_back(what)
        else:
            money.propose(what, name)
    return money.finished()


def _requests(world: World) -> list[tuple[OrderKey, str, TakeBack | list[Firing]]]:
    """Every take-back, and every list of offers that is worth anything, with its place in the order of decisions."""
    found: list[tuple[OrderKey, str, TakeBack | list[Firing]]] = []
    offers: dict[OrderKey, list[Firing]] = {}
    for subject in subjects(world):
        history = history_of(world, subject)
        for name, campaign in world.campaigns.items():
            done = Refunded(world, campaign, subject, history).run()
            found += [(asked.key, name, asked) for asked in done.take_backs]
            group = world.group_of(name)
            for firing in done.firings:
                if not firing.gifts:
                    continue
                if group is None:
                    found.append((firing.key, name, [firing]))
                else:
                    key = firing.key._replace(campaign=group.group, opening="", step=0, n=0)
                    offers.setdefault(key, []).append(firing)
    for key, firings in offers.items():
        best_first = world.groups[key.campaign].offers.index
        found.append((key, key.campaign, sorted(firings, key=lambda firing: best_first(firing.campaign.campaign))))
    return found
