"""`incentives`: the command line. Parses and prints; what it does is in runners/ops."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from runners import cli_budgets, cli_campaigns, cli_ledger, cli_runs
from runners.console import error_console
from schemas.errors import IncentiveError, UsageError
from schemas.redis_errors import CAUGHT, explained, is_transient

_ABOUT = """\
Incentive Stream rewards users the moment they do something worth rewarding: events in, grants out, budgets never
overrun.

  incentives demo                                     see it work on a year of real purchases
  incentives schema infer --events 'events/*.jsonl'   draft the schema file of your own events
  incentives campaign check campaigns/                is the folder right? every error names file, line and field
  incentives campaign test campaigns/                 do the campaigns do what their tests expect?
  incentives backtest --events 'events/*.avro' --campaigns campaigns/ --out out/
  incentives explain --events events.jsonl --campaigns campaigns/ --event ID    why a user got something, or nothing
  incentives campaign apply campaigns/                put the folder in force
  incentives live --events - < events.jsonl           run it
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Exit code 0; 1 for what the input or the world did wrong, 2 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="incentives", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    cli_runs.add_commands(commands)
    cli_campaigns.add_commands(commands)
    cli_budgets.add_commands(commands)
    cli_ledger.add_commands(commands)
    given = parser.parse_args(argv)
    run: Callable[[argparse.Namespace], int] = given.run
    try:
        return run(given)
    except IncentiveError as error:
        error_console().print(f"[bold red]error:[/] {_escaped(error)}", highlight=False, soft_wrap=True)
        return 2 if isinstance(error, UsageError) else 1
    except CAUGHT as error:
        does = "does not answer" if is_transient(error) else "refuses"
        told = f"the server {does}: {_escaped(explained(error))}"
        error_console().print(f"[bold red]error:[/] {told}", highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        error_console().print("stopped")
        return 130


def _escaped(message: object) -> str:
    return str(message).replace("[", "\\[")


if __name__ == "__main__":
    sys.exit(main())
