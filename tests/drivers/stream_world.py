"""A driver with scripted VCs, for tests of streams that are not sockets."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.engine.world import EventRecorder, engine
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.engine.address import Address
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection

PATIENCE_S = 20.0
"""Time limit for a condition to hold, sufficient for a busy machine."""


class Talker(EventRecorder):
    """One end of a connection: it reads all the time, and writes what it is told to."""

    vc: NetVConnection

    def start(self, vc: NetVConnection, *, reads: bool = True) -> None:
        """Use a VC, under its mutex."""
        self.vc = vc
        if reads:
            vc.do_io_read(self, None, self.buffer)
        vc.do_io_write(self, None, self.outgoing)

    @property
    def received(self) -> bytes:
        """What was read so far."""
        return self.incoming.peek()

    def write(self, data: bytes) -> None:
        """Write data."""
        with self.mutex.hold(self.engine):
            self.outward.write(data)
            assert self.vc.write_vio is not None
            self.vc.write_vio.reenable()

    def close(self) -> None:
        """Close the VC."""
        with self.mutex.hold(self.engine):
            self.vc.do_io_close()

    @property
    def error(self) -> str:
        """Why the connection is broken; "": it is not."""
        return str(self.vc.error or "")


class StreamWorld:
    """A driver and the lines it has logged."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.driver = EpollDriver(engine(self.log))
        self.engine = self.driver.engine
        self.talkers: list[Talker] = []
        """Those of accepted connections."""

    def run(self, until: Callable[[], object]) -> None:
        """Run turns until the condition holds."""
        last = time.monotonic() + PATIENCE_S
        while not until():
            self.driver.turn(0.01)
            assert time.monotonic() < last, f"not reached; logged {self.log}"

    def opened(self, uri: str, *, subscribe: bool = False, reads: bool = True) -> Talker:
        """Connect or subscribe to an address; `error` of the result tells whether it failed."""
        talker = Talker(self.engine)
        with talker.mutex.hold(self.engine):
            verb = self.engine.subscribe if subscribe else self.engine.connect
            talker.vc = verb(talker, Address.parse(uri))
        self.run(lambda: talker.events)
        if talker.events == [Event.CONNECTED]:
            with talker.mutex.hold(self.engine):
                talker.start(talker.vc, reads=reads)
        return talker

    def listener(self, uri: str) -> Listener:
        """Listen at an address; accepted connections are in `talkers`."""

        def accept(vc: NetVConnection) -> None:
            talker = Talker(self.engine, vc.mutex)
            self.talkers.append(talker)
            talker.start(vc)

        listener = Listener("main", accept, self.engine)
        self.driver.listen(Address.parse(uri), listener)
        return listener

    def close(self) -> None:
        """Close the driver."""
        self.driver.close()
