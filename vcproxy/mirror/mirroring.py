"""Mirroring: the base class of plugins that send a copy of clients' requests to further servers.

It is a Forwarder: the client's server, the primary, is chosen in the same way. Mirrors do not
affect the primary, nor, with `reply` "primary", the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vcproxy.framing.framing import UNFRAMED, Framing
from vcproxy.mirror import choice
from vcproxy.mirror.comparison import MessageComparison, ReplyComparison, StreamComparison
from vcproxy.mirror.tunnel import MirroredTunnel
from vcproxy.sessions.forwarder import Forwarder
from vcproxy.tunnels.lag_policy import LagPolicy, OnLag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vcproxy.engine.net import NetVConnection
    from vcproxy.mirror.choice import Choice
    from vcproxy.sessions.service import Service
    from vcproxy.tunnels.done import TunnelDone
    from vcproxy.upstream.server import Server

Reply: TypeAlias = Literal["primary", "first", "all", "quorum"]
"""Which replies the client gets: the primary's; the first that arrives; those of all servers, in
their order; the one that more than half of the servers give."""

RULES = {"first": choice.first, "all": choice.every, "quorum": choice.majority}


class Mirroring(Forwarder):
    """Forward, and copy the requests to mirrors. A subclass returns them, or none.

        class Shadowed(Mirroring):
            def mirrors(self):
                return [Server(Address.parse("tcp://127.0.0.1:8081"))]

    No byte is changed: `upward` and `downward` cannot be overridden.
    """

    framing: Framing = UNFRAMED
    """How both directions are split into messages: needed to drop whole messages, and to compare
    or choose replies one by one. After a damaged message, mirrors get nothing more, as after one
    with invalid framing."""
    replies: Framing | None = None
    """How the servers' replies are framed; None: like requests."""
    reply: Reply = "primary"
    """Without a framing: "primary", or "first", all bytes of the server that replies first."""
    max_lag: int = 1 << 20
    """Bytes that a mirror may be behind the client, and its replies ahead of or behind the
    primary's while they are compared."""
    on_lag: OnLag = "disconnect"
    """What happens to a mirror that is more than `max_lag` behind. Dropping messages needs a
    framing; with "block" the primary waits."""
    compares: bool = True
    """Whether mirrors' replies are compared with the primary's."""
    timeout_s: float = 5.0
    """How long a reply waits for those of the other servers. 0: until they have ended."""
    unresolved: bytes | None = None
    """The message for the client if no reply has a quorum; None: the client is closed."""

    __slots__ = ("_choice",)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if cls.datagrams:
            raise TypeError(
                f"{cls.__qualname__}.datagrams: mirrors get streams, and a datagram is part of none"
            )

    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client, service)
        self._choice: Choice | None = None

    @classmethod
    def unused_methods(cls, options: Any) -> Mapping[str, str]:
        """See Session: bytes are mirrored and compared unchanged."""
        why = "mirrors get the bytes unchanged"
        return {"upward": why, "downward": why}

    # -- for authors -------------------------------------------------------------------------

    def mirrors(self) -> Sequence[Server]:
        """Return the mirrors of this client; none: it is only forwarded. To be overridden."""
        return ()

    # -- settings ---------------------------------------------------------------------------

    @property
    def reply_framing(self) -> Framing:
        """How the servers' replies are framed."""
        return self.replies or self.framing

    @property
    def lag(self) -> LagPolicy:
        """The lag policy of each mirror."""
        return LagPolicy(self.max_lag, self.on_lag)

    def comparison(self) -> ReplyComparison | None:
        """Return a comparison of one mirror's replies; None: they are not compared."""
        if not self.compares:
            return None
        kind = StreamComparison if self.framing is UNFRAMED else MessageComparison
        return kind(self.max_lag)

    def choice(self, servers: int) -> Choice | None:
        """Return the choice of the client's replies; None: it gets the primary's."""
        if self.reply == "primary":
            return None
        if self.framing is not UNFRAMED:
            self._choice = choice.MessageChoice(
                servers,
                RULES[self.reply],
                timeout_s=self.timeout_s,
                limit=self.max_lag,
                unresolved=self.unresolved,
            )
        elif self.reply == "first":
            self._choice = choice.ConnectionChoice()
        else:
            raise ValueError(f'reply = "{self.reply}" chooses messages: it needs a framing')
        return self._choice

    def relaying(self) -> None:
        """Lend both sides to a tunnel, and start the mirrors."""
        mirrors = self.mirrors()
        if not mirrors:
            super().relaying()
            return
        self.count("mirrored")
        self.lend(MirroredTunnel, settings=self, mirrors=mirrors)

    def relayed(self, done: TunnelDone) -> None:
        """Count the replies for which the rule made no decision."""
        if self._choice is not None and self._choice.undecided:
            self.service.counts["unresolved"] += self._choice.undecided
        super().relayed(done)
