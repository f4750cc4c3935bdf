"""The local runner on files: all events come through, positions are saved behind finished work, a drain is DONE."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import fastavro
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.read_events import FilesSource, read_events
from runners.local import LocalRun, LocalStreamRunner
from runners.readers import FilesReader, Reader
from schemas.errors import InvariantError
from schemas.messages import SourceMessage
from tests.support import steps
from tests.support.waiting import wait_until

_SCHEMA = fastavro.parse_schema({"type": "record", "name": "E", "fields": [{"name": "event_id", "type": "string"}]})


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    steps.SEEN.clear()
    steps.BUNDLES.clear()
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def _lines(path: Path, count: int) -> list[bytes]:
    payloads = [b'{"event_id":"e%d"}' % number for number in range(count)]
    path.write_bytes(b"".join(payload + b"\n" for payload in payloads))
    return payloads


def _avro(path: Path, count: int) -> list[bytes]:
    with open(path, "wb") as out:
        fastavro.writer(out, _SCHEMA, [{"event_id": f"e{number}"} for number in range(count)], sync_interval=500)
    return [b'{"event_id":"e%d"}' % number for number in range(count)]


def _positions() -> dict[str, bytes]:
    return {}


def _files(path: Path, positions: dict[str, bytes]) -> FilesReader:
    return FilesReader((str(path),), positions.get, positions.__setitem__)


def _start(reader: Reader, step: beam.DoFn) -> tuple[LocalRun, beam.runners.runner.PipelineResult]:
    run = LocalRun(reader)
    pipeline = beam.Pipeline(runner=LocalStreamRunner(run), options=PipelineOptions(["--streaming"]))
    pipeline | read_events(FilesSource(("named by the reader",))) | beam.ParDo(step)
    return run, pipeline.run()


def _run(reader: Reader, step: beam.DoFn) -> str:
    return str(_start(reader, step)[1].wait_until_finish())


@pytest.mark.parametrize("name", ["events.jsonl", "events.avro"])
def test_every_event_of_a_file_comes_through_in_order_one_bundle_a_pull(tmp_path: Path, name: str) -> None:
    path, positions = tmp_path / name, _positions()
    written = _avro(path, 2_500) if name.endswith("avro") else _lines(path, 2_500)
    assert _run(_files(path, positions), steps.SeeFn()) == "DONE"
    assert written == steps.SEEN
    assert steps.BUNDLES == [1_000, 1_000, 500]
    steps.SEEN.clear()
    assert _run(_files(path, positions), steps.SeeFn()) == "DONE"
    assert steps.SEEN == [], "read again, it goes on behind what is done"


class _Watching:
    """Saves positions, and notes how much had been worked on at that moment."""

    def __init__(self) -> None:
        self.done: list[int] = []

    def save(self, name: str, position: bytes) -> None:
        self.done.append(sum(steps.BUNDLES))


def test_a_position_is_saved_only_behind_the_work(tmp_path: Path) -> None:
    path, watching = tmp_path / "events.jsonl", _Watching()
    _lines(path, 2_500)
    assert _run(FilesReader((str(path),), lambda name: None, watching.save), steps.SeeFn()) == "DONE"
    assert [done for done in watching.done if done] == [1_000, 2_000, 2_500]


def test_a_step_that_fails_raises_and_its_bundle_comes_again(tmp_path: Path) -> None:
    path, positions = tmp_path / "events.jsonl", _positions()
    written = _lines(path, 2_500)
    with pytest.raises(ValueError, match="e700"):
        _run(_files(path, positions), steps.SeeFn(steps.fail_at_e700))
    steps.SEEN.clear()
    assert _run(_files(path, positions), steps.SeeFn()) == "DONE"
    assert written == steps.SEEN, "no position had been saved"


class _Endless:
    """A source that always has more."""

    def __init__(self) -> None:
        self.ended = False
        self.handed_out = self.acknowledged = 0

    def pull(self, most: int) -> list[SourceMessage]:
        self.handed_out += 1
        return [SourceMessage(b"%d" % self.handed_out, {})]

    def acknowledge(self) -> None:
        self.acknowledged = self.handed_out


def test_a_drain_finishes_and_acknowledges_what_was_pulled() -> None:
    source = _Endless()
    run, result = _start(source, steps.SeeFn())
    wait_until(lambda: len(steps.SEEN) > 10, "some work is done")
    run.drain()
    assert result.wait_until_finish() == "DONE"
    assert source.acknowledged == source.handed_out == len(steps.SEEN)


class _Breaking:
    """A source that hands out one piece and breaks in the middle of the next; asked again, it seems to have ended."""

    def __init__(self) -> None:
        self.ended = False
        self.taken = self.acknowledged = 0

    def pull(self, most: int) -> list[SourceMessage]:
        self.taken += 1
        if self.taken == 2:
            raise OSError("the disk is gone")
        self.ended = self.taken > 2
        return [] if self.ended else [SourceMessage(b"first", {})]

    def acknowledge(self) -> None:
        self.acknowledged = self.taken


def test_a_source_that_breaks_in_the_middle_of_a_pull_raises_and_what_it_took_is_not_acknowledged() -> None:
    source = _Breaking()
    with pytest.raises(OSError, match="the disk is gone"):
        _run(source, steps.SeeFn())
    assert source.acknowledged <= 1, "the second piece never reached a step"


def test_a_damaged_file_loses_nothing_silently(tmp_path: Path) -> None:
    whole, path, positions = tmp_path / "whole.avro", tmp_path / "events.avro", _positions()
    written = _avro(whole, 3_000)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.raises((EOFError, ValueError, OSError)):
        _run(_files(path, positions), steps.SeeFn())
    path.write_bytes(whole.read_bytes())
    assert _run(_files(path, positions), steps.SeeFn()) == "DONE"
    assert written == steps.SEEN, "once it is repaired, it is read on behind what was worked on"


def test_standard_input_is_not_waited_for_and_can_be_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as producer:
        monkeypatch.setattr("sys.stdin", source)
        source.buffer = source  # type: ignore[attr-defined]
        run, result = _start(FilesReader(("-",), lambda name: None, lambda name, at: None), steps.SeeFn())
        ended = threading.Thread(target=result.wait_until_finish, daemon=True)
        ended.start()
        producer.write(b"one\ntwo\nthr")
        try:
            wait_until(lambda: steps.SEEN == [b"one", b"two"], "lines are worked on as they come", 5.0)
            run.drain()
            wait_until(lambda: not ended.is_alive(), "a drain ends a run whose producer is silent", 5.0)
        finally:
            producer.close()  # ends a reader that would block for ever
            ended.join()


def test_another_version_of_beam_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beam, "__version__", "2.78.0")
    with pytest.raises(InvariantError, match=r"2\.77.*2\.78\.0"):
        LocalStreamRunner(LocalRun(_Endless()))
