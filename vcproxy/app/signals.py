"""The signals of the program: how this process takes, ignores and leaves them.

What a signal does is decided by Proxy and by the master. Tested in tests/e2e/test_signals.py and
test_workers.py.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

from vcproxy.drivers.epoll.sources.process_signals import PROCESS_SIGNALS
from vcproxy.sessions.program import Signal

ENDS = signal.SIGTERM, signal.SIGINT
SIGNALS = (signal.SIGHUP, signal.SIGUSR1, *ENDS)


def take(number: int, call: Callable[[], None]) -> None:
    """Call a function for each signal of a number, in the main thread."""

    def handler(_: int, __: FrameType | None) -> None:
        call()

    signal.signal(number, handler)


def wait_for(numbers: tuple[signal.Signals, ...], call: Callable[[Signal], None]) -> None:
    """Block signals, and call a function for each of them, with its sender, in another thread."""

    def wait() -> None:
        while True:
            sent = signal.sigwaitinfo(numbers)
            received = Signal(sent.si_signo, sent.si_pid)
            PROCESS_SIGNALS.report(received)  # no handler of a source gets it
            call(received)

    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    threading.Thread(target=wait, daemon=True).start()


def ignore() -> None:
    """Ignore the signals that a terminal or a service manager sends to the workers, too.

    Handlers that do nothing, not SIG_IGN, which child processes would inherit.
    """
    for number in SIGNALS:
        take(number, lambda: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def leave() -> None:
    """Ignore signals from now on: a late one would kill a process that is ending."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
