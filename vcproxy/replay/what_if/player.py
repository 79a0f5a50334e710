"""Player: a peer that plays its part in a recorded run again.

It does what it did, in its pieces, at its time: not before it has heard as many bytes as it had
then, so that a proxy that is slower breaks no causality; and where they do not come, not later than
PATIENCE_S after its time, and after the last that came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vcproxy.replay.format.peer_scripts import Deed, PeerScript

if TYPE_CHECKING:
    from vcproxy.drivers.sim import Peer, Simulation

PATIENCE_S = 1.0
"""What a peer waits for comes at once here, unless timers delay it: few do so for longer."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a peer has seen of the proxy."""

    heard: bytes
    end: str
    """"closed", "reset" or "open"; "kept" for another; "not connected"."""


class Player:
    """One peer that plays its part."""

    def __init__(self, part: PeerScript, sim: Simulation) -> None:
        self.part = part
        self.refusals = deque(part.refusals)
        self.peer: Peer | None = None
        """Its connection."""
        self._begin_at = 0  # what the connection had received when it was taken up
        self._left_with: Outcome | None = None
        self._say: Callable[[bytes], None] | None = None
        self._datagrams = bytearray()
        self._sim = sim
        self._left = deque(part.acts)
        self._quiet = 0.0  # since when it has neither heard nor done anything
        self._looks = float("inf")  # when it will look again

    def take_up(self, peer: Peer) -> None:
        """Begin, at an end of a connection, which may have been another's."""
        self.peer = peer
        self._begin_at = len(peer.received)
        peer.on_data = self._subscribe
        self._begin(peer.send)

    def leave(self) -> None:
        """The connection is another's from now on."""
        if self._left_with is None:
            self._left_with = replace(self.outcome, end="kept")
            self._say = None

    def correspond(self, say: Callable[[bytes], None]) -> None:
        """Begin, with a way to send datagrams."""
        self._begin(say)

    def hear(self, data: bytes) -> None:
        """A datagram has come."""
        self._datagrams += data
        self._subscribe(data)

    @property
    def busy(self) -> bool:
        """Whether it is still to do something, and can."""
        on_air = self.peer is None or self.peer.error is None
        return bool(self._left) and self._say is not None and on_air

    @property
    def outcome(self) -> Outcome:
        """What it has seen."""
        if self._left_with is not None:
            return self._left_with
        peer = self.peer
        if peer is None:
            end = "open" if self._say is not None else "not connected"
            return Outcome(bytes(self._datagrams), end)
        if not peer.connected:
            return Outcome(b"", "not connected")
        end = "closed" if peer.ended else "reset" if peer.reset_seen else "open"
        return Outcome(bytes(peer.received[self._begin_at :]), end)

    @property
    def _heard(self) -> int:
        if self.peer is None:
            return len(self._datagrams)
        return len(self.peer.received) - self._begin_at

    def _begin(self, say: Callable[[bytes], None]) -> None:
        self._say = say
        self._quiet = self._sim.now
        self._go_on()

    def _subscribe(self, _: bytes) -> None:
        self._quiet = self._sim.now
        self._go_on()

    def _go_on(self) -> None:
        """Do what is due, and look again when more is."""
        now = self._sim.now
        while self._left and self._say is not None:
            at, heard, does = self._left[0]
            if now < at:
                self._look(at)
                return
            late = max(at, self._quiet) + PATIENCE_S
            if self._heard < heard and now < late:
                self._look(late)
                return
            self._left.popleft()
            self._quiet = now
            self._do(does)

    def _look(self, when: float) -> None:
        if when < self._looks:
            self._looks = when
            self._sim.clock.at(when, self._looked)

    def _looked(self) -> None:
        self._looks = float("inf")
        self._go_on()

    def _do(self, does: bytes | Deed) -> None:
        if isinstance(does, bytes):
            if self._say is not None:
                self._say(does)
        elif self.peer is not None:
            self.peer.end() if does is Deed.END else self.peer.reset()
