"""What a server's URL says, what it may not say, and that no secret of it is ever told."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from redis.connection import SSLConnection, UnixDomainSocketConnection
from redis.sentinel import SentinelConnectionPool, SentinelManagedSSLConnection

from runners.ledgers import RedisLedgerAddress
from runners.local_places import LocalPlace
from runners.ops.live import LiveRequest
from schemas.errors import UsageError
from schemas.redis_connection import SENTINEL_TIMEOUT_S, SOCKET_TIMEOUT_S, connect
from schemas.redis_urls import read_url

READ: dict[str, dict[str, Any]] = {
    "redis://": {"kind": "one", "tls": False, "nodes": (("localhost", 6379),)},
    "redis://host": {"nodes": (("host", 6379),), "user": None, "password": None},
    "redis://host:7000/3": {"nodes": (("host", 7000),), "options": {"db": 3}},
    "redis://[::1]:7000": {"nodes": (("::1", 7000),)},
    "redis://:p%40ss%2Fw@host": {"user": None, "password": "p@ss/w"},
    "redis://pipeline:pw@host": {"user": "pipeline", "password": "pw"},
    "redis://pipeline@host?password_env=PW": {"user": "pipeline", "options": {"password_env": "PW"}},
    "rediss://host?ssl_ca_certs=/ca.pem&ssl_check_hostname=no": {
        "tls": True, "options": {"ssl_ca_certs": "/ca.pem", "ssl_check_hostname": False}},
    "unix:///run/redis.sock": {"nodes": (), "socket_path": "/run/redis.sock"},
    "unix://:pw@/a%20b/s.sock?db=0": {"socket_path": "/a b/s.sock", "password": "pw", "options": {"db": 0}},
    "redis+sentinel://a:1,b/main": {
        "kind": "sentinel", "nodes": (("a", 1), ("b", 26379)), "service": "main", "options": {}},
    "rediss+sentinel://u:p@a/main/2?sentinel_user=s": {
        "tls": True, "service": "main", "options": {"db": 2, "sentinel_user": "s"}},
    "redis+cluster://u:p@a:1,b": {"kind": "cluster", "nodes": (("a", 1), ("b", 6379)), "user": "u", "password": "p"},
    "rediss+cluster://a/0": {"kind": "cluster", "tls": True},
    "redis://host?socket_timeout=0.5": {"options": {"socket_timeout": 0.5}},
}  # fmt: skip

REFUSED = {
    "http://host": "redis+sentinel://",
    "redis+ring://host": "redis+cluster://",
    "redis://a,b": "several hosts",
    "redis://host:port": "host:port",
    "redis://host:0": "host:port",
    "redis://host/main": "number of a database",
    "redis://host?db=one": "db must be a number, got 'one'",
    "redis://host?socket_timeout=0": "socket_timeout must be a number above 0",
    "redis://host?tiemout=1": "no option 'tiemout'; there is db, socket_timeout",
    "redis://host?ssl_ca_certs=ca.pem": "rediss://",
    "rediss://host?ssl_certfile=a": "ssl_certfile and ssl_keyfile",
    "rediss://host?ssl_check_hostname=maybe": "yes or no",
    "redis://host?sentinel_user=u": "sentinel_ options",
    "redis+sentinel://a:1": "need the service",
    "redis+cluster://a/1": "database 0 only",
    "redis://u:secret@host?password_env=PW": "one place",
    "redis+sentinel://a/m?sentinel_password_env=A&sentinel_password_file=b": "one place",
    "redis://u:sec/ret@host": "%2F",
    "redis://u:sec?ret@host": "%3F",
    "redis://u:sec#ret@host:x": "host:port",
}


@pytest.mark.parametrize("url", READ)
def test_url_is_read(url: str) -> None:
    read = read_url(url)._asdict()
    assert {name: read[name] for name in READ[url]} == READ[url]


@pytest.mark.parametrize("url", REFUSED)
def test_url_that_cannot_be_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_url(url)
    assert REFUSED[url] in str(refused.value)
    assert "sec" not in str(refused.value)
    assert "ret" not in str(refused.value)


def settings(url: str) -> dict[str, Any]:
    return connect(url).connection_pool.connection_kwargs


def test_places_of_one_server() -> None:
    assert connect("rediss://host").connection_pool.connection_class is SSLConnection
    assert connect("unix:///s.sock").connection_pool.connection_class is UnixDomainSocketConnection
    assert settings("redis://host:7/3")["port"] == 7
    assert settings("redis://host:7/3")["db"] == 3
    assert settings("redis://host?socket_timeout=0.5")["socket_timeout"] == 0.5


def test_sentinels_are_asked_once_each_with_their_own_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTINELS", "theirs")
    url = "rediss+sentinel://u:masters@a:1,b:2/main?sentinel_user=s&sentinel_password_env=SENTINELS"
    pool: Any = connect(url).connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert (pool.service_name, pool.connection_class) == ("main", SentinelManagedSSLConnection)
    assert pool.connection_kwargs["socket_timeout"] == SOCKET_TIMEOUT_S
    for sentinel, host in zip(pool.sentinel_manager.sentinels, "ab", strict=True):
        own = sentinel.connection_pool.connection_kwargs
        assert own["host"] == host
        assert own["credential_provider"].get_credentials() == ("s", "theirs")
        assert own["socket_timeout"] == SENTINEL_TIMEOUT_S
        assert own["retry"].get_retries() == 0
        assert sentinel.connection_pool.connection_class is SSLConnection


def test_password_of_a_file_is_read_anew_for_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    provider = settings(f"redis://pipeline@host?password_file={file}")["credential_provider"]
    assert provider.get_credentials() == ("pipeline", "first")
    file.write_text("second")
    assert provider.get_credentials() == ("pipeline", "second")
    assert settings(f"redis://host?password_file={file}")["credential_provider"].get_credentials() == ("second",)


@pytest.mark.parametrize("option", ["password_file=/none/such", "password_env=NONE_SUCH"])
def test_password_that_is_not_there_is_told_at_once(option: str) -> None:
    with pytest.raises(UsageError, match=option.replace("=", " ")):
        connect(f"redis://host?{option}")


@pytest.mark.parametrize("url", ["redis://u:secret@127.0.0.1:1", "redis+sentinel://u:secret@127.0.0.1:1/main"])
def test_password_is_in_no_text(url: str) -> None:
    with pytest.raises(Exception) as refused:
        connect(url).ping()
    request = LiveRequest(events=(), grants="-", denials=None, dead_letters="-", server=url, tenant=None)
    told = [refused.value, connect(url), connect(url).connection_pool, read_url(url)]
    told += [RedisLedgerAddress(url), LocalPlace(url, "shop"), request]
    assert not [one for one in told if "secret" in repr(one) or "secret" in str(one)]


def test_password_that_is_named_does_not_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "secret")
    place = LocalPlace("redis://pipeline@127.0.0.1:1?password_env=PW", "shop")
    place("shop")
    assert b"secret" not in pickle.dumps(place)
