"""Poller and Watcher: the interfaces between the epoll driver and its ports.

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
        """Register the watcher of a descriptor's epoll events. It replaces an earlier one.

        Raises OSError at the system's limit of watched descriptors (epoll_ctl(2), ENOSPC).
        """

    def rewatch(self, fd: int, mask: int) -> None:
        """Change the events for which a descriptor's watcher is called."""

    def unwatch(self, fd: int) -> None:
        """Stop watching a descriptor that stays open."""

    def forget(self, fd: int) -> None:
        """Drop the watcher of a descriptor that is about to be closed: close(2) ends the watch."""

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call a function after a time. This is a timer of the driver, not of the engine."""
