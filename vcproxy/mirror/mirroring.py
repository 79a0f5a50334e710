"""Mirroring: the base of plugins that let other servers have what clients say to theirs.

It is a Forwarder: the client's server, the primary, is found in the same way, and nothing that
mirrors do or do not do changes anything for it, nor, with `reply` "primary", for the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vcproxy.framing.framing import UNFRAMED, Framing
from vcproxy.mirror import choice
from vcproxy.mirror.comparison import MessageComparison, ReplyComparison, StreamComparison
from vcproxy.mirror.tunnel import MirroredTunnel
from vcproxy.sessions.forwarder import Forwarder
from vcproxy.tunnels.lag import Lag, OnLag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vcproxy.engine.net import NetVConnection
    from vcproxy.mirror.choice import Choice
    from vcproxy.sessions.service import Service
    from vcproxy.tunnels.done import TunnelDone
    from vcproxy.upstream.server import Server

Reply: TypeAlias = Literal["primary", "first", "all", "quorum"]
"""Whose answers the client gets: the primary's; the first that comes; those of all, in the order of
the servers; what more than half of them say."""

RULES = {"first": choice.first, "all": choice.every, "quorum": choice.majority}


class Mirroring(Forwarder):
    """Forward, and say the same to mirrors. A subclass says who they are, or that there are none.

        class Shadowed(Mirroring):
            def mirrors(self):
                return [Server(Address.parse("tcp://127.0.0.1:8081"))]

    No byte is changed: `upward` and `downward` cannot be overridden.
    """

    framing: Framing = UNFRAMED
    """How messages are told apart, both ways, if that matters: to drop whole ones, to compare or
    to choose them one by one."""
    reply: Reply = "primary"
    """Without a framing there are only "primary", and "first" for the whole connection: the server
    that answers first."""
    max_lag: int = 1 << 20
    """Bytes that a mirror may be behind, or its answers ahead or behind to be compared."""
    on_lag: OnLag = "disconnect"
    """What becomes of a mirror that is further behind. To drop messages needs a framing; with
    "block" the primary waits."""
    compares: bool = True
    """Whether mirrors' answers are compared with the primary's."""
    timeout_s: float = 5.0
    """How long an answer waits for those of the other servers. 0: as long as they are there."""
    unresolved: bytes | None = None
    """The message for the client where no answer has a quorum; None: it is closed."""

    __slots__ = ("_choice",)

    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client, service)
        self._choice: Choice | None = None

    @classmethod
    def unused_methods(cls, options: Any) -> Mapping[str, str]:
        """See Session: what mirrors get, and what is compared, is what came."""
        why = "mirrors get the bytes as they come"
        return {"upward": why, "downward": why}

    # -- for authors -------------------------------------------------------------------------

    def mirrors(self) -> Sequence[Server]:
        """Return the mirrors of this client; none: it is only forwarded. To be overridden."""
        return ()

    # -- what it means -----------------------------------------------------------------------

    @property
    def lag(self) -> Lag:
        """What a mirror is granted."""
        return Lag(self.max_lag, self.on_lag)

    def comparison(self) -> ReplyComparison | None:
        """Return what compares one mirror's answers, if they are."""
        if not self.compares:
            return None
        kind = StreamComparison if self.framing is UNFRAMED else MessageComparison
        return kind(self.max_lag)

    def choice(self, servers: int) -> Choice | None:
        """Return what chooses the client's answers, where they are not simply the primary's."""
        if self.reply == "primary":
            return None
        if self.framing is not UNFRAMED:
            self._choice = choice.MessageChoice(
                servers,
                RULES[self.reply],
                timeout_s=self.timeout_s,
                most=self.max_lag,
                unresolved=self.unresolved,
            )
        elif self.reply == "first":
            self._choice = choice.WholeChoice()
        else:
            raise ValueError(f'reply = "{self.reply}" compares messages: it needs a framing')
        return self._choice

    def relaying(self) -> None:
        """Lend both sides to a tunnel, and start the mirrors."""
        mirrors = self.mirrors()
        if not mirrors:
            super().relaying()
            return
        self.count("mirrored")
        self.lend(MirroredTunnel, mirrors=mirrors)

    def relayed(self, done: TunnelDone) -> None:
        """Count where there was no answer to give."""
        if self._choice is not None and self._choice.without:
            self.service.counts["unresolved"] += self._choice.without
        super().relayed(done)
