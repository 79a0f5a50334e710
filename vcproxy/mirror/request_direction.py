"""RequestDirection: moves a client's requests to the primary and to its mirrors.

    MOVING --the primary has its due, or has failed--> TRAILING --so have all mirrors--> DONE
       +------ the client has failed, stop() -----------------------------------------^

A OneWayMultiTunnel moves what the client says. It reads the client itself, or, where messages may
be dropped, is told them one by one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.framing.frame_scanner import FrameScanner
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.mirror.target import CUT, MirrorTarget
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


class RequestDirection(Machine):
    """A Way: it tells its owner with one TunnelDone how the primary's part has ended.

    Args:
        framing: how messages are cut that may be dropped. None: bytes are moved. What cannot be cut
            goes to the primary as it comes, and to no mirror.
    """

    __slots__ = (
        "_client",
        "_cutter",
        "_flow",
        "_lent",
        "_owner",
        "_reader",
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
        self._cutter = None if framing is None else FrameScanner(framing)
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
        self.mirrors: Sequence[MirrorTarget] = ()
        """To be set before it starts."""
        self._lent: dict[VConnection, MirrorTarget | None] = {server: None}
        """The tunnel's sinks, in the order in which they joined."""

    @MOVING.enter
    def moving(self) -> None:
        """Give each sink its place, then begin."""
        self.tunnel.add_sink(self._server, required=True, watch=False)
        for mirror in self.mirrors:
            mirror.start()
            self._lent[mirror.vc] = mirror
        self.tunnel.start()
        if self._cutter is not None:
            self._vio = self._client.do_io_read(self, None, self._reader.buffer)

    # -- messages ----------------------------------------------------------------------------

    @MOVING.on(Event.READ_READY, Event.EOS, TunnelWritable)
    def told(self, _: object) -> None:
        """Say what has come, as far as there is room."""
        cutter, reader, vio = self._cutter, self._reader, self._vio
        assert cutter is not None
        assert vio is not None
        while reader.avail and not self.tunnel.full:
            data = reader.read()
            vio.reenable()
            if cutter.fault is None:
                self.tunnel.publish(cutter.feed(data))
                if cutter.fault is not None:
                    self._lose_mirrors(f"what the client says: {cutter.fault.value}")
                    return
            else:
                self.tunnel.publish([cutter.take_rest() + data])
        if reader.avail or vio.vc.unread:
            return
        if vio.over or cutter.fault is not None:
            self.tunnel.publish([cutter.take_rest()])
        if vio.over:
            self.tunnel.finish(vio.error)

    def _lose_mirrors(self, why: str) -> None:
        """What follows is for the primary only: it is said when they have gone."""
        for mirror in self._lent.values():
            if mirror is not None:
                mirror.handle_event(CUT, why)
        self.engine.schedule(self, TunnelWritable, TunnelWritable(self.tunnel))

    # -- news of the tunnel ------------------------------------------------------------------

    @MOVING.on(SinkDone, to=(TRAILING,))
    def given_back(self, done: SinkDone) -> State | None:
        """The primary has its due, or it has failed; or a mirror."""
        mirror = self._lent.pop(done.sink)
        if mirror is None:
            own = done.reason is Reason.EOS or self._broke_off(done)
            who = self._client.name if own else self._server.name
            self._report(done.reason, who, done.error, done.flow)
            return self.TRAILING
        self._give_back(mirror, done)
        return None

    @staticmethod
    def _broke_off(done: SinkDone) -> bool:
        """Whether a sink was given back because the client has broken."""
        return done.reason is Reason.ERROR and done.sink.error is None

    def _give_back(self, mirror: MirrorTarget, done: SinkDone) -> None:
        if self._broke_off(done):
            mirror.handle_event(CUT, f"the conversation broke off: {done.reason.value}")
        mirror.handle_event(SinkDone, done)

    @TRAILING.on(SinkDone)
    def mirror_given_back(self, done: SinkDone) -> None:
        """So has a mirror; or the primary, in the turn in which the client failed."""
        mirror = self._lent.pop(done.sink)
        if mirror is not None:
            self._give_back(mirror, done)

    @MOVING.on(SinkLags)
    @TRAILING.on(SinkLags)
    def lags(self, news: SinkLags) -> None:
        """A mirror is slow. (That the primary is, is the client's to see.)"""
        self._pass_on(SinkLags, news)

    @MOVING.on(SinkRecovered)
    @TRAILING.on(SinkRecovered)
    def recovered(self, news: SinkRecovered) -> None:
        """It is no longer."""
        self._pass_on(SinkRecovered, news)

    def _pass_on(self, key: Hashable, news: SinkLags | SinkRecovered) -> None:
        mirror = self._lent.get(news.sink)
        if mirror is not None:
            mirror.handle_event(key, news)

    @MOVING.on(TunnelDone, to=DONE)
    @TRAILING.on(TunnelDone, to=DONE)
    def tunnel_done(self, done: TunnelDone) -> None:
        """It is over for all that were still there."""
        for (vc, mirror), how in zip(
            self._lent.items(), self.tunnel.sink_statistics(), strict=True
        ):
            flow = Flow(self._client.name, vc.name, how.sent + how.undelivered, how.sent)
            if mirror is not None:
                if done.reason is not Reason.STOPPED:
                    mirror.handle_event(CUT, f"the conversation broke off: {done.reason.value}")
                sink_done = SinkDone(self, vc, done.reason, done.error, flow, how.dropped)
                mirror.handle_event(SinkDone, sink_done)
            elif self.state is self.MOVING:
                self._report(done.reason, done.ended_by, done.error, flow)

    def _report(self, reason: Reason, who: str, error: Exception | None, flow: Flow) -> None:
        self._flow = replace(flow, source=self._client.name)
        if self._vio is not None:
            self._vio.retire()
            self._reader.close()
        done = TunnelDone(self, reason, who, error, (self._flow,))
        self.engine.schedule(self._owner, TunnelDone, done)

    @MOVING.on(Event.ERROR)
    def client_failed(self, vio: VIO) -> None:
        """The client, while its messages are cut here: those that came before go on."""
        self.tunnel.fail(vio.error)
        if vio.vc.unread:
            self._vio = self._client.do_io_read(self, None, self._reader.buffer)
        else:
            self.told(vio)

    @MOVING.on(Event.INACTIVITY_TIMEOUT, to=TRAILING)
    def client_idled(self, _: VIO) -> None:
        """The client, which says nothing."""
        self._fail(Reason.INACTIVITY)

    @MOVING.on(Event.ACTIVE_TIMEOUT, to=TRAILING)
    def client_outlived(self, _: VIO) -> None:
        """The client, whose time is up."""
        self._fail(Reason.ACTIVE)

    def _fail(self, reason: Reason) -> None:
        vio = self._server.write_vio
        given = vio.ndone if vio is not None else 0
        flow = Flow(self._client.name, self._server.name, given, given)
        self._report(reason, self._client.name, self._client.error, flow)
        self.tunnel.stop()

    @TRAILING.on(TunnelWritable)
    def no_matter(self, _: TunnelWritable) -> None:
        """There is nothing more to say."""

    # -- a Way -------------------------------------------------------------------------------

    @property
    def flow(self) -> Flow:
        """What the primary has got, once that is known."""
        return self._flow

    def recall(self) -> None:
        """Raises NotImplementedError: what mirrors have got, nobody can give again."""
        raise NotImplementedError("a client that is mirrored is not given back")

    def stop(self) -> None:
        """End now: TunnelDone, STOPPED."""
        self.tunnel.stop()
