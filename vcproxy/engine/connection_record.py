"""ConnectionRecord: what the engine and tunnels report for the access log.

It is implemented by vcproxy/access_log/record.py. Tested in tests/access_log/test_record.py.
"""

from __future__ import annotations

from typing import Any, Protocol


class ConnectionRecord(Protocol):
    """Follows an accepted connection, and writes its record in the access log at the end."""

    def broke(self, error: Exception) -> None:
        """Called when the connection has broken, with the reason."""

    def expired(self) -> None:
        """Called when a timeout of the connection is delivered."""

    def note(self, by: Any, reason: object = "", phase: Any = None) -> None:
        """Called with what is about to end the connection: a By, the reason, and a Phase; None: the
        present one."""

    def closed(self) -> None:
        """Called when the connection is closed, with its session and its port still there."""
