"""Poller and Watcher: what the ports of the epoll driver and the driver use of each other.

Tested with the driver, in tests/drivers/test_epoll_*.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Watcher(Protocol):
    """The owner of a descriptor that epoll watches."""

    def ready(self, mask: int) -> None:
        """Handle an event: `mask` has epoll's flags."""


class Poller(Protocol):
    """The methods of the driver that ports use."""

    ciphertext: memoryview
    """The buffer that TLS ports read into. A TLS filter copies it at once."""

    def watch(self, fd: int, watcher: Watcher, mask: int = ...) -> None:
        """Call a watcher for epoll's events of a descriptor; it replaces an earlier watcher.

        Raises OSError at the system's limit of watched descriptors (epoll_ctl(2), ENOSPC).
        """

    def rewatch(self, fd: int, mask: int) -> None:
        """Change the events for which a descriptor's watcher is called."""

    def forget(self, fd: int) -> None:
        """Stop watching a descriptor. To be called before it is closed."""

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call a function after a time. The engine does not see this timer."""
