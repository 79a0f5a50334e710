"""TwoWayTunnel: two OneWayTunnels under one mutex.

    BOTH --one direction done in order--> HALF --the other done--> DONE
      +---- one done otherwise, or EOS and half_close=False ----> ENDING --the other done--> DONE

A direction that ends in order leaves the other running: true half-close. (Traffic Server ends both
at the first end; `half_close=False` does that.) A direction that ends otherwise stops the other,
unless the other's own source has failed: then the bytes that source sent before still reach its
sink.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.tunnels.done import Flow, Reason, TunnelDone
from vcproxy.tunnels.one_way import OneWayTunnel
from vcproxy.tunnels.stall_timer import ABORT_S

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.tunnels.transform import Transform


class Direction(Protocol):
    """Moves one direction, and sends its owner one TunnelDone. See OneWayTunnel."""

    def start(self) -> None:
        """Begin."""

    def recall(self) -> None:
        """Stop reading; what was read is still sent."""

    def stop(self) -> None:
        """End at once."""

    @property
    def flow(self) -> Flow:
        """Byte counts so far."""


class TwoWayTunnel(Machine):
    """Moves the bytes of each of two VCs to the other, and sends `owner` one TunnelDone.

    Its `reason`, `ended_by` and `error` are those of the direction that ended it: the first that
    did not end in order, else the last. See OneWayTunnel for the rest. `up` is the direction from
    client to server, `down` the other.

    Args:
        request: a reader of a buffer that the client has already been read into.
        openings: bytes sent first, to the server and to the client.
        upward: transforms the bytes that go to the server.
        downward: transforms the bytes that go to the client.
    """

    one_way: ClassVar[type[OneWayTunnel]] = OneWayTunnel
    """The class that moves each direction."""

    __slots__ = ("_half_close", "_outcome", "_owner", "_sources", "down", "up")

    BOTH = State(initial=True)
    HALF = State()
    ENDING = State()
    DONE = State(final=True)

    def __init__(
        self,
        owner: Continuation,
        client: VConnection,
        server: VConnection,
        *,
        half_close: bool = True,
        request: Reader | None = None,
        openings: tuple[bytes, bytes] = (b"", b""),
        upward: Transform | None = None,
        downward: Transform | None = None,
        water_mark: int | None = None,
        name: str = "",
    ) -> None:
        super().__init__(owner.engine, owner.mutex, name=name)
        self._owner = owner
        self._half_close = half_close
        self._outcome: TunnelDone | None = None
        self.up = self.up_direction(
            client,
            server,
            reader=request,
            opening=openings[0],
            transform=upward,
            water_mark=water_mark,
            name=f"{self.name} up",
        )
        self.down = self.down_direction(
            server,
            client,
            opening=openings[1],
            transform=downward,
            water_mark=water_mark,
            name=f"{self.name} down",
        )
        self._sources = {self.up: client, self.down: server}

    def up_direction(self, client: VConnection, server: VConnection, **options: Any) -> Direction:
        """Return the machine that moves the bytes from client to server; `options`: OneWayTunnel's.

        A subclass may return another machine that sends TunnelDone to this one.
        """
        return self.one_way(self, client, server, watch=False, abort_s=ABORT_S, **options)

    def down_direction(self, server: VConnection, client: VConnection, **options: Any) -> Direction:
        """Return the machine that moves the bytes from server to client."""
        return self.one_way(self, server, client, watch=False, **options)

    @BOTH.enter
    def relaying(self) -> None:
        """Start both directions."""
        self.up.start()
        self.down.start()

    @BOTH.on(TunnelDone, to=(HALF, ENDING))
    def first_direction_done(self, done: TunnelDone) -> State:
        """Wait for the other direction, or stop it unless its source has failed."""
        self._outcome = done
        if done.reason is Reason.RECALLED or (done.reason is Reason.EOS and self._half_close):
            return self.HALF
        other = self.down if done.tunnel is self.up else self.up
        if self._sources[other].error is None:
            other.stop()
        return self.ENDING

    @HALF.on(TunnelDone, to=DONE)
    def second_direction_done(self, done: TunnelDone) -> None:
        """End: the other direction has ended too."""
        self._outcome = done

    @ENDING.on(TunnelDone, to=DONE)
    def other_direction_stopped(self, done: TunnelDone) -> None:
        """End: the other direction was stopped, or has sent the rest of its failed source."""

    @DONE.enter
    def done(self) -> None:
        """Give the VCs back."""
        outcome = self._outcome
        assert outcome is not None
        flows = self.up.flow, self.down.flow
        done = TunnelDone(self, outcome.reason, outcome.ended_by, outcome.error, flows)
        self.engine.schedule(self._owner, TunnelDone, done)
        del self._owner  # it may refer to this tunnel, and a cycle would outlive the connection

    def recall(self) -> None:
        """Stop reading both sides. Bytes that were read are still sent; then TunnelDone
        (RECALLED)."""
        self.up.recall()
        self.down.recall()

    def stop(self) -> None:
        """End both directions at once. TunnelDone (STOPPED) follows."""
        self.up.stop()
        self.down.stop()
