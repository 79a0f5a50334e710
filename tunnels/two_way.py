"""TwoWayTunnel: two OneWayTunnels under one mutex.

    BOTH --one direction done in order--> HALF --the other done--> DONE
      +---- one done otherwise, or EOS and half_close=False ----> ENDING --the other done--> DONE

A direction that ends in order leaves the other running: true half-close. (Traffic Server ends both
at the first end; `half_close=False` does that.) A direction that ends otherwise stops the other,
unless the other's own source has failed: then the bytes that source sent before still reach its
sink.

Most connections end in order, with all bytes delivered. So a tunnel that changes no byte begins
with two PlainDirections, which need no machine, and ends these itself. At any other event, or when
the owner stops it, OneWayTunnels take over the running operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from vcproxy.engine.event import Event
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.tunnels.done import Flow, Reason, TunnelDone
from vcproxy.tunnels.one_way import OneWayTunnel
from vcproxy.tunnels.plain_direction import PlainDirection
from vcproxy.tunnels.stall_timer import ABORT_S

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.tunnels.transform import Transform

NO_OPENINGS = (b"", b"")


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

    __slots__ = (
        "_client",
        "_ended_by",
        "_error",
        "_half_close",
        "_owner",
        "_reason",
        "_server",
        "down",
        "up",
    )

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
        openings: tuple[bytes, bytes] = NO_OPENINGS,
        upward: Transform | None = None,
        downward: Transform | None = None,
        water_mark: int | None = None,
        name: str = "",
    ) -> None:
        super().__init__(owner.engine, owner.mutex, name=name)
        self._owner = owner
        self._half_close = half_close
        self._client, self._server = client, server
        self._reason = Reason.STOPPED
        self._ended_by = ""
        self._error: Exception | None = None
        self.up: Direction
        self.down: Direction
        changes = upward or downward or openings != NO_OPENINGS
        if half_close and not changes and type(self) is TwoWayTunnel:
            self.up = PlainDirection(self, client, server, water_mark, request)
            self.down = PlainDirection(self, server, client, water_mark)
            return
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
        """Start both directions. Plain ones have begun already."""
        if type(self.up) is not PlainDirection:
            self.up.start()
            self.down.start()

    # -- plain directions --------------------------------------------------------------------

    @BOTH.on(Event.EOS, to=(HALF,))
    def first_source_ended(self, vio: VIO) -> State | None:
        """End a plain direction: the other one continues."""
        return self.HALF if self._finish(vio) else None

    @HALF.on(Event.EOS, to=(DONE,))
    def second_source_ended(self, vio: VIO) -> State | None:
        """End: the other direction has ended before."""
        return self.DONE if self._finish(vio) else None

    @BOTH.on(Event.ERROR)
    @HALF.on(Event.ERROR)
    def failed(self, vio: VIO) -> None:
        """Let OneWayTunnels continue: bytes may be left to deliver."""
        self._pass_on(Event.ERROR, vio)

    @BOTH.on(Event.INACTIVITY_TIMEOUT)
    @HALF.on(Event.INACTIVITY_TIMEOUT)
    def timed_out_inactive(self, vio: VIO) -> None:
        """Let OneWayTunnels end."""
        self._pass_on(Event.INACTIVITY_TIMEOUT, vio)

    @BOTH.on(Event.ACTIVE_TIMEOUT)
    @HALF.on(Event.ACTIVE_TIMEOUT)
    def timed_out_active(self, vio: VIO) -> None:
        """Let OneWayTunnels end."""
        self._pass_on(Event.ACTIVE_TIMEOUT, vio)

    def _finish(self, vio: VIO) -> bool:
        """End the direction of this source if its sink has all bytes, else let a machine do it."""
        direction = self.up if vio.vc is self._client else self.down
        assert type(direction) is PlainDirection
        if direction.finish():
            self._reason, self._ended_by, self._error = Reason.EOS, vio.vc.name, None
            return True
        self._pass_on(Event.EOS, vio)
        return False

    def _pass_on(self, event: Event, vio: VIO) -> None:
        self._make_machines()
        assert vio.cont is not None
        vio.cont.handle_event(event, vio)

    def _make_machines(self) -> None:
        """Replace the plain directions that still run."""
        client, server, up, down = self._client, self._server, self.up, self.down
        if isinstance(up, PlainDirection) and not up.finished:
            name = f"{self.name} up"
            self.up = self.up_direction(client, server, running=(up.source, up.sink), name=name)
            self.up.start()
        if isinstance(down, PlainDirection) and not down.finished:
            running, name = (down.source, down.sink), f"{self.name} down"
            self.down = self.down_direction(server, client, running=running, name=name)
            self.down.start()

    # -- directions with machines ------------------------------------------------------------

    @BOTH.on(TunnelDone, to=(HALF, ENDING))
    def first_direction_done(self, done: TunnelDone) -> State:
        """Wait for the other direction, or stop it unless its source has failed."""
        self._note(done)
        if done.reason is Reason.RECALLED or (done.reason is Reason.EOS and self._half_close):
            return self.HALF
        other, source = (
            (self.down, self._server) if done.tunnel is self.up else (self.up, self._client)
        )
        if source.error is None:
            other.stop()
        return self.ENDING

    @HALF.on(TunnelDone, to=DONE)
    def second_direction_done(self, done: TunnelDone) -> None:
        """End: the other direction has ended too."""
        self._note(done)

    @ENDING.on(TunnelDone, to=DONE)
    def other_direction_stopped(self, done: TunnelDone) -> None:
        """End: the other direction was stopped, or has sent the rest of its failed source."""

    def _note(self, done: TunnelDone) -> None:
        self._reason, self._ended_by, self._error = done.reason, done.ended_by, done.error

    @DONE.enter
    def done(self) -> None:
        """Give the VCs back."""
        flows = self.up.flow, self.down.flow
        done = TunnelDone(self, self._reason, self._ended_by, self._error, flows)
        record = self._client.record
        if record is not None:
            from vcproxy.tunnels.ending import note_end

            note_end(record, done, self._client)
        self.engine.schedule(self._owner, TunnelDone, done)
        del self._owner  # the owner may refer to this tunnel: a cycle would outlive the connection

    # -- for owners --------------------------------------------------------------------------

    def recall(self) -> None:
        """Stop reading both sides. Bytes that were read are still sent; then TunnelDone
        (RECALLED)."""
        self._make_machines()
        self.up.recall()
        self.down.recall()

    def stop(self) -> None:
        """End both directions at once. TunnelDone (STOPPED) follows."""
        self._make_machines()
        self.up.stop()
        self.down.stop()
