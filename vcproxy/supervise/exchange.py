"""Exchanges: what a client sends, which replies it waits for, and how it ends. Values without I/O.

One class for each command of the original's client (wink.md 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from vcproxy.bus.mailbox.letter import Letter
from vcproxy.bus.mailbox.peer import Peer, show_peer

FAILURE: Final = 255
"""The exit status of the original's commands that fail."""


REPLACING_S: Final = 15.0
"""How long a server waits for the end of a machine at the wanted port: see ServedMachine."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an exchange: an exit status, and the text of an error."""

    status: int = 0
    error: str = ""


DONE: Final = Outcome()


class Exchange:
    """One exchange. Each method returns how it has ended, or None: it goes on."""

    to: Peer
    """Where the messages are sent to."""
    messages: tuple[str, ...] = ()
    limited: ClassVar[bool] = True
    """Whether `overdue` is called when no reply has come for as long as a message is repeated."""
    extra_s: float = 0.0
    """How much longer the reply may take, in seconds."""

    def received(self, letter: Letter) -> Outcome | None:
        """A message has arrived."""
        return None

    def acknowledged(self) -> Outcome | None:
        """All messages are acknowledged, or need not be."""
        return None

    def given_up(self) -> Outcome | None:
        """A message was given up: its receiver does not acknowledge it."""
        peer = show_peer(self.to)
        return Outcome(FAILURE, f"nothing answers at {peer}: start it, or correct the address")

    def overdue(self) -> Outcome | None:
        """The reply has not come in time."""
        return None

    def interrupted(self) -> Outcome:
        """SIGINT or SIGTERM: it ends before its end."""
        return Outcome(FAILURE)


class StartExchange(Exchange):
    """Start a machine; it ends with `started` or, with `follow`, with `exited`.

    The failure is one of the start: a followed machine may have sent `errored`, as in the original.
    """

    def __init__(self, server: Peer, name: str, port: int, words: tuple[str, ...], follow: bool):
        self.to = server
        self.messages = (" ".join(("start", name, f":{port}", *words)),)
        self.extra_s = REPLACING_S if port else 0.0
        self._name = name
        self._follow = follow
        self._machine: Peer | None = None  # from `started` on

    def received(self, letter: Letter) -> Outcome | None:
        """See Exchange. Only its machine ends it, or the server that cannot start it."""
        verb, sender = letter.verb, letter.sender
        if verb == "started" and self._machine is None and letter.words[:1] == (self._name,):
            self._machine = sender
            return None if self._follow else DONE
        if verb == "errored" and sender == self.to and self._machine is None:
            return Outcome(FAILURE)
        return DONE if verb == "exited" and sender == self._machine else None

    def overdue(self) -> Outcome | None:
        """See Exchange."""
        if self._machine is not None:
            return None
        return Outcome(
            FAILURE,
            f"{self._name} has not started in time; it may start later: "
            "`vcproxy machine list` shows it",
        )

    def given_up(self) -> Outcome | None:
        """See Exchange. `started` shows that the request has arrived, if not its ack."""
        return super().given_up() if self._machine is None else None

    def interrupted(self) -> Outcome:
        """See Exchange. A machine that was followed runs on."""
        return DONE if self._machine is not None else super().interrupted()


class StopExchange(Exchange):
    """Stop the machine at a port; it ends when the server has the request."""

    def __init__(self, server: Peer, port: int):
        self.to = server
        self.messages = (f"stop {port}",)

    def acknowledged(self) -> Outcome | None:
        """See Exchange."""
        return DONE


class SendExchange(Exchange):
    """Send messages to a machine, in order, and wait for a number of replies, however long."""

    limited = False

    def __init__(self, machine: Peer, messages: tuple[str, ...], replies: int):
        self.to = machine
        self.messages = messages
        self._missing = replies
        self._acknowledged = False

    def received(self, letter: Letter) -> Outcome | None:
        """See Exchange."""
        self._missing -= 1
        return self._end()

    def acknowledged(self) -> Outcome | None:
        """See Exchange."""
        self._acknowledged = True
        return self._end()

    def _end(self) -> Outcome | None:
        return DONE if self._acknowledged and self._missing <= 0 else None


class ListExchange(Exchange):
    """Get the list of a server: its only reply."""

    messages = ("list",)

    def __init__(self, server: Peer):
        self.to = server

    def received(self, letter: Letter) -> Outcome | None:
        """See Exchange."""
        return DONE if letter.sender == self.to else None

    def overdue(self) -> Outcome | None:
        """See Exchange."""
        return Outcome(FAILURE, f"{show_peer(self.to)} has not sent its list in time")


class ListenExchange(Exchange):
    """Receive what is sent to multicast groups, until a signal ends it: that is its orderly end."""

    limited = False

    def interrupted(self) -> Outcome:
        """See Exchange."""
        return DONE
