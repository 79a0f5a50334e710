"""StagedProgram: a program made of staged machines."""

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
"""SIGINT, as every system numbers it."""


class StagedProgram(Program, ABC):
    """Makes machines, starts them, and tells the last of them what the program is told.

    That one gets a client as D0, an interrupt as S0 and any other signal as S1. The trace of all
    of them goes where `write` writes.
    """

    def __init__(self, engine: Engine, service: Service, write: Callable[[str], None]) -> None:
        super().__init__(engine, service, write)
        self.queue = MessageQueue(engine, self.mutex, write=write)
        self._made = list(self.make())
        # Each may begin with a message to itself, before any of them is delivered.
        self.queue.capacity = max(CAPACITY, len(self._made))

    @abstractmethod
    def make(self) -> Iterator[StageMachine]:
        """Make the machines, in the order in which they start."""

    def start(self) -> None:
        """Start the machines."""
        for machine in self._made:
            machine.start()
        self.queue.drain()

    def handle_event(self, key: Hashable, data: object) -> None:
        """Tell the last machine."""
        if isinstance(data, Signal):
            key = "S0" if data.number == INTERRUPT else "S1"
        self._made[-1].handle_event(key, data)
