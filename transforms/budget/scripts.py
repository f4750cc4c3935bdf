"""The ledger's Lua scripts, loaded from the package. A line `--@include <name>` stands for lua/parts/<name>.lua, a line
`--@script <name>` for a whole script, which returns what it replies."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

NAMES = (
    "decide", "define", "mature", "change_limit", "change_state", "change_pace", "move_budget", "freeze",
    "drop_generations",
)  # fmt: skip
GRANT_NAMES = ("commit_grant", "release_grant", "reverse_grant", "redecide", "grant_state")


@cache
def source(name: str) -> str:
    """The text of a script with its parts, and with theirs."""
    folder = resources.files("transforms.budget") / "lua"

    def whole(text: str) -> str:
        return re.sub(r"^--@include (\w+)$", part, text, flags=re.MULTILINE)

    def part(line: re.Match[str]) -> str:
        return whole((folder / "parts" / f"{line[1]}.lua").read_text())

    text = (folder / f"{name}.lua").read_text()
    with_scripts = re.sub(
        r"^--@script (\w+)$", lambda line: source(line[1]).removeprefix("#!lua\n"), text, flags=re.MULTILINE
    )
    return whole(with_scripts)
