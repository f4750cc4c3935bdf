"""What a campaign gives: the grants of its file to Gifts, each with its incentive and what it is charged to."""

from __future__ import annotations

from collections.abc import Callable

from schemas.attributes import Scalar
from schemas.campaign_parts import Grant, PercentValue, TieredValue, TierValue
from schemas.campaigns import Campaign
from schemas.expressions import Expression
from schemas.plans import Fixed, Gift, Incentive, Percent, PlanCharge, Tier, Tiers, Value
from schemas.results import Rounding
from transforms.language.context import UNKNOWN, Context, Path

Charged = Callable[[str], tuple[PlanCharge, ...]]
"""From a unit to the accounts of a grant in it."""


def gifts(
    context: Context, campaign: Campaign, grants: tuple[Grant, ...], path: Path, charged: Charged
) -> tuple[Gift, ...]:
    """The gifts of one firing.

    Args:
      charged: tells what a grant of a unit is charged to.
    """
    recipients = [grant.to or "" for grant in grants]
    for i, recipient in enumerate(recipients):
        if recipient in recipients[:i]:
            context.problem((*path, i), f"two grants to {recipient or 'the same user'}; say it in one")
    return tuple(
        Gift(
            _recipient(context, grant.to, (*path, *_place(context, path, i), "to")),
            _incentive(context, campaign, grant, (*path, *_place(context, path, i))),
            charged(grant.unit_name),
        )
        for i, grant in enumerate(grants)
    )


def _place(context: Context, path: Path, i: int) -> Path:
    """One grant may stand without its brackets."""
    return (i,) if context.document.holds((*path, i)) else ()


def _recipient(context: Context, text: str | None, path: Path) -> Expression | None:
    if text is None:
        return None
    root, _, name = text.partition(".")
    record = {"event": context.schema.event, "user": context.schema.user}.get(root)
    kind = dict(record.fields).get(name) if record else None
    if text == "event.user_id" or (isinstance(kind, Scalar) and kind.kind in ("string", "int")):
        return context.value(text, path)
    context.problem(path, f"{text!r} names no user; right would be event.NAME or user.NAME, declared as string or int")
    return UNKNOWN


def _incentive(context: Context, campaign: Campaign, grant: Grant, path: Path) -> Incentive:
    kind = grant.kind
    after = grant.expires if isinstance(grant.expires, int) else None
    at = None if isinstance(grant.expires, int) else context.instant(grant.expires, campaign.active.zone)
    value, details = _fixed(grant)
    if grant.points is not None or grant.money is not None:
        given = grant.points if grant.points is not None else grant.money
        assert given is not None
        value = _value(context, given, (*path, kind))
    return Incentive(kind, grant.unit_name, value, details, after, at)


def _fixed(grant: Grant) -> tuple[Value, tuple[tuple[str, str], ...]]:
    """Of a kind without an amount: 1 of its unit, and its fields."""
    part = getattr(grant, grant.kind)
    if grant.kind in ("points", "money"):
        return Fixed(1), ()
    fields = part.model_dump(mode="json", exclude_none=True)
    quantity = fields.pop("quantity", 1)
    return Fixed(quantity), tuple(sorted((name, str(value)) for name, value in fields.items()))


def _value(context: Context, value: int | PercentValue | TieredValue, path: Path) -> Value:
    if isinstance(value, int):
        return Fixed(value)
    of = context.amount(value.of, (*path, "of"))
    rounding = Rounding(value.rounding)
    if isinstance(value, PercentValue):
        numerator, denominator = (value.percent / 100).as_integer_ratio() if value.percent is not None else (1, 1)
        return Percent(numerator, denominator, of, rounding, value.maximum)
    return Tiers(of, tuple(_tier(tier) for tier in value.tiers), rounding, value.maximum)


def _tier(tier: TierValue) -> Tier:
    if tier.value is not None:
        return Tier(tier.start, tier.value, None)
    assert tier.percent is not None
    return Tier(tier.start, *(tier.percent / 100).as_integer_ratio())
