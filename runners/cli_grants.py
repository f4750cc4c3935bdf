"""Commands about one grant: `incentives grant ...`. Parses, asks and prints."""

from __future__ import annotations

import argparse
import json
import uuid
from typing import Any

from rich.markup import escape

from runners.cli_budgets import add_change_options, add_place, ask_once_more, number
from runners.console import audit_table, console, facts_table, story_table
from runners.ops import grants
from runners.ops.budgets import the_ledger
from runners.places import server_url
from schemas.errors import ChangeRefusedError, UsageError
from schemas.grant_operations import GrantAnswer, GrantOperation

_ABOUT = """\
See and change one grant. ID is the grant_id of a published grant or denial. Amounts are in minor units.

  incentives grant show ID                                     what it is, and its whole story
  incentives grant commit ID --amount 400 --why 'kept 2 of 5'  a hold becomes a grant now; the rest is given back
  incentives grant release ID --why 'fraud'                    a hold is given back now
  incentives grant reverse ID --amount 100 --why 'returned'    take a grant back, whole without --amount
  incentives grant redecide ID --why 'cap was wrong'           decide a refusal again, under today's limits

A change is previewed, asked for once more (--yes does not ask), made once under its id, and in the audit for good.
"""

_PLACES = ("budget", "limits", "lock")


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    raw = argparse.RawDescriptionHelpFormatter
    grant = commands.add_parser("grant", help="see and change one grant", description=_ABOUT, formatter_class=raw)
    actions = grant.add_subparsers(title="actions", metavar="ACTION", required=True)
    about = "what a grant is, what the log tells of it, and who changed it"
    show = actions.add_parser("show", help=about, description=about)
    show.add_argument("grant", metavar="ID")
    show.add_argument("--json", action="store_true", help="as JSON")
    add_place(show)
    show.set_defaults(run=_show)
    for name, about in (
        ("commit", "end a hold before its time: it becomes a grant, whole or less"),
        ("release", "end a hold before its time: all of it is given back"),
        ("reverse", "take a grant back, or lessen a hold"),
        ("redecide", "decide a refusal again, at the time the ledger has seen"),
    ):
        parser = actions.add_parser(name, help=about, description=about)
        parser.add_argument("grant", metavar="ID")
        parser.set_defaults(run=_make, action=name, amount=None, gives_back=list(_PLACES))
        if name in ("commit", "reverse"):
            parser.add_argument("--amount", type=number, metavar="N", help="in minor units (default: all that stands)")
        if name == "reverse":
            about = "to which counters (default: all of them)"
            parser.add_argument("--gives-back", nargs="*", choices=_PLACES, default=list(_PLACES), help=about)
        add_change_options(parser)


def _show(given: argparse.Namespace) -> int:
    with server_url(given.server) as url:
        ledger = the_ledger(url, given.tenant)
        found = grants.find(ledger, given.grant)
        facts, story, changes = grants.facts(found), grants.story(found), grants.changes(ledger, found)
    if given.json:
        print(json.dumps(facts | {"story": story, "changes": changes}, indent=2))
        return 0
    out = console()
    out.print(facts_table(facts))
    out.print(story_table(story))
    if changes:
        out.print(audit_table(changes))
    return 0


def _make(given: argparse.Namespace) -> int:
    """Preview, ask, change, tell."""
    if given.why is None and not given.dry_run:
        raise UsageError("say why, for the audit: --why 'two of five items were kept'")
    with server_url(given.server) as url:
        ledger = the_ledger(url, given.tenant)
        found = grants.find(ledger, given.grant)
        change = grants.asked_change(ledger, found, given.action, given.amount, tuple(given.gives_back))
        operation = GrantOperation(given.id or uuid.uuid4().hex, change, given.who, given.why or "dry run")
        if not given.id:
            _preview(given, found, operation)
            if given.dry_run:
                return _told(given, operation, None)
        elif given.dry_run:
            raise UsageError("--id repeats a change, --dry-run makes none: say one of them")
        answer = ledger.change_grant(operation)
    grants.require_done(operation, answer)
    return _told(given, operation, answer)


def _preview(given: argparse.Namespace, found: grants.Found, operation: GrantOperation) -> None:
    """Say what would change, and ask. Raises ChangeRefusedError for what would be refused, or for a no."""
    refusal = grants.refusal_text(operation.change, grants.preview(found, operation.change))
    if refusal is not None:
        raise ChangeRefusedError(f"would be refused: {refusal}")
    if not given.json:
        told = grants.change_text(found, operation.change)
        console().print(f"{found.name.grant_id.hex()}: {escape(told)}")
    if not given.yes and not given.dry_run:
        ask_once_more()


def _told(given: argparse.Namespace, operation: GrantOperation, answer: GrantAnswer | None) -> int:
    if given.json:
        told: dict[str, Any] = {"id": operation.operation_id, "dry_run": answer is None}
        if answer is not None:
            told |= {"outcome": answer.outcome, "is": answer.became, "stands": answer.amount, "entry": answer.entry}
            told["repeated"] = answer.repeated
        print(json.dumps(told, indent=2))
        return 0
    if answer is None:
        console().print("dry run: nothing was changed")
        return 0
    became = "" if answer.became is None else f"it is {answer.became}, {answer.amount:,} stand; "
    before = "done before, under this id" if answer.repeated else "done"
    console().print(f"{before}; {became}log entry {answer.entry}, id {operation.operation_id}")
    return 0
