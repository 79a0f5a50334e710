"""BusMessages: messages of the bus to this process, as a source of events.

The door of the control plane receives them, with an engine of its own; see BusExchange. They are
recorded, replayed and simulated as those of all sources. Methods declared with `on_message` need
no source of their own: see MessageReceiver.

Tested in tests/engine/sources/test_source.py and tests/conformance/test_sources.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vcproxy.engine.commands import SendBusReply
from vcproxy.engine.sources.source import PRIORITY, Source

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation

KEPT = 1000
"""Messages that wait for an engine that is busy, or a source that is disabled."""

KEPT_SIZE = 1024 * 1024
"""Their characters in sum: some thousand messages are shorter, and 16 of the longest."""

NO_ROUTE = 0
"""The route of messages that cannot be answered."""


@dataclass(frozen=True, slots=True)
class BusReceived:
    """A message of the bus."""

    name: str
    text: str
    """The message in text form: BusMessage.parse reads it."""
    route: int = NO_ROUTE
    """Which way replies go, for `BusMessages.reply`: a number that its door has chosen."""


class CommandTable(Protocol):
    """What receives the messages of a source. Its methods are called on any thread."""

    def takes(self, command: str) -> bool:
        """Return whether it takes a command."""

    def describe(self, command: str) -> str:
        """Return one line about a command or pattern for HELP; "": it takes no such command."""


class BusMessages(Source):
    """The messages of some commands. The event: BusReceived.

    Several sources may take the same command: each gets the message. Up to KEPT messages wait for
    it, while its engine is busy or it is disabled; more are not taken.
    """

    __slots__ = ("commands", "table")

    def __init__(
        self,
        cont: Continuation,
        name: str,
        commands: tuple[str, ...],
        table: CommandTable | None = None,
        priority: int = PRIORITY,
    ) -> None:
        """`commands`: commands and patterns, as listed in the answer to HELP. `table` decides which
        commands it takes; None: those in `commands`."""
        self.commands = commands
        self.table = table
        super().__init__(cont, name, priority)

    @property
    def request(self) -> str:
        """See Source."""
        return f"{super().request} {' '.join(self.commands)}"

    @property
    def detail(self) -> str:
        """See Source."""
        return " ".join(self.commands)

    def takes(self, command: str) -> bool:
        """Return whether it takes a command."""
        return command in self.commands if self.table is None else self.table.takes(command)

    def describe(self, command: str) -> str:
        """Return one line about a command or pattern for HELP; "": it takes no such command."""
        if self.table is not None:
            return self.table.describe(command)
        return command if command in self.commands else ""

    def reply(self, route: int, text: str) -> None:
        """Send a message, in text form, to the sender of a BusReceived. It may be called later, and
        several times. Dropped for NO_ROUTE, and if the sender's connection is closed."""
        if self.cont is not None and route != NO_ROUTE:
            self.engine.command(SendBusReply(self, route, text))
