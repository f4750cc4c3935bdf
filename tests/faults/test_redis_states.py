"""The users' state while the server is killed or refuses, or answers get lost: what was committed stays."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from redis.client import Pipeline

from runners import embedded
from schemas.redis_connection import connect
from tests.support.user_states import a_write
from tests.support.waiting import wait_until
from transforms.state.redis_state import RedisStates


class GaveUpError(Exception):
    """Raised by a test's `wait`."""


def give_up(attempt: int) -> None:
    raise GaveUpError(attempt)


class LosesAnswers(redis.Redis):
    """A client whose next transactions are applied, but whose answers never arrive."""

    answers_to_lose = 0

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        pipe = super().pipeline(transaction, shard_hint)
        execute = pipe.execute

        def execute_and_lose(raise_on_error: bool = True) -> list[Any]:
            answers = execute(raise_on_error)
            if transaction and self.answers_to_lose > 0:
                self.answers_to_lose -= 1
                raise redis.TimeoutError("Timeout reading from socket")
            return answers

        pipe.execute = execute_and_lose  # type: ignore[method-assign]
        return pipe


def loses_answers(url: str) -> LosesAnswers:
    return cast(LosesAnswers, LosesAnswers.from_url(url))


class KillableServer:
    """An embedded server of the test's own that can be killed as a crash would, and started again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.server = embedded.start(directory)
        self.kills = 0

    def kill(self) -> None:
        os.kill(self.server.pid, signal.SIGKILL)
        self.kills += 1

    def restart(self) -> None:
        """Start again over what the killed one left; its end is awaited through the directory's lock."""
        self.server.stop()
        url = self.server.url
        self.server = embedded.start(self._directory)
        assert self.server.url == url


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[KillableServer]:
    killable = KillableServer(tmp_path / "valkey")
    yield killable
    killable.server.stop()


def test_server_killed_between_commits_loses_nothing(killable: KillableServer) -> None:
    states = RedisStates(connect(killable.server.url), "shop", wait=lambda attempt: killable.restart())
    for number in range(5):
        states.commit(a_write(cells={f"user-{number}": b"1"}, due={"ada": number}, outgoing=[(b"%d" % number, b"p")]))
        killable.kill()
    fresh = RedisStates(connect(killable.server.url), "shop", wait=lambda attempt: killable.restart())

    assert len(fresh.load([f"user-{number}" for number in range(5)])) == 5
    assert len(fresh.outbox(10)) == 5
    assert fresh.due(4, 10) == ["ada"] and fresh.due(3, 10) == []
    assert killable.kills == 5


def test_server_killed_during_commits_keeps_whole_bundles_and_all_that_were_answered(
    killable: KillableServer,
) -> None:
    url, bundles = killable.server.url, 1_500
    answered = 0

    def restart_and_check(attempt: int) -> None:
        killable.restart()
        fresh = RedisStates(connect(url), "shop", wait=give_up)
        cells = fresh.load(["ada", "bob"])
        assert cells.get("ada") == cells.get("bob")
        assert answered <= int(cells["ada"]) <= answered + 1
        assert len(fresh.outbox(bundles)) == int(cells["ada"])

    states = RedisStates(connect(url), "shop", wait=restart_and_check)

    def kill_now_and_then() -> None:
        for progress in (200, 600, 1_000):
            wait_until(lambda at_least=progress: answered >= at_least, f"{progress} commits")  # type: ignore[misc]
            killable.kill()

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    for number in range(1, bundles + 1):
        value = b"%d" % number
        states.commit(a_write(cells={"ada": value, "bob": value}, outgoing=[(b"%06d" % number, b"p")]))
        answered = number
    killer.join()

    assert killable.kills == 3
    assert len(RedisStates(connect(url), "shop").outbox(bundles + 1)) == bundles


def test_waiting_is_announced_and_goes_on_until_the_server_is_back(killable: KillableServer) -> None:
    announced: list[tuple[int, Exception]] = []

    def restart_at_the_third(attempt: int) -> None:
        if attempt == 3:
            killable.restart()

    states = RedisStates(
        connect(killable.server.url), "shop", wait=restart_at_the_third, on_wait=lambda *told: announced.append(told)
    )
    killable.kill()
    states.commit(a_write(cells={"ada": b"1"}))

    assert [attempt for attempt, _ in announced] == [1, 2, 3]
    assert all(isinstance(error, redis.ConnectionError) for _, error in announced)


def test_lost_answers_change_nothing(clean_redis: str) -> None:
    client = loses_answers(clean_redis)
    client.answers_to_lose = 2
    attempts: list[int] = []
    states = RedisStates(client, "shop", wait=attempts.append)
    states.commit(a_write(cells={"ada": b"1"}, due={"ada": 5}, outgoing=[(b"a", b"p")]))

    assert attempts == [1, 2]
    assert states.load(["ada"]) == {"ada": b"1"}
    assert len(states.outbox(10)) == 1


def test_cache_is_not_believed_after_a_commit_of_unknown_outcome(clean_redis: str) -> None:
    client = loses_answers(clean_redis)
    states = RedisStates(client, "shop", wait=give_up)
    states.commit(a_write(cells={"ada": b"1"}))
    client.answers_to_lose = 1
    with pytest.raises(GaveUpError):
        states.commit(a_write(cells={"ada": b"2"}))

    assert states.load(["ada"]) == {"ada": b"2"}


def test_commit_that_never_reached_the_server_is_not_in_the_cache(killable: KillableServer) -> None:
    states = RedisStates(connect(killable.server.url), "shop", wait=give_up)
    states.commit(a_write(cells={"ada": b"1", "bob": b"1"}))
    killable.kill()
    with pytest.raises(GaveUpError):
        states.commit(a_write(cells={"ada": b"2"}))
    assert states.load(["bob"]) == {"bob": b"1"}, "an untouched user is still known"
    killable.restart()

    assert states.load(["ada"]) == {"ada": b"1"}


def test_error_that_waiting_does_not_mend_is_raised(clean_redis: str) -> None:
    client = connect(clean_redis)
    states = RedisStates(client, "shop", wait=give_up)
    states.commit(a_write(cells={"ada": b"1"}))
    client.set("{shop}:sources:positions", "not a hash")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        states.commit(a_write(cells={"ada": b"2"}, positions={"file": b"1"}))

    fresh = RedisStates(client, "shop")
    assert states.load(["ada"]) == fresh.load(["ada"])


REFUSALS = {"no replica": {"min-replicas-to-write": "1"}, "no memory": {"maxmemory": "1"}}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_server_that_refuses_writes_is_waited_for(clean_redis: str, refusal: dict[str, str]) -> None:
    client = connect(clean_redis)
    before = {name: client.config_get(name)[name] or "" for name in refusal}
    errors: list[Exception] = []

    def relent(attempt: int) -> None:
        for name, value in before.items():
            client.config_set(name, value)

    states = RedisStates(client, "shop", wait=relent, on_wait=lambda attempt, error: errors.append(error))
    try:
        for name, value in refusal.items():
            client.config_set(name, value)
        states.commit(a_write(cells={"ada": b"1"}))
    finally:
        relent(0)

    assert len(errors) == 1
    assert states.load(["ada"]) == {"ada": b"1"}


def calls_of(client: redis.Redis, command: str) -> int:
    return int(client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


def test_cached_cells_are_not_asked_for_again(clean_redis: str) -> None:
    client = connect(clean_redis)
    states = RedisStates(client, "shop", cached_users_max=2)
    states.commit(a_write(cells={"ada": b"1"}))
    states.load(["nobody"])
    before = calls_of(client, "hmget")
    assert states.load(["ada", "nobody"]) == {"ada": b"1"}
    assert calls_of(client, "hmget") == before

    states.load(["third"])
    states.load(["nobody"])
    assert calls_of(client, "hmget") == before + 1, "of two places, the one used longest ago was given away"
    states.load(["ada"])
    assert calls_of(client, "hmget") == before + 2


def test_every_key_has_the_tenants_tag_and_no_user_in_its_name(clean_redis: str) -> None:
    client = connect(clean_redis)
    write = a_write(
        cells={"user-secret": b"1"}, due={"user-secret": 1}, outgoing=[(b"key", b"p")], positions={"file-name": b"1"}
    )
    for tenant in ("shop", "other"):
        RedisStates(client, tenant).commit(write)
    names: Callable[[], set[str]] = lambda: {name.decode() for name in client.scan_iter()}  # noqa: E731

    assert all(name.startswith(("{shop}:", "{other}:")) for name in names())
    assert not any("secret" in name or "file" in name for name in names())
    RedisStates(client, "shop").drop()
    assert names() and all(name.startswith("{other}:") for name in names())


@pytest.mark.parametrize("tenant", ["", "Shop", "a}b", "x" * 65, "shop\n"])
def test_tenant_that_could_break_a_keys_name_is_refused(tenant: str) -> None:
    with pytest.raises(ValueError, match="tenant"):
        RedisStates(connect("redis://127.0.0.1:1/0"), tenant)
