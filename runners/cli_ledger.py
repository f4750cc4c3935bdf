"""Commands on the ledger's books: `incentives ledger ...`. Parses, asks and prints."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from runners.cli_campaigns import os_user
from runners.console import console
from runners.ledgers import RedisLedgerAddress
from runners.ops.ledger_books import Finding, counter_findings, frozen, reconcile, restore
from runners.places import add_server_argument, existing_folder, server_url
from runners.tenants import the_tenant
from schemas.errors import UsageError
from schemas.redis_connection import connect
from transforms.budget.redis_books import RedisBooks

_ABOUT = """\
Are the ledger's books right, and what to do if not.

  incentives ledger verify                                  every counter told anew from the records
  incentives ledger verify --freeze                         the same while it is busy: it decides nothing for the moment
  incentives ledger reconcile --exported log/ --published grants.jsonl
  incentives ledger restore --exported log/ --why 'failover at 14:02'      only while frozen

verify and reconcile change nothing, and end with exit code 1 where something differs.
"""


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    raw = argparse.RawDescriptionHelpFormatter
    ledger = commands.add_parser(
        "ledger", help="are the books right? repair after a failover", description=_ABOUT, formatter_class=raw
    )
    actions = ledger.add_subparsers(title="actions", metavar="ACTION", required=True)
    verify = _action(actions, "verify", "tell every counter anew from the records", _verify)
    verify.add_argument("--freeze", action="store_true", help="decide nothing meanwhile; audited")
    check = _action(actions, "reconcile", "compare counters, records, log, its export and published grants", _reconcile)
    check.add_argument("--exported", type=existing_folder, metavar="DIR", help="the folder the keeper exports to")
    check.add_argument("--published", type=Path, action="append", default=[], metavar="FILE", help=".jsonl or .avro")
    check.add_argument("--freeze", action="store_true", help="decide nothing meanwhile; audited")
    repair = _action(actions, "restore", "give back what a server has lost; only while frozen", _restore)
    repair.add_argument("--exported", type=existing_folder, required=True, metavar="DIR", help="as of reconcile")
    repair.add_argument("--why", required=True, metavar="TEXT", help="for the audit")


def _action(actions: Any, name: str, about: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=about, description=about)
    parser.add_argument("--who", default=os_user(), metavar="NAME", help="for the audit (default: you)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--tenant", help="needed only where the server has several")
    add_server_argument(parser)
    parser.set_defaults(run=run)
    return parser


def _verify(given: argparse.Namespace) -> int:
    with server_url(given.server) as url:
        tenant = the_tenant(connect(url), given.tenant)
        books = RedisBooks(connect(url), tenant)
        if given.freeze:
            with frozen(RedisLedgerAddress(url)(tenant), given.who, "ledger verify"):
                found = counter_findings(books.verify())
        else:
            found = counter_findings(books.verify())
    return _told(found, given.json)


def _reconcile(given: argparse.Namespace) -> int:
    if given.exported is None and not given.published:
        raise UsageError("say what to compare with: --exported DIR, --published FILE, or both")
    with server_url(given.server) as url:
        tenant = the_tenant(connect(url), given.tenant)
        if given.freeze:
            with frozen(RedisLedgerAddress(url)(tenant), given.who, "ledger reconcile"):
                found = reconcile(connect(url), tenant, given.exported, given.published)
        else:
            found = reconcile(connect(url), tenant, given.exported, given.published)
    return _told(found, given.json)


def _restore(given: argparse.Namespace) -> int:
    with server_url(given.server) as url:
        tenant = the_tenant(connect(url), given.tenant)
        done = restore(RedisLedgerAddress(url)(tenant), connect(url), tenant, given.exported, given.who, given.why)
    if given.json:
        print(json.dumps(done._asdict() | {"counters": _rows(done.counters), "left": _rows(done.left)}, indent=2))
        return 1 if done.left else 0
    console().print(f"{done.entries:,} log entries put back, {done.copied:,} put again for the export")
    for one in done.counters:
        console().print(f"{one.what}: {one.recorded} -> {one.recomputed}", markup=False, highlight=False)
    console().print("next: incentives ledger reconcile, then incentives budget unfreeze --why ...")
    return _told(done.left, False)


def _rows(found: list[Finding]) -> list[dict[str, str]]:
    return [one._asdict() for one in found]


def _told(found: list[Finding], as_json: bool) -> int:
    if as_json:
        print(json.dumps(_rows(found), indent=2))
    else:
        for one in found:
            values = f": {one.recorded} recorded, {one.recomputed} by the records" if one.kind == "counter" else ""
            console().print(f"{one.kind}: {one.what}{values}", markup=False, highlight=False, soft_wrap=True)
        console().print(f"{len(found):,} differences" if found else "no difference")
    return 1 if found else 0
