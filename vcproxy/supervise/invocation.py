"""Invocation: the arguments that a server gives a machine's program (wink.md 1, the newest form).

PATH NAME ADDRESS PARENT [ARGUMENT]...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vcproxy.bus.mailbox.peer import Peer, parse_peer, show_peer


@dataclass(frozen=True, slots=True)
class Invocation:
    """How a machine was started."""

    path: str
    """The file of the program, argv[0]."""
    name: str
    """As in `family/Child#Alice`."""
    address: Peer
    """Where to bind; port 0: any free one."""
    parent: Peer
    """Who has asked the server to start it: it gets the lifecycle messages."""
    arguments: tuple[str, ...] = ()
    """The arguments of the author."""

    @classmethod
    def parse(cls, argv: Sequence[str]) -> Invocation:
        """Return the invocation of an argument list. Raises ValueError with the usage."""
        if len(argv) < 4:
            path = argv[0] if argv else "PATH"
            raise ValueError(
                f"usage: {path} NAME ADDRESS PARENT [ARGUMENT]..., as in: "
                f"{path} family/Parent :0 :42000; a machine server passes these arguments"
            )
        path, name, address, parent, *arguments = argv
        return cls(path, name, parse_peer(address), parse_peer(parent), tuple(arguments))

    def argv(self) -> tuple[str, ...]:
        """Return the argument list that `parse` reads."""
        addresses = show_peer(self.address), show_peer(self.parent)
        return (self.path, self.name, *addresses, *self.arguments)
