"""The table of transient errors, row by row, and the settings of a connection; no server is asked."""

from __future__ import annotations

import os

import pytest
from redis import exceptions

from schemas.redis_connection import PROTOCOL, RETRIES, SOCKET_TIMEOUT_S, connect
from schemas.redis_errors import is_transient

PIPELINE = "Command # 1 (HSET k BUSY) of pipeline caused error: "

TRANSIENT: list[Exception] = [
    exceptions.ConnectionError("Error 111 connecting to 127.0.0.1:1. Connection refused."),
    exceptions.ConnectionError("max number of clients reached"),
    exceptions.MaxConnectionsError("Too many connections"),
    exceptions.TimeoutError("Timeout reading from socket"),
    exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
    exceptions.NoScriptError("No matching script. Please use EVAL."),
    exceptions.ReadOnlyError("You can't write against a read only replica."),
    exceptions.MasterDownError("MASTERDOWN Link with MASTER is down"),
    exceptions.ClusterDownError("CLUSTERDOWN The cluster is down"),
    exceptions.AskError("1234 127.0.0.1:7001"),
    exceptions.TryAgainError("Multiple keys request during rehashing of slot"),
    exceptions.ClusterError("TTL exhausted."),
    exceptions.SlotNotCoveredError("Slot 1 is not covered"),
    exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
    exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
    exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
    exceptions.ResponseError("BUSY Redis is busy running a script."),
    exceptions.ResponseError("Error running script: Script killed by user with SCRIPT KILL."),
    exceptions.ResponseError(PIPELINE + "NOREPLICAS Not enough good replicas to write."),
]

LASTING: list[BaseException] = [
    exceptions.AuthenticationError("invalid username-password pair or user is disabled."),
    exceptions.AuthenticationError("Authentication required."),
    exceptions.AuthorizationError("refused"),
    exceptions.AuthenticationWrongNumberOfArgsError("wrong number of arguments for 'auth' command"),
    exceptions.NoPermissionError("this user has no permissions to run the 'hset' command"),
    exceptions.ResponseError("ACL failure in script: this user has no permissions to run the 'hset' command"),
    exceptions.ResponseError("UNKILLABLE Sorry the script already executed write commands"),
    exceptions.ClusterCrossSlotError("Keys in request don't hash to the same slot"),
    exceptions.CrossSlotTransactionError("Keys involved in a cluster transaction must map to the same slot"),
    exceptions.RedisClusterException("No way to dispatch this command to Redis Cluster."),
    exceptions.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
    exceptions.ResponseError("BUSYGROUP Consumer Group name already exists"),
    exceptions.ResponseError(PIPELINE + "WRONGTYPE Operation against a key holding the wrong kind of value"),
    exceptions.ResponseError("user_script:1: attempt to index a nil value"),
    exceptions.ResponseError(),
    exceptions.ExecAbortError("Transaction discarded because of previous errors."),
    exceptions.DataError("Invalid input of type: 'NoneType'."),
    exceptions.WatchError("Watched variable changed."),
    ValueError("BUSY"),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", TRANSIENT, ids=repr)
def test_error_that_time_mends_is_transient(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_error_that_time_does_not_mend_is_not_transient(error: BaseException) -> None:
    assert not is_transient(error)


def test_connection_has_the_stated_settings() -> None:
    settings = connect("redis://:secret@127.0.0.1:1/0").connection_pool.connection_kwargs

    assert settings["retry"].get_retries() == RETRIES
    assert settings["retry"]._backoff.compute(1000) == 0.5
    assert settings["socket_timeout"] == settings["socket_connect_timeout"] == SOCKET_TIMEOUT_S
    assert settings["protocol"] == PROTOCOL
    assert not settings.get("decode_responses")


def test_connection_is_the_same_within_a_process() -> None:
    assert connect("redis://127.0.0.1:1/0") is connect("redis://127.0.0.1:1/0")
    assert connect("redis://127.0.0.1:1/0") is not connect("redis://127.0.0.1:1/1")


def test_connection_is_not_shared_with_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    here = connect("redis://127.0.0.1:1/0")
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert connect("redis://127.0.0.1:1/0") is not here


def test_unanswered_call_ends_as_a_transient_error() -> None:
    with pytest.raises(exceptions.ConnectionError) as refused:
        connect("redis://127.0.0.1:1/0").ping()
    assert is_transient(refused.value)
