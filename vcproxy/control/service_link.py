"""ServiceLink: the connection to another service, to which its messages are forwarded.

It is made with the first message. So that a reply finds its way back, a message that is forwarded
gets a sender of its own, SERVICE_NUMBER, with the number of its route.

Tested in tests/control/test_bus_door.py.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.bus.connections.permanent_connection import BusQueueFull, PermanentConnection
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.bus.dispatch.routes import Routes
from vcproxy.bus.message.invalid_message import MessageTooLong
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex

if TYPE_CHECKING:
    from vcproxy.bus.message.bus_message import BusMessage
    from vcproxy.engine.address import Address
    from vcproxy.engine.engine import Engine

_FORWARD = "FORWARD"
"""Tag: forward a message."""

_NUMBER = re.compile(r".*_([0-9]{1,18})", re.ASCII)


class ServiceLink(Continuation):
    """Forwards messages to one service, and replies to their senders."""

    def __init__(
        self, engine: Engine, service: str, address: Address, server: str, own: str, tls: object
    ) -> None:
        """Connect later to a service.

        Args:
            engine: the engine of the door.
            service: its name.
            address: where it listens.
            server: the name of this computer.
            own: the name of this proxy as a service.
            tls: the driver's context, for tls://.
        """
        super().__init__(engine, Mutex())
        self._service = service
        self._address = address
        self._server = server
        self._own = own
        self._tls = tls
        self._connection: PermanentConnection | None = None
        self._routes = Routes()

    def forward(self, received: ReceivedMessage) -> None:
        """Forward a message. Any conversation may call it."""
        self.engine.schedule(self, _FORWARD, received)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Forward a message, or return a reply to its sender."""
        if key is _FORWARD:
            assert isinstance(data, ReceivedMessage)
            self._forward(data)
        elif isinstance(data, ReceivedMessage):
            self._received(data.message)

    def _forward(self, received: ReceivedMessage) -> None:
        message = received.message
        if self._connection is None:
            self._connection = PermanentConnection(
                self, self._address, name=f"control: {self._service}", tls=self._tls
            )
        route = self._routes.add(partial(_return, received))
        forwarded = replace(
            message, sent_from_server=self._server, sent_from_service=f"{self._own}_{route}"
        )
        try:
            self._connection.send(forwarded)
        except MessageTooLong as error:  # with the name of the route
            received.reply("INVALID", command=message.command, message=str(error))
        except BusQueueFull:
            received.reply(
                "SERVICE_UNAVAILABLE",
                destination_service=self._service,
                unsent_command=message.command,
            )

    def _received(self, message: BusMessage) -> None:
        number = _NUMBER.fullmatch(message.service)
        way = self._routes.get(int(number[1])) if number is not None else None
        if way is not None:
            way(message)


def _return(received: ReceivedMessage, reply: BusMessage) -> None:
    """Send a reply of the service to the sender of the message."""
    sender = received.message
    received.send(replace(reply, server=sender.sent_from_server, service=sender.sent_from_service))
