"""RequestDirection: moves a client's requests to the primary and to its mirrors.

    MOVING --the primary is done or failed--> TRAILING --all mirrors are done or failed--> DONE
       +------ the client failed, stop() ---------------------------------------------------^

A OneWayMultiTunnel moves the bytes and reads the client; but if messages may be dropped, this
machine reads the client and passes the messages to it one by one.

Tested in tests/mirror/test_mirroring.py and tests/plugins/test_mirror.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.framing.frame_scanner import FrameScanner
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.mirror.interfaces import ABORTED
from vcproxy.sessions.streams import READ_AHEAD
from vcproxy.tunnels.done import (
    Flow,
    Reason,
    SinkDone,
    SinkLags,
    SinkRecovered,
    TunnelDone,
    TunnelWritable,
)
from vcproxy.tunnels.one_way_multi import OneWayMultiTunnel
from vcproxy.tunnels.stall_timer import ABORT_S

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.framing.framing import Framing
    from vcproxy.mirror.interfaces import MirrorConnection


class RequestDirection(Machine):
    """A Direction whose one TunnelDone reports how the primary's part ended.

    Args:
        framing: the framing of messages that may be dropped; None: bytes are moved. Input with
            invalid framing, or with a damaged message, is sent to the primary unchanged, and to no
            mirror.
    """

    __slots__ = (
        "_client",
        "_flow",
        "_lent",
        "_owner",
        "_reader",
        "_scanner",
        "_server",
        "_vio",
        "mirrors",
        "tunnel",
    )

    MOVING = State(initial=True)
    TRAILING = State()
    DONE = State(final=True)

    def __init__(
        self,
        owner: Continuation,
        client: VConnection,
        server: VConnection,
        *,
        framing: Framing | None = None,
        name: str = "",
    ) -> None:
        super().__init__(owner.engine, owner.mutex, name=name)
        self._owner = owner
        self._client, self._server = client, server
        self._flow = Flow(client.name, server.name, 0, 0)
        self._scanner = None if framing is None else FrameScanner(framing)
        self._vio: VIO | None = None
        self._reader = self.engine.buffer(READ_AHEAD).reader()
        source = client if framing is None else None
        self.tunnel = OneWayMultiTunnel(
            self,
            source,
            ends="any_required",
            message_oriented=source is None,
            abort_s=ABORT_S,
            name=name,
        )
        self.mirrors: Sequence[MirrorConnection] = ()
        """Set by the owner before it starts this machine."""
        self._lent: dict[VConnection, MirrorConnection | None] = {server: None}
        """The mirror of each of the tunnel's sinks, in the order in which they joined; None: the
        primary."""

    @MOVING.enter
    def moving(self) -> None:
        """Add each sink to the tunnel, then start it."""
        self.tunnel.add_sink(self._server, required=True, watch=False)
        for mirror in self.mirrors:
            mirror.start()
            self._lent[mirror.vc] = mirror
        self.tunnel.start()
        if self._scanner is not None:
            self._vio = self._client.do_io_read(self, None, self._reader.buffer)

    # -- messages ----------------------------------------------------------------------------

    @MOVING.on(Event.READ_READY, Event.EOS, TunnelWritable)
    def read(self, _: object) -> None:
        """Pass the data read from the client to the tunnel, while it has room."""
        scanner, reader, vio = self._scanner, self._reader, self._vio
        assert scanner is not None
        assert vio is not None
        while reader.avail and not self.tunnel.full:
            data = reader.read()
            vio.reenable()
            if not scanner.stopped:
                self.tunnel.publish(scanner.feed(data))
                if scanner.stopped:
                    self._abort_mirrors(f"client input: {scanner.stopped}")
                    return
            else:
                self.tunnel.publish([scanner.take_rest() + data])
        if reader.avail or vio.vc.unread:
            return
        if vio.over or scanner.stopped:
            self.tunnel.publish([scanner.take_rest()])
        if vio.over:
            self.tunnel.finish(vio.error)

    def _abort_mirrors(self, why: str) -> None:
        """Abort the mirrors. After they have left, input is sent to the primary only."""
        for mirror in self._lent.values():
            if mirror is not None:
                mirror.handle_event(ABORTED, why)
        self.engine.schedule(self, TunnelWritable, TunnelWritable(self.tunnel))

    # -- events of the tunnel ----------------------------------------------------------------

    @MOVING.on(SinkDone, to=(TRAILING,))
    def sink_done(self, done: SinkDone) -> State | None:
        """Report the primary's end to the owner, or a mirror's end to the mirror."""
        mirror = self._lent.pop(done.sink)
        if mirror is None:
            by_client = done.reason is Reason.EOS or self._source_failed(done)
            ended_by = self._client.name if by_client else self._server.name
            self._report(done.reason, ended_by, done.error, done.flow)
            return self.TRAILING
        self._give_back(mirror, done)
        return None

    @staticmethod
    def _source_failed(done: SinkDone) -> bool:
        """Whether the tunnel returned a sink because the client failed."""
        return done.reason is Reason.ERROR and done.sink.error is None

    def _give_back(self, mirror: MirrorConnection, done: SinkDone) -> None:
        if self._source_failed(done):
            mirror.handle_event(ABORTED, f"conversation ended abnormally: {done.reason.value}")
        mirror.handle_event(SinkDone, done)

    @TRAILING.on(SinkDone)
    def late_sink_done(self, done: SinkDone) -> None:
        """Report a mirror's end to it. Ignore the primary's, which was reported before."""
        mirror = self._lent.pop(done.sink)
        if mirror is not None:
            self._give_back(mirror, done)

    @MOVING.on(SinkLags)
    @TRAILING.on(SinkLags)
    def lags(self, event: SinkLags) -> None:
        """Pass the event to the mirror that lags. (A slow primary slows down the client.)"""
        self._pass_on(SinkLags, event)

    @MOVING.on(SinkRecovered)
    @TRAILING.on(SinkRecovered)
    def recovered(self, event: SinkRecovered) -> None:
        """Pass the event to the mirror that has caught up."""
        self._pass_on(SinkRecovered, event)

    def _pass_on(self, key: Hashable, event: SinkLags | SinkRecovered) -> None:
        mirror = self._lent.get(event.sink)
        if mirror is not None:
            mirror.handle_event(key, event)

    @MOVING.on(TunnelDone, to=DONE)
    @TRAILING.on(TunnelDone, to=DONE)
    def tunnel_done(self, done: TunnelDone) -> None:
        """Report the tunnel's end for each sink that it still had."""
        for (vc, mirror), sink in zip(
            self._lent.items(), self.tunnel.sink_statistics(), strict=True
        ):
            flow = Flow(self._client.name, vc.name, sink.sent + sink.undelivered, sink.sent)
            if mirror is not None:
                if done.reason is not Reason.STOPPED:
                    mirror.handle_event(
                        ABORTED, f"conversation ended abnormally: {done.reason.value}"
                    )
                sink_done = SinkDone(self, vc, done.reason, done.error, flow, sink.dropped)
                mirror.handle_event(SinkDone, sink_done)
            elif self.state is self.MOVING:
                self._report(done.reason, done.ended_by, done.error, flow)

    def _report(self, reason: Reason, ended_by: str, error: Exception | None, flow: Flow) -> None:
        self._flow = replace(flow, source=self._client.name)
        if self._vio is not None:
            self._vio.retire()
            self._reader.close()
        done = TunnelDone(self, reason, ended_by, error, (self._flow,))
        self.engine.schedule(self._owner, TunnelDone, done)

    @MOVING.on(Event.ERROR)
    def client_failed(self, vio: VIO) -> None:
        """Pass on what the client sent before its error, then end the tunnel with that error."""
        self.tunnel.fail(vio.error)
        if vio.vc.unread:
            self._vio = self._client.do_io_read(self, None, self._reader.buffer)
        else:
            self.read(vio)

    @MOVING.on(Event.INACTIVITY_TIMEOUT, to=TRAILING)
    def client_inactive(self, _: VIO) -> None:
        """End: the client's inactivity timeout has passed."""
        self._fail(Reason.INACTIVITY)

    @MOVING.on(Event.ACTIVE_TIMEOUT, to=TRAILING)
    def client_expired(self, _: VIO) -> None:
        """End: the client's active timeout has passed."""
        self._fail(Reason.ACTIVE)

    def _fail(self, reason: Reason) -> None:
        vio = self._server.write_vio
        sent = vio.ndone if vio is not None else 0
        flow = Flow(self._client.name, self._server.name, sent, sent)
        self._report(reason, self._client.name, self._client.error, flow)
        self.tunnel.stop()

    @TRAILING.on(TunnelWritable)
    def room_ignored(self, _: TunnelWritable) -> None:
        """Ignore the event: nothing is left to send."""

    # -- a Direction -------------------------------------------------------------------------

    @property
    def flow(self) -> Flow:
        """Bytes that the primary has received; set when its part has ended."""
        return self._flow

    def recall(self) -> None:
        """Raise NotImplementedError: mirrors may have received bytes of the client already."""
        raise NotImplementedError("a mirrored client cannot be recalled")

    def stop(self) -> None:
        """End now. The owner gets TunnelDone with the reason STOPPED."""
        self.tunnel.stop()
