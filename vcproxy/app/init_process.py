"""The init process: what process 1 of a container does beside running the proxy.

A process whose parent has ended becomes a child of process 1, and stays a zombie until process 1
waits for it. The proxy cannot wait for all children: it would take the exit status of a child that
a plugin waits for, and nothing that the kernel reports distinguishes such a child from an orphan.
So a proxy that is started as process 1 forks: the proxy is the child, and process 1 only forwards
signals to it and reaps, as tini and dumb-init do. Tested in tests/e2e/test_init_process.py.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import MutableMapping
from contextlib import suppress

KEPT = {
    signal.SIGCHLD,
    signal.SIGKILL,
    signal.SIGSTOP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    # sent by the kernel to the process that has made the mistake
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
    signal.SIGSYS,
    signal.SIGTRAP,
    signal.SIGABRT,
}
"""The signals that are not forwarded. All others are."""

ADDRESSED = "LISTEN_PID", "WATCHDOG_PID"
"""Variables that name the process for which a service manager has set others."""


def run_as_init() -> int | None:
    """Fork; return None in the child, which is to be the proxy.

    In the parent, return once the child has ended: its exit status, or 128 plus the number of the
    signal that has ended it. To be called in process 1, before any thread is started.
    """
    forwarded = signal.valid_signals() - KEPT
    taken = forwarded | {signal.SIGCHLD}
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, taken)  # none is lost around the fork
    init = os.getpid()
    child = os.fork()
    if child:
        return _wait(child, taken)
    _lead_terminal()
    _readdress(os.environ, init)
    signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    return None


def _wait(child: int, taken: set[signal.Signals]) -> int:
    """Forward signals to the child, and reap, until the child has ended."""
    while True:
        received = signal.sigwait(taken)
        if received != signal.SIGCHLD:
            with suppress(ProcessLookupError):
                os.kill(child, received)
            continue
        for pid, status in _ended():
            if pid == child:
                return _exit_status(status)


def _ended() -> list[tuple[int, int]]:
    """Reap what has ended; return the pids, and the statuses of wait(2)."""
    found = []
    with suppress(ChildProcessError):
        while (each := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(each)
    return found


def _exit_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    print(f"the proxy was ended by {name}", file=sys.stderr)
    return 128 - code


def _lead_terminal() -> None:
    """Become the process group that gets the ^C of a terminal, which otherwise both get."""
    os.setpgid(0, 0)
    ignored = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    with suppress(OSError):  # standard input is no terminal, or not that of this session
        os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, ignored)


def _readdress(environment: MutableMapping[str, str], init: int) -> None:
    """Make what is meant for process 1 be meant for this process, which does its work."""
    for name in ADDRESSED:
        if environment.get(name) == str(init):
            environment[name] = str(os.getpid())
