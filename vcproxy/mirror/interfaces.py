"""The interfaces between the parts of a mirrored tunnel, so that they do not import each other.

Mirroring -> MirroredTunnel -> RequestDirection, ReplyDirection, MirrorTarget -> this module

Tested in tests/mirror/test_mirroring.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable

    from vcproxy.engine.net import NetVConnection
    from vcproxy.framing.framing import Framing
    from vcproxy.mirror.choice import Choice
    from vcproxy.mirror.comparison import ReplyComparison
    from vcproxy.sessions.service import Service
    from vcproxy.tunnels.lag_policy import LagPolicy

FINISHED, ABORTED = "FINISHED", "ABORTED"
"""Tags for a mirror: the conversation has ended in order; it has ended abnormally, or the mirror
cannot follow it any more. The data of ABORTED is the reason."""


class MirrorSettings(Protocol):
    """What one client's tunnel and mirrors use of their session. See Mirroring."""

    name: str
    client: NetVConnection
    service: Service
    framing: Framing

    @property
    def reply_framing(self) -> Framing:
        """How the servers' replies are framed."""

    @property
    def lag(self) -> LagPolicy:
        """The lag policy of a mirror."""

    def comparison(self) -> ReplyComparison | None:
        """Return a comparison of one mirror's replies; None: they are not compared."""

    def choice(self, servers: int) -> Choice | None:
        """Return the choice of the client's replies; None: it gets the primary's."""


class ReplyReceiver(Protocol):
    """The methods by which a mirror passes its replies on to the client. See ReplyDirection."""

    def has_room(self, server: int) -> bool:
        """Whether another reply of this server can be added now."""

    def add_reply(self, server: int, reply: bytes) -> None:
        """Add a reply of a mirror."""

    def server_ended(self, server: int, error: Exception | None) -> None:
        """Record the end of a mirror's replies."""


class MirrorConnection(Protocol):
    """What the directions of the tunnel use of a mirror. See MirrorTarget."""

    vc: NetVConnection

    def start(self) -> None:
        """Connect."""

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle FINISHED, ABORTED, or a tunnel's event: SinkDone, SinkLags, SinkRecovered."""

    def read_replies(self) -> None:
        """Resume reading replies, after `has_room` was False."""

    def add_primary_reply(self, reply: bytes) -> None:
        """Compare a reply of the primary with the mirror's."""
