"""Commands of those who watch and change budgets: `incentives budget ...`. Parses, asks and prints."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import uuid
from typing import Any, Literal

from rich.live import Live
from rich.markup import escape

from runners.cli_campaigns import os_user
from runners.console import accounts_table, audit_table, console
from runners.ops.budget_changes import Preview, pace_for, preview, refusal_text, require_applied
from runners.ops.budgets import Rates, account_rows, audit_rows, clock_ms, limit_text, named, the_ledger
from runners.places import add_server_argument, server_url
from schemas.errors import ChangeRefusedError, UsageError
from schemas.operations import Change, Freeze, Move, Operation, OperationAnswer, SetCap, SetPace, SetState
from schemas.proposals import AccountState
from transforms.budget.ports import Ledger

_NUMBER = re.compile(r"-?[0-9]+(?:_[0-9]+)*")
_PERIODS = ("total", "hour", "day", "week", "month", "user", "user and day", "user and week", "user and month")

_ABOUT = """\
See and change budgets while they are spent. Amounts are in minor units of the account's unit.

  incentives budget list                                         every account: committed, held, cap, left, state
  incentives budget show campaign/spring-10                      its limits, slices of time and latest changes
  incentives budget raise campaign/spring-10 --amount 6_000_000 --why 'it sells'
  incentives budget pause theme/spring --why 'wrong price list'  refuses from now on; `resume` ends it
  incentives budget freeze --why 'double grants reported'        decides nothing, refuses nothing, until `unfreeze`

A change is previewed, asked for once more (--yes does not ask), made once under its id, and in the audit for good.
"""


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    raw = argparse.RawDescriptionHelpFormatter
    budget = commands.add_parser("budget", help="see and change budgets", description=_ABOUT, formatter_class=raw)
    actions = budget.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_views(actions)
    _add_changes(actions)


def _add_views(actions: Any) -> None:
    listing = _view(actions, "list", "every account", _list)
    listing.set_defaults(account=[], slices=False)
    show = _view(actions, "show", "an account's limits, slices of time and latest changes", _show)
    show.add_argument("account", nargs="*", help="names as in the list, e.g. campaign/spring-10; none = all")
    show.add_argument("--slices", action="store_true", help="also of all accounts each hour, day, week or month used")
    audit = _view(actions, "audit", "who changed what, when and why, newest first", _audit)
    audit.add_argument("account", nargs="?", help="of this account alone")
    audit.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many (default: 20)")
    watch = _view(actions, "watch", "budgets as they are spent, with a forecast", _watch)
    watch.add_argument("account", nargs="*", help="none = all")
    watch.add_argument("--every", type=float, default=2.0, metavar="S", help="seconds between readings (default: 2)")
    watch.add_argument("--readings", type=int, metavar="N", help="stop after so many (default: until Ctrl-C)")


def _view(actions: Any, name: str, about: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=about, description=about)
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_place(parser)
    parser.set_defaults(run=run)
    return parser


def add_place(parser: argparse.ArgumentParser) -> None:
    """Which server, and which of its tenants."""
    parser.add_argument("--tenant", help="needed only where the server has several")
    add_server_argument(parser)


def _add_changes(actions: Any) -> None:
    for name, about in (
        ("set", "set a cap"),
        ("raise", "raise a cap; refuses to lower it"),
        ("lower", "lower a cap, below its use too: that stops new grants"),
    ):
        cap = _change(actions, name, about)
        cap.add_argument("account")
        cap.add_argument("--per", choices=_PERIODS, default="total", help="which limit (default: in total)")
        caps = cap.add_mutually_exclusive_group(required=True)
        caps.add_argument("--amount", type=_cap, metavar="N", help="in minor units, or none")
        caps.add_argument("--grants", type=_cap, metavar="N", help="or none")
    for name, about in (
        ("pause", "refuse what would be charged to an account, from now on"),
        ("resume", "end a pause; of an account that is not paused: open what is closed"),
        ("close", "close an account until it is resumed"),
    ):
        _change(actions, name, about).add_argument("account")
    pace = _change(actions, "pace", "spread an account's total amount over time")
    pace.add_argument("account")
    pace.add_argument("shape", choices=("even", "front-loaded", "curve", "none"))
    pace.add_argument("--curve", metavar="SHARES", help="24 shares, one per hour of the day, with commas")
    pace.add_argument("--from", dest="start", metavar="TIME", help="default: that of the pace it has")
    pace.add_argument("--to", dest="end", metavar="TIME", help="default: that of the pace it has")
    pace.add_argument("--zone", help="of times without an offset, and of a curve's hours")
    pace.add_argument("--head-start", default="0", metavar="N", help="available from the first moment on")
    move = _change(actions, "move", "move a part of one account's total amount to another")
    move.add_argument("source")
    move.add_argument("target")
    move.add_argument("amount", type=number)
    _change(actions, "freeze", "decide nothing at all, and refuse nothing, until unfreeze")
    _change(actions, "unfreeze", "decide again, what was asked meanwhile first")


def _change(actions: Any, name: str, about: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=about, description=about)
    add_change_options(parser)
    parser.add_argument("--version", type=int, metavar="N", help="only if the account is still at this version")
    parser.set_defaults(run=_make, action=name)
    return parser


def add_change_options(parser: argparse.ArgumentParser) -> None:
    """What every change is told beside itself."""
    parser.add_argument("--why", metavar="TEXT", help="for the audit; needed for a change")
    parser.add_argument("--who", default=os_user(), metavar="NAME", help="for the audit (default: you)")
    parser.add_argument("--id", metavar="ID", help="of a change whose outcome you do not know: it is made once")
    parser.add_argument("--dry-run", action="store_true", help="only say what would change")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_place(parser)


def number(text: str) -> int:
    """An argparse type: a whole number of any size."""
    if not _NUMBER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number; right would be e.g. 1000 or 3_000_000")
    return int(text.replace("_", ""))


def _cap(text: str) -> int | str:
    return text if text == "none" else number(text)


def _list(given: argparse.Namespace) -> int:
    with server_url(given.server) as url:
        ledger = the_ledger(url, given.tenant)
        rows, frozen = account_rows(ledger, given.account, given.slices, clock_ms()), ledger.frozen()
    if given.json:
        print(json.dumps(rows, indent=2))
        return 0
    console().print(accounts_table(rows, frozen))
    return 0


def _show(given: argparse.Namespace) -> int:
    if given.json or not given.account:
        return _list(given)
    with server_url(given.server) as url:
        ledger = the_ledger(url, given.tenant)
        for account in named(ledger.snapshot(), given.account):
            console().print(f"[bold]{account.name}[/] version {account.version}")
            for limit in account.limits:
                console().print(f"  {limit_text(limit, account.unit)}")
        console().print(accounts_table(account_rows(ledger, given.account, True, clock_ms())))
        for name in given.account:
            console().print(audit_table(audit_rows(ledger, name, 5)))
    return 0


def _audit(given: argparse.Namespace) -> int:
    with server_url(given.server) as url:
        rows = audit_rows(the_ledger(url, given.tenant), given.account, given.limit)
    if given.json:
        print(json.dumps(rows, indent=2))
    else:
        console().print(audit_table(rows))
    return 0


def _watch(given: argparse.Namespace) -> int:
    with server_url(given.server) as url:
        ledger, rates, readings = the_ledger(url, given.tenant), Rates(), 0
        out = console()
        with Live(console=out, auto_refresh=False, transient=given.json) as live:
            while True:
                now_ms = clock_ms()
                rows = rates.add(account_rows(ledger, given.account, False, now_ms), now_ms)
                readings += 1
                if given.json:
                    print(json.dumps(rows))
                else:
                    frozen = ledger.frozen()
                    live.update(accounts_table(rows, frozen), refresh=True)
                if readings == given.readings:
                    break
                time.sleep(given.every)
        if not given.json and not out.is_terminal:
            out.print()
    return 0


def _make(given: argparse.Namespace) -> int:
    """Preview, ask, change, tell."""
    if given.why is None and not given.dry_run:
        raise UsageError("say why, for the audit: --why 'sells faster than planned'")
    with server_url(given.server) as url:
        ledger = the_ledger(url, given.tenant)
        operation = Operation(given.id or uuid.uuid4().hex, _asked(given, ledger), given.who, given.why or "dry run")
        if given.version is not None:
            expected = tuple((name, given.version) for name in operation.accounts[:1])
            operation = Operation(operation.operation_id, operation.change, operation.who, operation.why, expected)
        seen = preview(ledger, operation)
        if given.dry_run:
            return _told(given, seen, None)
        if not given.yes and not given.id and given.action not in ("pause", "freeze"):
            _confirm(seen)
        # To pause needs no certainty about the rest.
        answer = ledger.operate(operation if given.action == "pause" else seen.operation)
    require_applied(operation, answer)
    return _told(given, seen, answer)


_STATES: dict[str, AccountState] = {"pause": "paused", "resume": "open", "close": "closed"}


def _asked(given: argparse.Namespace, ledger: Ledger) -> Change:
    action = given.action
    if action in ("set", "raise", "lower"):
        cap = given.grants if given.amount is None else given.amount
        period = given.per.replace(" and ", "/")
        counts: Literal["grants", "amount"] = "grants" if given.amount is None else "amount"
        return SetCap(given.account, period, counts, None if cap == "none" else cap, action)
    if action in ("freeze", "unfreeze"):
        return Freeze(action == "freeze")
    if action == "move":
        return Move(given.source, given.target, given.amount)
    if action != "pace":
        return SetState(given.account, _STATES[action])
    if given.shape == "none":
        return SetPace(given.account, None)
    if (given.shape == "curve") != (given.curve is not None):
        raise UsageError("--curve goes with the shape curve: 24 shares, e.g. --curve 0,0,0,0,0,0,1,2,4,4,4,5,6,5,...")
    parts: dict[str, object] = {"head_start": given.head_start}
    parts |= {"by": given.shape} if given.curve is None else {"curve": given.curve.split(",")}
    (account,) = named(ledger.snapshot(), [given.account])
    return SetPace(given.account, pace_for(account, parts, given.start, given.end, given.zone))


def _confirm(seen: Preview) -> None:
    """Show what would change and ask. Raises ChangeRefusedError for a no, UsageError where nobody can be asked."""
    refusal = refusal_text(seen.operation, seen.outcome)
    if refusal is not None:
        raise ChangeRefusedError(refusal)
    _print_changes(seen)
    ask_once_more()


def ask_once_more() -> None:
    """Raise ChangeRefusedError for a no, UsageError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked: say --yes, or --dry-run to look only")
    if input("Do it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise ChangeRefusedError("nothing was changed")


def _print_changes(seen: Preview) -> None:
    if not seen.operation.accounts:
        console().print(f"everything: {seen.operation.what}")
    for account, changes in seen.changes.items():
        for change in changes or ["stays as it is"]:
            console().print(f"{account}: {escape(change)}")


def _told(given: argparse.Namespace, seen: Preview, answer: OperationAnswer | None) -> int:
    outcome = seen.outcome if answer is None else answer.outcome
    if given.json:
        told: dict[str, Any] = {"id": seen.operation.operation_id, "outcome": outcome, "changes": seen.changes}
        told["dry_run"] = answer is None
        if answer is not None:
            told |= {
                "repeated": answer.repeated,
                "versions": dict(zip(seen.operation.accounts, answer.versions, strict=True)),
            }
        print(json.dumps(told, indent=2))
        return 0
    if answer is not None and answer.repeated:
        console().print(f"done before, under this id; {_versions(seen, answer)}")
        return 0
    refusal = refusal_text(seen.operation, outcome)
    if refusal is not None:
        raise ChangeRefusedError(f"would be refused: {refusal}")
    if answer is None or given.yes or given.action in ("pause", "freeze"):
        _print_changes(seen)
    console().print("dry run: nothing was changed" if answer is None else f"done; {_versions(seen, answer)}")
    return 0


def _versions(seen: Preview, answer: OperationAnswer) -> str:
    told = [
        f"{name} is at version {number}" for name, number in zip(seen.operation.accounts, answer.versions, strict=True)
    ]
    return ", ".join([*told, f"id {seen.operation.operation_id}"])
