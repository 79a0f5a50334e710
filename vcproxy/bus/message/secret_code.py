"""Secret code: which messages a server of datagrams takes (eventdispatcher.md 4).

It is sent in clear, so it stops mistakes, not attackers.
"""

from __future__ import annotations

from enum import Enum
from hmac import compare_digest

from vcproxy.bus.message.bus_message import BusMessage

PARAMETER = "secret_code"
"""The parameter that has the code."""


class CodeCheck(Enum):
    """What the code of a message means to a server."""

    RIGHT = "right"
    """The code is right, or neither server nor message has one."""
    UNEXPECTED = "unexpected"
    """The message has a code, the server none: it is taken, with a warning."""
    MISSING = "missing"
    """The server has a code, the message none: it is dropped."""
    WRONG = "wrong"
    """The codes differ: it is dropped."""

    @property
    def accepted(self) -> bool:
        """Whether the message is taken."""
        return self in (CodeCheck.RIGHT, CodeCheck.UNEXPECTED)


def check_secret(message: BusMessage, code: str) -> CodeCheck:
    """Return what the code of a message means to a server with this code; "" is none.

    The comparison takes the same time for every wrong code of the same length.
    """
    sent = message.parameters.get(PARAMETER)
    if not code:
        return CodeCheck.RIGHT if sent is None else CodeCheck.UNEXPECTED
    if sent is None:
        return CodeCheck.MISSING
    right = compare_digest(sent.encode(errors="surrogatepass"), code.encode(errors="surrogatepass"))
    return CodeCheck.RIGHT if right else CodeCheck.WRONG
