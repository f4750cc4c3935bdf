"""The ledger's Lua scripts, loaded from the package."""

from __future__ import annotations

from functools import cache
from importlib import resources

NAMES = ("decide", "define")


@cache
def source(name: str) -> str:
    """The text of a script."""
    return (resources.files("transforms.budget") / "lua" / f"{name}.lua").read_text()
