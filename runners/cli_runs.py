"""Commands that run events through campaigns: backtest, explain, live, demo."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runners.console import accounts_table, console, progress_bar, summary_table
from runners.places import add_server_argument
from schemas.errors import UsageError
from transforms.budget.redis_durability import Durability
from transforms.language import load_folder

_BACKTEST = """\
Judge history by a folder of campaigns: the same engine and the same budgets as live, paying nobody. Events are decided
in their total order (event_time, event_id), budgets across all users too.

Writes to --out: grants, denials, reversals and dead_letters, each as .jsonl and .avro, and summary.json.

  incentives backtest --events 'events/*.avro' --campaigns campaigns/ --out out/
  incentives backtest --events events.jsonl --users users.jsonl --campaigns campaigns/ --out out/
"""

_EXPLAIN = """\
Why did a user get something, or nothing? Judge a stream as a backtest does, and tell what each question of a campaign
found in one event: conditions with their values, counters, limits, and what would have made the difference.

  incentives explain --events events.jsonl --campaigns campaigns/ --event e7 --campaign spring-gold
  incentives explain --events 'events/*.avro' --campaigns campaigns/ --event e7     all campaigns, in short
"""

_LIVE = """\
Run the campaigns that are in force: each event once, each grant published, budgets in the server that --server names.

  incentives live --events - < events.jsonl            events from standard input, grants to standard output
  incentives live --events 'day-*.jsonl' --grants grants.jsonl
  incentives live --events projects/P/subscriptions/S --grants projects/P/topics/T

Publish campaigns first (`incentives campaign apply`). What was decided survives any kill; run it again to go on.
"""

_DEMO = """\
See it work: a year of real purchases (Complete Journey, 2,469 households), example campaigns whose budgets run out, a
backtest of the year, then the live pipeline on a slice of the same stream. Nothing but this package is needed.
"""


def add_commands(commands: Any) -> None:
    """Add the commands of this module to the parser."""
    _add_backtest(commands)
    _add_explain(commands)
    _add_live(commands)
    demo = commands.add_parser("demo", help="see it work on real purchases", description=_DEMO, formatter_class=_RAW)
    demo.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for all it makes (default: demo-out)")
    demo.set_defaults(run=_demo)


_RAW = argparse.RawDescriptionHelpFormatter


def _add_backtest(commands: Any) -> None:
    parser = commands.add_parser(
        "backtest", help="judge history, pay nobody", description=_BACKTEST, formatter_class=_RAW
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the results")
    _add_input(parser)
    parser.set_defaults(run=_backtest)


def _add_input(parser: argparse.ArgumentParser) -> None:
    """What is judged: events, users and campaigns, and where time ends."""
    files = "path or glob, may be repeated: .avro, .jsonl (.gz), .parquet"
    parser.add_argument("--events", action="append", required=True, metavar="GLOB", help=f"event files: {files}")
    parser.add_argument("--campaigns", required=True, type=Path, metavar="DIR", help="folder of campaign files")
    parser.add_argument("--users", action="append", default=[], metavar="FILE", help=f"users' attributes: {files}")
    parser.add_argument(
        "--until",
        type=_instant,
        metavar="TIME",
        help="where time ends, for absences and holds that fall due: 2017-12-31T00:00:00Z (default: the last event)",
    )


def _instant(text: str) -> int:
    """ms since the epoch of a date or a time; without an offset it is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; right would be 2017-12-31T00:00:00Z") from None
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


def _backtest(given: argparse.Namespace) -> int:
    from runners.ops.backtest import BacktestRequest, run_backtest

    request = BacktestRequest(given.events, load_folder(given.campaigns), given.out, given.users, until_ms=given.until)
    with progress_bar() as say:
        summary = run_backtest(request, say)
    out = console()
    out.print(summary_table(summary))
    out.print(accounts_table(summary.accounts))
    events = summary.events
    taken = f"{events['events_advanced']:,} events taken in"
    out.print(f"{taken}, {events['events_duplicate']:,} duplicates, {events['events_dead_lettered']:,} dead letters")
    holds = events["holds_made"] - events["holds_ended"]
    if holds or events["absences_open"]:
        out.print(f"Open at the end: {holds:,} holds, {events['absences_open']:,} absences")
    out.print(f"Files: {given.out}/ (summary.json has these numbers)")
    return 0


def _add_explain(commands: Any) -> None:
    parser = commands.add_parser(
        "explain", help="why a user got something, or nothing", description=_EXPLAIN, formatter_class=_RAW
    )
    _add_input(parser)
    parser.add_argument("--event", required=True, metavar="ID", help="event id")
    parser.add_argument("--campaign", metavar="ID", help="campaign id; default: all that listen to the event's type")
    parser.add_argument("--user", metavar="ID", help="user of the event; needed only where several have the id")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=_explain)


def _explain(given: argparse.Namespace) -> int:
    from runners.explained_text import explained_json, print_explained
    from runners.ops.explain import ExplainRequest, explain_event

    request = ExplainRequest(
        given.events, load_folder(given.campaigns), given.event, given.campaign, given.users, given.user, given.until
    )
    explained = explain_event(request)
    if given.json:
        print(json.dumps(explained_json(explained), indent=2, ensure_ascii=False))
    else:
        print_explained(explained, console(), whole=given.campaign is not None)
    return 0


def _add_live(commands: Any) -> None:
    parser = commands.add_parser("live", help="run the campaigns in force", description=_LIVE, formatter_class=_RAW)
    parser.add_argument(
        "--events",
        action="append",
        required=True,
        metavar="SOURCE",
        help="'-' for standard input, files (.jsonl, .avro), or a Pub/Sub subscription projects/P/subscriptions/S",
    )
    parser.add_argument(
        "--grants",
        default="-",
        metavar="SINK",
        help="'-' for standard output (default), a .jsonl file, or a Pub/Sub topic projects/P/topics/T",
    )
    parser.add_argument(
        "--denials", metavar="SINK", help="where refused proposals go; default: nowhere (the ledger logs them)"
    )
    parser.add_argument(
        "--reversals", metavar="SINK", help="where grants taken back go; needed where a campaign has refunds:"
    )
    parser.add_argument(
        "--dead-letters",
        default="dead_letters.jsonl",
        metavar="FILE",
        help="a .jsonl file for inputs that cannot be processed (default: dead_letters.jsonl)",
    )
    parser.add_argument("--tenant", help="whose campaigns; needed only where the server has several")
    parser.add_argument(
        "--durability",
        choices=[mode.value for mode in Durability],
        default=Durability.LOOSE.value,
        help="against a server that loses what it acknowledged: find out and freeze (loose, the default); publish only "
        "what a replica has too (strict)",
    )
    add_server_argument(parser)
    parser.set_defaults(run=_live)


def _live(given: argparse.Namespace) -> int:
    from runners.ops.live import LiveRequest, run_live

    if "-" in given.events and len(given.events) > 1:
        raise UsageError("--events - reads standard input alone; name the files, or pipe them")
    request = LiveRequest(
        tuple(given.events),
        given.grants,
        given.denials,
        given.dead_letters,
        given.server,
        given.tenant,
        given.reversals,
        Durability(given.durability),
    )
    counts = run_live(request)
    print(
        f"{counts['events_advanced']:,} events taken in, {counts['events_duplicate']:,} duplicates, "
        f"{counts['grants_emitted']:,} grants, {counts['denials_emitted']:,} denials",
        file=sys.stderr,
    )
    return 0


def _demo(given: argparse.Namespace) -> int:
    from runners.ops.demo import run_demo

    return run_demo(given.out)
