"""ReplyComparison: compares the replies of two servers while they arrive.

Data of the server that is ahead is kept until the other has sent as much. If it exceeds a limit,
the comparison is given up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from enum import Enum

OVERHEAD = 64
"""Approximate bytes of memory that a message costs in addition to its length."""


class ReplySide(Enum):
    """The sender of a reply."""

    PRIMARY = "the primary"
    MIRROR = "the mirror"


class ReplyComparison(ABC):
    """Compares a primary's and a mirror's replies. `limit`: bytes that one may be ahead."""

    __slots__ = (
        "_ahead",
        "_ended",
        "_limit",
        "compared",
        "differences",
        "first_difference",
        "given_up",
        "over",
    )

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ahead = ReplySide.PRIMARY
        self._ended: ReplySide | None = None
        self.compared = 0
        """Bytes or messages that both sides have sent."""
        self.differences = 0
        self.first_difference = ""
        """The position of the first difference, for the log: "byte 7" or "message 3"."""
        self.over = False
        """Whether no further replies are compared."""
        self.given_up = False

    def feed(self, side: ReplySide, data: bytes) -> None:
        """Compare a reply: a message, or some bytes of a stream."""
        if not self.over:
            self._take(side, data)
            if self.waiting > self._limit:
                self.give_up()

    def give_up(self) -> None:
        """Stop comparing."""
        if not self.over:
            self.over = self.given_up = True
            self._forget()

    @property
    def incomplete(self) -> bool:
        """Whether some replies have not been compared."""
        return self.given_up or self.waiting > 0

    def end(self, side: ReplySide) -> None:
        """End one side. Everything that the other side sends beyond it is one difference."""
        if not self.over and self._ended is None:
            self._ended = side
            if self.waiting and self._ahead is not side:
                self._differ()
                self.over = True
                self._forget()

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Bytes of the side that is ahead, kept until the other has sent as much."""

    @abstractmethod
    def _take(self, side: ReplySide, data: bytes) -> None:
        """Compare data with the kept data of the other side, or keep it."""

    @abstractmethod
    def _forget(self) -> None:
        """Drop the kept data."""

    @abstractmethod
    def _position(self) -> str:
        """Return the current position, for the log."""

    def _differ(self) -> None:
        self.first_difference = self.first_difference or self._position()
        self.differences += 1

    def _beyond(self, side: ReplySide) -> bool:
        """Return whether the other side has ended. If so, count the last difference."""
        if self._ended in (None, side):
            return False
        self._differ()
        self.over = True
        return True


class StreamComparison(ReplyComparison):
    """Compares bytes. It ends at the first difference: the positions no longer correspond."""

    __slots__ = ("_held",)

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._held = bytearray()

    @property
    def waiting(self) -> int:
        """See ReplyComparison."""
        return len(self._held)

    def _take(self, side: ReplySide, data: bytes) -> None:
        held = self._held
        if held and self._ahead is not side:
            both = min(len(held), len(data))
            same = data.startswith(held) if len(data) > both else held.startswith(data)
            if not same:
                self.compared += next(at for at in range(both) if held[at] != data[at])
                self._differ()
                self.over = True
                self._forget()
                return
            self.compared += both
            del held[:both]
            data = data[both:]
        if data and not self._beyond(side):
            self._ahead = side
            held += data

    def _forget(self) -> None:
        self._held.clear()

    def _position(self) -> str:
        return f"byte {self.compared}"


class MessageComparison(ReplyComparison):
    """Compares the i-th message of one side with the i-th of the other."""

    __slots__ = ("_held", "_size")

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._held: deque[bytes] = deque()
        self._size = 0

    @property
    def waiting(self) -> int:
        """See ReplyComparison."""
        return self._size

    def _take(self, side: ReplySide, data: bytes) -> None:
        held, size = self._held, len(data) + OVERHEAD
        if held and self._ahead is not side:
            other = held.popleft()
            self._size -= len(other) + OVERHEAD
            if other != data:
                self._differ()
            self.compared += 1
        elif not self._beyond(side):
            self._ahead = side
            held.append(data)
            self._size += size

    def _forget(self) -> None:
        self._held.clear()
        self._size = 0

    def _position(self) -> str:
        return f"message {self.compared + 1}"
