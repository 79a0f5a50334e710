"""MessageTunnel: a OneWayTunnel for one message, whose end is found by a transform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from vcproxy.engine.event import Event
from vcproxy.tunnels.one_way import CHUNK, OneWayTunnel
from vcproxy.tunnels.transform import Transform

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.engine.vio import VIO


class MessageTransform(Transform, Protocol):
    """A transform that finds the end of a message in the bytes it is fed."""

    over: bool
    """Whether the message has ended: feed() is not called any more."""
    rest: bytes
    """Bytes that were fed but come after the end of the message."""


class MessageTunnel(OneWayTunnel):
    """Moves one message from `source` to `sink`, and leaves both open.

    It ends with COMPLETE at the end of the message. If the source ends first, it ends with EOS;
    `message.finish()` decides whether the message may end there.
    """

    __slots__ = ("_message", "rest")

    def __init__(
        self,
        owner: Continuation,
        source: VConnection,
        sink: VConnection,
        message: MessageTransform,
        **options: Any,
    ) -> None:
        super().__init__(owner, source, sink, transform=message, **options)
        self._message = message
        self.rest = b""
        """Bytes that were read after the end of the message. Set when the tunnel ends."""

    @property
    def delivered(self) -> bool:
        """Whether the whole message has reached the sink."""
        return self._message.over and not self._output.avail

    def flushed(self, vio: VIO) -> None:
        """Leave the sink open for further messages."""

    def done(self) -> None:
        """Keep the bytes that follow the message, and give the VCs back."""
        self.rest = self._message.rest + self._input.read()
        super().done()

    def _pump(self) -> None:
        message, writer = self._message, self._writer
        assert writer is not None
        while not message.over and self._input.avail and writer.room:
            writer.write(message.feed(self._input.read(CHUNK)))
        flushing = self.state is self.FLUSHING
        if flushing and not message.over and not self._input.avail:
            if not self._broken:
                writer.write(message.finish())
            message.over = True
        if not message.over:
            self.source.reenable()
            self.sink.reenable()
        elif flushing:
            if self.sink.nbytes is None:
                self._finish()
        elif self.source.live:
            # Later events of the source, such as its end, do not belong to this message.
            self.source.retire()
            self.engine.schedule(self, Event.READ_COMPLETE, self.source)
