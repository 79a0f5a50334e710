"""Wakeup: ends the poll of a driver from another thread.

Tested in tests/drivers/test_epoll_threads.py.
"""

from __future__ import annotations

import os


class Wakeup:
    """An eventfd by which other threads end a poll.

    Other threads and signal handlers may be inside `wake` at any time. So the descriptor is closed
    only with the last reference: otherwise they could write to a new connection with its number.
    """

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ready(self, mask: int) -> None:
        """Clear the event."""
        os.eventfd_read(self.fd)

    def wake(self) -> None:
        """End the poll. Any thread may call it."""
        os.eventfd_write(self.fd, 1)

    def __del__(self) -> None:
        os.close(self.fd)
