"""PlainDirection: one direction of a TwoWayTunnel without a machine, while both connections work.

Tested in tests/tunnels/test_two_way.py and tests/sim/test_tunnels.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.vconnection import Shutdown
from vcproxy.tunnels.done import Flow

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.engine.vio import VIO


class PlainDirection:
    """A coupled read and write, whose events go to `cont`.

    No further code runs for the direction until one of the connections ends or fails.
    """

    __slots__ = ("sink", "source")

    def __init__(
        self,
        cont: Continuation,
        source: VConnection,
        sink: VConnection,
        water_mark: int | None = None,
    ) -> None:
        buffer = cont.engine.buffer(water_mark, message_oriented=source.message_oriented)
        reader = buffer.reader()
        self.source: VIO = source.do_io_read(cont, None, buffer)
        self.sink: VIO = sink.do_io_write(cont, None, reader, source=self.source)

    def start(self) -> None:
        """Do nothing: both operations have begun."""

    @property
    def flow(self) -> Flow:
        """Byte counts so far."""
        source, sink = self.source, self.sink
        received, sent = source.ndone, sink.ndone
        return Flow(source.vc.name, sink.vc.name, received, sent, received - sent)

    @property
    def can_finish(self) -> bool:
        """Whether the sink has taken all bytes, and works."""
        source, sink = self.source, self.sink
        return (
            source.ndone == sink.ndone
            and source.bridge is None
            and not sink.over
            and sink.vc.error is None
        )

    @property
    def finished(self) -> bool:
        """Whether it has ended, in order."""
        return not self.sink.live

    def finish(self) -> None:
        """End after the end of the source: shut the sink down for writing."""
        sink = self.sink
        self.source.retire()
        sink.vc.do_io_shutdown(Shutdown.WRITE)
        sink.reader.close()

    def recall(self) -> None:
        """Do nothing: it has finished."""

    def stop(self) -> None:
        """Do nothing: it has finished."""
