"""Four processes spend one budget while the server is killed and restarted: overspend 0, nothing acknowledged lost.

Some of what they ask is held, some is taken back; the log tells each decision and each hold's end once.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

from runners import embedded
from schemas.errors import LedgerUnavailableError
from schemas.proposals import Hold, LimitSpec, Request, Reversal
from schemas.redis_connection import connect
from schemas.results import Outcome, WhenFull
from tests.support.ledgers import TENANT, a_reversal, a_single, an_account
from transforms.budget.redis_ledger import RedisLedger
from transforms.state.redis_state import back_off

CAP = 40_000
BATCHES = 60
WORKERS = 4
KILLS = 3


def a_batch(worker: int, number: int) -> list[Request]:
    """Ids overlap between workers: every other batch is asked by two of them. Some are held, some taken back."""
    owner = worker if number % 2 else worker // 2
    draw = random.Random(f"{owner}-{number}")
    names = [f"{owner}-{number}-{i}" for i in range(20)]
    batch: list[Request] = []
    for name in names:
        hold = Hold(number + draw.randrange(9), draw.choice(["commit", "release"])) if draw.random() < 0.2 else None
        user = f"u{draw.randrange(50)}"
        batch.append(a_single(name, draw.randrange(1, 20), user, number, hold, slices=(("user", 0),)))
    for i in range(4):
        some = draw.sample(names, 3)
        how: Any = {"share": (draw.randrange(1, 4), 3)} if i % 2 else {"amount": draw.randrange(1, 30)}
        batch.insert(draw.randrange(24), a_reversal(f"r{owner}-{number}-{i}", *some, at_ms=number, **how))
    return batch


def id_of(request: Request) -> bytes:
    return request.reversal_id if isinstance(request, Reversal) else request.offers[0].grants[0].grant_id


def work(url: str, worker: int, acknowledged: Any) -> None:
    """Ask every batch until it is answered, and report what was acknowledged."""
    ledger = RedisLedger(connect(url), TENANT, wait=back_off)
    for number in range(BATCHES):
        batch = a_batch(worker, number)
        for request, decision in zip(batch, ledger.decide(batch), strict=True):
            acknowledged.put((id_of(request), decision.outcome.value, decision.amounts))
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
    for request_id, *answer in answers:
        assert is_same(first.setdefault(request_id, answer), answer)
    total = ledger.snapshot()[1].uses[0]
    assert 20_000 < total.amount <= CAP
    for worker in range(WORKERS):
        for number in range(BATCHES):
            batch = a_batch(worker, number)
            for request, decision in zip(batch, ledger.decide(batch), strict=True):
                assert decision.repeated
                assert is_same(first[id_of(request)], [decision.outcome.value, decision.amounts])
    while ledger.mature(2 * BATCHES):
        pass
    require_told(ledger, set(first))


def is_same(one: Any, other: Any) -> bool:
    """A hold may have come to its end between the two answers."""
    outcomes = {one[0], other[0]}
    return bool(one == other or Outcome.HELD in outcomes and outcomes & {Outcome.COMMITTED, Outcome.RELEASED})


def require_told(ledger: RedisLedger, asked: set[bytes]) -> None:
    """The log tells each decision once, each hold's end once, and they add up to the counter."""
    amount, decided, held, ended = 0, [], [], []
    for entry in ledger.unpublished(10**6):
        pairs = list(zip(entry.requests, entry.decisions, strict=True))
        brought = [pair for decision in entry.decisions for pair in decision.also] + list(entry.also)
        decided += [id_of(request) for request, decision in pairs if not decision.repeated]
        held += [id_of(request) for request, one in pairs if one.outcome is Outcome.HELD and not one.repeated]
        ended += [id_of(request) for request, _ in brought if not isinstance(request, Reversal)]
        for _, decision in [*(pair for pair in pairs if not pair[1].repeated), *brought]:
            if decision.outcome in (Outcome.GRANTED, Outcome.COMMITTED):
                amount += sum(decision.amounts)
            if decision.outcome is Outcome.REVERSED:
                amount -= sum(decision.amounts)
    assert len(decided) == len(set(decided)) and set(decided) == asked
    assert len(held) > 100 and sorted(held) == sorted(ended)
    assert ledger.snapshot()[1].uses[0].amount == amount


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
