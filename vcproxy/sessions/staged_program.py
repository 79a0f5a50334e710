"""StagedProgram: a program made of staged machines.

Tested in tests/plugins/test_echo_server.py and test_echo_client.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.machine.staged import CAPACITY, MessageQueue, StageMachine
from vcproxy.sessions.program import Program, Signal

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.sessions.service import Service

INTERRUPT: Final = 2
"""SIGINT: the number is the same on every system."""


class StagedProgram(Program, ABC):
    """Creates machines, starts them, and passes the program's events to the last of them.

    The last machine gets a client as D0, an interrupt as S0 and any other signal as S1. The trace
    of all machines is printed with `write`.
    """

    def __init__(self, engine: Engine, service: Service, write: Callable[[str], None]) -> None:
        super().__init__(engine, service, write)
        self.queue = MessageQueue(engine, self.mutex, write=write)
        self._machines = list(self.make())
        # Each machine may send itself a message when it starts; delivery begins after all starts.
        self.queue.capacity = max(CAPACITY, len(self._machines))

    @abstractmethod
    def make(self) -> Iterator[StageMachine]:
        """Create the machines, in the order in which they start."""

    def start(self) -> None:
        """Start the machines."""
        for machine in self._machines:
            machine.start()
        self.queue.drain()

    def receive_messages(self) -> None:
        """See Program. What a method sends to machines is delivered when it returns."""
        if self.receives_messages:
            from vcproxy.sessions.staged_messages import StagedMessages  # most need none

            StagedMessages(self, self.service.name)

    def call_periodic(self, method: str) -> None:
        """See Program. What the method sends to machines is delivered when it returns."""
        super().call_periodic(method)
        self.queue.drain()

    def handle_event(self, key: Hashable, data: object) -> None:
        """Pass the event to the last machine."""
        if isinstance(data, Signal):
            key = "S0" if data.number == INTERRUPT else "S1"
        self._machines[-1].handle_event(key, data)
