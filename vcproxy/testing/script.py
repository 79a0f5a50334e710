r'''Script: a text of the lines that simulated peers send and receive; fragments: splits of data.

    Script("""
        client > hello
        server < HELLO
        server > any questions?
        server >.
        client < any questions?
        client <.
    """).play(proxy.run, client=client, server=server)

`>` makes a peer send a line; `<` expects that it receives this line next. `>.` and `<.` stand for
the end of the stream, `>!` and `<!` for a reset. If a peer receives anything else, `play` fails.
Tested in tests/testing/test_script.py.
'''

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from difflib import ndiff
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.drivers.sim import Peer

_LINE = re.compile(r"(?P<peer>\w+) (?P<way>[<>])(?P<end>[.!]?)(?: (?P<text>.*))?")


class Script:
    """A conversation: one line of text for each line sent or received. Blank lines are ignored.

    On the wire each line ends in `newline`. Received bytes that are not UTF-8 are shown as
    backslash escapes. Raises ValueError for a line of the script that is malformed.
    """

    def __init__(self, text: str, *, newline: bytes = b"\n") -> None:
        self._newline = newline
        self._lines: list[re.Match[str]] = []
        for line in filter(None, map(str.strip, text.splitlines())):
            match = _LINE.fullmatch(line)
            if match is None:
                raise ValueError(f'"{line}" must be "NAME > sent" or "NAME < received"')
            self._lines.append(match)

    def play(self, run: Callable[[], object], **peers: Peer) -> None:
        """Run the conversation. `run` advances the simulation, for example proxy.run.

        A script compares everything that a peer has received since it connected. So use each peer
        in one script only.

        Raises AssertionError with a diff if the conversation differs from the script.
        """
        streams = {name: _received(name, peer, self._newline) for name, peer in peers.items()}
        happened: list[str] = []
        for way, lines in groupby(self._lines, lambda line: line["way"]):
            if way == ">":
                for line in lines:
                    self._send(peers[line["peer"]], line)
                    happened.append(line[0])
                continue
            run()
            for line in lines:
                happened += filter(None, [next(streams[line["peer"]])])
            happened += _rest(streams)
        run()
        happened += _rest(streams)
        script = [line[0] for line in self._lines]
        if happened != script:
            diff = [line for line in ndiff(script, happened) if not line.startswith("?")]
            raise AssertionError("\n".join(["the script (-) and what happened (+):", *diff]))

    def _send(self, peer: Peer, line: re.Match[str]) -> None:
        match line["end"]:
            case ".":
                peer.end()
            case "!":
                peer.reset()
            case _:
                peer.send((line["text"] or "").encode() + self._newline)


def _received(name: str, peer: Peer, newline: bytes) -> Iterator[str | None]:
    """Yield what a peer receives, as lines of a script; yield None while nothing is new."""
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


def _rest(streams: dict[str, Iterator[str | None]]) -> Iterator[str]:
    for stream in streams.values():
        while (line := next(stream)) is not None:
            yield line


def _text(data: bytearray) -> str:
    return data.decode(errors="backslashreplace")


def fragments(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return every split of the data into two non-empty parts.

    Use it to test that a plugin's result does not depend on how the data is split.
    """
    return [(data[:at], data[at:]) for at in range(1, len(data))]
