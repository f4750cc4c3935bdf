"""Become the embedded server, in a way that it cannot outlive its owner.

Run as a script by `runners.embedded`, in place of a function between fork and exec, which is unsafe in a process
with threads. Imports nothing of the project, so that it starts in some 20 ms.

usage: embedded_child.py OWNER_PID PIPE_FD PROGRAM CONFIG   (PIPE_FD -1: use Linux's parent-death signal)
"""

from __future__ import annotations

import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
STOP_BOUND_S = 10.0


def main(arguments: list[str]) -> None:
    """Tie this process to its owner, then exec the server in it."""
    owner_pid, pipe_fd, program, config = int(arguments[0]), int(arguments[1]), arguments[2], arguments[3]
    os.umask(0o077)  # what the server writes is the owner's alone, also in a directory that is not
    if pipe_fd >= 0:
        _fork_watchdog(pipe_fd)
    else:
        _die_with_parent()
    if os.getppid() != owner_pid:  # it died before the tie was made
        sys.exit(1)
    os.execv(program, [program, config])


def _die_with_parent() -> None:
    """The kernel sends SIGTERM when the thread that started this process ends; the setting outlives exec."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG) failed: errno {ctypes.get_errno()}")


def _fork_watchdog(pipe_fd: int) -> None:
    """Fork a child that reads the owner's pipe, whose end of file is the owner's, and then ends this process."""
    server_pid = os.getpid()
    if os.fork() != 0:
        os.close(pipe_fd)
        return
    _close_all_but(pipe_fd)
    while os.read(pipe_fd, 1):
        pass
    _kill_parent(server_pid, signal.SIGTERM)
    deadline_s = time.monotonic() + STOP_BOUND_S
    while os.getppid() == server_pid and time.monotonic() < deadline_s:
        time.sleep(0.02)
    _kill_parent(server_pid, signal.SIGKILL)
    os._exit(0)


def _close_all_but(kept_fd: int) -> None:
    """The watchdog must not hold the directory's lock, nor the log."""
    os.closerange(0, kept_fd)
    os.closerange(kept_fd + 1, 256)


def _kill_parent(server_pid: int, number: signal.Signals) -> None:
    if os.getppid() == server_pid:  # else the server is gone and its number may be another's
        os.kill(server_pid, number)


if __name__ == "__main__":
    main(sys.argv[1:])
