"""Where a server is, read from a URL: one server, sentinels that know the master, or a cluster's nodes.

redis-py's own reader knows one host only, takes any option without a word, and puts parts of an unescaped password
into its errors. No error made here holds anything of the URL that may be secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote

from schemas.errors import UsageError

FORMS = (
    "redis://user:password@host:6379/0, rediss:// (TLS), unix:///path/to/socket, "
    "redis+sentinel://host:26379,host:26379/service, redis+cluster://host:6379,host:6379 "
    "(rediss+sentinel://, rediss+cluster://: with TLS)"
)

_NUMBER = ("a number above 0", r"\d*\.?\d+")
_FILE = ("a file", r".+")
_NAME = ("a name", r".+")
_OPTIONS: Mapping[str, tuple[str, str]] = {
    "db": ("a number", r"\d+"),
    "socket_timeout": _NUMBER,
    "socket_connect_timeout": _NUMBER,
    "password_file": _FILE,
    "password_env": _NAME,
    "ssl_ca_certs": _FILE,
    "ssl_certfile": _FILE,
    "ssl_keyfile": _FILE,
    "ssl_check_hostname": ("yes or no", r"yes|no"),
    "sentinel_user": _NAME,
    "sentinel_password_file": _FILE,
    "sentinel_password_env": _NAME,
}
_READ: Mapping[str, Callable[[str], Any]] = {
    "db": int,
    "socket_timeout": float,
    "socket_connect_timeout": float,
    "ssl_check_hostname": "yes".__eq__,
}
_PORTS = {"one": 6379, "sentinel": 26379, "cluster": 6379}
_NODE = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?")


class ServerUrl(NamedTuple):
    """A URL, read.

    Attributes:
      nodes: host and port of the server, of each sentinel, or of some of a cluster's nodes; empty for a unix socket.
      service: the name under which sentinels know the master.
      options: of the query, by name, checked and converted.
    """

    kind: Literal["one", "sentinel", "cluster"]
    tls: bool
    nodes: tuple[tuple[str, int], ...]
    socket_path: str | None
    service: str | None
    user: str | None
    password: str | None
    options: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"ServerUrl({self.kind}, ...)"


def read_url(url: str) -> ServerUrl:
    """Read a server's URL.

    Raises:
      UsageError: it is none of the forms, or an option is unknown, has no place there or a value it cannot have.
    """
    scheme, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    if "@" in path or "@" in query:
        raise UsageError("the server's URL: a /, ? or @ in user, password or path must be %-escaped: %2F, %3F, %40")
    transport, _, kind = scheme.partition("+")
    if scheme != "unix" and (transport not in ("redis", "rediss") or kind not in ("", "sentinel", "cluster")):
        raise UsageError(f"the server's URL has another form than {FORMS}")
    userinfo, _, hosts = authority.rpartition("@")
    user, _, password = userinfo.partition(":")
    read = ServerUrl(
        kind="sentinel" if kind == "sentinel" else "cluster" if kind == "cluster" else "one",
        tls=transport == "rediss",
        nodes=() if scheme == "unix" else _nodes(hosts, kind or "one"),
        socket_path=f"/{unquote(path)}" if scheme == "unix" else None,
        service=None,
        user=unquote(user) or None,
        password=unquote(password) or None,
        options=_options(query),
    )
    return _checked(read if scheme == "unix" else _with_path(read, unquote(path)))


def _nodes(hosts: str, kind: str) -> tuple[tuple[str, int], ...]:
    found = []
    for node in hosts.split(",") if hosts else ["localhost"]:
        match = _NODE.fullmatch(node)
        if match is None or not 0 < (port := int(match[3] or _PORTS[kind])) < 65_536:
            raise UsageError("the server's URL: hosts are not of the form host:port, or host:port,host:port")
        found.append((match[1] or match[2], port))
    if kind == "one" and len(found) > 1:
        raise UsageError("the server's URL has several hosts: redis+sentinel:// or redis+cluster:// take several")
    return tuple(found)


def _options(query: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise UsageError(f"the server's URL has no option {name!r}; there is {', '.join(_OPTIONS)}")
        what, form = _OPTIONS[name]
        if not re.fullmatch(form, value) or (form == _NUMBER[1] and float(value) == 0):
            raise UsageError(f"the server's URL: {name} must be {what}, got {value!r}")
        found[name] = _READ.get(name, str)(value)
    return found


def _with_path(read: ServerUrl, path: str) -> ServerUrl:
    """redis://host/0 names the database, redis+sentinel://host/service[/0] the service first."""
    service, _, database = path.partition("/") if read.kind == "sentinel" else ("", "", path)
    if database and not database.isdecimal():
        raise UsageError("the server's URL: after the host comes the number of a database, as in redis://host:6379/0")
    options = {"db": int(database), **read.options} if database else read.options
    return read._replace(service=service or None, options=options)


def _checked(read: ServerUrl) -> ServerUrl:
    wrong = [
        (read.kind == "sentinel" and not read.service, "sentinels need the service: redis+sentinel://host:26379/service"),
        (read.kind != "sentinel" and any(name.startswith("sentinel_") for name in read.options),
         "sentinel_ options belong to redis+sentinel://"),
        (read.kind == "cluster" and read.options.get("db", 0) != 0, "a cluster has database 0 only"),
        (not read.tls and any(name.startswith("ssl_") for name in read.options),
         "ssl_ options belong to rediss://, rediss+sentinel:// and rediss+cluster://"),
        (("ssl_certfile" in read.options) != ("ssl_keyfile" in read.options),
         "ssl_certfile and ssl_keyfile come together"),
        (sum((read.password is not None, "password_file" in read.options, "password_env" in read.options)) > 1,
         "the password is given in one place: in the URL, password_file or password_env"),
        ({"sentinel_password_file", "sentinel_password_env"} <= read.options.keys(),
         "the sentinels' password is given in one place: sentinel_password_file or sentinel_password_env"),
    ]  # fmt: skip
    for is_wrong, why in wrong:
        if is_wrong:
            raise UsageError(f"the server's URL: {why}")
    return read
