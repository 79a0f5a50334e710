"""ReplyComparison: what two servers answer, side by side, as it comes from each.

What the one says first is kept until the other gets there, within a bound: who is further ahead
than that cannot be compared any more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from enum import Enum

OVERHEAD = 64
"""Bytes that a message costs besides its own, about: an empty one is not kept for nothing."""


class ReplySide(Enum):
    """Who says something."""

    PRIMARY = "the primary"
    MIRROR = "the mirror"


class ReplyComparison(ABC):
    """Of a primary's and a mirror's answers. `most` is how many bytes one may be ahead."""

    __slots__ = (
        "_ahead",
        "_ended",
        "_most",
        "compared",
        "differences",
        "first",
        "given_up",
        "over",
    )

    def __init__(self, most: int) -> None:
        self._most = most
        self._ahead = ReplySide.PRIMARY
        self._ended: ReplySide | None = None
        self.compared = 0
        """Bytes or messages that both have said."""
        self.differences = 0
        self.first = ""
        """Where the first difference is, for people."""
        self.over = False
        """Whether nothing that follows can be compared."""
        self.given_up = False

    def feed(self, side: ReplySide, data: bytes) -> None:
        """Take what one says: a message, or some bytes of a stream."""
        if not self.over:
            self._take(side, data)
            if self.waiting > self._most:
                self.give_up()

    def give_up(self) -> None:
        """Compare no more."""
        if not self.over:
            self.over = self.given_up = True
            self._forget()

    @property
    def incomplete(self) -> bool:
        """Whether something was said that has not been compared."""
        return self.given_up or self.waiting > 0

    def end(self, side: ReplySide) -> None:
        """One says no more: whatever the other has said or says beyond it is a difference."""
        if not self.over and self._ended is None:
            self._ended = side
            if self.waiting and self._ahead is not side:
                self._differ()
                self.over = True
                self._forget()

    @property
    @abstractmethod
    def waiting(self) -> int:
        """How many bytes wait for the other to say the same; they have not been compared."""

    @abstractmethod
    def _take(self, side: ReplySide, data: bytes) -> None:
        """Compare with what waits, or wait."""

    @abstractmethod
    def _forget(self) -> None:
        """Let go of what waits."""

    @abstractmethod
    def _place(self) -> str:
        """Say where the comparison has got to."""

    def _differ(self) -> None:
        self.first = self.first or self._place()
        self.differences += 1

    def _beyond(self, side: ReplySide) -> bool:
        """Whether the other has ended. Then this is one difference, and the last."""
        if self._ended in (None, side):
            return False
        self._differ()
        self.over = True
        return True


class StreamComparison(ReplyComparison):
    """Of bytes. It is over at the first difference: what follows is no longer side by side."""

    __slots__ = ("_held",)

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._held = bytearray()

    @property
    def waiting(self) -> int:
        """See Comparison."""
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

    def _place(self) -> str:
        return f"byte {self.compared}"


class MessageComparison(ReplyComparison):
    """Of messages: the i-th of each belong together."""

    __slots__ = ("_held", "_size")

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._held: deque[bytes] = deque()
        self._size = 0

    @property
    def waiting(self) -> int:
        """See Comparison."""
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

    def _place(self) -> str:
        return f"answer {self.compared + 1}"
