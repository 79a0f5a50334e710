"""How a session or request ended, in two letters: what ended it, and in which phase.

The idea, and most letters, are those of HAProxy's log ("session state at disconnection"). "--" is
an orderly end.

Tested in tests/access_log/test_record.py.
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class By(enum.Enum):
    """What has ended it: the first letter."""

    NORMAL = "-"
    """Nothing has failed: it has ended in order."""
    CLIENT = "C"
    """The client: it has reset the connection, or left before it was served."""
    SERVER = "S"
    """The server: it refused the connection, reset it, or sent what cannot be used."""
    CLIENT_TIMEOUT = "c"
    """A timeout while the client had to send or to read."""
    SERVER_TIMEOUT = "s"
    """A timeout while the server had to accept, send or read."""
    POLICY = "P"
    """A rule of the proxy or of its plugin: a network in `deny`, a rate, a limit, a filter."""
    LOCAL = "L"
    """The proxy itself has answered, in place of a server."""
    RESOURCE = "R"
    """A resource was used up: memory, descriptors, room in a queue."""
    INTERNAL = "I"
    """An error in the proxy or in a plugin."""
    KILLED = "K"
    """An operator: the proxy was stopped, or a command has closed the connection."""
    VALIDATOR = "V"
    """A validator has rejected a message."""
    MIRROR = "M"
    """Only a mirror: the client's own connections were not affected."""
    LAG = "G"
    """The lag policy: it has read too slowly."""


class Phase(enum.Enum):
    """In which phase it ended: the second letter."""

    DONE = "-"
    """After everything was done."""
    HANDSHAKE = "H"
    """Before the session: PROXY header, limits of access, TLS handshake."""
    REQUEST = "R"
    """While the first message or the head of a request was awaited."""
    VALIDATING = "V"
    """While a message was validated, or before the first valid one was forwarded."""
    QUEUE = "Q"
    """In the queue for a server."""
    CONNECTING = "C"
    """While a server was connected to."""
    WAITING = "W"
    """While the head of the server's response was awaited."""
    DATA = "D"
    """While data were transferred."""
    LAST_DATA = "L"
    """After the server had sent everything, while the client had to read the rest."""


class End(NamedTuple):
    """How it ended. As text, the two letters."""

    by: By = By.NORMAL
    phase: Phase = Phase.DONE

    def __str__(self) -> str:
        return self.by.value + self.phase.value


NORMAL_END = End()
"""An orderly end: "--"."""
