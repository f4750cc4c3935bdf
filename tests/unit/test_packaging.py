"""What a wheel of this project holds: all code and data of the four folders, the command, and the tested versions."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "transforms", "pipelines", "runners")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built of a copy, so that the tree stays as it is; from nothing but what is installed."""
    if not all(importlib.util.find_spec(tool) for tool in ("pip", "setuptools", "wheel")):
        pytest.fail("needs pip, setuptools and wheel; `make install` brings them")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for room in (*ROOMS, "tests"):
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    built = subprocess.run([*command, "-w", str(folder), str(source)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("incentive_stream-*.whl")
    return zipfile.ZipFile(found)


def metadata(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = (path for path in wheel.namelist() if path.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def test_it_holds_the_four_folders_whole_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    ours = {path for path in wheel.namelist() if ".dist-info/" not in path}
    assert ours == {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for ending in ("py", "lua", "avsc")
        for path in (ROOT / room).rglob(f"*.{ending}")
    }
    assert {path.rpartition(".")[2] for path in ours} == {"py", "lua", "avsc"}


def test_it_brings_the_command(wheel: zipfile.ZipFile) -> None:
    assert "incentives = runners.cli:main" in metadata(wheel, "entry_points.txt")


def test_it_asks_for_the_tested_versions(wheel: zipfile.ZipFile) -> None:
    tested = (ROOT / "constraints.txt").read_text().split()
    needed = message_from_string(metadata(wheel, "METADATA")).get_all("Requires-Dist", [])
    pinned = [line.replace("[gcp]", "") for line in needed if "extra ==" not in line and line != "protobuf"]
    assert pinned
    assert set(pinned) <= set(tested)


def test_every_constraint_is_one_version() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, equal, version = line.partition("==")
        assert name and equal and version, line
        assert not set(" /@;*") & set(line), line
