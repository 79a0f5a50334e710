"""PipePool: empty kernel pipes for bridges.

Pools and Descriptors refer to each other. Tested in tests/drivers/test_epoll_descriptors.py.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.descriptors import Descriptors

PIPE_SIZE = 1 << 20
"""Through a 1 MiB pipe splice costs half as much as through the default 64 KiB (measured)."""

POOL_SIZE = 32
"""Empty pipes kept for the next bridges; more are rarely in use at once."""


class Pipe(NamedTuple):
    """An empty kernel pipe."""

    out: int
    into: int
    size: int

    def close(self) -> None:
        """Close both ends."""
        os.close(self.out)
        os.close(self.into)


class PipePool:
    """Empty pipes that bridges borrow."""

    def __init__(self, descriptors: Descriptors) -> None:
        self._descriptors = descriptors
        self._free: list[Pipe] = []
        self.count = 0
        """Open pipes, borrowed or free."""
        descriptors.pools.append(self)

    def borrow(self) -> Pipe | None:
        """Return an empty pipe; None if descriptors are short, or if the system refuses a pipe of
        PIPE_SIZE. Without a pipe, the caller copies.
        """
        if self._free:
            return self._free.pop()
        if not self._descriptors.room_for_pipe:
            return None
        try:
            out, into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            size = fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        except OSError:  # the user's limit of pipe memory is reached (pipe(7))
            os.close(out)
            os.close(into)
            return None
        self.count += 1
        return Pipe(out, into, size)

    def give_back(self, pipe: Pipe) -> None:
        """Return an empty pipe to the pool."""
        if len(self._free) < POOL_SIZE:
            self._free.append(pipe)
        else:
            self.discard(pipe)

    def discard(self, pipe: Pipe) -> None:
        """Close a pipe with the bytes in it: the kernel frees them without a copy."""
        self.count -= 1
        pipe.close()

    def close(self) -> None:
        """Close the free pipes."""
        while self._free:
            self.discard(self._free.pop())
