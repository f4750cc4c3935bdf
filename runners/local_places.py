"""Addresses that the local pipeline's steps carry: small, picklable, one connection a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from runners.ledgers import RedisLedgerAddress
from schemas.order_keys import OrderKey
from schemas.redis_connection import connect
from transforms.budget.redis_durability import Durability
from transforms.budget.redis_ledger import RedisLedger
from transforms.registry.ports import Registry
from transforms.registry.redis_registry import RedisRegistry
from transforms.state.redis_state import RedisStates, back_off


@dataclass(frozen=True)
class LocalPlace(RedisLedgerAddress):
    """One tenant's state, ledger and registry on one server. Locally a server that is away is waited for."""

    tenant: str
    durability: Durability = Durability.OFF

    def __call__(self, tenant: str) -> RedisLedger:
        return _waiting_ledger(self.url, tenant, self.durability)

    def states(self) -> RedisStates:
        return _states(self.url, self.tenant)

    def registry(self) -> Registry:
        return RedisRegistry(connect(self.url), self.tenant, wait=back_off)

    def clear_outbox(self, keys: Sequence[OrderKey]) -> None:
        """Delete settled and published proposals from the outbox."""
        self.states().settled([key.packed() for key in keys])


@lru_cache(maxsize=8)
def _states(url: str, tenant: str) -> RedisStates:
    return RedisStates(connect(url), tenant)


@lru_cache(maxsize=8)
def _waiting_ledger(url: str, tenant: str, durability: Durability) -> RedisLedger:
    return RedisLedger(connect(url), tenant, back_off, durability)
