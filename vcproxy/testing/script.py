r'''Script: what the peers of a simulated proxy say and hear, as one text; fragments of bytes.

    Script("""
        client > hello
        server < HELLO
        server > who is there?
        server >.
        client < who is there?
        client <.
    """).play(proxy.run, client=client, server=server)

`>` has a peer say a line, and `<` is the next line that it hears. Without a space behind, a full
stop is the end, in order, and an exclamation mark a reset. What else a peer hears fails it, too.
'''

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from difflib import ndiff
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.drivers.sim import Peer

_LINE = re.compile(r"(?P<who>\w+) (?P<way>[<>])(?P<end>[.!]?)(?: (?P<text>.*))?")


class Script:
    """A conversation: a line for all that is said and heard, blank lines for people.

    Each line that is said or heard ends in `newline` on the wire; bytes that are no text are
    written as Python does. Raises ValueError for a line that is none.
    """

    def __init__(self, text: str, *, newline: bytes = b"\n") -> None:
        self._newline = newline
        self._lines: list[re.Match[str]] = []
        for line in filter(None, map(str.strip, text.splitlines())):
            match = _LINE.fullmatch(line)
            if match is None:
                raise ValueError(f'"{line}" must be "NAME > said" or "NAME < heard"')
            self._lines.append(match)

    def play(self, run: Callable[[], object], **peers: Peer) -> None:
        """Have the conversation. `run` lets the world go on, as proxy.run does.

        What its peers have heard before is part of it: each takes part in one script.

        Raises AssertionError with a diff where it went otherwise.
        """
        ears = {name: _heard(name, peer, self._newline) for name, peer in peers.items()}
        happened: list[str] = []
        for way, lines in groupby(self._lines, lambda line: line["way"]):
            if way == ">":
                for line in lines:
                    self._say(peers[line["who"]], line)
                    happened.append(line[0])
                continue
            run()
            for line in lines:
                happened += filter(None, [next(ears[line["who"]])])
            happened += _rest(ears)
        run()
        happened += _rest(ears)
        script = [line[0] for line in self._lines]
        if happened != script:
            diff = [line for line in ndiff(script, happened) if not line.startswith("?")]
            raise AssertionError("\n".join(["the script (-), and what happened (+):", *diff]))

    def _say(self, peer: Peer, line: re.Match[str]) -> None:
        match line["end"]:
            case ".":
                peer.end()
            case "!":
                peer.reset()
            case _:
                peer.send((line["text"] or "").encode() + self._newline)


def _heard(name: str, peer: Peer, newline: bytes) -> Iterator[str | None]:
    """What a peer hears, as lines of a script; None whenever nothing is new."""
    at = 0
    while True:
        end = peer.received.find(newline, at)
        if end >= 0:
            yield f"{name} < {_text(peer.received[at:end])}" if end > at else f"{name} <"
            at = end + len(newline)
        elif at < len(peer.received):
            yield f"{name} < {_text(peer.received[at:])} (and no end of line)"
            at = len(peer.received)
        elif peer.reset_seen or peer.ended:
            break
        else:
            yield None
    yield f"{name} <!" if peer.reset_seen else f"{name} <."
    while True:
        yield None


def _rest(ears: dict[str, Iterator[str | None]]) -> Iterator[str]:
    for ear in ears.values():
        while (line := next(ear)) is not None:
            yield line


def _text(data: bytearray) -> str:
    return data.decode(errors="backslashreplace")


def fragments(data: bytes) -> list[tuple[bytes, bytes]]:
    """Every way to cut some bytes in two, neither part empty: plugins must not see where."""
    return [(data[:at], data[at:]) for at in range(1, len(data))]
