"""DirectPath: takes what a driver has read in place of an event, and returns what to send at once.

It is for a conversation whose next step needs no plugin and no machine: see
vcproxy/http/proxy/direct_path.py, which implements it and is tested in tests/http/direct.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.net import NetVConnection


class DirectPath(Protocol):
    """The `direct` of a read VIO. Drivers call it in place of `received`, with the lock held."""

    @property
    def sink(self) -> NetVConnection:
        """Where the message goes that `accept` has returned."""

    def accept(self, data: Block) -> bytes | None:
        """Return a message to push to the port of `sink`; `pushed` must be called next.

        None: the data are not accepted; `received` must be called with them.
        """

    def pushed(self, message: bytes, count: int) -> None:
        """Answer `begin_read`: the port has taken the first `count` bytes of the message."""
