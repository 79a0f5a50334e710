"""Children: the machines that a machine watches, and when each was last heard of (wink.md 4).

Whoever sends `started` is a child, or `pulsed`, whose `started` was lost. A value: the caller
passes the time, and asks what is overdue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vcproxy.bus.mailbox.peer import Peer

PULSE_S: Final = 10.0
"""A machine sends its parent `pulsed` at this interval (the seed, "Lifecycle")."""

SILENCE_S: Final = 60.0
"""A child that is silent for so long has failed (the seed, "Lifecycle"): six pulses are missing."""

MAX_CHILDREN: Final = 4096
"""More are not watched: any host may send `started`, so memory must have a limit. It is that of a
mailbox's peers."""


@dataclass(frozen=True, slots=True)
class Child:
    """A machine that has sent `started`."""

    peer: Peer
    name: str


class Children:
    """The children by their address, in the order in which they were last heard of."""

    __slots__ = ("_children", "_heard")

    def __init__(self) -> None:
        self._children: dict[Peer, Child] = {}
        self._heard: dict[Peer, float] = {}  # the one that is silent for longest first

    def __len__(self) -> int:
        return len(self._children)

    def __iter__(self) -> Iterator[Child]:
        """Iterate in the order in which they started."""
        return iter(self._children.values())

    def get(self, peer: Peer) -> Child | None:
        """Return the child at an address."""
        return self._children.get(peer)

    def started(self, peer: Peer, name: str, now: float) -> Child | None:
        """Add a child, in place of an earlier one at its address; None: there are too many."""
        self.ended(peer)
        if len(self._children) >= MAX_CHILDREN:
            return None
        child = self._children[peer] = Child(peer, name)
        self._heard[peer] = now
        return child

    def pulsed(self, peer: Peer, now: float) -> bool:
        """Note that a child lives; return False if it is none."""
        if self._heard.pop(peer, None) is None:
            return False
        self._heard[peer] = now
        return True

    def ended(self, peer: Peer) -> Child | None:
        """Forget a child and return it."""
        self._heard.pop(peer, None)
        return self._children.pop(peer, None)

    @property
    def deadline(self) -> float | None:
        """When the next child is overdue; None: there is no child."""
        for heard in self._heard.values():
            return heard + SILENCE_S
        return None

    def overdue(self, now: float) -> list[Child]:
        """Return the children that are silent for SILENCE_S; they stay children until `ended`."""
        late = []
        for peer, heard in self._heard.items():
            if now < heard + SILENCE_S:
                break
            late.append(self._children[peer])
        return late
