"""The house's rules, read from its imports and definitions: directions, siblings apart, sizes, script headers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "transforms", "pipelines", "runners")
SIBLINGS = ("engine", "budget", "state", "registry")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def rank(parts: tuple[str, ...]) -> tuple[int, str]:
    """How far right a module stands, and its room."""
    if parts[0] == "transforms":
        inner = parts[1] if len(parts) > 1 else ""
        if inner == "language":
            return 1, "transforms.language"
        return (2, f"transforms.{inner}") if inner in SIBLINGS else (3, "transforms")
    return {"schemas": 0, "pipelines": 4, "runners": 5}[parts[0]], parts[0]


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            yield node.module


def of(path: Path) -> tuple[tuple[str, ...], ast.Module]:
    return path.relative_to(ROOT).with_suffix("").parts, ast.parse(path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    parts, tree = of(path)
    own_rank, own_room = rank(parts)
    for module in imported(tree):
        top = module.split(".")
        if top[0] in ROOMS:
            their_rank, their_room = rank(tuple(top))
            assert their_rank < own_rank or their_room == own_room, f"{module} from {own_room}"
        if top[0] == "redis":
            assert own_room == "runners" or path.name.startswith("redis_"), "only redis_*.py imports redis"
        if own_room in ("transforms.engine", "transforms.language"):
            assert top[0] not in ("apache_beam", "redis")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sizes_and_catches(path: Path) -> None:
    parts, tree = of(path)
    assert len(path.read_text().splitlines()) <= 500
    assert ast.get_docstring(tree), "a module says its one responsibility"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 70, node.name
        if isinstance(node, ast.ExceptHandler) and parts[0] != "runners":
            broad = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            )
            assert not broad, f"line {node.lineno} catches everything"


def test_no_clock_and_no_chance_decide() -> None:
    for path in (ROOT / "transforms" / "engine").glob("*.py"):
        tree = ast.parse(path.read_text())
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not names & {"now", "utcnow", "today", "uuid4", "monotonic"}, path
        assert not {"time", "random", "uuid", "secrets"} & set(imported(tree)), path


@pytest.mark.parametrize(
    "path", sorted((ROOT / "transforms" / "budget" / "lua").glob("*.lua")), ids=lambda path: path.name
)
def test_scripts_have_their_header(path: Path) -> None:
    lines = path.read_text().splitlines()
    header = "\n".join(line for line in lines[1:40] if line.startswith("--"))
    assert lines[0] == "#!lua"
    for part in ("KEYS", "ARGV", "Reply:", "Writes:"):
        assert part in header


def test_docs_name_only_files_that_exist() -> None:
    import re

    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(
            r"`((?:schemas|transforms|pipelines|runners|tests|docs|examples|benchmarks)/[\w./*-]+)`", page.read_text()
        ):
            assert list(ROOT.glob(name.rstrip("/"))), f"{page.name} names {name}"
