"""MachineDoor: the way of messages of the bus to a machine that runs as a process.

A process whose class declares methods with `on_message` has one, on the engine of the process. It
answers HELP and ALIVE; STOP and QUITTING end the process in order.

Tested in tests/supervise/test_process_messages.py and tests/e2e/test_machine_bus.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol

from vcproxy.bus.connections.message_listener import MessageListener
from vcproxy.bus.dispatch.dispatcher import Dispatcher, Match
from vcproxy.bus.dispatch.routes import Routes
from vcproxy.bus.dispatch.standard_messages import StandardMessages
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.engine.continuation import OwnedCall
from vcproxy.engine.event import Event

if TYPE_CHECKING:
    from vcproxy.bus.dispatch.received_message import ReceivedMessage
    from vcproxy.supervise.process import Process

MAX_CONNECTIONS: Final = 24
"""The most connections: operators and tools, as at the bus of a proxy."""


class Exchange(Protocol):
    """What a door uses of the exchange of its process: see BusExchange."""

    on_reply: Callable[[int, str], None]

    def commands(self) -> list[str]:
        """Return the commands and patterns of all sources."""

    def describe(self, command: str) -> str:
        """Return one line about a command or pattern; "": no source takes it."""

    def takes(self, command: str) -> bool:
        """Return whether a source takes a command."""

    def deliver(self, command: str, text: str, *, route: int) -> int:
        """Pass a message to the sources that take it; return how many do."""


class MachineDoor(MessageListener):
    """A listener for the bus of a process. The service is the last part of the machine's name."""

    __slots__ = ("_exchange", "_routes")

    def __init__(self, process: Process, exchange: Exchange) -> None:
        engine = process.engine
        dispatcher = Dispatcher(process.name.rpartition("/")[2], log=engine.log)
        super().__init__(engine, f"{process.name} bus", dispatcher, max_connections=MAX_CONNECTIONS)
        self._exchange = exchange
        self._routes = Routes()
        exchange.on_reply = self._reply
        dispatcher.add("machine", self._pass_on, match=self._is_for_machine)
        _MachineMessages(dispatcher, process, exchange)

    def _is_for_machine(self, pattern: str, message: BusMessage) -> Match:
        return Match.YES if self._exchange.takes(message.command) else Match.NO

    def _pass_on(self, received: ReceivedMessage) -> None:
        route = self._routes.add(received.send_back)
        text = received.message.to_text()
        if not self._exchange.deliver(received.command, text, route=route):
            self.dispatcher.reply_invalid(received, "too many messages wait for this machine")

    def _reply(self, route: int, text: str) -> None:
        send_back = self._routes.get(route)
        if send_back is not None:
            send_back(BusMessage.parse(text))


class _MachineMessages(StandardMessages):
    """The standard messages of a machine."""

    def __init__(self, dispatcher: Dispatcher, process: Process, exchange: Exchange) -> None:
        super().__init__(dispatcher, lambda: process.engine.wall)
        self._process = process
        self._exchange = exchange

    def stop(self, received: ReceivedMessage) -> None:
        """See StandardMessages."""
        process = self._process
        process.engine.schedule(OwnedCall(process, process.exit), Event.TIMEOUT, None)

    def more_commands(self) -> Iterable[str]:
        """See StandardMessages."""
        return self._exchange.commands()

    def describe(self, command: str) -> str:
        """See StandardMessages."""
        return self._exchange.describe(command) or super().describe(command)
