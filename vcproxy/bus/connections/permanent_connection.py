"""PermanentConnection: a message connection that is opened again whenever it is lost.

Events, delivered to its owner with the class as the key:

================  ======================================================================
ConnectionUp      it is connected, and what was queued has been sent
ConnectionLost    it was connected, and is not any more; it is being opened again
ReceivedMessage   a message, if there is no dispatcher
Replied           the reply that `wait` was called for
NoReply           that reply has not come within its time
================  ======================================================================
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vcproxy.bus.connections.message_connection import (
    ConnectionEnded,
    MessageConnection,
    encode,
)
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.held_memory import HeldMemory
from vcproxy.engine.iobuffer import MESSAGE_OVERHEAD
from vcproxy.engine.units import show_size
from vcproxy.upstream.pauses import Pauses
from vcproxy.upstream.reconnecting import Reconnected, ReconnectingConnection

if TYPE_CHECKING:
    from vcproxy.bus.dispatch.dispatcher import Dispatcher
    from vcproxy.bus.message.bus_message import BusMessage
    from vcproxy.engine.address import Address
    from vcproxy.engine.scheduler import Action
    from vcproxy.upstream.backoff import Backoff

QUEUE_LIMIT: Final = 1024 * 1024
"""The most bytes of messages that are kept while the connection is down: some thousand messages,
or 16 of the longest."""

CONNECT_S: Final = 10.0
"""Seconds for one attempt: an address that does not answer must not delay the others for long."""


class BusQueueFull(Exception):
    """A permanent connection is down, and its queue is full."""


@dataclass(frozen=True, slots=True)
class ConnectionUp:
    """Event: a permanent connection is connected. What was queued has been sent."""

    connection: PermanentConnection
    address: Address
    """The address that it is connected to."""

    @property
    def name(self) -> str:
        """The name of the connection, for histories of machines."""
        return self.connection.name


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """Event: a permanent connection is down; it is being opened again."""

    connection: PermanentConnection
    reason: str

    @property
    def name(self) -> str:
        """The name of the connection, for histories of machines."""
        return self.connection.name


@dataclass(frozen=True, slots=True)
class Replied:
    """Event: a reply that was waited for. It is not dispatched."""

    name: str
    """The connection."""
    message: BusMessage


@dataclass(frozen=True, slots=True)
class NoReply:
    """Event: a reply that was waited for has not come within its time."""

    name: str
    """The connection."""
    reply: str
    """Its command."""


class PermanentConnection(Continuation):
    """Sends and receives messages while it is connected, and keeps messages while it is not.

    It starts when it is made, under the mutex of its owner, and ends with `finish` or `close`.

    Args:
        owner: gets the events; its mutex is used.
        addresses: where the service listens; several are tried in turn.
        dispatcher: calls the function for each message; None: the owner gets ReceivedMessage.
        name: its name in logs and events; the addresses if left out.
        tls: the driver's TLS context, for addresses on tls://.
        connect_s: seconds for one attempt, its handshake included; 0: no limit.
        backoff: the delays between attempts: Backoff, which doubles them, or Pauses, a list.
        queue_limit: the most bytes of messages kept while it is down.
    """

    __slots__ = ("_closed", "_dispatcher", "_held_memory", "_link", "_owner", "_queue",
                 "_queue_limit", "_reconnecting", "_starting", "_waits", "name")  # fmt: skip

    def __init__(
        self,
        owner: Continuation,
        addresses: Address | Sequence[Address],
        *,
        dispatcher: Dispatcher | None = None,
        name: str = "",
        tls: object = None,
        connect_s: float = CONNECT_S,
        backoff: Backoff | Pauses | None = None,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        super().__init__(owner.engine, owner.mutex)
        self.mutex.require("PermanentConnection()")
        self._owner = owner
        self._dispatcher = dispatcher
        self._link: MessageConnection | None = None  # None: it is down
        self._closed = False
        self._queue: deque[bytes] = deque()
        self._queue_limit = queue_limit
        self._held_memory = HeldMemory(self)
        self._waits: dict[_Wait, None] = {}
        self._reconnecting = ReconnectingConnection(
            self, addresses, name=name, tls=tls, connect_s=connect_s, backoff=backoff
        )
        self.name = self._reconnecting.name
        self._starting: Action | None = None
        if isinstance(backoff, Pauses) and backoff.first_s:
            self._starting = self.engine.schedule_in(backoff.first_s, self, _START, None)
        else:
            self._reconnecting.start()

    def __repr__(self) -> str:
        return f"<PermanentConnection {self.name} {'up' if self.up else 'down'}>"

    def crashed(self, error: Exception) -> str:
        """Return the owner's text: it has failed, or this connection with it."""
        return self._owner.crashed(error)

    # -- for the owner -----------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether it is connected."""
        return self._link is not None and self._link.open

    @property
    def queued(self) -> int:
        """How many messages are kept until it is connected."""
        return len(self._queue)

    @property
    def reconnects(self) -> int:
        """How many times it was connected again after a loss."""
        return self._reconnecting.reconnects

    def send(self, message: BusMessage, *, keep: bool = True) -> bool:
        """Send a message now and return True; or, while it is down, `keep` it, or drop it.

        What is kept is sent first, in order, when it is connected. What was sent just before a loss
        may not have arrived: where that matters, wait for a reply. Without effect after `close`.

        Raises BusQueueFull if it is down and the message has no room in the queue, and
        InvalidMessage if it cannot be written as a line. The mutex is held.
        """
        line = encode(message)
        self.mutex.require("send()")
        if self._closed:
            return False
        if self._link is not None and self._link.send_line(line):
            return True
        if keep:
            size = self._held_memory.size + len(line) + MESSAGE_OVERHEAD
            if size > self._queue_limit:
                raise BusQueueFull(
                    f"{self.name} is down, and {len(self._queue)} messages are kept for it already "
                    f"({show_size(self._queue_limit)} at most): {message.command} is not sent"
                )
            self._queue.append(line)
            self._held_memory.hold(size)
        return False

    def wait(self, reply: str, deadline_s: float) -> None:
        """Deliver Replied with the next message whose command is `reply`, or NoReply after
        `deadline_s` seconds, whether it is connected or not.

        A second wait for the same command gets the second such message.
        """
        self.mutex.require("wait()")
        if not self._closed:
            wait = _Wait(reply)
            self._waits[wait] = None
            wait.timer = self.engine.schedule_in(deadline_s, self, NoReply, wait)

    def reconnect(self, why: str) -> None:
        """Give the connection up and open it again, if it is up. `why` is for the log.

        For a service that does not answer: its host may have vanished without a word. There is no
        ConnectionLost for it.
        """
        self.mutex.require("reconnect()")
        if self._link is not None:
            self._link.close(ConnectionAbortedError(why))
            self._link = None
            self._reconnecting.lost(why)

    def finish(self) -> None:
        """End: send what it has passed on to the connection; drop what is queued."""
        link, self._link = self._link, None
        if link is None or self._closed:
            self.close()
            return
        self._stop()
        self._reconnecting.release()
        link.finish()

    def close(self) -> None:
        """End now, in any state. Nothing is delivered any more. May be repeated."""
        self._stop()
        if self._link is not None:
            self._link.close()
            self._link = None
        self._reconnecting.stop()

    # -- events ------------------------------------------------------------------------------

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle what happens to the connection."""
        if self._closed:
            pass
        elif isinstance(data, ReceivedMessage):
            self._received(data)
        elif isinstance(data, Reconnected):
            self._connected(data)
        elif isinstance(data, ConnectionEnded):
            self._lost(data.reason)
        elif isinstance(data, _Wait):
            del self._waits[data]
            self._owner.handle_event(NoReply, NoReply(self.name, data.reply))
        elif key is _START:
            self._reconnecting.start()

    def _received(self, received: ReceivedMessage) -> None:
        received.origin = self
        if self._waits:
            command = received.message.command
            wait = next((wait for wait in self._waits if wait.reply == command), None)
            if wait is not None:
                wait.cancel()
                del self._waits[wait]
                self._owner.handle_event(Replied, Replied(self.name, received.message))
                return
        if self._dispatcher is not None:
            self._dispatcher.dispatch(received)
        else:
            self._owner.handle_event(ReceivedMessage, received)

    def _connected(self, reconnected: Reconnected) -> None:
        self._link = link = MessageConnection(self, reconnected.vc, name=self.name)
        queue = self._queue
        while queue and link.send_line(queue[0]):
            self._held_memory.hold(self._held_memory.size - len(queue.popleft()) - MESSAGE_OVERHEAD)
        up = ConnectionUp(self, self._reconnecting.target)
        self._owner.handle_event(ConnectionUp, up)

    def _lost(self, reason: str) -> None:
        if self._link is not None:
            self._link.close()  # now: it would wait until its output is sent
            self._link = None
        self._reconnecting.lost(reason)
        self._owner.handle_event(ConnectionLost, ConnectionLost(self, reason))

    def _stop(self) -> None:
        self._closed = True
        self._queue.clear()
        self._held_memory.hold(0)
        for wait in self._waits:
            wait.cancel()
        self._waits.clear()
        if self._starting is not None:
            self._starting.cancel()


_START = "START"
"""Tag: make the first attempt."""


class _Wait:
    """A reply that is waited for."""

    __slots__ = ("reply", "timer")

    def __init__(self, reply: str) -> None:
        self.reply = reply
        self.timer: Action | None = None

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
