"""The ledger's Lua scripts, loaded from the package. A line `--@include <name>` stands for lua/parts/<name>.lua."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

NAMES = ("decide", "define", "mature", "change_limit", "change_state", "change_pace", "move_budget", "freeze")


@cache
def source(name: str) -> str:
    """The text of a script with its parts."""
    folder = resources.files("transforms.budget") / "lua"

    def part(line: re.Match[str]) -> str:
        return (folder / "parts" / f"{line[1]}.lua").read_text()

    return re.sub(r"^--@include (\w+)$", part, (folder / f"{name}.lua").read_text(), flags=re.MULTILINE)
