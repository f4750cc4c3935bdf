"""Commands of campaign operators: campaign check, test, apply and warm, schema infer and export."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.markup import escape

from runners.console import console, error_console, report_of_test
from runners.places import add_server_argument, server_url
from schemas.errors import UsageError
from schemas.grants import rfc3339
from transforms.language import load_folder

_RAW = argparse.RawDescriptionHelpFormatter

_CHECK = """\
Check a folder; nothing is changed. Of a right one it tells the worst case (of a grant, a user, and in all, in minor
units), rewards that trigger rewards, and campaigns that one event can fire together.
"""

_TEST = """\
Run the tests that stand beside the campaigns (`test:` documents): given events, expect grants. Exit code 0 if all pass,
1 if one fails, 2 if there is none.
"""

_APPLY = """\
Check the folder, make or change its accounts in the ledger, and publish it as one numbered set, in force from an event
time on: the first set from the beginning of time, a later one by default as soon as every worker can know it.
Applying an unchanged folder changes nothing. What operators changed live (`incentives budget`) stands, unless the file
has changed the same cap since: such a conflict is told, and --take decides it.
"""

_WARM = """\
Count what a new campaign with a lookback: cannot have seen itself: history before the moment it came into force.

  incentives campaign apply campaigns/                          says from when on the campaign counts by itself
  incentives campaign warm --campaign spring --events 'events/*.avro' --out seeds.jsonl
  incentives live --events seeds.jsonl                          or publish the lines to the topic of events

Writes one event a user (counter.seeded) with what the campaign would remember. Warm when all events before that moment
are in the files, and send the seeds before the campaign's from: afterwards they are dead letters (seed_refused). Made
or sent twice they change nothing. Events of the history are held in memory.
"""


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    _add_campaign(commands)
    _add_schema(commands)


def _add_campaign(commands: Any) -> None:
    campaign = commands.add_parser("campaign", help="check campaign files, put them in force")
    actions = campaign.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="is the folder right?", description=_CHECK, formatter_class=_RAW)
    check.add_argument("folder", type=Path)
    check.add_argument("--json", action="store_true", help="as JSON")
    check.set_defaults(run=_check)
    test = actions.add_parser("test", help="run the folder's tests", description=_TEST, formatter_class=_RAW)
    test.add_argument("folder", type=Path)
    test.add_argument("--only", metavar="TEXT", default="", help="only tests whose name has this in it")
    test.set_defaults(run=_test)
    apply = actions.add_parser("apply", help="put the folder in force", description=_APPLY, formatter_class=_RAW)
    apply.add_argument("folder", type=Path)
    apply.add_argument(
        "--take",
        choices=("file", "live"),
        help="which stands where a file and an operator changed the same cap since the last set",
    )
    apply.add_argument(
        "--why", default="", metavar="TEXT", help="for the audit of accounts (default: the set's number)"
    )
    apply.add_argument("--dry-run", action="store_true", help="only say what would change")
    apply.add_argument("--from", dest="from_time", metavar="TIME", help="event time it starts at, RFC 3339")
    add_server_argument(apply)
    apply.set_defaults(run=_apply)
    _add_warm(actions)


def _add_warm(actions: Any) -> None:
    files = "path or glob, may be repeated: .avro, .jsonl (.gz), .parquet"
    warm = actions.add_parser(
        "warm", help="count a campaign's lookback from history", description=_WARM, formatter_class=_RAW
    )
    warm.add_argument("--campaign", required=True, help="its id, as in the latest set")
    warm.add_argument("--events", action="append", required=True, metavar="GLOB", help=f"history: {files}")
    warm.add_argument("--users", action="append", default=[], metavar="FILE", help=f"users' attributes: {files}")
    warm.add_argument("--out", required=True, type=Path, metavar="FILE", help="where the seeds go, as JSON lines")
    warm.add_argument("--tenant", help="whose campaign; needed only where the server has several")
    add_server_argument(warm)
    warm.set_defaults(run=_warm)


def _check(given: argparse.Namespace) -> int:
    from runners.check_output import print_report
    from runners.ops.checking import as_json, check_folder

    report = check_folder(given.folder)
    if given.json:
        print(json.dumps(as_json(report), indent=2))
        return 0
    plan_set = report.plan_set
    limited = sum(bool(account.limits) for account in plan_set.accounts)
    console().print(
        f"{given.folder}: {len(plan_set.plans)} campaigns of tenant {plan_set.tenant} are right; "
        f"{limited} accounts have limits; tests: {report.tests}"
    )
    print_report(console(), report)
    return 0


def _test(given: argparse.Namespace) -> int:
    from runners.ops.campaign_tests import load_tested_folder
    from runners.ops.expectations import run_test

    _, plan_set, tests = load_tested_folder(given.folder)
    chosen = [test for test in tests if given.only in test.name]
    if not tests:
        raise UsageError(f"{given.folder} has no test; right would be a document that begins with test:")
    if not chosen:
        raise UsageError(f"--only {given.only!r}: no test has this in its name; the first is {tests[0].name!r}")
    out, failed = console(), 0
    for test in chosen:
        ran = run_test(plan_set, test)
        failed += bool(ran.differences)
        out.print(report_of_test(ran), soft_wrap=True)
    out.print(f"{len(chosen) - failed} of {len(chosen)} tests ok" + (f", {failed} failed" if failed else ""))
    return 1 if failed else 0


def _apply(given: argparse.Namespace) -> int:
    from runners.ops.campaigns import apply_folder

    with server_url(given.server) as url:
        plan_set, from_ms = load_folder(given.folder), _time_ms(given.from_time)
        applied = apply_folder(plan_set, url, from_ms, os_user(), given.take, given.why, given.dry_run)
    for text in applied.changes:
        console().print(escape(text))
    for text in applied.kept:
        console().print(f"kept: {escape(text)}")
    if applied.published is None:
        console().print(f"set {applied.number} already says this: nothing published")
        return 0
    if given.dry_run:
        console().print(f"dry run: set {applied.number} was not published, nothing was changed")
        return 0
    since = applied.published.in_force_from_ms
    when = "the beginning of time" if since is None else rfc3339(since)
    console().print(
        f"published set {applied.number} of tenant {applied.published.tenant}: "
        f"{len(applied.published.plans)} campaigns, in force from {when}"
    )
    for plan in applied.cold:
        start = rfc3339(plan.schedule.start_ms or 0)
        console().print(
            f"{plan.campaign} looks back: count its history before {when} with `incentives campaign warm --campaign "
            f"{plan.campaign}`, and send the seeds before {start}",
            soft_wrap=True,
        )
    return 0


def _warm(given: argparse.Namespace) -> int:
    from runners.ops.warm import WarmRequest, warm_campaign

    request = WarmRequest(given.campaign, given.events, given.users, given.out, given.tenant)
    with server_url(given.server) as url:
        warmed = warm_campaign(request, url)
    when, start = rfc3339(warmed.cut_over.time_ms), rfc3339(warmed.cut_over.fires_from_ms)
    console().print(
        f"{given.out}: {warmed.seeds:,} seeds from {warmed.events:,} events before {when}; send them before {start}",
        soft_wrap=True,
    )
    if warmed.unreadable:
        console().print(f"{warmed.unreadable:,} records are no events (a backtest tells why)")
    if warmed.too_large:
        users = ", ".join(warmed.too_large[:5])
        error_console().print(f"{len(warmed.too_large):,} users have no seed, theirs would be too large: {users}")
        return 1
    return 0


def _time_ms(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--from {text!r} is no time; right would be 2026-12-01T00:00:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def os_user() -> str:
    """Who is at the keyboard."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _add_schema(commands: Any) -> None:
    schema = commands.add_parser("schema", help="schema files: what attributes events have")
    actions = schema.add_subparsers(title="actions", metavar="ACTION", required=True)
    infer = actions.add_parser("infer", help="draft a schema file from events")
    infer.add_argument("--events", action="append", required=True, metavar="GLOB", help="event files to look at")
    infer.add_argument("--users", action="append", default=[], metavar="GLOB", help="users' files to look at")
    infer.set_defaults(run=_infer)
    export = actions.add_parser("export", help="the JSON Schema of campaign files, for editors")
    export.set_defaults(run=_export)


def _infer(given: argparse.Namespace) -> int:
    from runners.ops.schemas import infer_schema

    print(infer_schema(given.events, given.users), end="")
    return 0


def _export(given: argparse.Namespace) -> int:
    from transforms.language.json_schema import export

    print(json.dumps(export(), indent=2))
    return 0
