"""The keeper of one tenant's ledger: sweeps, publishes what stayed unpublished, exports the log, drops what is over.

Any number may run; one works, the one that has the lease. Every step may be done twice, or be cut off anywhere, and
then nothing is lost and nothing leaves that has not the same id and bytes; the lease only keeps two from doing the same
work. Event time comes from the source's watermark alone; the server's clock says only how long something has waited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from runners.ops.log_files import LogFiles, Stream
from schemas.errors import LogGapError, PublishError, UsageError
from schemas.grants import RECORDS
from schemas.plans import PlanSet
from transforms.budget.floors import floors_of
from transforms.budget.ports import Ledger, LogEntry
from transforms.budget.redis_log import Logged, RedisLog
from transforms.publish_settled import Sink, logged, send_settled

PAGE = 100
"""Entries of a stream that are read at once."""


class Step(StrEnum):
    """What a keeper has just done. Killed behind any of them, the next keeper goes on from there."""

    LEASED = "leased"
    SWEPT = "swept"
    SENT = "sent"
    CONFIRMED = "confirmed"
    PUBLISHED = "published"
    WRITTEN = "written"
    EXPORTED = "exported"
    TRIMMED = "trimmed"
    DROPPED = "dropped"


@dataclass(frozen=True)
class KeeperPolicy:
    """How patient a keeper is, by the server's clock.

    Attributes:
      lease_ms: how long nobody else works after this one was last heard of: longer than a broker may take to confirm.
      unpublished_ms: how long an answer of the pipeline is left to the pipeline.
      drop_ms: how often it is looked whether anything can be dropped: floors move with the days.
      export_ms, export_entries: a stretch is exported when it is so long, or its oldest entry has waited so long.
    """

    lease_ms: int = 90_000
    unpublished_ms: int = 60_000
    drop_ms: int = 600_000
    export_ms: int = 60_000
    export_entries: int = 1_000


@dataclass(frozen=True)
class KeptTenant:
    """What a keeper keeps.

    Attributes:
      kinds: kinds of record the sink has a place for. sink: None = publish nothing.
      files: None = export nothing; then the log is never trimmed. sets: all numbered sets of the tenant.
    """

    ledger: Ledger
    log: RedisLog
    sets: Callable[[], Sequence[PlanSet]]
    sink: Sink | None = None
    kinds: frozenset[str] = frozenset()
    files: LogFiles | None = None


@dataclass
class Round:
    """What one round came to.

    Attributes:
      is_last: as `Keeper.round` was asked. holder: who has the lease, if somebody else has.
      watermark_ms: None = the source has told none yet.
      waiting: entries still marked unpublished. exported: sequence of the last entry exported.
      floor_ms: what ended by then is dropped; None = nothing has been yet.
      problems: what kept a step from being done; the others were done.
    """

    is_last: bool
    holder: str | None = None
    watermark_ms: int | None = None
    ended: int = 0
    published: int = 0
    waiting: int = 0
    written: int = 0
    exported: int = 0
    trimmed: int = 0
    floor_ms: int | None = None
    problems: list[str] = field(default_factory=list)


class LeaseLost(Exception):
    """Another keeper works now."""


def say_nothing(step: Step) -> None:
    """The default of those who need not follow the steps."""


class Keeper:
    """One process's keeper of one tenant.

    Args:
      owner: a name that no other process has.
      clock: the server's clock in ms; tests have their own.
      on_step: called behind each step; what it raises ends the round there.
      stopping: asked before each piece of work; True = leave the rest to another round.
    """

    def __init__(
        self,
        kept: KeptTenant,
        owner: str,
        policy: KeeperPolicy = KeeperPolicy(),
        clock: Callable[[], int] | None = None,
        on_step: Callable[[Step], None] = say_nothing,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._kept, self._owner, self._policy, self._on_step, self._stopping = kept, owner, policy, on_step, stopping
        self._ledger, self._log = kept.ledger, kept.log
        self._clock = clock or kept.log.clock_ms
        self._token = 0
        self._dropped_at_ms: int | None = None
        self._floor_ms: int | None = None

    def round(self, is_last: bool = False) -> Round:
        """Do everything there is to do now, if the lease is ours.

        Args:
          is_last: export short stretches too, and drop what can be dropped.

        Raises:
          redis.RedisError, TransientError: weather; what was done stands, the next round does the rest.
        """
        done = Round(is_last)
        try:
            self._lead()
            for step in (self._sweep, self._publish, self._export, self._drop):
                self._tried(step, done)
        except LeaseLost as error:
            done.holder = str(error)
        done.waiting = self._log.unpublished()
        return done

    def resign(self) -> None:
        """Let another keeper work at once."""
        self._log.lease(self._owner, self._clock(), 0)

    def _lead(self) -> None:
        """Take or renew the lease. Raises LeaseLost where it is another's."""
        token, holder = self._log.lease(self._owner, self._clock(), self._policy.lease_ms)
        if not token:
            raise LeaseLost(holder)
        self._token = token
        self._on_step(Step.LEASED)

    def _tried(self, step: Callable[[Round], None], done: Round) -> None:
        try:
            step(done)
        except (LogGapError, UsageError, PublishError) as error:
            done.problems.append(str(error))
        except OSError as error:
            done.problems.append(f"{error.filename}: {error.strerror}")

    # Sweep.

    def _sweep(self, done: Round) -> None:
        done.watermark_ms = self._log.watermark_ms()
        if done.watermark_ms is None or self._ledger.frozen() is not None:
            return
        while not self._stopping() and (ended := self._ledger.mature(done.watermark_ms)):
            done.ended += len(ended)
            self._on_step(Step.SWEPT)
            self._lead()

    # Publish.

    def _publish(self, done: Round) -> None:
        sink = self._kept.sink
        if sink is None:
            return
        while not self._stopping() and (found := self._log.ripe(self._clock() - self._policy.unpublished_ms)):
            for entry in found:
                self._require_places(entry)
            records = send_settled(sink, [settled for entry in found for settled in logged(entry)])
            self._on_step(Step.SENT)
            sink.confirm()
            self._on_step(Step.CONFIRMED)
            self._lead()
            self._ledger.unmark([entry.entry for entry in found])
            done.published += records
            self._on_step(Step.PUBLISHED)

    def _require_places(self, entry: LogEntry) -> None:
        """Grants and reversals without a place would be lost; denials stay in the log."""
        for kind in {"grant", "reversal"} - self._kept.kinds:
            if any(RECORDS[kind](settled) for settled in logged(entry)):
                raise UsageError(f"entry {entry.entry} of the log has {kind}s: say where they go, with --{kind}s")

    # Export and trim.

    def _export(self, done: Round) -> None:
        files = self._kept.files
        if files is None:
            return
        log, audit = self._positions(files)
        done.exported = _number(log)
        while stretch := self._next(log, self._log_behind, done.is_last):
            self._write(files, "log", stretch)
            log = stretch[-1].entry
            done.written, done.exported = done.written + len(stretch), _number(log)
        while stretch := self._next(audit, self._audit_behind, done.is_last):
            self._write(files, "audit", stretch)
            audit = stretch[-1].entry
        trimmed = self._log.trim(self._token, _number(log), audit)
        if trimmed is None:
            raise LeaseLost("another keeper")
        done.trimmed = trimmed
        self._on_step(Step.TRIMMED)

    def _positions(self, files: LogFiles) -> tuple[str, str]:
        """Where log and audit go on: behind what is noted in Redis, and behind what the files have."""
        noted, in_files = self._log.exported(), (files.last("log"), files.last("audit"))
        log, audit = (max(pair, key=_place) for pair in zip(noted, in_files, strict=True))
        last = self._log.last()
        if _number(log) > last:
            raise LogGapError(f"entry {_number(log)} is exported, but the ledger stands at {last}: it has lost writes")
        return log, audit

    def _next(self, after: str, read: Read, is_last: bool) -> list[Logged]:
        """The next stretch, if one is due: it is long enough, or has waited long enough."""
        first = [] if self._stopping() else read(after, 1)
        if not first:
            return []
        waited_ms = self._clock() - first[0].at_ms
        most = self._policy.export_entries
        if not is_last and waited_ms < self._policy.export_ms and self._log.last() - _number(after) < most:
            return []
        stretch = first
        while len(stretch) < most and (page := read(stretch[-1].entry, min(PAGE, most - len(stretch)))):
            stretch += page
        return stretch

    def _log_behind(self, after: str, limit: int) -> list[Logged]:
        """Entries of the log, without a gap. Raises LogGapError."""
        last, expected = self._log.last(), _number(after) + 1
        found = self._log.logged(after, limit)
        for entry in found:
            if entry.sequence != expected:
                raise LogGapError(
                    f"the log has no entries {expected} to {entry.sequence - 1}: nothing more is exported"
                )
            expected += 1
        if len(found) < limit and expected <= last:
            raise LogGapError(f"the log has no entries {expected} to {last}: nothing more is exported")
        return found

    def _audit_behind(self, after: str, limit: int) -> list[Logged]:
        """Entries of the audit, from which nothing is ever deleted. Raises LogGapError."""
        deleted = self._log.last_deleted_audit()
        if _place(deleted) > _place(after):
            raise LogGapError(f"entries up to {deleted} were deleted from the audit before they were exported")
        return self._log.audited(after, limit)

    def _write(self, files: LogFiles, stream: Stream, stretch: list[Logged]) -> None:
        part = files.begin(stream, self._token)
        part.write(stretch)
        part.close()
        self._on_step(Step.WRITTEN)
        self._lead()
        if not part.name():
            raise LeaseLost("another keeper")
        self._on_step(Step.EXPORTED)

    # Drop.

    def _drop(self, done: Round) -> None:
        now_ms = self._clock()
        is_time = done.is_last or self._dropped_at_ms is None or now_ms - self._dropped_at_ms >= self._policy.drop_ms
        if is_time and not self._stopping() and done.watermark_ms is not None and self._ledger.frozen() is None:
            self._lead()
            sets = self._kept.sets()
            if sets:
                self._ledger.drop(floors_of(sets, done.watermark_ms))
            floors = self._ledger.floors()
            self._dropped_at_ms, self._floor_ms = now_ms, floors.time_ms if floors else None
            self._on_step(Step.DROPPED)
        done.floor_ms = self._floor_ms


Read = Callable[[str, int], list[Logged]]
"""At most so many entries behind an id ("" = from the first)."""


def _place(entry: str) -> tuple[int, int]:
    number, _, n = entry.partition("-")
    return int(number or 0), int(n or 0)


def _number(entry: str) -> int:
    return _place(entry)[0]
