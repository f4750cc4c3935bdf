"""The registry in Redis: one hash a tenant, a field a number. Written by `incentives campaign apply` alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis

from schemas.errors import RegistryUnavailableError, UsageError
from schemas.plans import PlanSet, decode_plan_set, encode_plan_set
from schemas.redis_connection import answered


def do_not_wait(attempt: int) -> None:
    """The default patience: none."""
    raise TimeoutError


class RedisRegistry:
    """The numbered sets of one tenant in Redis.

    Args:
      wait: called with the number of failed tries while the server does not answer; raises TimeoutError to give up.
    """

    def __init__(self, client: redis.Redis, tenant: str, wait: Callable[[int], None] = do_not_wait) -> None:
        self._client, self._wait = client, wait
        self._key = f"{{{tenant}}}:registry"

    def sets(self) -> tuple[PlanSet, ...]:
        fields: dict[bytes, bytes] = self._answer(lambda: self._client.hgetall(self._key))
        return tuple(decode_plan_set(fields[number]) for number in sorted(fields, key=int))

    def revision(self) -> int:
        return self._answer(lambda: int(self._client.hlen(self._key)))  # type: ignore[arg-type]

    def publish(self, plan_set: PlanSet) -> None:
        raw = encode_plan_set(plan_set)
        kept = self._answer(lambda: self._client.hsetnx(self._key, str(plan_set.number), raw))
        if not kept and self._answer(lambda: self._client.hget(self._key, str(plan_set.number))) != raw:
            raise UsageError(f"set {plan_set.number} was published by someone else meanwhile: apply again")

    def _answer(self, call: Callable[[], Any]) -> Any:
        return answered(self._client, call, self._wait, RegistryUnavailableError)
