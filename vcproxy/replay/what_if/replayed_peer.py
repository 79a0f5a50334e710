"""ReplayedPeer: a simulated peer that repeats what a peer of a recorded run did.

Each action is repeated with the same bytes, but not before its recorded time, and not before the
peer has received as many bytes as in the recording: a slower proxy must not reverse cause and
effect. If these bytes do not arrive, the peer acts PATIENCE_S after the latest of: that time, the
last data received, the last action. Tested in tests/replay/test_what_if.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vcproxy.replay.format.peer_history import PeerHistory, StreamEnd

if TYPE_CHECKING:
    from vcproxy.drivers.sim import Peer, Simulation

PATIENCE_S = 1.0
"""The simulated network is instant: data that takes longer than this waits for a timer, and few
timers are longer."""


@dataclass(frozen=True, slots=True)
class PeerOutcome:
    """What a peer received from the proxy."""

    received: bytes
    end: str
    """"closed", "reset" or "open"; "kept" for another conversation; "not connected"."""


class ReplayedPeer:
    """One simulated peer that repeats its history."""

    def __init__(self, history: PeerHistory, sim: Simulation) -> None:
        self.history = history
        self.refusals = deque(history.refusals)
        self.peer: Peer | None = None
        """Its connection."""
        self._begin_at = 0  # what the connection had received before it was attached
        self._detached_with: PeerOutcome | None = None
        self._send: Callable[[bytes], None] | None = None
        self._datagrams = bytearray()
        self._sim = sim
        self._pending = deque(history.actions)
        self._last_activity = 0.0  # when this peer last received data or acted
        self._next_check = float("inf")

    def attach(self, peer: Peer) -> None:
        """Begin, on a connection that another ReplayedPeer may have used before."""
        self.peer = peer
        self._begin_at = len(peer.received)
        peer.on_data = self._on_data
        self._begin(peer.send)

    def detach(self) -> None:
        """Stop: from now on the connection belongs to another ReplayedPeer."""
        if self._detached_with is None:
            self._detached_with = replace(self.outcome, end="kept")
            self._send = None

    def attach_datagrams(self, send: Callable[[bytes], None]) -> None:
        """Begin, with a function that sends datagrams."""
        self._begin(send)

    def receive_datagram(self, data: bytes) -> None:
        """Take a datagram from the proxy."""
        self._datagrams += data
        self._on_data(data)

    @property
    def busy(self) -> bool:
        """Whether the peer has pending actions and can still act."""
        usable = self.peer is None or self.peer.error is None
        return bool(self._pending) and self._send is not None and usable

    @property
    def outcome(self) -> PeerOutcome:
        """What it has received so far."""
        if self._detached_with is not None:
            return self._detached_with
        peer = self.peer
        if peer is None:
            end = "open" if self._send is not None else "not connected"
            return PeerOutcome(bytes(self._datagrams), end)
        if not peer.connected:
            return PeerOutcome(b"", "not connected")
        end = "closed" if peer.ended else "reset" if peer.reset_seen else "open"
        return PeerOutcome(bytes(peer.received[self._begin_at :]), end)

    @property
    def _received(self) -> int:
        if self.peer is None:
            return len(self._datagrams)
        return len(self.peer.received) - self._begin_at

    def _begin(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._last_activity = self._sim.now
        self._proceed()

    def _on_data(self, _: bytes) -> None:
        self._last_activity = self._sim.now
        self._proceed()

    def _proceed(self) -> None:
        """Perform all actions whose time has come; set a timer for the next one."""
        now = self._sim.now
        while self._pending and self._send is not None:
            at, received, action = self._pending[0]
            if now < at:
                self._check_at(at)
                return
            deadline = max(at, self._last_activity) + PATIENCE_S
            if self._received < received and now < deadline:
                self._check_at(deadline)
                return
            self._pending.popleft()
            self._last_activity = now
            self._perform(action)

    def _check_at(self, when: float) -> None:
        if when < self._next_check:
            self._next_check = when
            self._sim.clock.at(when, self._check)

    def _check(self) -> None:
        self._next_check = float("inf")
        self._proceed()

    def _perform(self, action: bytes | StreamEnd) -> None:
        if isinstance(action, bytes):
            if self._send is not None:
                self._send(action)
        elif self.peer is not None:
            self.peer.end() if action is StreamEnd.END else self.peer.reset()
