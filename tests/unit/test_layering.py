"""The house's rules, read from its imports and definitions: directions, siblings apart, sizes, script headers."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "transforms", "pipelines", "runners")
SIBLINGS = ("engine", "budget", "state", "registry")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
SCRIPTS = sorted((ROOT / "transforms" / "budget" / "lua").glob("*.lua"))


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
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "imports are absolute"
            # `from transforms import engine` imports the package too; `rank` needs to see it.
            names = [alias.name for alias in node.names] if node.module == "transforms" else []
            yield from (f"transforms.{name}" for name in names) if names else (node.module,)


def of(path: Path) -> tuple[tuple[str, ...], ast.Module]:
    return path.relative_to(ROOT).with_suffix("").parts, ast.parse(path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    assert not list(wrong_imports(*of(path)))


def wrong_imports(parts: tuple[str, ...], tree: ast.Module) -> Iterator[str]:
    own_rank, own_room = rank(parts)
    for module in imported(tree):
        top = module.split(".")
        if top[0] in ROOMS:
            their_rank, their_room = rank(tuple(top))
            if their_rank >= own_rank and their_room != own_room:
                yield f"{module} from {own_room}"
        if top[0] == "redis" and own_room != "runners" and not parts[-1].startswith("redis_"):
            yield "redis outside redis_*.py"
        if top[0] in ("apache_beam", "redis") and own_room in ("transforms.engine", "transforms.language"):
            yield f"{module} from {own_room}"


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("schemas/codec", "import transforms.language"),
        ("transforms/language/loading", "from transforms.engine.state import Cell"),
        ("transforms/engine/advance", "from transforms.budget import ports"),
        ("transforms/engine/advance", "from transforms import registry"),
        ("transforms/state/ports", "from transforms.registry import ports"),
        ("transforms/state/memory", "from transforms.keep import Keep"),
        ("transforms/keep", "from pipelines import sinks"),
        ("pipelines/sinks", "def late():\n    import runners.places"),
        ("pipelines/sinks", "import redis"),
        ("transforms/engine/redis_state", "import redis"),
        ("transforms/language/loading", "import apache_beam as beam"),
    ],
)
def test_the_rule_sees(module: str, line: str) -> None:
    assert list(wrong_imports(tuple(module.split("/")), ast.parse(line)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sizes_and_catches(path: Path) -> None:
    parts, tree = of(path)
    assert len(path.read_text().splitlines()) <= 500
    assert ast.get_docstring(tree), "a module says its one responsibility"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 70, node.name
        if isinstance(node, ast.ExceptHandler) and parts[0] != "runners":
            caught = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {""}
            assert not caught & {"", "Exception", "BaseException"}, f"line {node.lineno} catches everything"


def test_no_clock_and_no_chance_decide() -> None:
    for path in (ROOT / "transforms" / "engine").rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not names & {"now", "utcnow", "today", "uuid4", "monotonic"}, path
        assert not {"time", "random", "uuid", "secrets"} & set(imported(tree)), path


def test_there_is_something_to_check() -> None:
    assert SCRIPTS
    assert {rank(of(path)[0])[1] for path in FILES} == {
        "schemas", "transforms", "transforms.language", *(f"transforms.{name}" for name in SIBLINGS), "pipelines", "runners"
    }  # fmt: skip


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_have_their_header(path: Path) -> None:
    lines = path.read_text().splitlines()
    header = "\n".join(itertools.takewhile(lambda line: line.startswith("--"), lines[1:]))
    assert lines[0] in ("#!lua", "#!lua flags=no-writes")
    for part in ("KEYS", "ARGV", "Reply:", "Writes:"):
        assert part in header


def test_docs_name_only_files_that_exist() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(
            r"`((?:schemas|transforms|pipelines|runners|tests|docs|examples|benchmarks)/[\w./*-]+)`", page.read_text()
        ):
            assert list(ROOT.glob(name.rstrip("/"))), f"{page.name} names {name}"
