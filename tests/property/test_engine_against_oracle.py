"""The product against the oracle: any small folder on any small stream gives the same grants, denials and reversals."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from schemas.grants import rfc3339
from tests.support.drawn_campaigns import Document, Stream, examples, text_of
from tests.support.oracle import interpret, world_of
from tests.support.product_run import run_product
from transforms.language import load_folder
from transforms.language.loading import read_folder


@pytest.fixture(scope="module")
def folder_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("campaigns")


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(examples())
def test_the_product_decides_as_the_oracle_does(folder_path: Path, example: tuple[list[Document], Stream]) -> None:
    documents, stream = example
    (folder_path / "all.yaml").write_text(text_of(documents))
    plan_set = load_folder(folder_path)
    wanted = interpret(world_of(read_folder(folder_path), stream.events, stream.profiles))
    found = run_product(plan_set, stream.events, stream.profiles)
    told = ("campaign_id", "user_id", "event_id", "event_time", "amount", "unit")
    assert _sorted(tuple(record[name] for name in told) for record in found.grants) == _sorted(
        (one.campaign, one.recipient, one.event_id, rfc3339(one.time_ms), one.amount, one.unit) for one in wanted.grants
    )
    assert _sorted((record["campaign_id"], record["event_id"], record["reason"]) for record in found.denials) == (
        _sorted((one.campaign, one.event_id, one.reason) for one in wanted.denials)
    )
    told = ("campaign_id", "user_id", "event_id", "event_time", "amount")
    assert _sorted(tuple(record[name] for name in told) for record in found.reversals) == _sorted(
        (one.campaign, one.recipient, one.event_id, rfc3339(one.time_ms), one.amount) for one in wanted.reversals
    )


def _sorted(records: Iterable[Any]) -> list[Any]:
    """The oracle tells campaign by campaign what was decided at one instant; which took what shows all the same."""
    return sorted(records)
