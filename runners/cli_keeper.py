"""`incentives keeper`: what a ledger needs done beside its pipeline. Parses, turns and prints."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.sinks import sink_of
from runners.console import console, error_console
from runners.keeper import Keeper, KeptTenant, Round
from runners.ledgers import RedisLedgerAddress
from runners.ops.log_files import LogFiles
from runners.places import add_server_argument, server_url
from runners.tenants import tenants
from schemas.errors import TransientError
from schemas.grants import rfc3339
from schemas.redis_connection import connect
from schemas.redis_errors import CAUGHT, is_transient
from transforms.budget.redis_log import RedisLog
from transforms.registry.redis_registry import RedisRegistry

PAUSE_S = 1.0

_ABOUT = """\
What a ledger needs done beside its pipeline, each second:

  sweep     holds that are due by the source's watermark come to their end
  publish   what the log still marks unpublished after a minute, and what was decided outside the pipeline, goes out
            with the log's bytes, to the same places as in `incentives live`
  export    the log of decisions and the audit become Avro files, checked for gaps; then the log is trimmed
  drop      records older than anything that can still come go (docs/contracts/retention.md)

  incentives keeper --grants grants.jsonl --reversals reversals.jsonl --export exported/
  incentives keeper --grants projects/P/topics/T --export exported/
  incentives keeper --once --export exported/              one round, all of it, then end

Run as many as you like, on any machines: one works, the others wait for its lease. Without --grants nothing is
published, without --export nothing is exported and the log grows. SIGTERM ends it after the step it is at.
"""


def add_commands(commands: Any) -> None:
    """Add the command of this module to the parser."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "keeper", help="sweep, publish late, export, drop", description=_ABOUT, formatter_class=raw
    )
    parser.add_argument("--once", action="store_true", help="one round, short stretches exported too")
    parser.add_argument("--export", type=Path, metavar="DIR", help="folder for the log and the audit: DIR/<tenant>/")
    parser.add_argument("--grants", metavar="SINK", help="'-', a .jsonl file, or a Pub/Sub topic projects/P/topics/T")
    parser.add_argument("--denials", metavar="SINK", help="default: nowhere (they are in the log)")
    parser.add_argument("--reversals", metavar="SINK", help="needed where anything is taken back")
    parser.add_argument("--tenant", help="keep this one alone; default: all that the server has")
    add_server_argument(parser)
    parser.set_defaults(run=_keep)


def _keep(given: argparse.Namespace) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with server_url(given.server) as url:
        if given.once:
            return _once(given, url, stop.is_set)
        keepers: dict[str, Keeper] = {}
        said: dict[str, str] = {}
        while not stop.is_set():
            _turn(given, url, keepers, said, stop.is_set)
            stop.wait(PAUSE_S)
        for keeper in keepers.values():
            keeper.resign()
    return 0


def _once(given: argparse.Namespace, url: str, stopping: Callable[[], bool]) -> int:
    problems = 0
    for tenant, keeper in _keepers(given, url, {}, stopping).items():
        done = keeper.round(is_last=True)
        keeper.resign()
        console().print(f"{tenant}: {status(done)}", highlight=False, soft_wrap=True)
        problems += _tell(tenant, done.problems)
    return 1 if problems else 0


def _turn(
    given: argparse.Namespace, url: str, keepers: dict[str, Keeper], said: dict[str, str], stopping: Callable[[], bool]
) -> None:
    """A round of each tenant's keeper; what has changed since is told. Weather is told and outlived."""
    try:
        for tenant, keeper in _keepers(given, url, keepers, stopping).items():
            done = keeper.round()
            _say(said, tenant, status(done), done.problems)
    except (*CAUGHT, TransientError) as error:
        if isinstance(error, CAUGHT) and not is_transient(error):
            raise
        _say(said, "keeper", "waiting", [f"no answer: {error}; trying again"])


def _say(said: dict[str, str], tenant: str, line: str, problems: list[str]) -> None:
    text = "\n".join([line, *problems])
    if said.get(tenant) != text:
        said[tenant] = text
        console().print(f"{time.strftime('%H:%M:%S')} {tenant}: {line}", highlight=False, soft_wrap=True)
        _tell(tenant, problems)


def _tell(tenant: str, problems: list[str]) -> int:
    for problem in problems:
        error_console().print(f"[bold red]error:[/] {tenant}: {problem}", highlight=False, soft_wrap=True)
    return len(problems)


def _keepers(
    given: argparse.Namespace, url: str, known: dict[str, Keeper], stopping: Callable[[], bool]
) -> dict[str, Keeper]:
    """One keeper a tenant; tenants may come while it runs."""
    client = connect(url)
    for tenant in tenants(client, given.tenant):
        if tenant not in known:
            places = {"grant": given.grants, "denial": given.denials, "reversal": given.reversals}
            kinds = frozenset(kind for kind, place in places.items() if place)
            sink = sink_of(given.grants, given.denials, given.reversals) if kinds else None
            files = LogFiles(given.export, tenant) if given.export else None
            ledger, log, sets = (
                RedisLedgerAddress(url)(tenant),
                RedisLog(client, tenant),
                RedisRegistry(client, tenant).sets,
            )
            kept = KeptTenant(ledger, log, sets, sink, kinds, files)
            owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
            known[tenant] = Keeper(kept, owner, stopping=stopping)
    return known


def status(done: Round) -> str:
    """One round in one line."""
    if done.holder is not None:
        return f"waiting: {done.holder} works"
    time_ms = done.watermark_ms
    parts = [f"watermark {rfc3339(time_ms) if time_ms is not None else 'not told yet'}"]
    parts += [f"{done.ended:,} holds ended"] if done.ended else []
    parts += [f"{done.published:,} records published"] if done.published else []
    parts.append(f"{done.waiting:,} entries unpublished")
    parts.append(f"exported to entry {done.exported:,}" if done.exported else "nothing exported")
    parts += [f"{done.trimmed:,} entries trimmed"] if done.trimmed else []
    parts += [f"dropped what ended by {rfc3339(done.floor_ms)}"] if done.floor_ms is not None else []
    return ", ".join(parts)
