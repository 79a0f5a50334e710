"""MirroredTunnel: a TwoWayTunnel to the primary, of which mirrors get the client's direction too.

Each direction is over with the primary's part of it: what mirrors are still owed then is theirs to
take for a while, and nobody waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vcproxy.mirror.reply_direction import ReplyDirection
from vcproxy.mirror.request_direction import RequestDirection
from vcproxy.mirror.target import CUT, OVER, MirrorTarget
from vcproxy.tunnels.tapped import TappedOneWay
from vcproxy.tunnels.two_way import Direction, TwoWayTunnel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vcproxy.engine.vconnection import VConnection
    from vcproxy.mirror.mirroring import Mirroring
    from vcproxy.upstream.server import Server


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
        self._mirrors: list[MirrorTarget] = []
        self._decoder = owner.framing.decoder()
        super().__init__(owner, client, server, **options)

    def up_direction(self, client: VConnection, server: VConnection, **options: Any) -> Direction:
        """Make the mirrors, and a tunnel to all."""
        assert options["reader"] is options["transform"] is None, "mirrors hear all, and unchanged"
        session = self._session
        framing = session.framing if session.lag.drops else None
        up = RequestDirection(self, client, server, framing=framing, name=options["name"])
        for number, each in enumerate(self._servers, 1):
            self._mirrors.append(MirrorTarget(session, number, each, up.tunnel))
        up.mirrors = self._mirrors
        return up

    def down_direction(self, server: VConnection, client: VConnection, **options: Any) -> Direction:
        """Bring the primary's answers, or those that are chosen."""
        session, mirrors = self._session, self._mirrors
        choice = session.choice(1 + len(mirrors))
        if choice is not None:
            name = options["name"]
            answering = ReplyDirection(
                self, server, client, choice, session.framing, mirrors, name=name
            )
            for mirror in mirrors:
                mirror.answering = answering
            return answering
        if any(mirror.compares for mirror in mirrors):
            return TappedOneWay(
                self, server, client, watch=False, on_data=self._overhear, **options
            )
        return super().down_direction(server, client, **options)

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
        verdict = self._outcome
        assert verdict is not None
        tag = OVER if verdict.reason.clean else CUT
        for mirror in self._mirrors:
            self.engine.schedule(mirror, tag, f"the conversation broke off: {verdict.reason.value}")
