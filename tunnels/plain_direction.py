"""PlainDirection: one direction of a TwoWayTunnel without a machine, while both connections work.

Tested in tests/tunnels/test_two_way.py and tests/sim/test_tunnels.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.vconnection import Shutdown, relay
from vcproxy.tunnels.done import Flow

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.vconnection import VConnection


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
        reader: Reader | None = None,
    ) -> None:
        """`reader`: of a buffer that the source has already been read into: see OneWayTunnel."""
        if reader is None:
            buffer = cont.engine.buffer(water_mark, message_oriented=source.message_oriented)
            reader = buffer.reader()
        self.source, self.sink = relay(cont, source, sink, reader)

    def start(self) -> None:
        """Do nothing: both operations have begun."""

    @property
    def flow(self) -> Flow:
        """Byte counts so far."""
        source, sink = self.source, self.sink
        received, sent = source.ndone, sink.ndone
        return Flow(source.vc.name, sink.vc.name, received, sent, received - sent)

    @property
    def finished(self) -> bool:
        """Whether it has ended, in order."""
        return not self.sink.live

    def finish(self) -> bool:
        """End after the end of the source: shut the sink down for writing.

        Return False if the sink has not taken all bytes yet, or does not work.
        """
        source, sink = self.source, self.sink
        sink_vc = sink.vc
        if (
            source.ndone != sink.ndone
            or source.bridge is not None
            or sink.over
            or sink_vc.error is not None
        ):
            return False
        reader: Reader = sink.store  # type: ignore[assignment]
        source.retire()
        sink_vc.do_io_shutdown(Shutdown.WRITE)
        reader.close()
        return True

    def recall(self) -> None:
        """Do nothing: it has finished."""

    def stop(self) -> None:
        """Do nothing: it has finished."""
