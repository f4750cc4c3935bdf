"""Connect to Redis or Valkey: one server, through sentinels, or a cluster; and repeat a call until it is answered.

The lowest folder holds it because the ledger, the users' state and the registry all connect alike and may not
import each other. Every write sent through such a connection must be idempotent: the client repeats a call that
got no answer, so one call may be applied several times (facts/redis.md section 5).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import redis
from redis import exceptions
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.credentials import CredentialProvider
from redis.retry import Retry
from redis.sentinel import Sentinel

from schemas.errors import ServerRefusesError, TransientError, UsageError
from schemas.redis_errors import CAUGHT, Meaning, explained, is_transient, rule_of
from schemas.redis_urls import ServerUrl, read_url

T = TypeVar("T")

RETRIES = 4
"""Further tries inside one call after a lost connection or a timeout."""

BACKOFF_BASE_S, BACKOFF_CAP_S = 0.02, 0.5
"""Between those tries: doubling with jitter, so that many clients do not come back to a server at once."""

SOCKET_TIMEOUT_S = 2.0
"""Bound on connecting and on one answer; a batch for the ledger takes some milliseconds (facts/redis.md section 2)."""

SENTINEL_TIMEOUT_S = 0.5
"""Bound on one sentinel, asked once: another one is asked next, and the call's own tries repeat the round."""

HEALTH_CHECK_S = 30
"""A connection that was idle for so long is pinged first: networks drop idle ones in silence, and the call would pay
a whole socket timeout to learn it."""

PROTOCOL = 2
"""RESP2: every minimum server speaks it, and no server pushes arrive between answers as they may with RESP3."""

_CLIENTS: dict[tuple[int, str], redis.Redis] = {}


def connect(url: str) -> redis.Redis:
    """A client for `url` (its forms: `schemas.redis_urls.FORMS`), the same one each time within a process.

    It connects when it is first used; one of a cluster asks for the cluster's layout now, and is a RedisCluster, whose
    methods are the same. The settings are explicit because redis-py's own (ten retries, five seconds) differ between
    versions. Answers are bytes. The client is safe to share between threads, and a forked child gets one of its own.

    Raises:
      UsageError: the URL cannot be read, or the file or variable it names holds no password.
      redis.RedisError: of a cluster, none of the named nodes answers.
    """
    key = (os.getpid(), url)
    client = _CLIENTS.get(key)
    if client is None:
        client = _CLIENTS.setdefault(key, _new_client(read_url(url)))
    return client


def pool_of(client: redis.Redis, key: str) -> Any:
    """The pool of connections to the server that holds a key, for whoever speaks on one connection."""
    if isinstance(client, RedisCluster):
        return client.get_redis_connection(client.get_node_from_key(key)).connection_pool
    return client.connection_pool


def answered(
    client: redis.Redis,
    call: Callable[[], T],
    wait: Callable[[int], None],
    gone: type[TransientError],
    on_wait: Callable[[int, Exception], None] = lambda attempt, error: None,
) -> T:
    """Repeat an idempotent call until the server answers it.

    Args:
      wait: called with the number of failed tries before each further one; raises to give up.
      gone: raised where `wait` raised TimeoutError. Whether the call was done is then unknown.
      on_wait: told the number of failed tries and the error before each wait.

    Raises:
      ServerRefusesError: the setup is wrong; the message says what would be right.
      redis.RedisError, redis.RedisClusterException: as it is, for a call that is wrong itself.
    """
    clustered = isinstance(client, RedisCluster)
    attempt = 0
    while True:
        try:
            return call()
        except CAUGHT as error:
            rule = rule_of(error, clustered=clustered)
            assert rule is not None, "the table ends with the bases of what is caught"
            if rule.meaning is Meaning.SETUP:
                raise ServerRefusesError(f"the server refuses: {explained(error, clustered=clustered)}") from error
            if rule.meaning is Meaning.BUG:
                raise
            attempt += 1
            on_wait(attempt, error)
            try:
                wait(attempt)
            except TimeoutError:
                tried = f"no answer from the server after {attempt} tries: {explained(error, clustered=clustered)}"
                raise gone(f"{tried}; {rule.outcome.value}") from error


def _new_client(url: ServerUrl) -> redis.Redis:
    settings = _settings(url)
    if url.kind == "cluster":
        return _cluster(url, settings)
    settings["retry"] = _retry()
    settings["db"] = url.options.get("db", 0)
    if url.kind == "sentinel":
        assert url.service is not None
        found = _sentinel(url, settings).master_for(url.service, **settings)  # type: ignore[no-untyped-call]
        return cast(redis.Redis, found)
    if url.socket_path is not None:
        settings.update(connection_class=UnixDomainSocketConnection, path=url.socket_path)
    else:
        host, port = url.nodes[0]
        settings.update(host=host, port=port)
        if settings.pop("ssl", False):
            settings["connection_class"] = SSLConnection
    return redis.Redis.from_pool(ConnectionPool(**settings))


def _retry() -> Retry:
    return Retry(ExponentialWithJitterBackoff(base=BACKOFF_BASE_S, cap=BACKOFF_CAP_S), RETRIES)


def _settings(url: ServerUrl) -> dict[str, Any]:
    """What every connection has, sentinels' included, where the URL's options do not say otherwise."""
    options = url.options
    settings: dict[str, Any] = {
        "socket_timeout": options.get("socket_timeout", SOCKET_TIMEOUT_S),
        "socket_connect_timeout": options.get("socket_connect_timeout", SOCKET_TIMEOUT_S),
        "health_check_interval": HEALTH_CHECK_S,
        "protocol": PROTOCOL,
        "decode_responses": False,
        **_credentials(url.user, url.password, options.get("password_file"), options.get("password_env")),
    }
    if url.socket_path is None:
        settings["socket_keepalive"] = True
    if url.tls:
        settings.update({name: value for name, value in options.items() if name.startswith("ssl_")})
        settings["ssl"] = True
    return settings


def _sentinel(url: ServerUrl, settings: dict[str, Any]) -> Sentinel:
    options = url.options
    user, file, variable = (options.get(f"sentinel_{name}") for name in ("user", "password_file", "password_env"))
    of_master = ("username", "password", "credential_provider", "db")
    own = {name: value for name, value in settings.items() if name not in of_master}
    own.update(_credentials(user, None, file, variable))
    own.update(socket_timeout=SENTINEL_TIMEOUT_S, socket_connect_timeout=SENTINEL_TIMEOUT_S)
    own["retry"] = Retry(NoBackoff(), 0)
    return Sentinel(url.nodes, sentinel_kwargs=own)  # type: ignore[no-untyped-call]


def _cluster(url: ServerUrl, settings: dict[str, Any]) -> redis.Redis:
    """A cluster's client. It keeps to the nodes that the URL names when it asks for the layout anew: those may be
    names that outlive the addresses the cluster tells."""
    nodes = [ClusterNode(host, port) for host, port in url.nodes]  # type: ignore[no-untyped-call]
    try:
        return cast(
            redis.Redis,
            RedisCluster(startup_nodes=nodes, retry=_retry(), dynamic_startup_nodes=False, **settings),
        )
    except exceptions.RedisClusterException as error:
        if isinstance(error.__cause__, redis.RedisError):
            raise error.__cause__ from None
        if is_transient(error, clustered=True):
            raise redis.ConnectionError(str(error)) from error
        raise UsageError(f"the server's URL: {explained(error, clustered=True)}") from error


def _credentials(user: str | None, password: str | None, file: str | None, variable: str | None) -> dict[str, Any]:
    if file is None and variable is None:
        return {"username": user, "password": password}
    named = _NamedPassword(user, file, variable)
    try:
        named.get_credentials()
    except redis.AuthenticationError as error:
        raise UsageError(f"the server's URL: {error}") from error
    return {"credential_provider": named}


class _NamedPassword(CredentialProvider):
    """A password that the URL names only, read anew for each connection: it may be changed while a process runs.

    It is read here, below runners/, so that what travels to workers (the pipeline's graph, a job's description) holds
    the name and not the password.
    """

    def __init__(self, user: str | None, file: str | None, variable: str | None) -> None:
        self._user, self._file, self._variable = user, file, variable

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._from_file(self._file) if self._file is not None else os.environ.get(str(self._variable))
        if not password:
            named = f"password_file {self._file}" if self._file is not None else f"password_env {self._variable}"
            raise redis.AuthenticationError(f"{named} holds no password")
        return (self._user, password) if self._user else (password,)

    @staticmethod
    def _from_file(file: str) -> str:
        try:
            return Path(file).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise redis.AuthenticationError(f"password_file {file} cannot be read: {error}") from error
