"""MirrorTarget: one mirror of one client. It gets a copy of the requests; its replies are compared.

    MIRRORING --the conversation has ended--> ENDING --its connection has ended, timeout--> CLOSED
        +--- refused, failed, too slow ------> LEAVING --SinkDone----------------------------^

It is a sink of the tunnel from the first byte: requests that are sent before it is connected wait
in the tunnel's buffer, within its lag policy. An error of a mirror affects that mirror only; it is
logged in one line when the mirror ends.

Tested in tests/plugins/test_mirror.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.units import rounded_size
from vcproxy.framing.decoding import Damaged
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.mirror.comparison import ReplySide
from vcproxy.mirror.interfaces import ABORTED, FINISHED
from vcproxy.sessions.streams import InputStream
from vcproxy.tunnels.done import Reason, SinkDone, SinkLags, SinkRecovered

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.mirror.interfaces import MirrorSettings, ReplyReceiver
    from vcproxy.tunnels.one_way_multi import OneWayMultiTunnel
    from vcproxy.upstream.server import Server


class MirrorTarget(Machine):
    """Owns the connection to one mirror, and lends it to the tunnel.

    The tunnel's directions give it FINISHED or ABORTED, and SinkDone, which it waits for.

    Args:
        number: its number among the servers; the primary is 0.
        tunnel: the tunnel that sends the requests.
    """

    __slots__ = (
        "_comparison",
        "_error",
        "_incoming",
        "_logged_differences",
        "_number",
        "_replies_ended",
        "_server",
        "_settings",
        "_sink_done",
        "_tunnel",
        "reply_receiver",
        "vc",
    )

    ALIVE = State()
    MIRRORING = State(parent=ALIVE, initial=True)
    ENDING = State(parent=ALIVE, timeout="2s")  # as long as LingeringClose drains a client
    LEAVING = State(parent=ALIVE)
    CLOSED = State(final=True)

    vc: NetVConnection

    def __init__(
        self, settings: MirrorSettings, number: int, server: Server, tunnel: OneWayMultiTunnel
    ) -> None:
        name = f"{settings.name} mirror {server.address}"
        super().__init__(tunnel.engine, tunnel.mutex, name=name)
        self._settings = settings
        self._number = number
        self._server = server
        self._tunnel = tunnel
        self.reply_receiver: ReplyReceiver | None = None
        """Gets the replies of this mirror, if they may be sent to the client."""
        self._comparison = settings.comparison()
        self._logged_differences = 0
        self._replies_ended = False
        self._sink_done: SinkDone | None = None
        self._error = ""

    @property
    def listener(self) -> str:
        """The name of the listener whose requests it gets."""
        return self._settings.service.name

    @property
    def address(self) -> Address:
        """The address of the mirror."""
        return self._server.address

    @property
    def lag(self) -> int:
        """Buffer bytes that the data waiting for it occupies."""
        counts = self._tunnel.statistics_of(self.vc)
        return 0 if counts is None else counts.lag

    @MIRRORING.enter
    def mirroring(self) -> None:
        """Connect, and join the tunnel at once."""
        server, settings = self._server, self._settings
        self.vc = self.engine.connect(
            self, server.address, tls=server.tls, timeout=settings.service.connect_s
        )
        if settings.service.access_log is not None:
            from vcproxy.access_log.record import LegRecord  # most mirrors have no access log

            self.vc.record = LegRecord(
                settings.service.access_log,
                self.vc,
                server.name,
                listener=settings.service.name,
                parent=settings.client.id,
                mirror=True,
            )
        self._incoming = InputStream(self, self.vc, settings.reply_framing)
        self._tunnel.add_sink(self.vc, watch=False, lag=settings.lag)

    @ALIVE.on(Event.CONNECTED)
    def connected(self, _: NetVConnection) -> None:
        """Do nothing: the tunnel now sends the buffered requests."""

    # -- its replies -------------------------------------------------------------------------

    def read_replies(self) -> None:
        """Read the mirror's replies, while the reply receiver has room for them."""
        receiver = self.reply_receiver
        while receiver is None or receiver.has_room(self._number):
            reply = self._incoming.take()
            if reply is None:
                if self._incoming.stopped:
                    self._end_replies(None)
                break
            if self._replies_ended:
                continue  # after a damaged reply: the rest is read, and dropped
            if isinstance(reply, Damaged):
                self._log(f"damaged reply: {reply.why}; its responses are no longer used")
                self.stop_comparing()
                self._end_replies(ConnectionError(f"damaged reply: {reply.why}"))
                continue
            self._compare(ReplySide.MIRROR, reply)
            if receiver is not None:
                receiver.add_reply(self._number, reply)

    def add_primary_reply(self, reply: bytes) -> None:
        """Compare a reply of the primary."""
        self._compare(ReplySide.PRIMARY, reply)

    def stop_comparing(self) -> None:
        """Stop comparing: later replies cannot be compared."""
        if self._comparison is not None:
            self._comparison.give_up()

    @property
    def comparing(self) -> bool:
        """Whether further replies of the primary are needed, to compare them."""
        return self._comparison is not None and not self._comparison.over

    def _compare(self, side: ReplySide, reply: bytes) -> None:
        if self._comparison is not None:
            self._comparison.feed(side, reply)
            self._count_differences()

    def _count_differences(self) -> None:
        comparison = self._comparison
        if comparison is None or comparison.differences == self._logged_differences:
            return
        if not self._logged_differences:
            self._log(f"response differs from the primary at {comparison.first_difference}")
        self._count("differences", comparison.differences - self._logged_differences)
        self._logged_differences = comparison.differences

    def _end_replies(self, error: Exception | None) -> None:
        """End the mirror's replies: in order, by a framing error, or with the connection."""
        if self._replies_ended:
            return
        self._replies_ended = True
        fault = self._incoming.fault if error is None else None
        if fault is not None:
            self._log(f"{fault.value}; its responses are no longer read")
            error = ConnectionError(fault.value)
            self.stop_comparing()
        elif error is None and self._comparison is not None:
            self._comparison.end(ReplySide.MIRROR)
            self._count_differences()
        if self.reply_receiver is not None:
            self.reply_receiver.server_ended(self._number, error)

    @ALIVE.on(Event.READ_READY)
    def readable(self, _: VIO) -> None:
        """Read the replies that have arrived."""
        self.read_replies()

    @ALIVE.on(Event.EOS, to=(CLOSED,))
    def input_ended(self, _: VIO) -> State | None:
        """Read the last replies: the mirror has half-closed, and may still receive requests."""
        self.read_replies()
        return self._closed_if_done()

    # -- the end -----------------------------------------------------------------------------

    @ALIVE.on(Event.ERROR, to=(LEAVING, CLOSED))
    def failed(self, failed: NetVConnection | VIO) -> State:
        """Leave the tunnel: the mirror cannot be reached, or its connection has failed."""
        return self._leave(f"{Reason.ERROR.value}: {failed.error}")

    @ALIVE.on(ABORTED, to=(LEAVING, CLOSED))
    def aborted(self, why: str) -> State:
        """Leave the tunnel: the mirror can no longer get a complete copy."""
        return self._leave(why)

    @ENDING.on(Event.TIMEOUT, to=(LEAVING, CLOSED))
    def expired(self, _: State) -> State:
        """Leave after the timeout of ENDING: an error unless the mirror received everything."""
        return self._leave("" if self._sink_done else "timed out before it received everything")

    @MIRRORING.on(FINISHED, to=(ENDING, CLOSED))
    def finishing(self, _: object) -> State:
        """Keep the connection for a limited time, for the rest of the copy and the replies."""
        return self._closed_if_done() or self.ENDING

    @ENDING.on(FINISHED)
    @LEAVING.on(FINISHED, ABORTED, Event.ERROR)
    def ending_already(self, _: object) -> None:
        """Ignore the event: the mirror is ending already."""

    @ALIVE.on(SinkDone, to=(CLOSED,))
    def sink_done(self, done: SinkDone) -> State | None:
        """Handle the connection's return from the tunnel: all was sent, or the sink failed."""
        self._sink_done = done
        flow, stopped = done.flow, done.reason is Reason.STOPPED
        if done.reason is Reason.EOS or (stopped and flow.sent == flow.received):
            return self._closed_if_done()
        error = f": {done.error}" if done.error else ""
        self._error = f"{done.reason.value}{error}"
        return self.CLOSED

    @LEAVING.on(SinkDone, to=CLOSED)
    def left(self, done: SinkDone) -> None:
        """Store SinkDone: the connection has left the tunnel, or its copy was complete already."""
        self._sink_done = done

    @ALIVE.on(SinkLags)
    def lags(self, event: SinkLags) -> None:
        """Log that the mirror lags, and the policy that applies."""
        self._log(f"lags {rounded_size(event.lag)} behind; policy {event.on_lag}")

    @ALIVE.on(SinkRecovered)
    def recovered(self, event: SinkRecovered) -> None:
        """Log that the mirror has caught up."""
        self._log(f"recovered from its lag; so far {event.dropped}")

    def _leave(self, why: str) -> State:
        self._error = self._error or why
        if self._sink_done is not None:
            return self.CLOSED
        self._tunnel.remove(self.vc)
        return self.LEAVING

    def _closed_if_done(self) -> State | None:
        """Return CLOSED if the conversation and both directions of this connection have ended."""
        done = self.state is not self.MIRRORING and self._sink_done and self._replies_ended
        return self.CLOSED if done else None

    def finished(self) -> None:
        """Close the connection, with a reset after an error; log the result."""
        done, why = self._sink_done, self._error
        assert done is not None
        error = ConnectionAbortedError(why) if why else None
        self._end_replies(error or ConnectionAbortedError("the conversation has ended"))
        comparison, self._comparison = self._comparison, None
        if comparison is not None and comparison.incomplete:
            self._count("not_compared")
        self._incoming.close()
        if self.vc.record is not None:
            self.vc.record.dropped = done.dropped.messages
            if done.reason is Reason.LAGGED:
                self.vc.record.note("G", why)
        self.vc.do_io_close(error)
        self._count("lost" if why else "followed")
        if done.dropped.messages:
            self._count("dropped", done.dropped.messages)
        sent = rounded_size(done.flow.sent)
        dropped = f"; {done.dropped}" if done.dropped.messages else ""
        number = self._logged_differences
        differences = f"; differences: {number}" if number else ""
        self._log(f"{why or 'mirrored to the end'}; {sent} sent{dropped}{differences}")

    def _log(self, text: str) -> None:
        self.engine.log("info", f"{self.name}: {text}")

    def _count(self, what: str, number: int = 1) -> None:
        """Count for all mirrors, and for this one."""
        counts = self._settings.service.counts
        counts[what] += number
        counts[f"{what} {self._server.address}"] += number
