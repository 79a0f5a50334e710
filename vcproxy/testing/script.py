r'''Script: what the peers of a simulated proxy say and must hear, as one text; and all ways to cut it.

    Script("""
        client > hello
        server < HELLO
        server > who is there?
        server > .
        client < who is there?
        client < .
    """).play(client=client, server=server, run=proxy.run)

`>` has a peer say a line, `<` says what it hears next. A full stop stands for the end, in order.
What is heard and not in the script fails it as well.
'''

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import ndiff
from textwrap import dedent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.drivers.sim import Peer

END = "."


class Script:
    """A conversation to be had, a line for each thing that is said or heard.

    Lines of the conversation end in `newline` on the wire; blank lines of the script are for
    people. Raises ValueError for a line that is neither said nor heard.
    """

    def __init__(self, text: str, *, newline: bytes = b"\n") -> None:
        self.lines = [line for line in dedent(text).splitlines() if line.strip()]
        self._newline = newline
        for line in self.lines:
            _, mark, _ = _parsed(line)
            if mark not in ("<", ">"):
                raise ValueError(f'"{line}": a line of a script is "NAME > said" or "NAME < heard"')

    def play(self, run: Callable[[], None], **peers: Peer) -> None:
        """Have the conversation; `run` lets the world do what is to be done, as proxy.run.

        Raises AssertionError, with the script beside what happened, where they differ.
        """
        happened: list[str] = []
        heard = {name: len(peer.received) for name, peer in peers.items()}
        ended: set[str] = set()

        def listen(name: str) -> Iterator[str]:
            peer = peers[name]
            fresh = bytes(peer.received[heard[name] :])
            heard[name] += len(fresh)
            whole, _, rest = fresh.rpartition(self._newline)
            ...
