"""Where the server is: an embedded one in a folder, or any Redis or Valkey by URL (docs/contracts/connections.md)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runners import embedded
from schemas.redis_urls import FORMS

DEFAULT_SERVER = ".incentives"


def add_server_argument(parser: argparse.ArgumentParser) -> None:
    """The one option that says where budgets, campaigns and users' state are kept."""
    parser.add_argument(
        "--server",
        default=DEFAULT_SERVER,
        metavar="PLACE",
        help=(
            f"URL of a server, its sentinels or its cluster: {FORMS}; password_file=FILE or password_env=NAME in the "
            f"query keep the password out of it. Or a folder for the embedded server (default: {DEFAULT_SERVER})"
        ),
    )


def existing_folder(text: str) -> Path:
    """An argparse type: a folder that is there."""
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no folder")
    return path


@contextmanager
def server_url(place: str) -> Iterator[str]:
    """The URL of the server at a place; an embedded one runs as long as the body (or whoever started it) does."""
    if "://" in place:
        yield place
        return
    with embedded.start(Path(place)) as server:
        yield server.url
