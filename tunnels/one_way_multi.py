"""OneWayMultiTunnel: what comes from one VC goes to any number of others.

All sinks read one buffer, each from a place of its own; they join and leave while it runs. (Traffic
Server stops at 4, and the first failure ends it all.) A sink that ends or fails leaves alone; what
that means for the rest is the rule `ends`.

    RELAYING --the source ended--> FLUSHING --every sink has its due--> DONE
        +---- ERROR or timeout of the source, or the rule says so ------> DONE
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tunnels.done import Flow, Reason, SinkDone, TunnelDone
from vcproxy.engine.event import Event
from vcproxy.engine.vconnection import Shutdown
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.engine.vio import VIO

Ends = Literal["last", "any_required", "never"]
"""When sinks that go end the tunnel: with the last one, with any required one, or not at all."""

REMOVE, STOP = "REMOVE", "STOP"
"""Tags: give one sink back, end now."""


@dataclass(slots=True, eq=False)
class Sink:
    """One consumer: its VC, the write that feeds it, and whether the tunnel may lose it."""

    vc: VConnection
    vio: VIO
    watched: VIO | None
    """The read that sees it end."""
    joined: int
    """Bytes that the source had brought before."""
    required: bool


class OneWayMultiTunnel(Machine):
    """Moves what `source` brings to every sink, and tells `owner` with one TunnelDone.

    A sink that goes earlier, or has its due when the source has ended, is given back with SinkDone.
    The slowest sink governs the speed. The VCs are lent, the tunnel closes none. With `ends`
    "never" it also runs with no sink at all: then what comes is dropped.
    """

    __slots__ = (
        "_ends",
        "_error",
        "_flushed",
        "_owner",
        "_reason",
        "_sinks",
        "_source_vc",
        "_who",
        "buffer",
        "source",
    )

    RELAYING = State(initial=True)
    FLUSHING = State()
    DONE = State(final=True)

    source: VIO

    def __init__(
        self,
        owner: Continuation,
        source: VConnection,
        *,
        ends: Ends = "last",
        water_mark: int | None = None,
        name: str = "",
    ) -> None:
        super().__init__(owner.engine, owner.mutex, name=name)
        self._owner = owner
        self._source_vc = source
        self._ends = ends
        self._sinks: list[Sink] = []
        self._flushed: list[Flow] = []
        self._reason = Reason.STOPPED
        self._who = self.name
        self._error: Exception | None = None
        self.buffer = self.engine.buffer(water_mark)

    @RELAYING.enter
    def relaying(self) -> None:
        """Read, once the sinks that were added before have their places."""
        self.source = self._source_vc.do_io_read(self, None, self.buffer)

    # -- for owners --------------------------------------------------------------------------

    def add(self, sink: VConnection, *, required: bool = False, watch: bool = True) -> None:
        """Lend a sink: it gets what is read from now on, and SinkDone brings it back.

        Once the source has ended that is nothing, and the sink is back at once. With `watch` it is
        read too, only to see it end; what it sends is dropped.
        """
        if self.state is self.DONE:
            nothing = Flow(self._source_vc.name, sink.name, 0, 0)
            done = SinkDone(self, sink, self._reason, self._error, nothing)
            self.engine.schedule(self._owner, SinkDone, done)
            return
        nbytes = 0 if self.state is self.FLUSHING else None
        vio = sink.do_io_write(self, nbytes, self.buffer.reader())
        nowhere = self.engine.buffer()  # without a reader: all is dropped
        watched = sink.do_io_read(self, None, nowhere) if watch else None
        self._sinks.append(Sink(sink, vio, watched, self.buffer.written, required))

    def remove(self, sink: VConnection) -> None:
        """Take a sink back, flushed or not: SinkDone, STOPPED. The rule `ends` holds for it too."""
        self.engine.schedule(self, REMOVE, sink)

    def stop(self) -> None:
        """End now, flushed or not: TunnelDone, STOPPED."""
        self.engine.schedule(self, STOP, None)

    @property
    def flows(self) -> tuple[Flow, ...]:
        """What has gone to each sink since it joined; see TunnelDone for whose they are."""
        return (*self._flushed, *map(self._flow, self._sinks))

    # -- moving ------------------------------------------------------------------------------

    @RELAYING.on(Event.READ_READY)
    def brought(self, vio: VIO) -> None:
        """Wake every sink."""
        if vio is self.source:
            for sink in self._sinks:
                sink.vio.reenable()

    @RELAYING.on(Event.WRITE_READY)
    def took(self, vio: VIO) -> None:
        """There may be room again."""
        self.source.reenable()

    @FLUSHING.on(Event.READ_READY, Event.WRITE_READY)
    def ignored(self, vio: VIO) -> None:
        """A sink's own chatter, or bytes already counted."""

    # -- ends --------------------------------------------------------------------------------

    @RELAYING.on(Event.EOS, to=(FLUSHING, DONE))
    def ended(self, vio: VIO) -> State | None:
        """The source has ended, or a sink has."""
        if vio is not self.source:
            return self._lost(vio.vc, Reason.SINK_ENDED)
        self._end(Reason.EOS, vio.vc)
        for sink in self._sinks:
            sink.vio.nbytes = sink.vio.ndone + sink.vio.reader.avail
            sink.vio.reenable()
        return self.FLUSHING if self._sinks else self.DONE

    @RELAYING.on(Event.ERROR, to=(DONE,))
    @FLUSHING.on(Event.ERROR, to=(DONE,))
    def failed(self, vio: VIO) -> State | None:
        """A connection has broken."""
        return self._broken(vio, Reason.ERROR)

    @RELAYING.on(Event.INACTIVITY_TIMEOUT, to=(DONE,))
    @FLUSHING.on(Event.INACTIVITY_TIMEOUT, to=(DONE,))
    def idled(self, vio: VIO) -> State | None:
        """Nothing has moved for too long."""
        return self._broken(vio, Reason.INACTIVITY)

    @RELAYING.on(Event.ACTIVE_TIMEOUT, to=(DONE,))
    @FLUSHING.on(Event.ACTIVE_TIMEOUT, to=(DONE,))
    def outlived(self, vio: VIO) -> State | None:
        """It has lasted too long."""
        return self._broken(vio, Reason.ACTIVE)

    @FLUSHING.on(Event.EOS, to=(DONE,))
    def left(self, vio: VIO) -> State | None:
        """A sink ended while it was owed something."""
        return self._lost(vio.vc, Reason.SINK_ENDED)

    @FLUSHING.on(Event.WRITE_COMPLETE, to=(DONE,))
    def flushed(self, vio: VIO) -> State | None:
        """A sink has its due."""
        return self._lost(vio.vc, Reason.EOS)

    @RELAYING.on(REMOVE, to=(DONE,))
    @FLUSHING.on(REMOVE, to=(DONE,))
    def removed(self, sink: VConnection) -> State | None:
        """The owner wants one back."""
        return self._lost(sink, Reason.STOPPED)

    @RELAYING.on(STOP, to=DONE)
    @FLUSHING.on(STOP, to=DONE)
    def stopped(self, _: object) -> None:
        """The owner wants no more of it."""
        self._reason, self._who = Reason.STOPPED, self.name

    @DONE.enter
    def done(self) -> None:
        """Give all VCs back."""
        flows = self.flows
        self.source.retire()
        for sink in self._sinks:
            self._retire(sink)
        done = TunnelDone(self, self._reason, self._who, self._error, flows)
        self.engine.schedule(self._owner, TunnelDone, done)

    # -- inside ------------------------------------------------------------------------------

    def _flow(self, sink: Sink) -> Flow:
        taken = self.buffer.written - sink.joined
        return Flow(self._source_vc.name, sink.vc.name, taken, sink.vio.ndone)

    def _end(self, reason: Reason, vc: VConnection) -> State:
        self._reason, self._who, self._error = reason, vc.name, vc.error
        return self.DONE

    def _broken(self, vio: VIO, reason: Reason) -> State | None:
        """The source takes all the rest with it, a sink goes alone, if the rule allows."""
        return self._end(reason, vio.vc) if vio is self.source else self._lost(vio.vc, reason)

    def _lost(self, vc: VConnection, reason: Reason) -> State | None:
        """Give a sink back, and say what follows."""
        sink = next((sink for sink in self._sinks if sink.vc is vc), None)
        if sink is None:
            return None  # it was gone before the removal
        self._sinks.remove(sink)
        flow = self._flow(sink)
        self._retire(sink)
        if reason is Reason.EOS:
            vc.do_io_shutdown(Shutdown.WRITE)
        self.engine.schedule(self._owner, SinkDone, SinkDone(self, vc, reason, vc.error, flow))
        if self.state is self.FLUSHING:
            self._flushed.append(flow)
            return None if self._sinks else self.DONE
        if self._ends == "any_required" and sink.required:
            return self._end(reason, vc)
        if self._ends == "last" and not self._sinks:
            return self._end(reason, vc)
        self.source.reenable()  # it may have been the one that held the others up
        return None

    def _retire(self, sink: Sink) -> None:
        for vio in (sink.vio, sink.watched):
            if vio is not None:
                vio.retire()
        sink.vio.reader.close()
