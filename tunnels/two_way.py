"""TwoWayTunnel: two OneWayTunnels under one mutex.

    BOTH --one done in order--> HALF --the other done--> DONE
      +---- one done otherwise, or EOS and half_close=False ----> ENDING --the other done--> DONE

A direction that ends cleanly leaves the other running: true half-close. (Traffic Server ends both
at the first end; `half_close=False` does that.) One that is terminated terminates the other, unless
that one's own source is what has broken: what it had sent before still arrives.
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


class Way(Protocol):
    """What moves one direction, and tells its owner with one TunnelDone. See OneWayTunnel."""

    def start(self) -> None:
        """Begin."""

    def recall(self) -> None:
        """Stop reading."""

    def stop(self) -> None:
        """End now."""

    @property
    def flow(self) -> Flow:
        """What has gone through so far."""


class TwoWayTunnel(Machine):
    """Moves what each of two VCs brings to the other, and tells `owner` with one TunnelDone.

    Its reason, who and error are those of the direction that ended it: the first that was
    terminated, else the last that ended in order. See OneWayTunnel for the rest.

    Args:
        request: a place in a buffer that the client has been read into already.
        openings: what is said before all else, to the server and to the client.
        upward: transforms what goes to the server.
        downward: transforms what goes to the client.
    """

    one_way: ClassVar[type[OneWayTunnel]] = OneWayTunnel
    """What moves each direction."""

    __slots__ = ("_half_close", "_owner", "_sources", "_verdict", "down", "up")

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
        self._verdict: TunnelDone | None = None
        self.up = self.way_up(
            client,
            server,
            reader=request,
            opening=openings[0],
            transform=upward,
            water_mark=water_mark,
            name=f"{self.name} up",
        )
        self.down = self.way_down(
            server,
            client,
            opening=openings[1],
            transform=downward,
            water_mark=water_mark,
            name=f"{self.name} down",
        )
        self._sources = {self.up: client, self.down: server}

    def way_up(self, client: VConnection, server: VConnection, **options: Any) -> Way:
        """Return what moves what the client says, with OneWayTunnel's options.

        An extension may return another machine, which tells this one how it ended.
        """
        return self.one_way(self, client, server, watch=False, abort_s=ABORT_S, **options)

    def way_down(self, server: VConnection, client: VConnection, **options: Any) -> Way:
        """The same for what the client is told."""
        return self.one_way(self, server, client, watch=False, **options)

    @BOTH.enter
    def relaying(self) -> None:
        """Set both directions going."""
        self.up.start()
        self.down.start()

    @BOTH.on(TunnelDone, to=(HALF, ENDING))
    def first(self, done: TunnelDone) -> State:
        """One direction has ended."""
        self._verdict = done
        if done.reason is Reason.RECALLED or (done.reason is Reason.EOS and self._half_close):
            return self.HALF
        other = self.down if done.tunnel is self.up else self.up
        if self._sources[other].error is None:
            other.stop()
        return self.ENDING

    @HALF.on(TunnelDone, to=DONE)
    def second(self, done: TunnelDone) -> None:
        """The other has too."""
        self._verdict = done

    @ENDING.on(TunnelDone, to=DONE)
    def ended(self, done: TunnelDone) -> None:
        """The other has been stopped."""

    @DONE.enter
    def done(self) -> None:
        """Give the VCs back."""
        verdict = self._verdict
        assert verdict is not None
        flows = self.up.flow, self.down.flow
        done = TunnelDone(self, verdict.reason, verdict.who, verdict.error, flows)
        self.engine.schedule(self._owner, TunnelDone, done)

    def recall(self) -> None:
        """Stop reading on both sides; what was read still arrives; then TunnelDone, RECALLED."""
        self.up.recall()
        self.down.recall()

    def stop(self) -> None:
        """End both directions now: TunnelDone, STOPPED."""
        self.up.stop()
        self.down.stop()
