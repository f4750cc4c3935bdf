"""Batches in turn are decided as by `decide`, also where the server forgets the script or drops the connection."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from schemas.errors import LedgerUnavailableError
from schemas.proposals import LimitSpec
from schemas.redis_connection import connect
from schemas.results import Reason, WhenFull
from tests.support.ledgers import TENANT, a_single, an_account
from transforms.budget.redis_ledger import RedisLedger

BATCHES = [[a_single(f"{batch}{i}", 8) for i in range(2)] for batch in "abcd"]


def nothing(_: redis.Redis) -> None:
    pass


def forget_scripts(other: redis.Redis) -> None:
    other.script_flush()


def drop_connections(other: redis.Redis) -> None:
    other.client_kill_filter(_type="normal", skipme=True)


@pytest.mark.parametrize("fault", [nothing, forget_scripts, drop_connections])
def test_every_batch_is_decided_once_and_in_its_turn(clean_redis: str, fault: Callable[[redis.Redis], None]) -> None:
    ledger, other = RedisLedger(connect(clean_redis), TENANT), redis.Redis.from_url(clean_redis)
    ledger.define([an_account("tenant"), an_account("campaign/c1", LimitSpec("total", None, 20, WhenFull.CUT))])
    given, amounts = [], []
    for batch, decisions in ledger.decide_in_turn(iter(BATCHES)):
        given.append(batch)
        amounts += [decision.amounts[0] if decision.amounts else decision.reason for decision in decisions]
        fault(other)
    assert given == BATCHES
    assert amounts == [8, 8, 4] + [Reason.AMOUNT] * 5
    assert ledger.snapshot()[1].uses[0].amount == 20


def test_a_server_that_is_gone_is_told(tmp_path: str) -> None:
    ledger = RedisLedger(redis.Redis.from_url(f"unix://{tmp_path}/none.sock"), TENANT, wait=give_up)
    with pytest.raises(LedgerUnavailableError):
        next(iter(ledger.decide_in_turn(BATCHES)))


def give_up(_: int) -> None:
    raise TimeoutError
