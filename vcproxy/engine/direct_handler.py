"""DirectHandler: gets what a driver has read, without an event, and returns what to send at once.

It is for a conversation whose next step needs no plugin and no machine.
vcproxy/http/proxy/direct_path.py implements it; the tests are in tests/http/direct.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.net import NetVConnection


class DirectHandler(Protocol):
    """The `direct` of a read VIO. Drivers call it in place of `received`, with the lock held."""

    @property
    def sink(self) -> NetVConnection:
        """The VC to which the message of `accept` is sent."""

    def accept(self, data: Block) -> bytes | None:
        """Return a message to push to the port of `sink`; `pushed` must be called next.

        None: `received` was called with the data, which takes the ordinary path; nothing is left to
        do.
        """

    def pushed(self, message: bytes, count: int) -> None:
        """Answer `begin_read`: the port has taken the first `count` bytes of the message."""
