"""What `campaign check` tells of a right folder: worst cases, loops and overlaps. Nothing of it is a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

from runners.ops.bounds import Bound
from runners.ops.campaign_tests import load_tested_folder
from runners.ops.liability import Liability, WorstCases, worst_cases
from runners.ops.loops import Loop, loops
from runners.ops.overlaps import Overlaps, overlaps
from schemas.campaigns import EventSchema
from schemas.plans import PlanSet
from transforms.language.collector import nothing_collected
from transforms.language.loading import Folder


class Report(NamedTuple):
    """A checked folder."""

    folder: Folder
    plan_set: PlanSet
    tests: int
    worst: WorstCases
    loops: list[Loop]
    overlaps: Overlaps

    def place(self, campaign: str) -> str:
        """Where a campaign stands: file and line."""
        found = self.folder.campaigns[campaign].document.place(("campaign",))
        return f"{found.file}:{found.line}"


def check_folder(path: Path) -> Report:
    """Check a folder and look at what may come of it.

    Raises:
      CampaignFileError: it is not right.
    """
    with nothing_collected():
        folder, plan_set, tests = load_tested_folder(path)
        worst = worst_cases(plan_set)
        follows = cast("EventSchema", folder.schemas["events"].model).follows
        looping = loops(plan_set.plans, worst.campaigns, follows)
        return Report(folder, plan_set, len(tests), worst, looping, overlaps(plan_set.plans, worst.campaigns))


def as_json(report: Report) -> dict[str, Any]:
    """For tools. Amounts in minor units; null = no bound."""
    return {
        "tenant": report.plan_set.tenant,
        "totals": [
            {"unit": one.unit, "a_user": _bound(one.a_user), "in_all": _bound(one.in_all)}
            for one in report.worst.totals
        ],
        "campaigns": [_liability(one) | {"at": report.place(one.campaign)} for one in report.worst.campaigns],
        "loops": [
            {
                "steps": [step._asdict() | {"at": report.place(step.campaign)} for step in loop.steps],
                "ends": _liability(loop.ends) if loop.ends else None,
                "for_each_user": loop.for_each_user,
            }
            for loop in report.loops
        ],
        "overlaps": [overlap._asdict() for overlap in report.overlaps.found],
        "overlaps_compared": report.overlaps.compared,
    }


def _liability(one: Liability) -> dict[str, Any]:
    return {
        "campaign": one.campaign,
        "unit": one.unit,
        "a_grant": _bound(one.a_grant),
        "a_user": _bound(one.a_user),
        "in_all": _bound(one.in_all),
        "by_event": one.by_event,
    }


def _bound(bound: Bound) -> dict[str, Any]:
    return {"amount": bound.amount, "why": bound.why}
