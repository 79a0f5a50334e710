"""ReceivedMessage: a message of the bus as callbacks get it, with the way back to its sender.

Tested in tests/bus/dispatch/test_dispatcher.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from vcproxy.bus.message.invalid_message import MessageTooLong

if TYPE_CHECKING:
    from vcproxy.bus.message.bus_message import BusMessage

NAMES: Final = 1024
"""The most characters of the sender's names in the reply in place of one that is too long."""

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class ReceivedMessage:
    """A message, what its pattern has captured, and the way to reply.

    It may be kept: `reply` works later too, once or more. A reply is dropped if its connection is
    closed, or if it came by a way without one, as by UDP.
    """

    __slots__ = ("captured", "message", "origin", "send_back")

    def __init__(
        self,
        message: BusMessage,
        reply: Callable[[BusMessage], object],
        captured: Mapping[str, str] = NOTHING,
        origin: object = None,
    ) -> None:
        self.message = message
        self.send_back = reply
        """Sends any message to the sender, as it is: see `reply`."""
        self.captured = captured
        """What the pattern has captured: {"number": "5"} of EVENT5 by EVENT<number>."""
        self.origin = origin
        """What it came on, where that is known: a MessageConnection, a PermanentConnection, or
        DatagramMessages."""

    def __repr__(self) -> str:
        return f"<ReceivedMessage {self.message.command} from {self.name or 'unnamed'}>"

    @property
    def command(self) -> str:
        """The command of the message."""
        return self.message.command

    @property
    def name(self) -> str:
        """The sender as "server:service", in traces and histories; empty: it gave no name."""
        message = self.message
        if not (message.sent_from_server or message.sent_from_service):
            return ""
        return f"{message.sent_from_server}:{message.sent_from_service}"

    def reply(self, command: str, /, **parameters: str | int) -> None:
        """Send a message to the sender: addressed to the service that it was sent from.

        In place of one over the limit of 64 KiB, INVALID is sent with the reason: what a reply
        repeats of the message may be that long.
        """
        self.send(self.message.reply(command, **parameters))

    def send(self, reply: BusMessage) -> None:
        """Send a reply that is addressed already; in place of one that is too long the reason."""
        try:
            self.send_back(reply)
        except MessageTooLong as error:
            text = f"the reply {reply.command} is too long: {error}"
            short = self.message.reply("INVALID", message=text)
            if len(short.server) + len(short.service) > NAMES:
                short.server = short.service = ""
            self.send_back(short)
