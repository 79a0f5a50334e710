"""WorkerProcess: the process of a worker, as its master has it; and the standard input it may get.

It is not a ChildProcess, the engine's source: a worker needs an inherited standard input, the
process group of its master (a terminal stops other groups that read from it), and signals that stay
blocked until it has its own handlers.

Tested in tests/e2e/test_workers.py and test_workers_killed.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence

from vcproxy.workers.channel import Channel
from vcproxy.workers.limits import EXITED_0
from vcproxy.workers.stacks import SIGNAL, Stacks


class WorkerProcess:
    """A worker process, its channel and its stacks. They are closed by `close` or `end`."""

    def __init__(
        self,
        command: Callable[[int, int], Sequence[str]],
        stdin: int | None,
        stdout: int | None,
    ) -> None:
        """Start it. Raises OSError.

        Args:
            command: returns its command line, from the descriptors of its channel and its stacks.
            stdin, stdout: for `subprocess`; None: those of this process.
        """
        self.channel, theirs = Channel.pair()
        self.stacks = Stacks()
        self.asked = False
        """Whether it was asked for its stacks."""
        given = theirs.fileno(), self.stacks.fileno()
        try:
            self._process = subprocess.Popen(
                command(*given), stdin=stdin, stdout=stdout, pass_fds=given
            )
            self.pid = self._process.pid
            self.pidfd = self._watched()
        except OSError:
            self.channel.close()
            self.stacks.close()
            raise
        finally:
            theirs.close()

    def _watched(self) -> int:
        """Return its pidfd, which is readable when it has ended. Raises OSError."""
        try:
            return os.pidfd_open(self.pid)
        except OSError:
            self.kill()
            self._process.wait()
            raise

    def ask_stacks(self) -> None:
        """Ask it for the stacks of its threads; `stacks` has them soon afterwards."""
        self.asked = True
        self.stacks.request()
        self._process.send_signal(SIGNAL)

    def kill(self) -> None:
        """End it with SIGKILL, if it runs."""
        self._process.kill()

    def how_ended(self) -> str:
        """Return how it has ended, in words that continue its name; empty: it runs."""
        status = self._process.poll()
        if status is None:
            return ""
        if status == 0:
            return EXITED_0
        if status > 0:
            return f"exited with status {status}"
        try:
            return f"was killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"was killed by signal {-status}"

    def close(self) -> None:
        """Close what belongs to it; it has ended."""
        self.channel.close()
        self.stacks.close()
        os.close(self.pidfd)

    def end(self) -> None:
        """Kill it, wait for its end, and close what belongs to it."""
        self.kill()
        self._process.wait()
        self.close()


class Stdio:
    """Standard input and output of this process, which one worker may get.

    A stdio listener runs in worker 1. Only this worker has them open, so that the process at their
    other end notices when the worker closes them.
    """

    def __init__(self, used: bool) -> None:
        """`used`: whether a listener uses them."""
        self._used = used

    def of(self, number: int) -> tuple[int | None, int | None]:
        """Return standard input and output for a worker, as `subprocess` takes them."""
        elsewhere = self._used and number != 1
        return (
            subprocess.DEVNULL if number != 1 else None,
            subprocess.DEVNULL if elsewhere else None,
        )

    def given_to(self, number: int) -> None:
        """Close those of this process if a worker has them now."""
        if self._used and number == 1:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
            os.close(null)
