"""Four processes spend one budget while the server is killed and restarted: overspend 0, nothing acknowledged lost."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

from runners import embedded
from schemas.errors import LedgerUnavailableError
from schemas.proposals import LimitSpec
from schemas.redis_connection import connect
from schemas.results import Outcome, WhenFull
from tests.support.ledgers import TENANT, a_single, an_account
from transforms.budget.redis_ledger import RedisLedger
from transforms.state.redis_state import back_off

CAP = 40_000
BATCHES = 60
WORKERS = 4
KILLS = 3


def a_batch(worker: int, number: int) -> list[Any]:
    """Ids overlap between workers: every other batch is asked by two of them."""
    owner = worker if number % 2 else worker // 2
    draw = random.Random(f"{owner}-{number}")
    return [
        a_single(f"{owner}-{number}-{i}", draw.randrange(1, 20), f"u{draw.randrange(50)}", slices=(("user", 0),))
        for i in range(20)
    ]


def work(url: str, worker: int, acknowledged: Any) -> None:
    """Ask every batch until it is answered, and report what was acknowledged."""
    ledger = RedisLedger(connect(url), TENANT, wait=back_off)
    for number in range(BATCHES):
        batch = a_batch(worker, number)
        for proposal, decision in zip(batch, ledger.decide(batch), strict=True):
            acknowledged.put((proposal.offers[0].grants[0].grant_id, decision.outcome.value, decision.amounts))
    acknowledged.put(None)


def collect(acknowledged: Any, server: Any, directory: Path) -> tuple[list[Any], Any]:
    """All acknowledged answers; the server is killed at fixed shares of them and started again in its place."""
    answers: list[Any] = []
    finished, kills = 0, 0
    while finished < WORKERS:
        answer = acknowledged.get(timeout=60)
        finished += answer is None
        if answer is not None:
            answers.append(answer)
        if kills < KILLS and len(answers) >= (kills + 1) * 900:
            os.kill(server.pid, signal.SIGKILL)
            server.stop()
            server = embedded.start(directory)
            kills += 1
    assert kills == KILLS
    return answers, server


def test_killed_servers_lose_nothing_acknowledged_and_overspend_nothing(tmp_path: Path) -> None:
    server = embedded.start(tmp_path)
    ledger = RedisLedger(connect(server.url), TENANT, wait=back_off)
    ledger.define(
        [
            an_account("tenant"),
            an_account("campaign/c1", LimitSpec("total", None, CAP, WhenFull.CUT), LimitSpec("user", 70)),
        ]
    )
    context = multiprocessing.get_context("spawn")
    acknowledged = context.Queue()
    workers = [context.Process(target=work, args=(server.url, worker, acknowledged)) for worker in range(WORKERS)]
    for process in workers:
        process.start()
    try:
        answers, server = collect(acknowledged, server, tmp_path)
        require_consistent(ledger, answers)
    finally:
        for process in workers:
            process.kill()
            process.join()
        server.stop()


def require_consistent(ledger: RedisLedger, answers: list[Any]) -> None:
    first: dict[bytes, Any] = {}
    for grant_id, outcome, amounts in answers:
        assert first.setdefault(grant_id, (outcome, amounts)) == (outcome, amounts)
    granted = [amounts[0] for outcome, amounts in first.values() if outcome == Outcome.GRANTED]
    total = ledger.snapshot()[1].uses[0]
    assert (total.grants, total.amount) == (len(granted), sum(granted))
    assert 20_000 < total.amount <= CAP
    for worker in range(WORKERS):
        for number in range(BATCHES):
            batch = a_batch(worker, number)
            for proposal, decision in zip(batch, ledger.decide(batch), strict=True):
                assert decision.repeated
                assert first[proposal.offers[0].grants[0].grant_id] == (decision.outcome.value, decision.amounts)
    assert ledger.snapshot()[1].uses[0] == total


def test_a_server_that_is_away_gives_no_answer_and_no_grant(tmp_path: Path) -> None:
    with embedded.start(tmp_path) as server:
        client = connect(server.url)
        url = server.url
    del client

    def give_up(attempt: int) -> None:
        raise TimeoutError

    try:
        RedisLedger(connect(url), TENANT, wait=give_up).decide([a_single("a", 1)])
    except LedgerUnavailableError:
        return
    raise AssertionError("a ledger without a server must not answer")
