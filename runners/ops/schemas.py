"""Draft schema files from what events look like."""

from __future__ import annotations

from collections.abc import Sequence

from transforms.event_files import expand
from transforms.language.infer import infer


def infer_schema(events: Sequence[str], users: Sequence[str]) -> str:
    """The text of a schema file that fits the files matched by these globs.

    Raises:
      UsageError: a glob that matches no file.
    """
    return infer(expand(events), expand(users) if users else [])
