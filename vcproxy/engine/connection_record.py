"""ConnectionRecord: what the engine and tunnels report for the access log.

It is implemented by vcproxy/access_log/record.py. Tested in tests/access_log/test_record.py.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

ByLetter: TypeAlias = Literal["-", "C", "S", "c", "s", "P", "L", "R", "I", "K", "V", "M", "G"]
"""What ends a connection: see `vcproxy.access_log.ending.By`."""

PhaseLetter: TypeAlias = Literal["-", "H", "R", "V", "Q", "C", "W", "D", "L"]
"""In which phase: see `vcproxy.access_log.ending.Phase`."""


class ConnectionRecord(Protocol):
    """Follows a connection, and writes its record in the access log at the end."""

    dropped: int | None
    """Messages that were dropped for this peer; None: none can be."""

    def broke(self, error: Exception) -> None:
        """Called when the connection has broken, with the reason."""

    def expired(self) -> None:
        """Called when a timeout of the connection is delivered."""

    def note(self, by: ByLetter, reason: object = "", phase: PhaseLetter | None = None) -> None:
        """Called with what is about to end the connection. Only the first note counts. `phase`:
        None: the present one."""

    def stopped(self) -> None:
        """Called when the proxy stops while the connection is open; `closed` is not called then."""

    def closed(self) -> None:
        """Called when the connection is closed, with its session and its port still there."""
