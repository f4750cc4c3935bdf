"""The Pub/Sub emulator, started by the tests that need it; that it cannot start is a failure, never a skip."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_until

EMULATOR_VARIABLE = "PUBSUB_EMULATOR_HOST"
_INSTALLED = Path("/usr/lib/google-cloud-sdk/platform/pubsub-emulator/bin/cloud-pubsub-emulator")
_START_BOUND_S = 60.0


@contextmanager
def pubsub_emulator(log: Path) -> Iterator[str]:
    """host:port of an emulator of this test's own; ends with the body, with all that it started."""
    port = _free_port()
    command = [_program(), "--host=localhost", f"--port={port}"]
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        wait_until(lambda: _answers(process, port, log), f"the emulator answers on port {port}", _START_BOUND_S)
        yield f"localhost:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the script and the JVM it started: a session of their own
        process.wait()


def _program() -> str:
    found = shutil.which("cloud-pubsub-emulator") or str(_INSTALLED)
    assert os.access(found, os.X_OK), f"no Pub/Sub emulator at {found}: install google-cloud-cli-pubsub-emulator"
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    assert process.poll() is None, f"the emulator ended: {log.read_text()[-2_000:]}"
    try:
        socket.create_connection(("localhost", port), timeout=1.0).close()
    except OSError:
        return False
    return b"Server started" in log.read_bytes()
