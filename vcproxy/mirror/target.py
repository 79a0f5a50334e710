"""MirrorTarget: a server that gets what a client says, too, and whose answers are compared.

    MIRRORING --the conversation is over--> ENDING --it has ended, or for a while--> GONE
        +--- refused, cut off, broken -------> LEAVING --given back--------------------^

It is a sink of the tunnel from the first byte on: what is said before it is connected waits there,
within what it is granted. Whatever it does, it does to itself. What becomes of it is one line in
the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.units import rounded_size
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.mirror.comparison import ReplySide
from vcproxy.sessions.streams import InputStream
from vcproxy.tunnels.done import Reason, SinkDone, SinkLags, SinkRecovered

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.mirror.mirroring import Mirroring
    from vcproxy.mirror.reply_direction import ReplyDirection
    from vcproxy.tunnels.one_way_multi import OneWayMultiTunnel
    from vcproxy.upstream.server import Server

OVER, CUT = "OVER", "CUT"
"""Tags: the conversation is over in order; it has broken off, or a mirror can follow it no more."""


class MirrorTarget(Machine):
    """One mirror of a session's client. It owns its connection, and lends it to the tunnel.

    It is told OVER or CUT, with the reason, and SinkDone, which it waits for.
    """

    __slots__ = (
        "_comparison",
        "_counted",
        "_given_back",
        "_heard_all",
        "_incoming",
        "_number",
        "_server",
        "_session",
        "_tunnel",
        "_why",
        "answering",
        "vc",
    )

    ALIVE = State()
    MIRRORING = State(parent=ALIVE, initial=True)
    ENDING = State(parent=ALIVE, timeout="2s")  # as long as a LingeringClose listens
    LEAVING = State(parent=ALIVE)
    GONE = State(final=True)

    vc: NetVConnection

    def __init__(
        self, session: Mirroring, number: int, server: Server, tunnel: OneWayMultiTunnel
    ) -> None:
        """`number` is its place among the servers, of which the primary is 0."""
        name = f"{session.name} mirror {server.address}"
        super().__init__(session.engine, session.mutex, name=name)
        self._session = session
        self._number = number
        self._server = server
        self._tunnel = tunnel
        self.answering: ReplyDirection | None = None
        """Who hears what it answers, if that may go to the client."""
        self._comparison = session.comparison()
        self._counted = 0  # differences
        self._heard_all = False
        self._given_back: SinkDone | None = None
        self._why = ""

    @MIRRORING.enter
    def mirroring(self) -> None:
        """Begin at once; nobody waits for it."""
        server, session = self._server, self._session
        self.vc = self.engine.connect(
            self, server.address, tls=server.tls, timeout=session.service.connect_s
        )
        self._incoming = InputStream(self, self.vc, session.framing)
        self._tunnel.add_sink(self.vc, watch=False, lag=session.lag)

    @ALIVE.on(Event.CONNECTED)
    def connected(self, _: NetVConnection) -> None:
        """What was said before is on its way to it."""

    # -- its answers -------------------------------------------------------------------------

    def hear(self) -> None:
        """Take what it says, as far as there is room for it."""
        answering = self.answering
        while answering is None or answering.takes(self._number):
            answer = self._incoming.take()
            if answer is None:
                if self._incoming.stopped:
                    self._hear_no_more(None)
                break
            self._compare(ReplySide.MIRROR, answer)
            if answering is not None:
                answering.heard(self._number, answer)

    def expect(self, answer: bytes) -> None:
        """Take what the primary has answered."""
        self._compare(ReplySide.PRIMARY, answer)

    def expect_no_more(self) -> None:
        """Nothing more can be compared."""
        if self._comparison is not None:
            self._comparison.give_up()

    @property
    def compares(self) -> bool:
        """Whether it wants to know what else the primary answers."""
        return self._comparison is not None and not self._comparison.over

    def _compare(self, side: ReplySide, answer: bytes) -> None:
        if self._comparison is not None:
            self._comparison.feed(side, answer)
            self._note_differences()

    def _note_differences(self) -> None:
        comparison = self._comparison
        if comparison is None or comparison.differences == self._counted:
            return
        if not self._counted:
            self._log(f"answers otherwise than the primary, from {comparison.first} on")
        self._count("differences", comparison.differences - self._counted)
        self._counted = comparison.differences

    def _hear_no_more(self, error: Exception | None) -> None:
        """Its answers are over: in order, by a fault of theirs, or with the connection."""
        if self._heard_all:
            return
        self._heard_all = True
        fault = self._incoming.fault if error is None else None
        if fault is not None:
            self._log(f"{fault.value}; its answers are not heard any more")
            error = ConnectionError(fault.value)
            self.expect_no_more()
        elif error is None and self._comparison is not None:
            self._comparison.end(ReplySide.MIRROR)
            self._note_differences()
        if self.answering is not None:
            self.answering.left(self._number, error)

    @ALIVE.on(Event.READ_READY)
    def said(self, _: VIO) -> None:
        """It has said something."""
        self.hear()

    @ALIVE.on(Event.EOS, to=(GONE,))
    def ended(self, _: VIO) -> State | None:
        """It has said all. It may still want to hear."""
        self.hear()
        return self._gone_if_done()

    # -- the end -----------------------------------------------------------------------------

    @ALIVE.on(Event.ERROR, to=(LEAVING, GONE))
    def failed(self, broken: NetVConnection | VIO) -> State:
        """It cannot be reached, or its connection has broken."""
        return self._leave(f"{Reason.ERROR.value}: {broken.error}")

    @ALIVE.on(CUT, to=(LEAVING, GONE))
    def cut(self, why: str) -> State:
        """It can follow no more."""
        return self._leave(why)

    @ENDING.on(Event.TIMEOUT, to=(LEAVING, GONE))
    def waited(self, _: State) -> State:
        """It was given time enough."""
        return self._leave("" if self._given_back else "timed out: it has not taken all")

    @MIRRORING.on(OVER, to=(ENDING, GONE))
    def over(self, _: object) -> State:
        """It gets what it is owed, and may answer for a while."""
        return self._gone_if_done() or self.ENDING

    @ENDING.on(OVER)
    @LEAVING.on(OVER, CUT, Event.ERROR)
    def over_already(self, _: object) -> None:
        """It is on its way."""

    @ALIVE.on(SinkDone, to=(GONE,))
    def given_back(self, done: SinkDone) -> State | None:
        """It has got all, or will get nothing more."""
        self._given_back = done
        flow, stopped = done.flow, done.reason is Reason.STOPPED
        if done.reason is Reason.EOS or (stopped and flow.sent == flow.received):
            return self._gone_if_done()
        error = f": {done.error}" if done.error else ""
        self._why = f"{done.reason.value}{error}"
        return self.GONE

    @LEAVING.on(SinkDone, to=GONE)
    def left(self, done: SinkDone) -> None:
        """It gets nothing more, or had got all in the turn in which it broke."""
        self._given_back = done

    @ALIVE.on(SinkLags)
    def lags(self, news: SinkLags) -> None:
        """It is slow, and gets no longer all."""
        self._log(f"lags {rounded_size(news.lag)} behind: {news.on_lag}")

    @ALIVE.on(SinkRecovered)
    def recovered(self, news: SinkRecovered) -> None:
        """It keeps up again."""
        self._log(f"keeps up again; so far {news.dropped}")

    def _leave(self, why: str) -> State:
        self._why = self._why or why
        if self._given_back is not None:
            return self.GONE
        self._tunnel.remove(self.vc)
        return self.LEAVING

    def _gone_if_done(self) -> State | None:
        """Whether there is nothing more to hear from either side."""
        done = self.state is not self.MIRRORING and self._given_back and self._heard_all
        return self.GONE if done else None

    def finished(self) -> None:
        """Close, in order if it has got all, and say what became of it."""
        done, why = self._given_back, self._why
        assert done is not None
        error = ConnectionAbortedError(why) if why else None
        self._hear_no_more(error or ConnectionAbortedError("the conversation is over"))
        comparison, self._comparison = self._comparison, None
        if comparison is not None and comparison.incomplete:
            self._count("not_compared")
        self._incoming.close()
        self.vc.do_io_close(error)
        self._count("lost" if why else "followed")
        if done.dropped.messages:
            self._count("dropped", done.dropped.messages)
        given, differences = done.flow.sent, self._counted
        news = [why or "followed to the end", f"{rounded_size(given)} given"]
        if done.dropped.messages:
            news.append(str(done.dropped))
        if differences:
            news.append(f"differences: {differences}")
        self._log("; ".join(news))

    def _log(self, text: str) -> None:
        self.engine.log("info", f"{self.name}: {text}")

    def _count(self, what: str, number: int = 1) -> None:
        """Count for all mirrors, and for this one."""
        counts = self._session.service.counts
        counts[what] += number
        counts[f"{what} {self._server.address}"] += number
