"""Turn: who has the server's connection to itself, where only order says whose an answer is.

A server that sends what nobody asked for cannot be told from one that answers: the answers behind
it would each go to the source before their own. With orphans = "reconnect" such a connection is
therefore used by one source at a time: what others ask is held, and goes to a fresh connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.messages.sharing import SplitRequest
    from vcproxy.messages.splitter import Splitter


class Turn:
    """Of one connection: whose it is, and what has to wait for the next one."""

    __slots__ = ("held", "holder")

    def __init__(self) -> None:
        self.holder: Splitter | None = None
        """None: there is nothing yet that only order tells apart."""
        self.held: dict[SplitRequest, None] = {}
        """The oldest first."""

    def holds_back(self, request: SplitRequest) -> bool:
        """Whether a request has to wait for the next connection. It is held then."""
        source = request.source
        if not self.held:
            if source is None or request.key is not None or source.orphans != "reconnect":
                return False
            if self.holder is None or self.holder is source:
                self.holder = source
                return False
        self.held[request] = None
        return True
