"""BodyTransfer: sends a body on: first what has been read, then the rest through a tunnel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.sessions.streams import READ_AHEAD
from vcproxy.tunnels.message import MessageTunnel
from vcproxy.tunnels.one_way import OneWayTunnel

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.net import NetVConnection
    from vcproxy.http.proxy.body_pipeline import BodyPipeline
    from vcproxy.http.proxy.wire import Wire


SHORT = READ_AHEAD
"""Bytes for which no tunnel is worth its cost, 30 us of CPU: as much as a side holds anyway."""


class BodyTransfer:
    """A body of `length` bytes, which goes as it comes; or, whatever its length, through a passage.

    `take` what is here. If it is not `over` with that, take the rest as it comes, where it is
    `short`; or have a `tunnel` bring it, and `taken_back` is owed when that is done.
    """

    __slots__ = ("_left", "_passage", "_source", "over", "tunnel")

    def __init__(self, source: Wire, length: int, passage: BodyPipeline | None) -> None:
        self._source = source
        self._left = length
        self._passage = passage
        self.over = False
        """Whether nothing of it is left to be taken from its source."""
        self.tunnel: OneWayTunnel | None = None

    @property
    def fault(self) -> Exception | None:
        """Why it cannot go on."""
        return self._passage.fault if self._passage is not None else None

    def take(self) -> bytes:
        """Take what has come of it, and return it as it goes on."""
        source, passage = self._source, self._passage
        if passage is not None:
            out = passage.feed(source.take(1))
            if not passage.over:
                out += passage.feed(source.take())
            source.pending = passage.rest
            source.keep()
            self.over = passage.over
            return out
        out = source.take(self._left)
        if len(out) > self._left:
            out, source.pending = out[: self._left], out[self._left :]
            source.keep()
        self._left -= len(out)
        self.over = self._left == 0
        return out

    @property
    def short(self) -> bool:
        """Whether what is left may be taken and said piece by piece."""
        return self._passage is None and self._left <= SHORT

    def begin(
        self,
        owner: Continuation,
        source: NetVConnection,
        sink: NetVConnection,
        opening: bytes,
        name: str,
    ) -> None:
        """Have a tunnel say `opening`, then bring the rest; the owner gets its TunnelDone."""
        passage = self._passage
        self.tunnel = tunnel = (
            OneWayTunnel(
                owner, source, sink, nbytes=self._left, opening=opening, watch=False, name=name
            )
            if passage is None
            else MessageTunnel(
                owner, source, sink, passage, opening=opening, watch=False, name=name
            )
        )
        tunnel.start()

    @property
    def delivered(self) -> bool:
        """Whether the tunnel has brought all of it, and is about to say so, if it has not."""
        return self.tunnel is not None and self.tunnel.delivered

    def taken_back(self) -> None:
        """The tunnel is done: the source is read by its side again."""
        if isinstance(self.tunnel, MessageTunnel):
            self._source.pending = self.tunnel.rest
            self._source.keep()
        self._source.listen()

    def stop(self) -> None:
        """Bring no more."""
        if self.tunnel is not None:
            self.tunnel.stop()
