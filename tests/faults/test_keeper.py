"""Keepers: one works at a time, and killed between any two steps nothing is lost, doubled or left out."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from runners.keeper import Step
from schemas.operations import Freeze
from schemas.proposals import LimitSpec
from schemas.redis_connection import connect
from schemas.results import Reason
from tests.support.keepers import KINDS, POLICY, Kept, as_exported
from tests.support.ledgers import DAY_MS, TENANT, a_reversal, a_single, an_account, an_operation
from tests.support.waiting import wait_until
from transforms.budget.redis_log import Logged, RedisLog


@pytest.fixture
def kept(clean_redis: str, tmp_path: Path) -> Kept:
    return Kept(connect(clean_redis), tmp_path)


def whole_log(kept: Kept) -> list[Logged]:
    return as_exported(kept.log.logged("", 1_000))


def killed_after(kept: Kept, step: Step, nth: int) -> bool:
    """A process that keeps until it has done a step for the n-th time, and is killed there; whether it came so far."""
    reached = 0

    def kill(at: Step) -> None:
        nonlocal reached
        reached += at is step
        if reached == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    child = multiprocessing.get_context("fork").Process(target=lambda: kept.keeper(f"killed-{nth}", kill).round(True))
    child.start()
    child.join(30)
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode != 0


DAYS = (("user/day", DAY_MS),)
OFTEN = [Step.LEASED, Step.WRITTEN, Step.EXPORTED]
KILLS = [(step, 1) for step in Step] + [(step, nth) for step in OFTEN for nth in (2, 3)]


@pytest.mark.parametrize(("step", "nth"), KILLS)
def test_a_kill_behind_any_step_loses_nothing_and_doubles_no_id(kept: Kept, step: Step, nth: int) -> None:
    kept.fill()
    before = whole_log(kept)
    kept.late_ms += POLICY.unpublished_ms
    assert killed_after(kept, step, nth)
    kept.late_ms += POLICY.lease_ms
    done = kept.keeper("next").round(True)
    assert done.holder is None and not done.problems
    assert kept.ledger.unpublished(1) == [] and kept.client.xlen(f"{{{TENANT}}}:log") == 0
    assert not list((kept.folder / "exported" / TENANT).glob("*.part")), "what the killed one left is gone"
    exported = list(kept.files.read("log"))
    assert [entry.sequence for entry in exported] == list(range(1, len(before) + 2))
    assert as_exported(exported)[: len(before)] == before
    assert [entry.kind for entry in kept.files.read("audit")] == ["define"] * 2
    grants = kept.published("grant")
    by_id = {grant["grant_id"]: grant for grant in grants}
    assert len(by_id) == 6 + 6 and all(by_id[grant["grant_id"]] == grant for grant in grants)
    assert {reversal["event_id"] for reversal in kept.published("reversal")} == {"r"}


def test_without_a_kill_each_record_is_published_once_and_the_log_is_empty_then(kept: Kept) -> None:
    kept.fill()
    kept.late_ms += POLICY.unpublished_ms
    done = kept.keeper("one").round(True)
    assert (done.ended, done.published, done.waiting, done.exported) == (6, 6 + 6 + 6 + 1, 0, 8)
    assert [len(kept.published(kind)) for kind in KINDS] == [12, 6, 1]
    again = kept.keeper("one").round(True)
    assert (again.ended, again.published, again.written, again.exported, again.trimmed) == (0, 0, 0, 8, 0)


def test_what_the_pipeline_may_still_publish_is_left_to_it_for_a_minute(kept: Kept) -> None:
    kept.fill()
    kept.keeper("one").round(True)
    assert len(kept.published("grant")) == 6, "what the sweep ended: no pipeline will publish that"
    assert len(kept.ledger.unpublished(10)) == 7
    kept.late_ms += POLICY.unpublished_ms
    kept.keeper("one").round()
    assert len(kept.published("grant")) == 12 and kept.ledger.unpublished(1) == []


def test_what_is_still_marked_is_exported_and_kept_in_the_log(kept: Kept) -> None:
    kept.fill()
    done = kept.keeper("one").round(True)
    assert done.exported == 8 and done.trimmed == 0
    kept.ledger.unmark(["1", "2"])
    assert kept.keeper("one").round(True).trimmed == 2
    assert kept.log.logged("", 1)[0].sequence == 3


def test_short_stretches_wait_for_more_or_for_a_minute(kept: Kept) -> None:
    kept.fill()
    done = kept.keeper("one").round()
    assert done.exported == 6, "two stretches of three are full"
    kept.late_ms += POLICY.export_ms
    assert kept.keeper("one").round().exported == 8
    assert [stretch.path.name for stretch in kept.files.stretches("log")][0] == (
        "log-0000000000000001.0-0000000000000003.0.avro"
    )


def test_of_two_keepers_one_works_and_the_other_takes_over_when_it_is_gone(kept: Kept) -> None:
    kept.fill()
    one, other = kept.keeper("one"), kept.keeper("other")
    assert one.round().holder is None
    kept.late_ms += POLICY.lease_ms - 60_000
    done = other.round(True)
    assert done.holder == "one" and (done.ended, done.published, done.written) == (0, 0, 0)
    kept.late_ms += 60_000
    assert other.round().holder is None
    assert one.round().holder == "other"
    other.resign()
    assert one.round().holder is None


@pytest.mark.parametrize("step", [Step.SWEPT, Step.CONFIRMED, Step.WRITTEN])
def test_a_keeper_that_lost_its_lease_does_nothing_more(kept: Kept, step: Step) -> None:
    kept.fill()
    kept.late_ms += POLICY.unpublished_ms

    def stall(at: Step) -> None:
        if at is step:
            kept.late_ms += POLICY.lease_ms
            assert kept.log.lease("other", kept.clock(), POLICY.lease_ms)[0] == 2

    waiting = len(kept.ledger.unpublished(100))
    done = kept.keeper("one", stall).round(True)
    assert done.holder == "other"
    assert kept.files.stretches("log") == []
    if step is not Step.WRITTEN:
        assert kept.log.unpublished() >= waiting
    assert RedisLog(kept.client, TENANT).trim(1, 7, "") is None


def test_a_gap_in_the_log_stops_the_export_and_is_told(kept: Kept) -> None:
    kept.fill()
    kept.client.xdel(f"{{{TENANT}}}:log", "5-0")
    kept.late_ms += POLICY.unpublished_ms
    done = kept.keeper("one").round(True)
    assert done.exported == 3 and done.trimmed == 0
    assert done.problems == ["the log has no entries 5 to 5: nothing more is exported"]
    assert len(kept.published("grant")) == 11, "what there is is published all the same"


def test_a_log_cut_off_at_its_end_and_an_audit_with_a_hole_are_told(kept: Kept) -> None:
    kept.fill()
    kept.client.xdel(f"{{{TENANT}}}:audit", *[entry.entry for entry in kept.log.audited("", 1)])
    assert "deleted from the audit" in kept.keeper("one").round(True).problems[0]
    kept.client.xdel(f"{{{TENANT}}}:log", "8-0")
    kept.client.hdel(f"{{{TENANT}}}:keeper", "exported")
    for stretch in kept.files.stretches("log"):
        stretch.path.unlink()
    assert kept.keeper("one").round(True).problems == ["the log has no entries 8 to 8: nothing more is exported"]


def test_a_ledger_behind_its_export_has_lost_writes(kept: Kept) -> None:
    kept.fill()
    kept.keeper("one").round(True)
    kept.client.hset(f"{{{TENANT}}}:ledger", "sequence", 4)
    problem = kept.keeper("one").round(True).problems[0]
    assert problem == "entry 8 is exported, but the ledger stands at 4: it has lost writes"


def test_the_position_comes_from_the_files_when_it_is_lost_and_from_redis_when_they_have_moved(kept: Kept) -> None:
    kept.fill()
    kept.keeper("one").round(True)
    kept.client.delete(f"{{{TENANT}}}:keeper")
    assert kept.keeper("one").round(True).written == 0
    for stretch in kept.files.stretches("log"):
        stretch.path.unlink()
    kept.ledger.decide([a_single("more", 1)])
    done = kept.keeper("one").round(True)
    assert (done.written, done.exported) == (1, 9)


def test_a_file_missing_between_others_is_told(kept: Kept) -> None:
    kept.fill()
    kept.keeper("one").round(True)
    kept.files.stretches("log")[1].path.unlink()
    assert "entries 4 to 6 are missing between" in kept.keeper("one").round(True).problems[0]


def test_a_place_that_cannot_be_written_is_told_and_stops_nothing_else(kept: Kept) -> None:
    kept.fill()
    kept.late_ms += POLICY.unpublished_ms
    (kept.folder / "grant.jsonl").mkdir()
    (kept.folder / "exported").write_text("no folder")
    done = kept.keeper("one").round(True)
    assert len(done.problems) == 2 and "grant.jsonl" in done.problems[0] and "exported" in done.problems[1]
    assert done.ended == 6 and done.floor_ms is not None
    (kept.folder / "grant.jsonl").rmdir()
    (kept.folder / "exported").unlink()
    assert not kept.keeper("one").round(True).problems and len(kept.published("grant")) == 12


def test_what_has_no_place_stays_marked_and_is_told(kept: Kept) -> None:
    kept.fill()
    kept.late_ms += POLICY.unpublished_ms
    done = kept.keeper("one", kinds=("grant",)).round(True)
    assert done.problems == ["entry 7 of the log has reversals: say where they go, with --reversals"]
    assert done.exported == 8 and done.waiting == 8
    assert kept.keeper("one").round(True).waiting == 0


def test_what_no_repeat_can_ask_for_is_dropped_and_refused_and_its_memory_is_free(kept: Kept) -> None:
    kept.fill()
    batches = [
        [a_single(f"{batch}-{i}", 1, f"u{batch}-{i}", DAY_MS, slices=DAYS) for i in range(100)] for batch in range(100)
    ]
    kept.ledger.define([an_account("campaign/c1", LimitSpec("user/day", 5))])
    for batch in batches:
        kept.ledger.decide(batch)
    kept.late_ms += POLICY.unpublished_ms
    keeper = kept.keeper("one")
    keeper.round(True)
    keys = ["{shop}:record:c1:d1", "{shop}:user:campaign/c1:user/day:86400000"]
    kept_bytes = sum(kept.client.memory_usage(key, samples=0) for key in keys)
    before = kept.client.info("memory")["used_memory"]
    print(f"{kept_bytes / 10_000:.0f} bytes a decision")
    kept.log.note_watermark(6 * DAY_MS)
    done = keeper.round(True)
    assert done.floor_ms == 4 * DAY_MS and not done.problems
    assert kept.client.exists(*keys) == 0
    assert {decision.reason for decision in kept.ledger.decide(batches[7])} == {Reason.TOO_OLD}
    kept.ledger.decide([a_reversal("late", "7-1", at_ms=6 * DAY_MS)])
    assert kept.client.exists(*keys) == 0, "and it waits for nothing there"
    wait_until(lambda: kept.client.info("memory")["used_memory"] < before - 0.8 * kept_bytes, "the memory is free")
    assert kept.ledger.snapshot()[1].uses[0].grants == 11 + 10_000


def test_what_is_frozen_is_neither_swept_nor_dropped(kept: Kept) -> None:
    kept.fill()
    kept.ledger.operate(an_operation(Freeze(True)))
    kept.log.note_watermark(6 * DAY_MS)
    done = kept.keeper("one").round(True)
    assert done.ended == 0 and done.floor_ms is None and done.exported == 7
