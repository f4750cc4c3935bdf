"""What holds of the oracle whatever a campaign says: no look ahead, no cap passed, no more taken back than given."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.drawn_campaigns import Document, Stream, examples, text_of
from tests.support.oracle import Answer, interpret, world_of
from transforms.language.loading import Folder, read_folder

SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def folder_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("campaigns")


def read(path: Path, documents: list[Document]) -> Folder:
    (path / "all.yaml").write_text(text_of(documents))
    folder = read_folder(path)
    folder.require_right()
    return folder


def run(folder: Folder, stream: Stream, upto_ms: int | None = None) -> Answer:
    events = [event for event in stream.events if upto_ms is None or event["event_time"] <= upto_ms]
    return interpret(world_of(folder, events, stream.profiles, upto_ms))


@SETTINGS
@given(examples())
def test_what_comes_later_changes_nothing(folder_path: Path, example: tuple[list[Document], Stream]) -> None:
    documents, stream = example
    folder = read(folder_path, documents)
    whole = run(folder, stream)
    for upto_ms in sorted({event["event_time"] for event in stream.events})[::3]:
        part = run(folder, stream, upto_ms)
        assert part.grants == [grant for grant in whole.grants if grant.time_ms <= upto_ms]
        assert part.denials == [denied for denied in whole.denials if denied.time_ms <= upto_ms]


@SETTINGS
@given(examples())
def test_no_more_is_taken_back_than_was_given(folder_path: Path, example: tuple[list[Document], Stream]) -> None:
    documents, stream = example
    answer = run(read(folder_path, documents), stream)
    given_: dict[tuple[str, str, str, int], int] = defaultdict(int)
    for grant in answer.grants:
        given_[grant.campaign, grant.recipient, grant.event_id, grant.time_ms] += grant.amount
    for back in answer.reversals:
        assert back.amount == sum(amount for _, _, amount in back.parts) > 0
        for event_id, time_ms, amount in back.parts:
            given_[back.campaign, back.recipient, event_id, time_ms] -= amount
    assert all(left >= 0 for left in given_.values())


@SETTINGS
@given(examples())
def test_totals_are_never_passed(folder_path: Path, example: tuple[list[Document], Stream]) -> None:
    documents, stream = example
    answer = run(read(folder_path, documents), stream)
    for document in documents:
        if "campaign" not in document or "refunds" in document or "hold" in document or "cost" in document:
            continue
        own = [grant for grant in answer.grants if grant.campaign == document["campaign"]]
        for limit in document.get("limits", ()):
            if "per" not in limit and "cooldown" not in limit:
                assert len(own) <= limit.get("grants", len(own))
                assert sum(grant.amount for grant in own) <= limit.get("amount", float("inf"))
