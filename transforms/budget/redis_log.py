"""What a root's keeper reads and notes in Redis: its lease, the source's watermark, the log and the audit as they are.

Decisions are the ledger's (redis_ledger.py). Here the log is bytes to be published late, exported and trimmed. The
server's clock stands in here too: it tells how long an entry has waited, and decides nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import redis

from transforms.budget.keys import control, declared, key
from transforms.budget.ports import LogEntry
from transforms.budget.redis_question import read_entry
from transforms.budget.scripts import source

MARKS = 250
"""Marked entries that are looked at in one call."""


class Logged(NamedTuple):
    """One entry of the log or the audit as it stands in its stream.

    Attributes:
      entry: its id: of the log "<sequence>-0", of the audit "<server's ms>-<n>".
      at_ms: the server's clock when it was written. kind: of call, or of change.
    """

    entry: str
    at_ms: int
    kind: str
    fields: dict[bytes, bytes]

    @property
    def sequence(self) -> int:
        """Of an entry of the log: 1, 2, 3, ... without a gap."""
        return int(self.entry.partition("-")[0])


class RedisLog:
    """One tenant's log, audit, watermark and keeper's lease.

    Args:
      client: from `schemas.redis_connection.connect`. Its errors are raised as they are: whoever calls tries again.
    """

    def __init__(self, client: redis.Redis, tenant: str) -> None:
        self._client: Any = client
        self._control, self._keeper = control(tenant), key(tenant, "keeper")
        self._keys = declared(tenant)
        self._log, self._audit, self._marks = key(tenant, "log"), key(tenant, "audit"), key(tenant, "unpublished")
        self._source = key(tenant, "source")
        self._take_lease = client.register_script(source("take_lease"))
        self._trim_log = client.register_script(source("trim_log"))

    def clock_ms(self) -> int:
        """The server's clock."""
        seconds, micros = self._client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    # The source's watermark.

    def note_watermark(self, time_ms: int) -> None:
        """The source has handed out, and the ledger has decided, all up to this event time. It never goes back."""
        self._client.zadd(self._source, {"watermark": time_ms}, gt=True)

    def watermark_ms(self) -> int | None:
        """The greatest that was noted; None = none yet."""
        found = self._client.zscore(self._source, "watermark")
        return None if found is None else int(found)

    # The lease.

    def lease(self, owner: str, now_ms: int, length_ms: int) -> tuple[int, str]:
        """Take or renew the lease (length 0: give it up): its token, 0 = not ours; and who has it."""
        token, holder = self._take_lease(keys=self._keys, args=[owner, now_ms, length_ms])
        return int(token), holder.decode()

    # The log.

    def unpublished(self) -> int:
        """How many entries are still marked."""
        return int(self._client.zcard(self._marks))

    def ripe(self, before_ms: int) -> list[LogEntry]:
        """Entries among the oldest marked ones that nobody else will publish: of calls that no pipeline made, and of
        those written at or before this moment of the server's clock."""
        found = []
        for name in self._client.zrange(self._marks, 0, MARKS - 1):
            place = f"{name.decode()}-0"
            for raw, fields in self._client.xrange(self._log, place, place):
                logged = _log_entry(raw, fields)
                if logged.kind != "decide" or logged.at_ms <= before_ms:
                    found.append(read_entry(name.decode(), fields))
        return found

    def last(self) -> int:
        """Sequence of the latest entry there has been, 0 before the first."""
        return int(self._client.hget(self._control, "sequence") or 0)

    def logged(self, after: str, limit: int) -> list[Logged]:
        """At most `limit` entries of the log behind an id ("" = from the first), in their order."""
        return [_log_entry(*found) for found in self._client.xrange(self._log, _behind(after), "+", limit)]

    # The audit.

    def audited(self, after: str, limit: int) -> list[Logged]:
        """At most `limit` entries of the audit behind an id ("" = from the first), in their order."""
        return [_audit_entry(*found) for found in self._client.xrange(self._audit, _behind(after), "+", limit)]

    def last_deleted_audit(self) -> str:
        """Id of the latest entry that was ever deleted from the audit; "0-0" = none was."""
        if not self._client.exists(self._audit):
            return "0-0"
        return str(self._client.xinfo_stream(self._audit)["max-deleted-entry-id"].decode())

    # How far both are exported.

    def exported(self) -> tuple[str, str]:
        """Ids of the entries of log and audit that were exported last, as noted here; "" = none."""
        log, audit = self._client.hmget(self._keeper, "exported", "audited")
        return f"{int(log)}-0" if log else "", (audit or b"").decode()

    def trim(self, token: int, exported: int, audited: str) -> int | None:
        """Note what is exported, and trim the log of what is exported and published: how many entries; None = the
        lease is another's now, and nothing was done."""
        trimmed = int(self._trim_log(keys=self._keys, args=[token, exported, audited]))
        return None if trimmed < 0 else trimmed


def _behind(entry: str) -> str:
    return f"({entry}" if entry else "-"


def _log_entry(raw: bytes, fields: dict[bytes, bytes]) -> Logged:
    return Logged(raw.decode(), int(fields[b"ms"]), fields[b"kind"].decode(), fields)


def _audit_entry(raw: bytes, fields: dict[bytes, bytes]) -> Logged:
    return Logged(raw.decode(), int(raw.partition(b"-")[0]), fields[b"what"].decode(), fields)
