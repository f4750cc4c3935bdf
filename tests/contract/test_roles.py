"""deploy/redis/users.acl on a real server: each role can do all that is its work, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from runners.ops.budgets import account_rows, the_ledger
from runners.ops.campaigns import apply_folder
from runners.tenants import note_tenant, the_tenant
from schemas.errors import ServerRefusesError
from schemas.operations import Freeze, Move, SetCap, SetPace, SetState
from schemas.proposals import LimitSpec
from schemas.redis_connection import connect
from tests.support.campaigns import a_plan_set
from tests.support.ledgers import TENANT, a_held, a_reversal, a_single, an_account, an_operation, total
from tests.support.servers import OwnServer, once
from tests.support.user_states import a_write
from transforms.budget.floors import Floors
from transforms.budget.redis_ledger import RedisLedger
from transforms.budget.redis_log import RedisLog
from transforms.registry.redis_registry import RedisRegistry
from transforms.state.redis_state import RedisStates

ROLES = ["pipeline", "console", "keeper", "reader"]
FILE = Path(__file__).parents[2] / "deploy/redis/users.acl"
PASSWORD = "of-this-test"
ACCOUNTS = [
    an_account("tenant"),
    an_account("campaign/c1", LimitSpec("total", None, 1_000), LimitSpec("user/day", 9, None)),
    an_account("campaign/c3", LimitSpec("total", None, 1_000)),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """With the file's users, given a password, and an administrator of the test's own."""
    folder = tmp_path_factory.mktemp("roles")
    users = [f"{line} >{PASSWORD}" if " on " in line else line for line in FILE.read_text().splitlines()]
    (folder / "users.acl").write_text("\n".join([*users, f"user admin on >{PASSWORD} ~* &* +@all"]) + "\n")
    with OwnServer(folder, "--aclfile", str(folder / "users.acl"), "--enable-debug-command", "yes") as server:
        yield server


@pytest.fixture
def plan_set(tmp_path: Path) -> Any:
    return campaigns_that_grant(1, tmp_path)


def campaigns_that_grant(points: int, folder: Path) -> Any:
    text = f"tenant: {TENANT}\n---\ncampaign: c1\ntrigger: {{on: purchase}}\ngrant: {{points: {points}}}"
    return a_plan_set(folder / str(points), text)


class Work:
    """What a role does, each method a piece of work that stands alone."""

    def __init__(self, server: OwnServer, user: str, plan_set: Any) -> None:
        self.url = f"redis://{user}:{PASSWORD}@127.0.0.1:{server.port}/0"
        self.client, self.plan_set = connect(self.url), plan_set
        self.ledger = RedisLedger(self.client, TENANT)
        self.registry = RedisRegistry(self.client, TENANT)

    def decide(self) -> None:
        both = [a_single("made", 5, slices=(("user/day", 0),)), a_held("held", 5, 10)]
        self.ledger.decide([*both, a_reversal("whole", "made"), a_reversal("part", "held", share=(1, 2))])
        self.ledger.decide([a_reversal("early", "to come"), a_single("late", 5, at_ms=20)])
        assert [len(decisions) for _, decisions in self.ledger.decide_in_turn([both, both])] == [2, 2]

    def keep_states(self) -> None:
        states = RedisStates(self.client, TENANT)
        states.commit(a_write(cells={"ada": b"1"}, due={"ada": 5}, outgoing=[(b"k", b"p")], positions={"f": b"1"}))
        states.commit(a_write(cells={"ada": None}, due={"ada": None}))
        RedisStates(self.client, TENANT, cached_users_max=0).load(["ada"])
        assert states.due(9, 1) == []
        assert len(states.outbox(9)) == 1
        states.settled([b"k"])
        assert states.position("f") == b"1"

    def sweep(self) -> None:
        self.ledger.mature(1_000)

    def publish_what_is_marked(self) -> None:
        entries = self.ledger.unpublished(10)
        assert self.ledger.entry(entries[0].entry)
        self.ledger.unmark([entries[0].entry])

    def keep_the_log(self) -> None:
        log = RedisLog(self.client, TENANT)
        token, _ = log.lease("a test", 0, 1_000)
        assert [len(log.logged("", 10)), len(log.ripe(0)), log.watermark_ms()] == [1, 0, None]
        assert log.audited("", 10)
        assert log.trim(token, 0, "") == 0
        log.lease("a test", 0, 0)

    def drop_what_is_old(self) -> None:
        self.ledger.drop(Floors(1))
        assert self.ledger.floors() == Floors(1)

    def find_the_tenant(self) -> None:
        assert the_tenant(self.client, None) == TENANT

    def read_campaigns(self) -> None:
        assert self.registry.revision() == len(self.registry.sets()) == 1

    def show_budgets(self) -> None:
        assert account_rows(the_ledger(self.url, TENANT), ["campaign/c1"], True, 0)
        assert self.ledger.frozen() is None

    def define_accounts(self) -> None:
        self.ledger.define([*ACCOUNTS, an_account("campaign/c2")], who="a test")

    def operate_budgets(self) -> None:
        for change in (
            SetCap("campaign/c1", "total", "grants", 500),
            SetState("campaign/c1", "paused"),
            SetState("campaign/c1", "open"),
            SetPace("campaign/c1", None),
            Move("campaign/c1", "campaign/c3", 1),
            Freeze(True),
            Freeze(False),
        ):
            self.ledger.operate(an_operation(change))

    def read_the_audit(self) -> None:
        assert list(self.ledger.audit())

    def publish_campaigns(self) -> None:
        self.registry.publish(msgspec.structs.replace(self.plan_set, number=9))

    def note_a_tenant(self) -> None:
        note_tenant(self.client, TENANT)

    def apply_campaigns(self) -> None:
        apply_folder(self.plan_set, self.url, None, "a test")


WORK = {name: work for name, work in vars(Work).items() if not name.startswith("_")}
LEDGER = {"decide", "sweep", "publish_what_is_marked"}
"""One role cannot have less of these: what they read and write is the same."""

DOES = {
    "pipeline": LEDGER | {"find_the_tenant", "read_campaigns", "keep_states", "show_budgets"},
    "console": set(WORK),
    "keeper": LEDGER | {"find_the_tenant", "read_campaigns", "keep_the_log", "drop_what_is_old"},
    "reader": {"find_the_tenant", "read_campaigns", "show_budgets", "read_the_audit"},
}
"""Of each role its work; the rest is refused."""

FOR_NOBODY = [
    "FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET *", "CONFIG SET maxmemory 1", "DEBUG SLEEP 0", "ACL LIST", "SHUTDOWN",
    "SCRIPT FLUSH", "SCRIPT KILL", "CLIENT KILL TYPE normal", "CLIENT PAUSE 1", "MONITOR", "REPLICAOF NO ONE", "SAVE",
    "FUNCTION FLUSH", "SWAPDB 0 1", "SORT {shop}:accounts", "MIGRATE h 1 k 0 1", "GET other", "PUBLISH c m",
]  # fmt: skip


@pytest.fixture
def prepared(server: OwnServer, tmp_path: Path) -> OwnServer:
    """A tenant in force, with a decision that is not published yet."""
    client = once(server.port, username="admin", password=PASSWORD)
    client.flushall()
    ledger = RedisLedger(client, TENANT)
    ledger.define(ACCOUNTS)
    ledger.decide([a_single("first", 5)])
    RedisRegistry(client, TENANT).publish(campaigns_that_grant(2, tmp_path))
    note_tenant(client, TENANT)
    return server


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("role", ROLES)
def test_role_does_its_work_and_no_other(prepared: OwnServer, plan_set: Any, role: str, work: str) -> None:
    do: Callable[[Work], None] = WORK[work]
    try:
        do(Work(prepared, role, plan_set))
        done = True
    except ServerRefusesError:
        done = False
    except redis.exceptions.ResponseError as error:
        assert re.search("(?i)permission|can't access", str(error)), error
        done = False
    assert done == (work in DOES[role])


@pytest.mark.parametrize("command", FOR_NOBODY)
@pytest.mark.parametrize("role", ROLES)
def test_nobody_can_harm_the_server(prepared: OwnServer, role: str, command: str) -> None:
    client = once(prepared.port, username=role, password=PASSWORD)
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command.split())


@pytest.mark.parametrize("kind", ["registry", "accounts", "audit"])
def test_pipeline_cannot_write_what_operators_write(prepared: OwnServer, kind: str) -> None:
    client = once(prepared.port, username="pipeline", password=PASSWORD)
    key = f"{{{TENANT}}}:{kind}"
    for script in ("return redis.call('HSET', KEYS[1], '1', 'x')", "return redis.call('XADD', KEYS[1], '*', 'a', 'b')"):
        with pytest.raises(redis.exceptions.ResponseError, match="(?i)no permission|can't access|NOPERM"):
            client.eval(script, 1, key)


def test_role_of_one_tenant_sees_no_other(prepared: OwnServer) -> None:
    admin = once(prepared.port, username="admin", password=PASSWORD)
    rules = next(line for line in FILE.read_text().splitlines() if line.startswith("user pipeline "))
    narrowed = rules.replace("{*}", f"{{{TENANT}}}").split()[2:]
    admin.execute_command("ACL", "SETUSER", "narrow", "reset", *narrowed, f">{PASSWORD}")
    client = once(prepared.port, username="narrow", password=PASSWORD)
    assert total(RedisLedger(client, TENANT)) == (1, 5)
    with pytest.raises(ServerRefusesError):
        RedisLedger(client, "other").snapshot()


def test_nobody_comes_in_without_a_name(server: OwnServer) -> None:
    with pytest.raises(redis.AuthenticationError):
        once(server.port).ping()


def test_file_as_it_is_lets_nobody_in(tmp_path: Path) -> None:
    with OwnServer(tmp_path, "--aclfile", str(FILE)) as server:
        for role in [*ROLES, "default"]:
            for password in ("", PASSWORD):
                with pytest.raises(redis.AuthenticationError):
                    once(server.port, username=role, password=password).ping()
