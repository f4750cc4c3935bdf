"""Connect to Redis or Valkey, and tell weather from mistakes in what it answers.

The lowest folder holds it because the ledger, the users' state and the registry all connect alike and may not
import each other. Every write sent through such a connection must be idempotent: the client repeats a call that
got no answer, so one call may be applied several times (facts/redis.md section 5).
"""

from __future__ import annotations

import os
from typing import NamedTuple

import redis
from redis import exceptions
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

RETRIES = 4
"""Further tries inside one call after a lost connection or a timeout, 0.02 s to 0.5 s apart."""

SOCKET_TIMEOUT_S = 2.0
"""Bound on connecting and on one answer; a batch for the ledger takes some milliseconds (facts/redis.md section 2)."""

PROTOCOL = 2
"""RESP2: every minimum server speaks it, and no server pushes arrive between answers as they may with RESP3."""

_CLIENTS: dict[tuple[int, str], redis.Redis] = {}


def connect(url: str) -> redis.Redis:
    """A client for `url` (redis://, rediss:// or unix://), the same one each time within a process.

    It connects when it is first used. The settings are explicit because redis-py's own (ten retries, five seconds)
    differ between versions; those in the URL's query win over them. Answers are bytes. The client is safe to share
    between threads, and a forked child gets one of its own.
    """
    key = (os.getpid(), url)
    client = _CLIENTS.get(key)
    if client is None:
        client = _CLIENTS.setdefault(key, _new_client(url))
    return client


def _new_client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        retry=Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.5), RETRIES),
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        protocol=PROTOCOL,
        decode_responses=False,
    )


class TransientRule(NamedTuple):
    """One row of the table: an error of this class (and, if given, with this text) is weather, or is not.

    Attributes:
      error: the class, subclasses included.
      code: the first word of the server's answer, exactly; None = any.
      text: a part of the server's answer; None = any. For answers that have a class and a code of nobody's own.
      transient: True = the same call may succeed later and must be repeated with the same ids.
    """

    error: type[BaseException]
    code: str | None
    text: str | None
    transient: bool


TRANSIENT_RULES: tuple[TransientRule, ...] = (
    # Refused credentials are connection errors to redis-py, but waiting does not mend them.
    TransientRule(exceptions.AuthenticationError, None, None, False),
    TransientRule(exceptions.AuthorizationError, None, None, False),
    TransientRule(exceptions.AuthenticationWrongNumberOfArgsError, None, None, False),
    TransientRule(exceptions.NoPermissionError, None, None, False),
    # The network, a server that starts (BusyLoadingError) or has no connection left: no answer, the outcome is unknown.
    TransientRule(exceptions.ConnectionError, None, None, True),
    TransientRule(exceptions.TimeoutError, None, None, True),
    # A cluster or a failover in motion.
    TransientRule(exceptions.ReadOnlyError, None, None, True),
    TransientRule(exceptions.ClusterError, None, None, True),
    TransientRule(exceptions.AskError, None, None, True),
    TransientRule(exceptions.TryAgainError, None, None, True),
    TransientRule(exceptions.SlotNotCoveredError, None, None, True),
    # A server that will take it later: nothing was written.
    TransientRule(exceptions.NoScriptError, None, None, True),
    TransientRule(exceptions.OutOfMemoryError, None, None, True),
    TransientRule(exceptions.ResponseError, "NOREPLICAS", None, True),
    TransientRule(exceptions.ResponseError, "MISCONF", None, True),
    TransientRule(exceptions.ResponseError, "BUSY", None, True),
    TransientRule(exceptions.ResponseError, "FROZEN", None, True),
    TransientRule(exceptions.ResponseError, "ROLLBACK", None, True),
    TransientRule(exceptions.ResponseError, None, "Function not found", True),
    TransientRule(exceptions.ResponseError, None, "killed by user", True),
    # What is left of the server's answers is a mistake of ours: CROSSSLOT, WRONGTYPE, an error inside a script.
    TransientRule(exceptions.RedisError, None, None, False),
    TransientRule(exceptions.RedisClusterException, None, None, False),
)
"""The table of facts/redis.md section 5; the first row that fits decides, and what fits none is not transient."""

_PIPELINE_MARK = " of pipeline caused error: "


def is_transient(error: BaseException) -> bool:
    """True if the same call may succeed later without anyone's help; an unanswered one may have been applied."""
    answer = _answer(error)
    for rule in TRANSIENT_RULES:
        if _fits(rule, error, answer):
            return rule.transient
    return False


def _fits(rule: TransientRule, error: BaseException, answer: str) -> bool:
    if not isinstance(error, rule.error):
        return False
    if rule.code is not None and answer.split(" ", 1)[0] != rule.code:
        return False
    return rule.text is None or rule.text in answer


def _answer(error: BaseException) -> str:
    """The server's own words: redis-py puts the command in front of the answer when it came in a pipeline."""
    message = str(error.args[0]) if error.args else ""
    return message.split(_PIPELINE_MARK, 1)[1] if _PIPELINE_MARK in message else message
