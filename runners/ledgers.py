"""Where a worker finds a tenant's ledger: an address that pickles and connects once a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from schemas.redis_connection import connect
from transforms.budget.redis_ledger import RedisLedger


@dataclass(frozen=True)
class RedisLedgerAddress:
    """A ledger on a Redis or Valkey server.

    Attributes:
      url: in no text, here and in what derives from this: it may hold a password.
    """

    url: str = field(repr=False)

    def __call__(self, tenant: str) -> RedisLedger:
        return _ledger(self.url, tenant)


@lru_cache(maxsize=64)
def _ledger(url: str, tenant: str) -> RedisLedger:
    return RedisLedger(connect(url), tenant)
