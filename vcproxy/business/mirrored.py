"""MirroredTunnel: a TwoWayTunnel to the primary, of which mirrors get the client's direction too.

Each direction is over with the primary's part of it: what mirrors are still owed then is theirs to
take for a while, and nobody waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunnels.done import Flow, Reason, SinkDone, SinkLags, SinkRecovered, TunnelDone
from tunnels.one_way_multi import OneWayMultiTunnel
from tunnels.overheard import OverheardOneWay
from tunnels.two_way import TwoWayTunnel, Way
from vcproxy.business.answering import Answering
from vcproxy.business.mirror import CUT, OVER, Mirror
from vcproxy.engine.continuation import Continuation

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from vcproxy.business.mirroring import Mirroring
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.upstream.servers import Server


class MirroredTunnel(TwoWayTunnel):
    """Moves what client and primary say, and what the client says to mirrors, too.

    Its owner is told as by a TwoWayTunnel. The mirrors outlive it, each for a while.
    """

    __slots__ = ("_decoder", "_mirrors", "_servers", "_session")

    def __init__(
        self,
        owner: Mirroring,
        client: VConnection,
        server: VConnection,
        *,
        mirrors: Sequence[Server],
        **options: Any,
    ) -> None:
        self._session = owner
        self._servers = mirrors
        self._mirrors: list[Mirror] = []
        self._decoder = owner.framing.decoder()
        super().__init__(owner, client, server, **options)

    def way_up(self, client: VConnection, server: VConnection, **options: Any) -> Way:
        """Make the mirrors, and a tunnel to all."""
        up = Upward(self, client, server, self._mirrors, name=options["name"])
        for number, each in enumerate(self._servers, 1):
            self._mirrors.append(Mirror(self._session, number, each, up.tunnel))
        return up

    def way_down(self, server: VConnection, client: VConnection, **options: Any) -> Way:
        """Bring the primary's answers, or those that are chosen."""
        session, mirrors = self._session, self._mirrors
        choice = session.choice(1 + len(mirrors))
        if choice is not None:
            name = options["name"]
            answering = Answering(self, server, client, choice, session.framing, mirrors, name=name)
            for mirror in mirrors:
                mirror.answering = answering
            return answering
        if any(mirror.compares for mirror in mirrors):
            return OverheardOneWay(
                self, server, client, watch=False, hear=self._overhear, **options
            )
        return super().way_down(server, client, **options)

    def _overhear(self, data: bytes) -> bool:
        """Take what the primary answers: whether any mirror wants to know more of it."""
        mirrors = self._mirrors
        for answer in self._decoder.feed(data):
            for mirror in mirrors:
                mirror.expect(answer)
        if self._decoder.fault is not None:
            for mirror in mirrors:
                mirror.expect_no_more()
        return any(mirror.compares for mirror in mirrors)

    def done(self) -> None:
        """Let the mirrors go, too."""
        super().done()
        verdict = self._verdict
        assert verdict is not None
        tag = OVER if verdict.reason.clean else CUT
        for mirror in self._mirrors:
            self.engine.schedule(mirror, tag, f"the conversation broke off: {verdict.reason.value}")


class Upward(Continuation):
    """The client's direction: a OneWayMultiTunnel that is done, for its owner, when the primary is.

    A Way. Mirrors are told of their own.
    """

    __slots__ = ("_client", "_flow", "_lent", "_mirrors", "_owner", "_server", "tunnel")

    def __init__(
        self,
        owner: Continuation,
        client: VConnection,
        server: VConnection,
        mirrors: Sequence[Mirror],
        *,
        name: str,
    ) -> None:
        super().__init__(owner.engine, owner.mutex)
        self._owner = owner
        self._client, self._server = client, server
        self._mirrors = mirrors
        self._lent: dict[VConnection, Mirror | None] = {server: None}
        """The tunnel's sinks, in the order in which they joined."""
        self._flow = Flow(client.name, server.name, 0, 0)
        self.tunnel = OneWayMultiTunnel(self, client, ends="any_required", name=name)

    def start(self) -> None:
        """Give each sink its place, then begin."""
        self.tunnel.add(self._server, required=True, watch=False)
        for mirror in self._mirrors:
            mirror.start()
            self._lent[mirror.vc] = mirror
        self.tunnel.start()

    def handle_event(self, key: Hashable, data: object) -> None:
        """Pass on the tunnel's news to whom they are about."""
        if isinstance(data, SinkDone):
            self._give_back(data)
        elif isinstance(data, SinkLags | SinkRecovered):
            mirror = self._lent.get(data.sink)
            if mirror is not None:
                mirror.handle_event(key, data)
        elif isinstance(data, TunnelDone):
            for sink, standing in zip(list(self._lent), self.tunnel.standings(), strict=True):
                flow = Flow(
                    self._client.name, sink.name, standing.given + standing.lag, standing.given
                )
                self._give_back(
                    SinkDone(self, sink, data.reason, data.error, flow, standing.dropped),
                    data.who,
                )

    def _give_back(self, done: SinkDone, who: str = "") -> None:
        mirror = self._lent.pop(done.sink)
        if mirror is not None:
            mirror.handle_event(SinkDone, done)
            return
        self._flow = done.flow
        if not who:
            who = self._client.name if done.reason is Reason.EOS else done.sink.name
        over = TunnelDone(self, done.reason, who, done.error, (done.flow,))
        self.engine.schedule(self._owner, TunnelDone, over)

    # -- a Way -------------------------------------------------------------------------------

    @property
    def flow(self) -> Flow:
        """What the primary has got, once it is done."""
        return self._flow

    def recall(self) -> None:
        """Raises NotImplementedError: what mirrors have got, nobody can give again."""
        raise NotImplementedError("a client that is mirrored is not given back")

    def stop(self) -> None:
        """End now: TunnelDone, STOPPED."""
        self.tunnel.stop()
