"""The ledger's books: are its counters what its records say, is the log what left the server, and repair of both."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import redis

from runners.ops.budget_changes import require_applied
from runners.ops.exported_log import exported_entries, published_grants
from schemas.errors import UsageError
from schemas.operations import Freeze, Operation
from transforms.budget.ports import Ledger, LogEntry
from transforms.budget.recounting import Difference, Place, Value, read_grant
from transforms.budget.redis_books import RedisBooks
from transforms.budget.redis_question import read_entry
from transforms.budget.redis_restoring import RedisRestoring

_PAGE = 500
_RELEASED = 5


class Finding(NamedTuple):
    """One difference. kind: "counter", "not_exported", "lost", "log_gap", "published_unknown", "published_twice" or
    "unpublished" (approved, and neither published nor marked)."""

    kind: str
    what: str
    recorded: str = ""
    recomputed: str = ""


class Restored(NamedTuple):
    """What a restore did. entries: of the log or export of which something was put back; copied: log entries put again
    so that they are exported; counters: set to what the records say; left: what still differs."""

    entries: int
    copied: int
    counters: list[Finding]
    left: list[Finding]


@contextmanager
def frozen(ledger: Ledger, who: str, why: str) -> Iterator[None]:
    """The ledger decides nothing in the body; one that was frozen before stays so."""
    was = ledger.frozen()
    if was is None:
        _freeze(ledger, True, who, why)
    try:
        yield
    finally:
        if was is None:
            _freeze(ledger, False, who, why)


def _freeze(ledger: Ledger, on: bool, who: str, why: str) -> None:
    operation = Operation(uuid.uuid4().hex, Freeze(on), who, why)
    require_applied(operation, ledger.operate(operation))


def counter_findings(differences: Iterable[Difference]) -> list[Finding]:
    """In words."""
    return [
        Finding("counter", _place_text(place), _value_text(place, recorded), _value_text(place, recomputed))
        for place, recorded, recomputed in differences
    ]


def _place_text(place: Place) -> str:
    start = f" {place.start_ms}" if place.start_ms else ""
    user = f" user {place.user}" if place.user else ""
    return f"{place.account} {place.period}{start}{user}"


def _value_text(place: Place, value: Value) -> str:
    if not value:
        return "nothing"
    if place.period == "lock":
        return f"{value[0]} of {value[1]}"
    return f"{value[0]} grants, {value[1]:,}" if len(value) == 2 else str(value[0])


def reconcile(client: redis.Redis, tenant: str, folder: Path | None, published: Sequence[Path]) -> list[Finding]:
    """Every difference between counters, records, log, export and what was published.

    Raises:
      LedgerBusyError: the ledger decides; freeze it, or ask again.
    """
    books, restoring = RedisBooks(client, tenant), RedisRestoring(client, tenant)
    found = counter_findings(books.verify())
    log = dict(books.log())
    known, copied, last = set(log), _copied(log), 0
    if folder is not None:
        differing: set[int] = set()
        for page in _pages(exported_entries(folder, tenant)):
            known |= {sequence for sequence, _ in page}
            last = page[-1][0]
            differing |= {sequence for sequence, fields in page if log.get(sequence, fields) != fields}
            found += [Finding("lost", f"log entry {entry.entry}") for entry in restoring.lost(_read(page))]
        differing |= {sequence for sequence in log if sequence > last}
        found += [Finding("not_exported", f"log entry {sequence}") for sequence in sorted(differing - copied)]
    for page in _pages(iter(log.items())):
        lost = restoring.lost(_read(page))
        found += [one for entry in lost if (one := Finding("lost", f"log entry {entry.entry}")) not in found]
    found += [Finding("log_gap", f"log entry {number}") for number in _gaps(known, books.sequence())]
    return found + (_published_findings(books, published) if published else [])


def _copied(log: dict[int, dict[bytes, bytes]]) -> set[int]:
    """Sequences of log entries that a restore has put again behind the export."""
    return {int(fields[b"was"]) for fields in log.values() if b"was" in fields}


def _gaps(known: set[int], sequence: int) -> list[int]:
    return [number for number in range(min(known, default=sequence + 1), sequence + 1) if number not in known]


def _published_findings(books: RedisBooks, published: Sequence[Path]) -> list[Finding]:
    marked = books.unpublished()
    seen: dict[str, int] = {}
    for record in published_grants(published):
        seen[record["grant_id"]] = seen.get(record["grant_id"], 0) + 1
    found = [Finding("published_twice", f"grant {name}") for name, times in seen.items() if times > 1]
    for _, grant_id, raw in books.records():
        grant = read_grant(raw)
        if grant is None:
            continue
        is_out = seen.pop(grant_id.hex(), 0)
        made = grant.outcome != _RELEASED and not grant.hold
        if made and not is_out and grant.entry not in marked:
            found.append(Finding("unpublished", f"grant {grant_id.hex()} of log entry {grant.entry}"))
    return found + [Finding("published_unknown", f"grant {name}") for name in seen]


def restore(ledger: Ledger, client: redis.Redis, tenant: str, folder: Path, who: str, why: str) -> Restored:
    """Give a frozen ledger back what export and log tell and its records do not, and set its counters to the records.

    Idempotent: what is there already is left.

    Raises:
      UsageError: the ledger is not frozen.
    """
    if ledger.frozen() is None:
        raise UsageError("restore only while nothing is decided: `incentives budget freeze --why ...` first")
    books, restoring = RedisBooks(client, tenant), RedisRestoring(client, tenant)
    log, last, differing, entries = dict(books.log()), 0, [], 0
    for page in _pages(exported_entries(folder, tenant)):
        last = page[-1][0]
        differing += [sequence for sequence, fields in page if log.get(sequence, fields) != fields]
    copied = _copied(log)
    # The export goes on behind its last entry: what was decided under numbers that it has already is put there.
    put = restoring.copy([sequence for sequence in differing if sequence not in copied], last)
    for page in itertools.chain(_pages(exported_entries(folder, tenant)), _pages(iter(log.items()))):
        entries += sum(restoring.restore(entry, last) for entry in restoring.lost(_read(page)))
    wrong = books.verify()
    restoring.recount(wrong, who, why)
    restoring.settle_marks()
    return Restored(entries, put, counter_findings(wrong), counter_findings(books.verify()))


def _pages(entries: Iterator[tuple[int, dict[bytes, bytes]]]) -> Iterator[list[tuple[int, dict[bytes, bytes]]]]:
    while page := list(itertools.islice(entries, _PAGE)):
        yield page


def _read(page: list[tuple[int, dict[bytes, bytes]]]) -> list[LogEntry]:
    return [read_entry(str(sequence), fields) for sequence, fields in page]
