"""SimulatedBus: sends messages of the bus to the engines of a simulation, and keeps the replies.

    with SimulatedProxy(Doors) as proxy:
        [reply] = proxy.bus.send("DOOR5 lock=true")
        assert reply.to_text() == "DONE door=5"

Only the plugins are there, not the control of a proxy: it answers neither HELP nor STOP.
Tested in tests/testing/test_simulated_bus.py.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from vcproxy.bus.message.bus_message import BusMessage

if TYPE_CHECKING:
    from vcproxy.drivers.sim import Simulation


SETTLE_S: Final = 0.001
"""Virtual seconds in which everything that is due at the present time is done."""


class SimulatedBus:
    """The door of a simulation's bus."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._exchange = simulation.network.bus
        self._exchange.on_reply = self._receive
        self._routes = count(1)
        self._replies: dict[int, list[BusMessage]] = {}

    @property
    def commands(self) -> list[str]:
        """The commands and patterns that are received, sorted."""
        self._settle()
        return self._exchange.commands()

    def describe(self, command: str) -> str:
        """Return the line of a command or pattern in the answer to HELP; "": it is not received."""
        self._settle()
        return self._exchange.describe(command)

    def send(self, text: str, *, name: str = "") -> list[BusMessage]:
        """Send a message in text form, such as "EVENT5 speed=3"; return the replies to it.

        It runs for a virtual millisecond; a later reply is appended to the same list.
        What nothing receives is answered with UNKNOWN, as in a proxy. `name`: only to the program
        or listener of that name. Raises InvalidMessage.
        """
        self._settle()
        message = BusMessage.parse(text)
        route = next(self._routes)
        replies = self._replies[route] = []
        command = message.command
        if not self._exchange.deliver(command, message.to_text(), route=route, name=name):
            replies.append(message.reply("UNKNOWN", command=command))
        self._settle()
        return replies

    def _settle(self) -> None:
        """Let what was started open its sources, and let messages arrive."""
        self._simulation.elapse(SETTLE_S)

    def _receive(self, route: int, text: str) -> None:
        self._replies[route].append(BusMessage.parse(text))
