"""MessageConnection: one connection that carries messages of the bus, both ways."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.bus.connections.line_connection import LineConnection
from vcproxy.bus.dispatch.received_message import NOTHING, ReceivedMessage
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.invalid_message import InvalidMessage
from vcproxy.engine.drop_counter import LOG_EVERY_S

if TYPE_CHECKING:
    from vcproxy.bus.dispatch.dispatcher import Dispatcher
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection

_parameters = re.compile(rb'(?<![^\s=";])([^\s=";]++=)("[^"]*+"?+|[^";]++)')
_secret = re.compile(rb"(?i)password|secret|token").search


def _without_secret(parameter: re.Match[bytes]) -> bytes:
    name, value = parameter.groups()
    return name + b"*" * len(value) if _secret(name) else parameter[0]


class RefusedLines:
    """Logs the lines that are no messages, of one connection or of all those of a listener.

    At most one a second: a peer that sends many, each on a connection of its own, must not flood
    the log.
    """

    __slots__ = ("_count", "_logged_at")

    def __init__(self) -> None:
        self._count = 0  # those that were not logged
        self._logged_at = -LOG_EVERY_S

    def log(self, engine: Engine, name: str, reason: str) -> None:
        """Log a line of a connection, with the count of those before it that were not logged."""
        self._count += 1
        now = engine.now
        if now - self._logged_at >= LOG_EVERY_S:
            lines = "a line was" if self._count == 1 else f"{self._count} lines were"
            engine.log("warning", f"{name}: {lines} refused: {reason}")
            self._count = 0
            self._logged_at = now


@dataclass(frozen=True, slots=True)
class ConnectionEnded:
    """Event: a message connection has ended, after its last message. It is closed by itself."""

    connection: MessageConnection
    reason: str
    """For logs: "the peer has ended it", or why it is broken or was given up."""
    error: Exception | None = None
    """What has broken it, if anything."""

    @property
    def name(self) -> str:
        """The name of the connection, for histories of machines."""
        return self.connection.name


class MessageConnection(LineConnection):
    """Messages on a stream, one to a line (eventdispatcher.md 1); see LineConnection for limits.

    Args:
        owner: gets ReceivedMessage for each message, if there is no dispatcher, and ConnectionEnded
            once; its mutex is used. None: the connection is a conversation of its own, and needs a
            dispatcher.
        vc: the connection, in the hands of this object from now on.
        dispatcher: calls the function for each message; it may be shared by many connections.
        name, half_close_s: see LineConnection.
        refused: shared with other connections; None: it has one of its own.

    A line that is not a message is answered by INVALID, and logged. Empty lines are ignored.
    """

    __slots__ = ("_dispatcher", "_refused")

    def __init__(
        self,
        owner: Continuation | None,
        vc: NetVConnection,
        *,
        dispatcher: Dispatcher | None = None,
        name: str = "",
        half_close_s: float = 0.0,
        refused: RefusedLines | None = None,
    ) -> None:
        if owner is None and dispatcher is None:
            raise TypeError("a MessageConnection needs an owner or a dispatcher for its messages")
        self._dispatcher = dispatcher
        self._refused = refused or RefusedLines()
        super().__init__(owner, vc, name=name, half_close_s=half_close_s)

    def send(self, message: BusMessage) -> bool:
        """Send a message; return whether the connection has taken it. See `send_line`.

        Raises InvalidMessage for a message that cannot be written as a line.
        """
        return self.send_line(encode(message))

    def received_line(self, line: bytes) -> None:
        """Parse and dispatch a message."""
        try:
            message = BusMessage.parse(line.decode("utf-8", "surrogateescape"))
        except InvalidMessage as error:
            if line.strip():
                self._keep(line, error)
                self.refused_line(str(error))
            return
        received = ReceivedMessage(message, self.send, NOTHING, self)
        if self._dispatcher is not None:
            self._dispatcher.dispatch(received)
        elif self._owner is not None:
            self._owner.handle_event(ReceivedMessage, received)

    def _keep(self, line: bytes, error: InvalidMessage) -> None:
        """Keep a line that is not a message among the engine's RefusedMessages, without secrets."""
        at = None
        if error.column is not None:
            before = line.decode("utf-8", "surrogateescape")[: error.column - 1]
            at = len(before.encode("utf-8", "surrogateescape"))
        hidden = _parameters.sub(_without_secret, line)
        self.engine.refused.add("bus message", str(error), hidden, at, client=self.name)

    def refused_line(self, reason: str) -> None:
        """Answer a line that is not a message."""
        self._refused.log(self.engine, self.name, reason)
        self.send(BusMessage("INVALID", {"message": reason}))

    def ended(self, reason: str, error: Exception | None) -> None:
        """Pass the end on to the owner."""
        if self._owner is not None:
            self._owner.handle_event(ConnectionEnded, ConnectionEnded(self, reason, error))


def encode(message: BusMessage) -> bytes:
    """Return the bytes of a message, without an end of line. Raises InvalidMessage."""
    return message.to_text().encode("utf-8", "surrogateescape")


def broadcast(message: BusMessage, connections: Iterable[LineConnection]) -> int:
    """Send a message to each of these connections; return how many have taken it.

    One that does not read is closed at its limit: the others are not delayed.
    """
    line = encode(message)
    return sum(connection.send_line(line) for connection in list(connections))
