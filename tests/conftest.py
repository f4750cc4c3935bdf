"""The server that tests run against: the embedded one, started once per run, or the one the environment names."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from runners import embedded
from schemas.redis_connection import connect

# CI repeats itself: the same examples each time. Elsewhere they are drawn anew, and a failing one is kept and printed.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

REDIS_URL_VARIABLE = "INCENTIVES_TEST_REDIS_URL"


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an embedded server of this run's own; that it cannot start is a failure, never a skip."""
    with embedded.start(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """The server under test: INCENTIVES_TEST_REDIS_URL if it is set (the tests empty it!), else the embedded one."""
    other = os.environ.get(REDIS_URL_VARIABLE)
    return other if other else str(request.getfixturevalue("server_url"))


@pytest.fixture
def clean_redis(redis_url: str) -> str:
    """The URL of the server under test, emptied for this test."""
    connect(redis_url).flushall()
    return redis_url
