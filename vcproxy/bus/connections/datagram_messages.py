"""DatagramMessages: messages of the bus as UDP or Unix datagrams (eventdispatcher.md 4).

Events, delivered to its owner with the class as the key:

==================  ====================================================================
Bound, UnixBound    the socket is bound; `address` or `path` is where
BindFailed          it cannot be bound, for `reason`; the last event
ReceivedMessage     a message, if there is no dispatcher; `reply` sends to its sender
==================  ====================================================================

There are two ways to reach many at once: a multicast group, which receivers join by `groups`, and
a broadcast address of the network, as 255.255.255.255, which receivers at 0.0.0.0 receive from.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from vcproxy.bus.connections.message_connection import encode
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.invalid_message import InvalidMessage
from vcproxy.bus.message.secret_code import PARAMETER, CodeCheck, check_secret
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.drop_counter import DropCounter
from vcproxy.engine.sources.datagrams import Arrived, Datagrams, HostPort
from vcproxy.engine.sources.unix_datagrams import UnixArrived, UnixDatagrams

if TYPE_CHECKING:
    from vcproxy.bus.dispatch.dispatcher import Dispatcher
    from vcproxy.engine.address import Address

Destination: TypeAlias = HostPort | str
"""The host and port of a UDP socket, or the path of a Unix one."""

DATAGRAM_LIMITS: Final = {"udp": 1024, "unixgram": 64 * 1024}
"""The most bytes of a datagram: the limits of the original. More than 1024 bytes could be split on
their way, and would be lost with any of the parts."""


class DatagramMessages(Continuation):
    """Receives messages at an address, and sends messages from there.

    Args:
        owner: gets the events; its mutex is used, and held now.
        address: udp://HOST:PORT with a numeric host, port 0 for any free port; or unixgram:PATH.
        dispatcher: calls the function for each message; None: the owner gets ReceivedMessage.
        groups: multicast groups to receive from, each at its own port. UDP only.
        broadcast: whether it may send to broadcast addresses. UDP only.
        secret_code: sent with each message, and required of each that is received; others are
            dropped. "": none is sent, and one that is received is ignored, with a warning. The
            code is sent in clear: it stops mistakes, not attackers.
        admits: returns whether a sender's messages are taken; None: all are.
        name: its name in logs; the address if left out.

    What is dropped is counted and logged, at most once a second for each reason. Raises ValueError
    for another address.
    """

    __slots__ = ("_admits", "_dispatcher", "_drops", "_limit", "_owner", "_secret_code", "_socket",
                 "_warned", "name")  # fmt: skip

    def __init__(
        self,
        owner: Continuation,
        address: Address,
        *,
        dispatcher: Dispatcher | None = None,
        groups: tuple[HostPort, ...] = (),
        broadcast: bool = False,
        secret_code: str = "",
        admits: Callable[[Destination], bool] | None = None,
        name: str = "",
    ) -> None:
        if address.scheme not in DATAGRAM_LIMITS:
            raise ValueError(f"{address}: messages come as datagrams at udp:// or unixgram:")
        super().__init__(owner.engine, owner.mutex)
        self.name = name or str(address)
        self._owner: Continuation | None = owner
        self._dispatcher = dispatcher
        self._secret_code = secret_code
        self._admits = admits
        self._limit = DATAGRAM_LIMITS[address.scheme]
        self._drops = DropCounter(self.engine, self.name)
        self._warned = False
        self._socket: Datagrams | UnixDatagrams
        if address.scheme == "udp":
            at = address.host, address.port
            self._socket = Datagrams(self, self.name, at, groups, broadcast=broadcast)
        else:
            self._socket = UnixDatagrams(self, self.name, address)

    def __repr__(self) -> str:
        return f"<DatagramMessages {self.name}>"

    def crashed(self, error: Exception) -> str:
        """Return the owner's text: it has failed, or this object with it."""
        return "" if self._owner is None else self._owner.crashed(error)

    # -- for the owner -----------------------------------------------------------------------

    def send(self, message: BusMessage, to: Destination) -> None:
        """Send a message. It may be lost on its way; what the system does not take is dropped,
        counted and logged. Without effect after `close`.

        Raises ValueError for a message over the limit of a datagram, and InvalidMessage for one
        that cannot be written.
        """
        if self._secret_code:
            parameters = {**message.parameters, PARAMETER: self._secret_code}
            message = replace(message, parameters=parameters)
        data = encode(message)
        if len(data) > self._limit:
            raise ValueError(
                f"{self.name}: {message.command} has {len(data)} bytes; a datagram takes "
                f"{self._limit}: send it on a connection"
            )
        self._socket.send(data, to)  # type: ignore[arg-type]  # a peer of its kind

    def close(self) -> None:
        """Close the socket; nothing is delivered any more. May be repeated."""
        self._owner = None
        self._socket.close()

    # -- events ------------------------------------------------------------------------------

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle a datagram, or the outcome of binding."""
        if isinstance(data, Arrived | UnixArrived):
            self._arrived(data.data, data.source)
        elif self._owner is not None:
            self._owner.handle_event(key, data)

    def _arrived(self, data: bytes, source: Destination) -> None:
        message = self._message(data, source)
        if message is None:
            return
        received = ReceivedMessage(message, partial(self._reply, source), origin=self)
        if self._dispatcher is not None:
            self._dispatcher.dispatch(received)
        elif self._owner is not None:
            self._owner.handle_event(ReceivedMessage, received)

    def _message(self, data: bytes, source: Destination) -> BusMessage | None:
        """Return the message of a datagram, without its secret code; None: it was dropped."""
        if self._admits is not None and not self._admits(source):
            self._drops.drop("its sender is not in an allowed network")
            return None
        if len(data) > self._limit:
            self._drops.drop(f"it has more than {self._limit} bytes")
            return None
        try:
            message = BusMessage.parse(data.decode("utf-8", "surrogateescape"))
        except InvalidMessage:
            self._drops.drop("it is not a message")
            return None
        secret = check_secret(message, self._secret_code)
        if not secret.accepted:
            self._drops.drop(f"its secret code is {secret.value}")
            return None
        if secret is CodeCheck.UNEXPECTED and not self._warned:
            self._warned = True
            self.engine.log(
                "warning",
                f"{self.name}: {message.command} came with a secret code, and none is set here: "
                "it is accepted",
            )
        message.parameters.pop(PARAMETER, None)
        return message

    def _reply(self, to: Destination, message: BusMessage) -> None:
        """Send a reply; drop one that is too long, or has no way back."""
        if not to:
            self._drops.drop("a reply has no address: the socket of the sender is not bound")
            return
        try:
            self.send(message, to)
        except ValueError:
            self._drops.drop(f"a reply has more than {self._limit} bytes")
