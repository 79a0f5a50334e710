"""Check: ask a server again and again whether it is well.

    RESTING --AGAIN--> CONNECTING --CONNECTED--> ASKING --its answer--> RESTING
                           |   (where a connection is enough) ------------^
                           +--- ERROR, LATE: it has failed ---------------^
    any of them --STOP--> STOPPED

So many checks in a row make a server that was down well (`rise`), and one that was up ill (`fall`):
a single packet that was lost is no outage.
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
    from vcproxy.upstream.settings import Checking

AGAIN, LATE, STOP = "AGAIN", "LATE", "STOP"
"""Tags: it is time for the next check; this one has taken too long; there is to be no more."""


class Check(Machine):
    """Checks one server, and keeps its `healthy`.

    Args:
        engine: where it runs.
        server: who is checked, at once and from then on.
        terms: how.
        changed: told when the server has become well or ill, and why.
    """

    __slots__ = (
        "_changed", "_in_a_row", "_said", "_server", "_terms", "_timer", "_vc",
    )  # fmt: skip

    CHECKING = State()
    CONNECTING = State(parent=CHECKING, initial=True)
    ASKING = State(parent=CHECKING)
    RESTING = State(parent=CHECKING)
    STOPPED = State(final=True)

    CHECKING.goes(STOP, STOPPED)
    RESTING.goes(AGAIN, CONNECTING)

    def __init__(
        self,
        engine: Engine,
        server: Server,
        terms: Checking,
        changed: Callable[[Server, str], None],
    ) -> None:
        super().__init__(engine, Mutex(), name=f"check {server.name}")
        self._server = server
        self._terms = terms
        self._changed = changed
        self._in_a_row = 0  # checks that say otherwise than `healthy`
        self._vc: NetVConnection | None = None
        self._said: Reader | None = None
        self._timer: Action | None = None

    # -- one check ---------------------------------------------------------------------------

    @CONNECTING.enter
    def connecting(self) -> None:
        """Knock: by the way that clients take, but for no client."""
        server, terms = self._server, self._terms
        self._timer = self.engine.schedule_in(terms.timeout, self, LATE, None)
        tls = server.tls if terms.handshake else None
        self._vc = self.engine.connect(self, server.address, tls=tls, server_name=server.host)

    @CONNECTING.on(Event.CONNECTED, to=(ASKING, RESTING))
    def connected(self, _: NetVConnection) -> State:
        """Somebody is there, with TLS behind a handshake."""
        return self._well() if self._terms.probe is None else self.ASKING

    @CONNECTING.on(Event.ERROR, to=RESTING)
    @ASKING.on(Event.ERROR, to=RESTING)
    def failed(self, failed: NetVConnection | VIO) -> None:
        """Nobody is there, or he breaks off."""
        self._ill(str(failed.error))

    @CONNECTING.on(LATE, to=RESTING)
    @ASKING.on(LATE, to=RESTING)
    def late(self, _: object) -> None:
        """It is too busy, or hangs."""
        what = "answer" if self.state is self.ASKING else "connection"
        self._ill(f"no {what} within {show_duration(self._terms.timeout)}")

    @ASKING.enter
    def asking(self) -> None:
        """Send the probe's request."""
        assert self._vc is not None
        assert self._terms.probe is not None
        request = self._terms.probe.request(self._server.host)
        question = self.engine.buffer()
        reader = question.reader()
        question.write(request)
        self._vc.do_io_write(self, len(request), reader)
        answer = self.engine.buffer()
        self._said = answer.reader()
        self._vc.do_io_read(self, None, answer)

    @ASKING.on(Event.WRITE_READY, Event.WRITE_COMPLETE)
    def asked(self, _: VIO) -> None:
        """The question is on its way."""

    @ASKING.on(Event.READ_READY, to=(RESTING,))
    def answered(self, _: VIO) -> State | None:
        """Have the probe judge the answer as far as it is here."""
        assert self._said is not None
        assert self._terms.probe is not None
        why = self._terms.probe.judge(self._said.peek())
        return None if why is None else self._ill(why) if why else self._well()

    @ASKING.on(Event.EOS, to=RESTING)
    def ended(self, _: VIO) -> None:
        """It has ended before its answer has."""
        self._ill("it has ended without an answer")

    # -- what that means ---------------------------------------------------------------------

    def _well(self) -> State:
        return self._note(True, "")

    def _ill(self, why: str) -> State:
        return self._note(False, why)

    def _note(self, well: bool, why: str) -> State:
        server, terms = self._server, self._terms
        if well is server.healthy:
            self._in_a_row = 0
            return self.RESTING
        self._in_a_row += 1
        if self._in_a_row >= (terms.rise if well else terms.fall):
            count, self._in_a_row = self._in_a_row, 0
            server.healthy = well
            checks = "a check has" if count == 1 else f"{count} checks in a row have"
            self._changed(server, f"{checks} {'passed' if well else f'failed, now: {why}'}")
        return self.RESTING

    @RESTING.enter
    def resting(self) -> None:
        """Wait for the next one."""
        self._close()
        self._timer = self.engine.schedule_in(self._terms.interval, self, AGAIN, None)

    @RESTING.on(Event.CONNECTED, Event.ERROR, LATE)
    def too_late(self, _: object) -> None:
        """That was on its way when the check was over."""

    def finished(self) -> None:
        """Nothing stays behind."""
        self._close()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._said is not None:
            self._said.close()
            self._said = None
        if self._vc is not None:
            self._vc.do_io_close()
            self._vc = None
