"""The table of errors, row by row, provoked on a real server: what it is called, and what became of the decision.

Of a call that ended in an error the same ids are asked again afterwards: what was decided is answered as it was, what
was not is decided then, and the account counts each once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import redis
from redis import exceptions

from schemas.errors import LedgerUnavailableError, ServerRefusesError
from schemas.operations import Freeze
from schemas.proposals import LimitSpec
from schemas.redis_connection import connect
from schemas.redis_errors import CAUGHT, Meaning, Outcome, explained, rule_of
from tests.support.ledgers import TENANT, a_single, amounts, an_operation, capped, total
from tests.support.servers import OwnServer, a_cluster, cluster, cluster_url, free_port, once
from tests.support.waiting import wait_until
from transforms.budget.keys import control, declared
from transforms.budget.redis_ledger import RedisLedger
from transforms.budget.redis_question import Question
from transforms.budget.scripts import source

CONTROL = control(TENANT)
ENDLESS = "while true do end"
SLOW = "local from = redis.call('TIME') repeat local now = redis.call('TIME') until (now[1] - from[1]) * 1e6 + now[2] - from[2] > 4e5"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    folder = tmp_path_factory.mktemp("errors")
    with OwnServer(folder, "--appendonly", "yes", "--busy-reply-threshold", "20", "--repl-timeout", "1") as server:
        yield server


def a_client(server: OwnServer) -> redis.Redis:
    return once(server.port)


class Trouble(NamedTuple):
    """A state of the server in which a decision fails.

    Attributes:
      begin, end: put the server into it, and out of it.
      client: that the decision is asked with; of one try.
    """

    begin: Callable[[OwnServer], object]
    end: Callable[[OwnServer], object]
    meaning: Meaning
    outcome: Outcome
    error: type[BaseException]
    says: str
    client: Callable[[OwnServer], redis.Redis] = a_client


def configured(
    name: str, value: str, before: str
) -> tuple[Callable[[OwnServer], object], Callable[[OwnServer], object]]:
    return (lambda server: server.client.config_set(name, value)), (
        lambda server: server.client.config_set(name, before)
    )


def ignored(client: redis.Redis, *command: str | int) -> threading.Thread:
    """Send a command from a thread of its own, whatever comes of it."""

    def send() -> None:
        with suppress(redis.RedisError):
            client.execute_command(*command)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def keep_busy(server: OwnServer, script: str) -> None:
    ignored(once(server.port), "EVAL", script, 0)
    wait_until(lambda: is_busy(server), "a script is called too long")


def is_busy(server: OwnServer) -> bool:
    try:
        server.client.ping()
    except redis.ResponseError as error:
        return "BUSY" in str(error)
    return False


def kill_script(server: OwnServer) -> None:
    server.client.script_kill()
    wait_until(lambda: not is_busy(server), "the script has ended")


def cut_off(server: OwnServer, serve_stale: str) -> None:
    server.client.config_set("replica-serve-stale-data", serve_stale)
    server.client.replicaof("127.0.0.1", free_port())


def promote(server: OwnServer) -> None:
    server.client.replicaof("NO", "ONE")
    server.client.config_set("replica-serve-stale-data", "yes")


def freeze(server: OwnServer, frozen: bool) -> None:
    RedisLedger(server.client, TENANT).operate(an_operation(Freeze(frozen)))


def fail_to_save(server: OwnServer) -> None:
    (server.folder / "dump.rdb").mkdir()  # the snapshot cannot take its name
    server.client.config_set("save", "3600 1")
    server.client.bgsave()
    wait_until(lambda: server.client.info("persistence")["rdb_last_bgsave_status"] == "err", "the snapshot has failed")


def save(server: OwnServer) -> None:
    (server.folder / "dump.rdb").rmdir()
    server.client.config_set("save", "")


def restart_slowly(server: OwnServer) -> None:
    """So that it is loading for a while: it waits at each key."""
    server.client.mset({f"padding-{number}": os.urandom(2_000) for number in range(20)})
    server.client.execute_command("BGREWRITEAOF")
    wait_until(lambda: not server.client.info("persistence")["aof_rewrite_in_progress"], "the file is rewritten")
    server.kill()
    server.start("--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024")


def loaded(server: OwnServer) -> None:
    wait_until(lambda: not server.client.info("persistence")["loading"], "the data is loaded")
    server.client.config_set("key-load-delay", "0")


def restart(server: OwnServer) -> None:
    server.kill()
    server.start()


def a_client_without(right: str) -> Callable[[OwnServer], redis.Redis]:
    def make(server: OwnServer) -> redis.Redis:
        server.client.execute_command("ACL", "SETUSER", "weak", "reset", "on", ">pw", "~*", "+@all", f"-{right}")
        return once(server.port, username="weak", password="pw")

    return make


def a_connected_client(server: OwnServer) -> redis.Redis:
    """Whose connection is there already, and cut in the middle of its next call."""
    client = once(server.port)
    client.ping()
    server.client.execute_command("CLIENT", "PAUSE", 10_000, "WRITE")
    name = client.client_id()
    threading.Timer(0.1, lambda: once(server.port).client_kill_filter(_id=str(name))).start()
    return client


class AfterASlowScript(redis.Redis):
    """Its calls are sent and decided, but not answered in time: a slow script comes before them."""

    def evalsha(self, *command: object) -> None:
        with self.pipeline(transaction=False) as pipe:
            pipe.eval(SLOW, 0)
            pipe.evalsha(*command)
            pipe.execute()


class Reading(redis.Redis):
    """Asks by a read: a replica refuses writes before it tells that its master is gone."""

    def evalsha(self, *command: object) -> None:
        self.hgetall(CONTROL)


def nothing(server: OwnServer) -> None:
    pass


NOTHING, UNKNOWN, PART = Outcome.NOTHING, Outcome.UNKNOWN, Outcome.PART
WEATHER, SCRIPT, SETUP, BUG = Meaning.WEATHER, Meaning.SCRIPT, Meaning.SETUP, Meaning.BUG
ACCOUNT = f"{{{TENANT}}}:account:campaign/c1"

TROUBLES = {
    "refused": Trouble(lambda s: s.kill(), lambda s: s.start(), WEATHER, UNKNOWN, exceptions.ConnectionError, "refused"),
    "killed": Trouble(nothing, lambda s: s.client.execute_command("CLIENT", "UNPAUSE"), WEATHER, UNKNOWN,
                      exceptions.ConnectionError, "", a_connected_client),
    "timeout": Trouble(nothing, lambda s: wait_until(lambda: not is_busy(s), "the slow script has ended"), WEATHER, UNKNOWN,
                       exceptions.TimeoutError, "Timeout", lambda s: once(s.port, AfterASlowScript, socket_timeout=0.1)),
    "loading": Trouble(restart_slowly, loaded, WEATHER, NOTHING, exceptions.BusyLoadingError, "loading"),
    "maxclients": Trouble(*configured("maxclients", "1", "1000"), WEATHER, NOTHING, exceptions.ConnectionError, "maxclients"),
    "no password": Trouble(*configured("requirepass", "x", ""), SETUP, NOTHING, exceptions.AuthenticationError, "password_file="),
    "wrong password": Trouble(*configured("requirepass", "x", ""), SETUP, NOTHING, exceptions.AuthenticationError, "password is wrong",
                              lambda s: once(s.port, password="y")),
    "superfluous password": Trouble(nothing, nothing, SETUP, NOTHING, exceptions.AuthenticationError, "asks for none",
                                    lambda s: once(s.port, password="y")),
    "noperm": Trouble(nothing, nothing, SETUP, NOTHING, exceptions.NoPermissionError, "users.acl", a_client_without("evalsha")),
    "noperm in a script": Trouble(nothing, nothing, SETUP, PART, exceptions.ResponseError, "users.acl", a_client_without("xadd")),
    "noscript": Trouble(lambda s: s.client.script_flush(), nothing, SCRIPT, NOTHING, exceptions.NoScriptError, "script"),
    "readonly": Trouble(lambda s: cut_off(s, "yes"), promote, WEATHER, NOTHING, exceptions.ReadOnlyError, "redis+sentinel://"),
    "masterdown": Trouble(lambda s: cut_off(s, "no"), promote, WEATHER, NOTHING, exceptions.MasterDownError, "lost its master",
                          lambda s: once(s.port, Reading)),
    "noreplicas": Trouble(*configured("min-replicas-to-write", "1", "0"), WEATHER, NOTHING, exceptions.ResponseError, "min-replicas"),
    "oom": Trouble(*configured("maxmemory", "1", "0"), WEATHER, NOTHING, exceptions.OutOfMemoryError, "raise maxmemory"),
    "frozen": Trouble(lambda s: freeze(s, True), lambda s: freeze(s, False), WEATHER, NOTHING, exceptions.ResponseError, "unfrozen"),
    "misconf": Trouble(fail_to_save, save, WEATHER, NOTHING, exceptions.ResponseError, "disk"),
    "busy": Trouble(lambda s: keep_busy(s, ENDLESS), kill_script, WEATHER, NOTHING, exceptions.ResponseError, "another script"),
    "wrongtype": Trouble(lambda s: (s.client.rename(ACCOUNT, "aside"), s.client.set(ACCOUNT, "text")),
                         lambda s: s.client.rename("aside", ACCOUNT), BUG, PART, exceptions.ResponseError, "another program"),
}  # fmt: skip

IN_A_CALL = [
    name for name, trouble in TROUBLES.items() if trouble.meaning in (WEATHER, SCRIPT) and trouble.client is a_client
]


@pytest.mark.parametrize("name", TROUBLES)
def test_error_is_what_the_table_says_and_the_same_ids_get_one_answer(server: OwnServer, name: str) -> None:
    trouble = TROUBLES[name]
    earlier, asked = [a_single("earlier", 5)], [a_single("asked", 7)]
    ledger = a_ledger(server)
    ledger.decide(earlier)
    with in_trouble(server, trouble):
        client = trouble.client(server)
        with pytest.raises(CAUGHT) as caught:
            decide_by_hand(client, asked)
    rule = rule_of(caught.value)
    assert rule is not None
    assert (rule.meaning, rule.outcome) == (trouble.meaning, trouble.outcome)
    assert isinstance(caught.value, trouble.error)
    assert trouble.says in explained(caught.value)
    decisions = ledger.decide([*earlier, *asked])
    assert amounts(decisions) == [5, 7]
    assert decisions[0].repeated
    assert decisions[1].repeated == (name in ("timeout", "noperm in a script")), "it was written when the error came"
    assert total(ledger) == (2, 12)


@pytest.mark.parametrize("name", IN_A_CALL)
def test_ledger_waits_until_the_trouble_is_over(server: OwnServer, name: str) -> None:
    trouble = TROUBLES[name]
    a_ledger(server)
    waits: list[int] = []

    def wait(attempt: int) -> None:
        waits.append(attempt)
        trouble.end(server)

    client = connect(f"{server.url}?socket_timeout=0.05")
    client.connection_pool.disconnect()
    ledger = RedisLedger(client, TENANT, wait)
    trouble.begin(server)
    try:
        assert amounts(ledger.decide([a_single("asked", 7)])) == [7]
    finally:
        if not waits:
            trouble.end(server)
    assert waits == [1] or (name in ("noscript", "loading") and not waits), "redis-py's own tries may do"
    assert total(ledger) == (1, 7)


@pytest.mark.parametrize("name", ["no password", "readonly"])
def test_error_of_the_ledger_says_what_would_be_right(server: OwnServer, name: str) -> None:
    trouble = TROUBLES[name]
    ledger = RedisLedger(connect(f"{server.url}?socket_timeout=1"), TENANT, give_up)
    with in_trouble(server, trouble), pytest.raises((ServerRefusesError, LedgerUnavailableError)) as caught:
        connect(f"{server.url}?socket_timeout=1").connection_pool.disconnect()
        ledger.decide([a_single("asked", 7)])
    assert isinstance(caught.value, ServerRefusesError) == (trouble.meaning is SETUP)
    assert trouble.says in str(caught.value)


def test_script_that_is_killed_has_done_nothing(server: OwnServer) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            once(server.port).eval(ENDLESS, 0)
        except redis.RedisError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: is_busy(server), "a script is called too long")
    kill_script(server)
    thread.join()
    rule = rule_of(errors[0])
    assert rule is not None
    assert (rule.meaning, rule.outcome) == (WEATHER, NOTHING)


def test_what_a_script_wrote_before_its_error_stays(server: OwnServer) -> None:
    server.client.flushall()
    with pytest.raises(redis.ResponseError) as caught:
        server.client.eval("#!lua\nredis.call('SET', KEYS[1], 1) redis.call('HGET', KEYS[1], 'f')", 1, "k")
    rule = rule_of(caught.value)
    assert rule is not None
    assert (rule.meaning, rule.outcome) == (BUG, PART)
    assert server.client.get("k") == b"1"


def test_nodes_of_a_cluster_say_what_they_are(tmp_path: Path) -> None:
    with a_cluster(tmp_path, 2) as (first, second):
        home, other = (first, second) if cluster(first, "KEYSLOT", CONTROL) < 8192 else (second, first)
        for url in (first.url, second.url):
            connect(url).flushall()
        capped(RedisLedger(connect(cluster_url([home])), TENANT), LimitSpec("total", None, 20))
        with pytest.raises(exceptions.MovedError) as moved:
            decide_by_hand(once(other.port), [a_single("asked", 7)])
        assert "redis+cluster://" in explained(moved.value)
        with pytest.raises(ServerRefusesError, match=r"redis\+cluster://"):
            RedisLedger(connect(other.url), TENANT, give_up).decide([a_single("asked", 7)])
        with pytest.raises(exceptions.ClusterCrossSlotError) as crossed:
            once(home.port).mget("{a}", "{b}")
        assert meaning(crossed.value) is BUG
        with pytest.raises(exceptions.RedisClusterException) as crossed_in_client:
            connect(cluster_url([home])).rename("{a}", "{b}")
        assert meaning(crossed_in_client.value) is BUG
        cluster(home, "DELSLOTS", cluster(home, "KEYSLOT", CONTROL))
        with pytest.raises(exceptions.ClusterDownError) as down:
            decide_by_hand(once(home.port), [a_single("asked", 7)])
        assert meaning(down.value) is WEATHER
        with pytest.raises(LedgerUnavailableError):
            RedisLedger(connect(cluster_url([home])), TENANT, give_up).decide([a_single("asked", 7)])


def test_single_server_is_no_cluster(server: OwnServer) -> None:
    with pytest.raises(Exception, match="a single server is redis://"):
        connect(f"redis+cluster://127.0.0.1:{server.port}")


def test_cluster_that_is_away_is_weather() -> None:
    with pytest.raises(redis.ConnectionError) as refused:
        connect(f"redis+cluster://127.0.0.1:{free_port()}")
    assert meaning(refused.value) is WEATHER


def a_ledger(server: OwnServer) -> RedisLedger:
    """One that never waits, on an emptied server that has its scripts."""
    server.client.flushall()
    ledger = RedisLedger(once(server.port), TENANT, give_up)
    capped(ledger, LimitSpec("total", None, 20))
    server.client.script_load(source("decide"))
    return ledger


def decide_by_hand(client: redis.Redis, requests: list[object]) -> None:
    """The script as it is called between batches in turn: by its hash, without loading it where it is unknown."""
    client.evalsha(client.register_script(source("decide")).sha, 2, *declared(TENANT), *Question(requests).arguments)


@contextmanager
def in_trouble(server: OwnServer, trouble: Trouble) -> Iterator[None]:
    trouble.begin(server)
    try:
        yield
    finally:
        trouble.end(server)


def meaning(error: BaseException) -> Meaning:
    rule = rule_of(error)
    assert rule is not None
    return rule.meaning


def give_up(_: int) -> None:
    raise TimeoutError
