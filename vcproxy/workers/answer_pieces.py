"""AnswerPieces: sends the answers of a worker to its master, long ones in pieces.

The master asks for each further piece, so that no more than one is in the channel, over which other
messages must always fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.workers.messages import Message, Verb

if TYPE_CHECKING:
    from vcproxy.workers.channel import Channel

PIECE: Final = 24 * 1024
"""Characters of a piece. In the JSON of a message one may take seven bytes, as a backslash and the
six of "\\u0000" do: that is less than the largest message."""


class AnswerPieces:
    """The answer that is being sent: a worker is asked one question at a time."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._number = 0
        self._pieces: Iterator[str] = iter(())
        self._next: str | None = None

    def send(self, number: int, texts: Iterable[str]) -> None:
        """Answer the question `number` with texts that are, one after the other, JSON."""
        self._number = number
        self._pieces = _pieces(texts)
        self._next = next(self._pieces, "")
        self.send_next(number)

    def send_next(self, number: int) -> None:
        """Send the next piece, if this question is still being answered."""
        text = self._next
        if number == self._number and text is not None:
            self._next = next(self._pieces, None)
            more = self._next is not None
            self._channel.send(Message(Verb.ANSWER, text=text, number=number, more=more))


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts in pieces of at most PIECE characters."""
    piece = ""
    for text in texts:
        piece += text
        while len(piece) > PIECE:
            yield piece[:PIECE]
            piece = piece[PIECE:]
    if piece:
        yield piece
