"""BodyTransfer: forwards a body: first the part already read, then the rest through a tunnel.

Tested in tests/http/proxy/test_bodies.py.
"""

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
"""A rest of at most this many bytes is sent without a tunnel, whose start costs 30 us of CPU: the
size of a wire's input buffer."""


class BodyTransfer:
    """Forwards a body of `length` bytes unchanged; or, of any length, through a `pipeline`.

    Usage: first `take` the bytes that have arrived. If the transfer is then not `over` but `short`,
    `take` the rest as it arrives. Otherwise `begin` a tunnel, and call `resume_reading` when the
    tunnel is done.
    """

    __slots__ = ("_left", "_pipeline", "_source", "over", "tunnel")

    def __init__(self, source: Wire, length: int, pipeline: BodyPipeline | None) -> None:
        self._source = source
        self._left = length
        self._pipeline = pipeline
        self.over = False
        """Whether the whole body was taken from its source."""
        self.tunnel: OneWayTunnel | None = None

    @property
    def fault(self) -> Exception | None:
        """The pipeline's error; None: none so far."""
        return self._pipeline.fault if self._pipeline is not None else None

    def take(self) -> bytes:
        """Read the bytes of the body that have arrived, and return them in the form to send."""
        source, pipeline = self._source, self._pipeline
        if pipeline is not None:
            out = pipeline.feed(source.take(1))
            if not pipeline.over:
                out += pipeline.feed(source.take())
            source.pending = pipeline.rest
            source.count_pending()
            self.over = pipeline.over
            return out
        out = source.take(self._left)
        if len(out) > self._left:
            out, source.pending = out[: self._left], out[self._left :]
            source.count_pending()
        self._left -= len(out)
        self.over = self._left == 0
        return out

    @property
    def short(self) -> bool:
        """Whether the rest is small enough to be taken and sent without a tunnel."""
        return self._pipeline is None and self._left <= SHORT

    def begin(
        self,
        owner: Continuation,
        source: NetVConnection,
        sink: NetVConnection,
        opening: bytes,
        name: str,
    ) -> None:
        """Start a tunnel that sends `opening`, then the rest of the body. TunnelDone is delivered
        to the owner."""
        pipeline = self._pipeline
        self.tunnel = tunnel = (
            OneWayTunnel(
                owner, source, sink, nbytes=self._left, opening=opening, watch=False, name=name
            )
            if pipeline is None
            else MessageTunnel(
                owner, source, sink, pipeline, opening=opening, watch=False, name=name
            )
        )
        tunnel.start()

    @property
    def delivered(self) -> bool:
        """Whether the tunnel has sent the whole body; its TunnelDone may still be queued."""
        return self.tunnel is not None and self.tunnel.delivered

    def resume_reading(self) -> None:
        """Let the source's wire read again, after the tunnel has ended."""
        if isinstance(self.tunnel, MessageTunnel):
            self._source.pending = self.tunnel.rest
            self._source.count_pending()
        self._source.start_reading()

    def stop(self) -> None:
        """Stop the tunnel, if there is one."""
        if self.tunnel is not None:
            self.tunnel.stop()
