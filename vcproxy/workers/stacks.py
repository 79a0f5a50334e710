"""Stacks: the stacks of all threads of a worker that hangs, written by the worker for its master.

The master makes the memory, and its worker inherits it. Python's faulthandler writes on a signal,
in C, while Python code loops or waits: no thread of the worker must cooperate. The kernel delivers
the signal to a stopped process only when it continues: then nothing is written.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import signal

SIGNAL = signal.SIGUSR2
"""The signal that a worker answers with its stacks. The proxy uses it for nothing else."""

SIZE = 256 * 1024
"""Bytes of the memory: about 100 threads with 40 frames each. What exceeds it is lost."""


class Stacks:
    """Memory for the stacks of one worker."""

    def __init__(self) -> None:
        """Raises OSError."""
        self._descriptor = os.memfd_create("vcproxy stacks", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self._descriptor, SIZE)
        # A worker may get the signal from others, any number of times: no write can exceed it.
        fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def request(self) -> None:
        """Read from here on: the signal is about to be sent."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)  # the worker has the same file position
        os.pwrite(self._descriptor, bytes(SIZE), 0)

    def read(self) -> str:
        """Return what was written, without its end if that did not fit; empty: nothing."""
        return os.pread(self._descriptor, SIZE, 0).rstrip(b"\0\n").decode(errors="replace")

    def close(self) -> None:
        """Free the memory, when the worker has ended too."""
        os.close(self._descriptor)


def write_when_asked(descriptor: int) -> None:
    """Write the stacks of all threads of this process to a descriptor, for each SIGNAL."""
    faulthandler.register(SIGNAL, descriptor, all_threads=True)
