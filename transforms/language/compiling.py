"""A folder of campaign files to a set of plans: everything read, checked and laid out, or every mistake told."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

from schemas.attributes import AttributeSchema, AttributeType, ListOf, Record, Scalar, parse_type
from schemas.campaigns import EventSchema, Tenant, UserSchema
from schemas.errors import SchemaError
from schemas.plans import DEFAULT_HORIZON_MS, Ordering, PlanSet
from transforms.language.accounts import account_specs
from transforms.language.collector import nothing_collected
from transforms.language.context import Context
from transforms.language.groups import group_plans, groups_by_offer
from transforms.language.loading import Folder, meant, read_folder
from transforms.language.planning import plan_of
from transforms.language.yaml_source import Document, Place

DEFAULT_TENANT = "default"


class CheckedFolder(NamedTuple):
    """A folder without mistakes: its documents, with their places, and the plans made of them."""

    folder: Folder
    plan_set: PlanSet


def load_folder(path: Path) -> PlanSet:
    """Read, check and compile a folder of campaign files.

    Raises:
      CampaignFileError: all that is wrong, a line each with file, line, column and field.
    """
    return load_checked(path).plan_set


def load_checked(path: Path) -> CheckedFolder:
    """As `load_folder`, for who also tells where something stands."""
    with nothing_collected():
        folder = read_folder(Path(path))
        return CheckedFolder(folder, _compiled(folder))


def _compiled(folder: Folder) -> PlanSet:
    schema = _schema(folder)
    tenant = (
        cast("Tenant", folder.tenants[0].model) if folder.tenants else Tenant.model_validate({"tenant": DEFAULT_TENANT})
    )
    plans = []
    if schema is not None:
        groups = groups_by_offer(folder)
        for name in sorted(folder.campaigns):
            loaded = folder.campaigns[name]
            plan = plan_of(folder, loaded, Context(folder, loaded.document, schema), tenant, groups.get(name, ""))
            if plan is not None:
                plans.append(plan)
        if not folder.campaigns and not folder.problems:
            folder.problem(next(iter(folder.schemas.values())).document.place(()), "the folder has no campaign")
    accounts = account_specs(folder, tenant)
    groups_found = group_plans(folder, {plan.campaign: plan for plan in plans})
    folder.require_right()
    assert schema is not None
    ordering = Ordering(tenant.wait, tenant.late != "dead-letter")
    horizon = tenant.horizon or DEFAULT_HORIZON_MS
    return PlanSet(tenant.tenant, 0, None, horizon, schema, tuple(plans), accounts, groups_found, ordering)


def _schema(folder: Folder) -> AttributeSchema | None:
    events = folder.schemas.get("events")
    if events is None:
        if not folder.unread & {"file", "events"}:
            anything = next(iter([*folder.campaigns.values(), *folder.themes.values(), *folder.tenants]), None)
            place = anything.document.place(()) if anything else None
            message = (
                "no `schema: events` in the folder; draft one with "
                f"`incentives schema infer --events 'your/*.jsonl' > {folder.path}/schema.yaml`"
            )
            folder.problem(place._replace(file=str(folder.path)) if place else _nowhere(folder), message)
        return None
    model = cast("EventSchema", events.model)
    _require_known_followers(folder, events.document, model)
    users = folder.schemas.get("users")
    event = _record(folder, events.document, model.attributes)
    user = _record(folder, users.document, cast("UserSchema", users.model).attributes) if users else Record(())
    if event is None or user is None:
        return None
    user = _with_segments(user)
    envelope = tuple(sorted((canonical, own) for canonical, own in model.envelope.items() if canonical != own))
    return AttributeSchema(tuple(model.types), event, user, envelope)


def _require_known_followers(folder: Folder, document: Document, model: EventSchema) -> None:
    for event_type in model.follows:
        if event_type not in model.types:
            message = f"follows: event type {event_type!r} is not declared{meant(event_type, model.types)}"
            folder.problem(document.key_place(("follows", event_type)), message)


def _with_segments(user: Record) -> Record:
    """`user.segments` is always there: what the events segment.joined and segment.left, or a users' file, made it."""
    fields = {"segments": ListOf(Scalar("string")), **dict(user.fields)}
    return Record(tuple(sorted(fields.items())))


def _nowhere(folder: Folder) -> Place:
    return Place(str(folder.path), 1, 1)


def _record(folder: Folder, document: Document, attributes: dict[str, Any]) -> Record | None:
    fields: list[tuple[str, AttributeType]] = []
    right = True
    for name, text in attributes.items():
        try:
            fields.append((name, parse_type(text)))
        except SchemaError as error:
            folder.problem(document.place(("attributes", name)), f"attributes.{name}: {error}")
            right = False
    return Record(tuple(sorted(fields, key=lambda field: field[0]))) if right else None
