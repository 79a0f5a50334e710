"""MirroredTunnel: a TwoWayTunnel between client and primary whose requests mirrors get too.

Each direction ends with the primary's part of it. Mirrors receive the rest of their copy for a
limited time after that, and nothing else waits for them.

Tested in tests/mirror/test_mirroring.py and tests/plugins/test_mirror.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vcproxy.framing.decoding import Damaged
from vcproxy.mirror.interfaces import ABORTED, FINISHED
from vcproxy.mirror.reply_direction import ReplyDirection
from vcproxy.mirror.request_direction import RequestDirection
from vcproxy.mirror.target import MirrorTarget
from vcproxy.tunnels.tapped import TappedOneWay
from vcproxy.tunnels.two_way import Direction, TwoWayTunnel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.mirror.interfaces import MirrorSettings
    from vcproxy.upstream.server import Server


class MirroredTunnel(TwoWayTunnel):
    """Moves bytes between client and primary, and copies the client's bytes to mirrors.

    Its owner gets the same events as from a TwoWayTunnel. The mirrors outlive it for a limited
    time.
    """

    __slots__ = ("_decoder", "_mirrors", "_servers", "_settings")

    def __init__(
        self,
        owner: Continuation,
        client: VConnection,
        server: VConnection,
        *,
        settings: MirrorSettings,
        mirrors: Sequence[Server],
        **options: Any,
    ) -> None:
        self._settings = settings
        self._servers = mirrors
        self._mirrors: list[MirrorTarget] = []
        self._decoder = settings.reply_framing.decoder()
        super().__init__(owner, client, server, **options)

    def up_direction(self, client: VConnection, server: VConnection, **options: Any) -> Direction:
        """Create the mirrors, and the direction from the client to the primary and to them."""
        assert options["reader"] is options["transform"] is None, "mirrors get all bytes, unchanged"
        settings = self._settings
        framing = settings.framing if settings.lag.drops else None
        up = RequestDirection(self, client, server, framing=framing, name=options["name"])
        for number, each in enumerate(self._servers, 1):
            self._mirrors.append(MirrorTarget(settings, number, each, up.tunnel))
        up.mirrors = self._mirrors
        return up

    def down_direction(self, server: VConnection, client: VConnection, **options: Any) -> Direction:
        """Create the direction that brings the primary's replies, or the chosen ones."""
        settings, mirrors = self._settings, self._mirrors
        choice = settings.choice(1 + len(mirrors))
        if choice is not None:
            name = options["name"]
            down = ReplyDirection(
                self, server, client, choice, settings.reply_framing, mirrors, name=name
            )
            for mirror in mirrors:
                mirror.reply_receiver = down
            return down
        if any(mirror.comparing for mirror in mirrors):
            return TappedOneWay(self, server, client, watch=False, on_data=self._compare, **options)
        return super().down_direction(server, client, **options)

    def _compare(self, data: bytes) -> bool:
        """Pass the primary's replies to the mirrors; return whether any of them needs more."""
        mirrors = self._mirrors
        damaged = False
        for reply in self._decoder.feed(data):
            if isinstance(reply, Damaged):
                damaged = True
                break
            for mirror in mirrors:
                mirror.add_primary_reply(reply)
        if damaged or self._decoder.fault is not None:
            for mirror in mirrors:
                mirror.stop_comparing()
        return any(mirror.comparing for mirror in mirrors)

    def done(self) -> None:
        """Return the VCs to the owner, and end the mirrors."""
        super().done()
        tag = FINISHED if self._reason.clean else ABORTED
        why = f"conversation ended abnormally: {self._reason.value}"
        for mirror in self._mirrors:
            self.engine.schedule(mirror, tag, why)
