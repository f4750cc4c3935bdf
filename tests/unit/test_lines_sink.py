"""JSON lines as a sink: appended, whole lines only."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pipelines.sinks import LinesSink
from schemas.errors import PublishError


def _send(path: Path, *numbers: int) -> None:
    sink = LinesSink({"grant": str(path)})
    sink.send("grant", [{"grant_id": str(number)} for number in numbers])
    sink.confirm()


def _ids(path: Path) -> list[str]:
    return [msgspec.json.decode(line)["grant_id"] for line in path.read_bytes().splitlines()]


def test_confirmed_records_are_lines_of_the_file(tmp_path: Path) -> None:
    _send(tmp_path / "grants.jsonl", 1, 2)
    _send(tmp_path / "grants.jsonl", 3)
    assert _ids(tmp_path / "grants.jsonl") == ["1", "2", "3"]


def test_a_line_that_a_kill_cut_short_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "grants.jsonl"
    _send(path, 1)
    with open(path, "ab") as torn:
        torn.write(b'{"grant_id":"2"')
    _send(path, 2, 3)
    assert _ids(path) == ["1", "2", "3"], "the torn record was never confirmed, so it is sent again"


def test_a_file_that_cannot_be_written_is_a_publish_error(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="grants.jsonl"):
        _send(tmp_path / "no" / "grants.jsonl", 1)
