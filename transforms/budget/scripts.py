"""The ledger's Lua scripts, loaded from the package."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

NAMES = ("decide", "define")


@lru_cache(maxsize=None)
def source(name: str) -> str:
    """The text of a script."""
    return (resources.files("transforms.budget") / "lua" / f"{name}.lua").read_text()
