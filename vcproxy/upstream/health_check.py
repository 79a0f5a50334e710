"""HealthCheck: connect to a server at intervals, and decide whether it is healthy.

    WAITING --NEXT--> CONNECTING --CONNECTED--> PROBING --the response--> WAITING
                           |   (if a connection is enough) ------------------^
                           +--- ERROR, TIMED_OUT: failed --------------------^
    each of them --STOP--> STOPPED

A server changes only after several equal results in a row: `rise` passed checks make it healthy,
`fall` failed ones unhealthy. A single lost packet is no outage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.units import show_duration
from vcproxy.engine.vio import VIO
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action
    from vcproxy.upstream.server import Server
    from vcproxy.upstream.settings import CheckSettings

NEXT, TIMED_OUT, STOP = "NEXT", "TIMED_OUT", "STOP"
"""Tags: start the next check; this check has taken too long; end the machine."""


class HealthCheck(Machine):
    """Checks one server, and sets its `healthy`.

    Args:
        engine: the engine it runs on.
        server: the server to check, now and at intervals.
        settings: interval, timeout, kind and thresholds.
        changed: called after the server has become healthy or unhealthy, with the reason.
        doubtful: whether the first check makes the server unhealthy if it fails, whatever `fall`
            is: the server returns from maintenance, and is used before its first check.
    """

    __slots__ = (
        "_changed", "_doubtful", "_in_a_row", "_response", "_server", "_settings", "_timer", "_vc",
    )  # fmt: skip

    CHECKING = State()
    CONNECTING = State(parent=CHECKING, initial=True)
    PROBING = State(parent=CHECKING)
    WAITING = State(parent=CHECKING)
    STOPPED = State(final=True)

    CHECKING.goes(STOP, STOPPED)
    WAITING.goes(NEXT, CONNECTING)

    def __init__(
        self,
        engine: Engine,
        server: Server,
        settings: CheckSettings,
        changed: Callable[[Server, str], None],
        *,
        doubtful: bool = False,
    ) -> None:
        super().__init__(engine, Mutex(), name=f"check {server.name}")
        self._server = server
        self._settings = settings
        self._changed = changed
        self._doubtful = doubtful
        self._in_a_row = 0  # results that differ from `healthy`
        self._vc: NetVConnection | None = None
        self._response: Reader | None = None
        self._timer: Action | None = None

    # -- one check ---------------------------------------------------------------------------

    @CONNECTING.enter
    def connecting(self) -> None:
        """Connect, without regard to the limits and the queue of the upstream."""
        server, settings = self._server, self._settings
        self._timer = self.engine.schedule_in(settings.timeout, self, TIMED_OUT, None)
        tls = server.tls if settings.handshake else None
        self._vc = self.engine.connect(
            self,
            server.address,
            tls=tls,
            server_name=server.host,
            introduction=settings.introduction,
        )

    @CONNECTING.on(Event.CONNECTED, to=(PROBING, WAITING))
    def connected(self, _: NetVConnection) -> State:
        """Send the probe; without one the check has passed. With TLS the handshake is done."""
        return self._passed() if self._settings.probe is None else self.PROBING

    @CONNECTING.on(Event.ERROR, to=WAITING)
    @PROBING.on(Event.ERROR, to=WAITING)
    def failed(self, failed: NetVConnection | VIO) -> None:
        """Count a connection that failed or was reset."""
        self._failed(str(failed.error))

    @CONNECTING.on(TIMED_OUT, to=WAITING)
    @PROBING.on(TIMED_OUT, to=WAITING)
    def timed_out(self, _: object) -> None:
        """Count a server that is too slow."""
        what = "response" if self.state is self.PROBING else "connection"
        self._failed(f"timed out: no {what} within {show_duration(self._settings.timeout)}")

    @PROBING.enter
    def probing(self) -> None:
        """Send the probe's request."""
        assert self._vc is not None
        assert self._settings.probe is not None
        request = self._settings.probe.request(self._server.host)
        outgoing = self.engine.buffer()
        reader = outgoing.reader()
        outgoing.write(request)
        self._vc.do_io_write(self, len(request), reader)
        incoming = self.engine.buffer()
        self._response = incoming.reader()
        self._vc.do_io_read(self, None, incoming)

    @PROBING.on(Event.WRITE_READY, Event.WRITE_COMPLETE)
    def request_sent(self, _: VIO) -> None:
        """Wait for the response."""

    @PROBING.on(Event.READ_READY, to=(WAITING,))
    def response_received(self, _: VIO) -> State | None:
        """Have the probe judge the response received so far."""
        assert self._response is not None
        assert self._settings.probe is not None
        why = self._settings.probe.judge(self._response.peek())
        return None if why is None else self._failed(why) if why else self._passed()

    @PROBING.on(Event.EOS, to=WAITING)
    def ended(self, _: VIO) -> None:
        """Count a connection that ended before the response was complete."""
        self._failed("connection closed before the response was complete")

    # -- results -----------------------------------------------------------------------------

    def _passed(self) -> State:
        return self._count(True, "")

    def _failed(self, why: str) -> State:
        return self._count(False, why)

    def _count(self, healthy: bool, why: str) -> State:
        server, settings = self._server, self._settings
        server.last_check = "passed" if healthy else why
        enough = settings.rise if healthy else 1 if self._doubtful else settings.fall
        self._doubtful = False
        if healthy is server.healthy:
            self._in_a_row = 0
            return self.WAITING
        self._in_a_row += 1
        if self._in_a_row >= enough:
            count, self._in_a_row = self._in_a_row, 0
            server.healthy = healthy
            checks = "health check" if count == 1 else f"{count} health checks in a row"
            self._changed(server, f"{checks} {'passed' if healthy else f'failed: {why}'}")
        return self.WAITING

    @WAITING.enter
    def waiting(self) -> None:
        """Close the connection and wait for the next check."""
        self._close()
        self._timer = self.engine.schedule_in(self._settings.interval, self, NEXT, None)

    @WAITING.on(Event.CONNECTED, Event.ERROR, TIMED_OUT)
    def too_late(self, _: object) -> None:
        """Ignore an event that was queued before the check ended."""

    def finished(self) -> None:
        """Close the connection."""
        self._close()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._response is not None:
            self._response.close()
            self._response = None
        if self._vc is not None:
            self._vc.do_io_close()
            self._vc = None
