"""MessageListener: accepts message connections, and dispatches what arrives on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from vcproxy.bus.connections.message_connection import MessageConnection, RefusedLines, broadcast
from vcproxy.engine.drop_counter import LOG_EVERY_S
from vcproxy.engine.listener import Listener

if TYPE_CHECKING:
    from vcproxy.bus.dispatch.dispatcher import Dispatcher
    from vcproxy.bus.message.bus_message import BusMessage
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection

MAX_CONNECTIONS: Final = 1000
"""The most connections of a listener: the largest backlog of the original."""


class MessageListener(Listener):
    """All message connections at one or more addresses: a Listener for the driver's `listen`.

    Each connection is a conversation of its own: an exception in the function for a message ends
    only the connection on which it came.

    Args:
        engine: the engine that its connections are on.
        name: its name in logs.
        dispatcher: calls the function for each message of any connection.
        tls: the driver's TLS context for addresses on tls://.
        max_connections: more wait until some have closed.
        half_close_s: see LineConnection.
        idle_s: a connection on which nothing moves for so long is closed; 0: never.
        admits: returns whether a client is served; None: all are. Others are closed at once.
    """

    __slots__ = (
        "_admits_client",
        "_failed",
        "_failed_at",
        "_half_close_s",
        "_idle_s",
        "_refused",
        "connections",
        "dispatcher",
    )

    def __init__(
        self,
        engine: Engine,
        name: str,
        dispatcher: Dispatcher,
        *,
        tls: object = None,
        max_connections: int = MAX_CONNECTIONS,
        half_close_s: float = 0.0,
        idle_s: float = 0.0,
        admits: Callable[[NetVConnection], bool] | None = None,
    ) -> None:
        super().__init__(
            name, self._accept, engine, tls=tls, max_connections=max_connections, pinned=True
        )
        self.dispatcher = dispatcher
        self.connections: dict[NetVConnection, MessageConnection] = {}
        """By their VC, in the order of their arrival; those that are about to close included."""
        self._half_close_s = half_close_s
        self._idle_s = idle_s
        self._refused = RefusedLines()
        self._failed = 0  # handshakes that have failed since the last line about one
        self._failed_at = -LOG_EVERY_S
        self._admits_client = admits

    def broadcast(self, message: BusMessage) -> int:
        """Send a message to all connections; return how many have taken it."""
        return broadcast(message, self.connections.values())

    def finish(self) -> None:
        """Close all connections, each after its output."""
        for connection in list(self.connections.values()):
            connection.finish()

    def vc_gone(self, vc: NetVConnection) -> None:
        """Forget a connection. See Listener."""
        self.connections.pop(vc, None)
        super().vc_gone(vc)

    def log_failed(self, engine: Engine, name: str, error: Exception) -> None:
        """Log a failed handshake, at most one each second: strangers must not flood the log. See
        Listener."""
        self._failed += 1
        if engine.now - self._failed_at < LOG_EVERY_S:
            return
        if self._failed > 1:
            error = ConnectionError(f"{error} (one of {self._failed} failed connections)")
        super().log_failed(engine, name, error)
        self._failed, self._failed_at = 0, engine.now

    def _accept(self, vc: NetVConnection) -> None:
        if self._admits_client is not None and not self._admits_client(vc):
            vc.do_io_close()
            return
        vc.set_inactivity_timeout(self._idle_s)
        self.connections[vc] = MessageConnection(
            None,
            vc,
            dispatcher=self.dispatcher,
            half_close_s=self._half_close_s,
            refused=self._refused,
        )
