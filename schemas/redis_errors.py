"""What each error of a Redis or Valkey server means: weather, a wrong setup or a bug; and what may have happened.

The class alone does not tell (refused credentials are connection errors to redis-py, a cluster client's errors are no
RedisError), so this is a table: facts/redis.md section 5, with a test for each row that can be provoked
(tests/faults/test_redis_errors.py).
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from redis import exceptions
from redis.sentinel import MasterNotFoundError


class Meaning(Enum):
    """What to do about an error."""

    WEATHER = "wait, then repeat the same call with the same ids"
    SCRIPT = "load the script, then repeat the same call"
    SETUP = "tell the operator: the server, the URL or the user's rights must change first"
    BUG = "crash: the call itself is wrong"


class Outcome(Enum):
    """What is known of the call that ended so."""

    NOTHING = "nothing was done"
    UNKNOWN = "it may have been done, once or several times"
    PART = "what a script wrote before it failed stays"


class ErrorRule(NamedTuple):
    """One row of the table.

    Attributes:
      error: the class, subclasses included.
      code: the first word of the server's answer, exactly; None = any.
      text: a part of the answer; None = any. For answers that share their class and code with others.
      advice: what would be right, for whoever reads the error; empty = the answer says it.
      plain: True = only for a client of a single server: a cluster's client follows by itself, and shows this error
        only while the nodes do not agree.
    """

    error: type[BaseException]
    code: str | None
    text: str | None
    meaning: Meaning
    outcome: Outcome
    advice: str = ""
    plain: bool = False


CAUGHT = (exceptions.RedisError, exceptions.RedisClusterException)
"""All that redis-py raises on purpose: the second is no RedisError."""

_NAME_USER = "give user and password in the URL, or user@ with password_file= or password_env="
_WRONG_USER = "user or password is wrong, or the user is off"
_RIGHTS = "the user lacks this right: deploy/redis/users.acl has what each role needs"
_SENTINEL = "give the sentinels' password: sentinel_password_file= or sentinel_password_env="
_TRUST = "name the CA that signed the server's certificate: ssl_ca_certs=FILE"
_CLIENT_CERTIFICATE = "the server wants a client certificate: ssl_certfile= and ssl_keyfile="
_REPLICA = "this server is a replica: name its master, or the sentinels: redis+sentinel://"
_REPLICA_CUT = "this replica has lost its master: name the master, or the sentinels"
_NODE = "this server is one node of a cluster: redis+cluster://"

_WEATHER, _SCRIPT, _SETUP, _BUG = Meaning.WEATHER, Meaning.SCRIPT, Meaning.SETUP, Meaning.BUG
_NOTHING, _UNKNOWN, _PART = Outcome.NOTHING, Outcome.UNKNOWN, Outcome.PART
_E = exceptions

ERROR_RULES: tuple[ErrorRule, ...] = (
    # Refused credentials are connection errors to redis-py, but waiting does not mend them.
    ErrorRule(_E.AuthenticationError, None, "Authentication required", _SETUP, _NOTHING, _NAME_USER),
    ErrorRule(_E.AuthenticationError, None, "without any password", _SETUP, _NOTHING, "this server asks for none"),
    ErrorRule(_E.AuthenticationError, None, "password_", _SETUP, _NOTHING),
    ErrorRule(_E.AuthenticationError, None, None, _SETUP, _NOTHING, _WRONG_USER),
    ErrorRule(_E.AuthorizationError, None, None, _SETUP, _NOTHING, _RIGHTS),
    ErrorRule(_E.AuthenticationWrongNumberOfArgsError, None, None, _SETUP, _NOTHING, _NAME_USER),
    ErrorRule(_E.NoPermissionError, None, None, _SETUP, _NOTHING, _RIGHTS),
    # In a script rights are asked at each command, and the answer has a class and a code of nobody's own.
    ErrorRule(_E.ResponseError, None, "ACL failure in script", _SETUP, _PART, _RIGHTS),
    ErrorRule(_E.ResponseError, None, "The user executing the script can't", _SETUP, _PART, _RIGHTS),
    # A refusal inside the search for a master or for a cluster's nodes; else nobody answers there, or nobody knows.
    ErrorRule(MasterNotFoundError, None, "AuthenticationError", _SETUP, _NOTHING, _SENTINEL),
    ErrorRule(MasterNotFoundError, None, None, _WEATHER, _NOTHING, "a failover, or no service of this name"),
    ErrorRule(_E.RedisClusterException, None, "username-password", _SETUP, _NOTHING, _WRONG_USER),
    ErrorRule(_E.RedisClusterException, None, "Authentication required", _SETUP, _NOTHING, _NAME_USER),
    ErrorRule(_E.RedisClusterException, None, "mode is not enabled", _SETUP, _NOTHING, "a single server is redis://"),
    ErrorRule(_E.RedisClusterException, None, "cannot be connected", _WEATHER, _UNKNOWN),
    ErrorRule(_E.RedisClusterException, None, "slots are not covered", _WEATHER, _UNKNOWN),
    ErrorRule(_E.SlotNotCoveredError, None, None, _WEATHER, _NOTHING),
    # TLS that cannot be agreed on.
    ErrorRule(_E.ConnectionError, None, "CERTIFICATE_VERIFY_FAILED", _SETUP, _NOTHING, _TRUST),
    ErrorRule(_E.ConnectionError, None, "CERTIFICATE_REQUIRED", _SETUP, _NOTHING, _CLIENT_CERTIFICATE),
    # The network, a server that starts or has no connection left.
    ErrorRule(_E.BusyLoadingError, None, None, _WEATHER, _NOTHING),
    ErrorRule(_E.ConnectionError, None, "max number of clients", _WEATHER, _NOTHING, "raise maxclients"),
    ErrorRule(_E.ConnectionError, None, None, _WEATHER, _UNKNOWN),
    ErrorRule(_E.TimeoutError, None, "Timeout connecting", _WEATHER, _NOTHING, "nobody there, or no TLS there"),
    ErrorRule(_E.TimeoutError, None, None, _WEATHER, _UNKNOWN),
    # A cluster or a failover in motion.
    ErrorRule(_E.ReadOnlyError, None, None, _WEATHER, _NOTHING, _REPLICA),
    ErrorRule(_E.MasterDownError, None, None, _WEATHER, _NOTHING, _REPLICA_CUT),
    ErrorRule(_E.MovedError, None, None, _SETUP, _NOTHING, _NODE, plain=True),
    ErrorRule(_E.AskError, None, None, _WEATHER, _NOTHING, _NODE),
    ErrorRule(_E.TryAgainError, None, None, _WEATHER, _NOTHING),
    ErrorRule(_E.ClusterDownError, None, None, _WEATHER, _NOTHING),
    ErrorRule(_E.ClusterError, None, None, _WEATHER, _UNKNOWN),
    # A server that will take it later. These are asked at a script's first write: none is cut in half by them.
    ErrorRule(_E.NoScriptError, None, None, _SCRIPT, _NOTHING),
    ErrorRule(_E.OutOfMemoryError, None, None, _WEATHER, _NOTHING, "raise maxmemory"),
    ErrorRule(_E.ResponseError, "NOREPLICAS", None, _WEATHER, _NOTHING, "min-replicas-to-write is not met"),
    ErrorRule(_E.ResponseError, "MISCONF", None, _WEATHER, _NOTHING, "the server cannot write to its disk"),
    ErrorRule(_E.ResponseError, "FROZEN", None, _WEATHER, _NOTHING),
    ErrorRule(_E.ResponseError, "ROLLBACK", None, _WEATHER, _NOTHING, "the ledger is frozen: docs/ledger.md"),
    ErrorRule(_E.ResponseError, "UNREPLICATED", None, _WEATHER, _UNKNOWN, "--durability strict needs a replica"),
    ErrorRule(_E.ResponseError, "BUSY", None, _WEATHER, _NOTHING, "another script runs too long"),
    ErrorRule(_E.ResponseError, None, "killed by user", _WEATHER, _NOTHING),
    # What is left is a mistake of ours.
    ErrorRule(_E.ClusterCrossSlotError, None, None, _BUG, _NOTHING, "keys of one call have different hash tags"),
    ErrorRule(_E.ResponseError, "WRONGTYPE", None, _BUG, _PART, "another program writes under this key"),
    ErrorRule(_E.ResponseError, None, None, _BUG, _PART),
    ErrorRule(_E.RedisError, None, None, _BUG, _UNKNOWN),
    ErrorRule(_E.RedisClusterException, None, None, _BUG, _UNKNOWN),
)
"""The first row that fits decides."""

_PIPELINE_MARK = " of pipeline caused error: "


def rule_of(error: BaseException, *, clustered: bool = False) -> ErrorRule | None:
    """The row for an error, or None for one that is not redis-py's. clustered: it came from a cluster's client."""
    answer = _answer(error)
    return next((rule for rule in ERROR_RULES if not (rule.plain and clustered) and _fits(rule, error, answer)), None)


def is_transient(error: BaseException, *, clustered: bool = False) -> bool:
    """True if the same call may succeed later without anyone's help; an unanswered one may have been applied."""
    rule = rule_of(error, clustered=clustered)
    return rule is not None and rule.meaning in (Meaning.WEATHER, Meaning.SCRIPT)


def explained(error: BaseException, *, clustered: bool = False) -> str:
    """The server's words, and what would be right. Holds no password: redis-py names hosts and ports only."""
    rule = rule_of(error, clustered=clustered)
    words = str(error) or type(error).__name__
    return f"{words} ({rule.advice})" if rule is not None and rule.advice else words


def _fits(rule: ErrorRule, error: BaseException, answer: str) -> bool:
    if not isinstance(error, rule.error):
        return False
    if rule.code is not None and answer.split(" ", 1)[0] != rule.code:
        return False
    return rule.text is None or rule.text in answer


def _answer(error: BaseException) -> str:
    """The server's own words: redis-py puts the command in front of the answer when it came in a pipeline."""
    message = str(error.args[0]) if error.args else ""
    return message.split(_PIPELINE_MARK, 1)[1] if _PIPELINE_MARK in message else message
