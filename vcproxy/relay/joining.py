"""Joining: a subscriber that is no sink yet; the relay's `admit` decides on it.

    ASKING --accepted, with an answer--> ANSWERING --all sent--> ACCEPTED
       |---- accepted at once --------------------------------------^
       +---- rejected, failed, timed out ------------------------> REFUSED

An accepted subscriber becomes a sink when it has taken its answer, so the answer comes before all
data. A rejected one gets its answer from a LingeringClose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.plugin_error import as_error
from vcproxy.framing.decoding import Damaged
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.messages.verdict import Accept, Reject, Resend
from vcproxy.sessions.lingering_close import LingeringClose
from vcproxy.sessions.streams import InputStream, OutputStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.framing.framing import Framing
    from vcproxy.relay.relay import Relay

REQUEST_TIME = "10s"
"""For a request, and again for its answer: as for the first message of a producer."""

BEGIN = "BEGIN"
"""Tag: the subscriber sends no request."""


class Joining(Machine):
    """Reads a subscriber's requests, and answers them as `admit` decides.

    Args:
        framing: how a request is framed; None: the subscriber sends none.
        shown: returns what is kept of a refused request: see RefusedMessages; None: all of it.
    """

    __slots__ = ("_answers", "_relay", "_requests", "_shown", "_vc")

    OPEN = State()
    ASKING = State(parent=OPEN, initial=True, timeout=REQUEST_TIME)
    ANSWERING = State(parent=OPEN, timeout=REQUEST_TIME)
    ACCEPTED = State(final=True)
    REFUSED = State(final=True)

    def __init__(
        self,
        relay: Relay,
        vc: NetVConnection,
        framing: Framing | None,
        shown: Callable[[bytes], bytes] | None = None,
    ) -> None:
        super().__init__(relay.engine, relay.mutex, name=vc.name)
        self._relay = relay
        self._vc = vc
        self._requests = None if framing is None else InputStream(self, vc, framing)
        self._answers: OutputStream | None = None
        self._shown = shown

    # -- the request -------------------------------------------------------------------------

    @ASKING.enter
    def asking(self) -> None:
        """Without a request, ask `admit` at once; until then only errors are received."""
        if self._requests is None:
            self._vc.do_io_read(self, 0, self.engine.no_buffer)
            self.engine.schedule(self, BEGIN, None)

    @ASKING.on(BEGIN, to=(ANSWERING, ACCEPTED, REFUSED))
    def connected(self, _: object) -> State | None:
        """Ask `admit` about the connection."""
        return self._decide(b"")

    @ASKING.on(Event.READ_READY, Event.WRITE_READY, Event.EOS, to=(ANSWERING, ACCEPTED, REFUSED))
    def readable(self, _: VIO) -> State | None:
        """Ask `admit` about the request; after a Resend about the next one."""
        requests = self._requests
        while requests is not None and not (self._answers is not None and self._answers.full):
            request = requests.take()
            if request is None:
                return self._input_ended(requests) if requests.stopped else None
            if isinstance(request, Damaged):
                self._relay.counts["damaged"] += 1
                return self._close(ValueError(f"damaged request: {request.why}"))
            state = self._decide(request)
            if state is not None:
                return state
        return None

    def _decide(self, request: bytes) -> State | None:
        """Do what `admit` returns. None: the subscriber may send another request."""
        relay, vc = self._relay, self._vc
        try:
            verdict = relay.admit(vc, request)
            if not isinstance(verdict, Accept | Reject | Resend):
                raise TypeError(f"admit() returned {verdict!r}: not Accept, Reject or Resend")
            answer = (verdict.wait or b"") if isinstance(verdict, Accept) else verdict.answer
            if not isinstance(answer, bytes | bytearray | memoryview):
                raise TypeError(f"admit() returned {verdict!r}: its answer must be bytes")
        except BaseException as mistake:  # raised by the author's admit()
            error = as_error(mistake)
            self.engine.log("error", f"{self.name}: admit() failed; subscriber closed", error)
            return self._close(error)
        if vc.closed:
            return self._close(ConnectionAbortedError("closed by admit()"))
        if isinstance(verdict, Accept):
            self._answer(answer)
            return self.ACCEPTED if self._answers is None else self.ANSWERING
        self._answer(answer)
        relay.counts[verdict.counter] += 1
        why = f"{verdict.counter} by {type(relay).__name__}"
        if verdict.why:
            why += f": {verdict.why}"
        kept = request if self._shown is None else self._shown(request)
        self.engine.refused.add("message", why, kept, listener=relay.service.name, client=vc.name)
        if verdict.keep:
            return None
        relay.log_peer("info", vc.name, f"subscriber {why}")
        if vc.record is not None:
            vc.record.note("P", why)
        if self._answers is None:
            vc.do_io_close()
        else:
            LingeringClose(vc, self._answers.reader).start()
            self._answers = None
        return self.REFUSED

    def _answer(self, data: bytes) -> None:
        if self._answers is not None:
            self._answers.send(data)
        elif data:
            self._answers = OutputStream(self, self._vc, data)

    def _input_ended(self, requests: InputStream) -> State:
        """Close: no request will arrive. A connection that was closed in order is not logged."""
        error, fault = requests.error, requests.fault
        if error is None and fault is None:
            self._vc.do_io_close()
            return self.REFUSED
        return self._close(error or ValueError(fault.value if fault is not None else ""))

    # -- the answer --------------------------------------------------------------------------

    @ANSWERING.enter
    def answering(self) -> None:
        """Send the answer. Meanwhile only errors are received."""
        assert self._answers is not None
        self._vc.do_io_read(self, 0, self.engine.no_buffer)
        self._answers.finish()

    @ANSWERING.on(Event.WRITE_READY)
    def written(self, _: VIO) -> None:
        """Do nothing: a part of the answer was sent."""

    ANSWERING.goes(Event.WRITE_COMPLETE, ACCEPTED)

    @ACCEPTED.enter
    def accepted(self) -> None:
        """Hand the subscriber over to the relay."""
        self._relay.joined(self, self._vc)

    # -- ends --------------------------------------------------------------------------------

    @OPEN.on(Event.ERROR, Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=REFUSED)
    def failed(self, vio: VIO) -> None:
        """Close: the connection has failed, or was open for too long."""
        self._close(vio.error or TimeoutError("connection timed out"))

    @OPEN.on(Event.TIMEOUT, to=REFUSED)
    def timed_out(self, _: object) -> None:
        """Close: the subscriber did not send a request, or did not read its answer, in time."""
        what = "no valid request" if self.state is self.ASKING else "the answer was not read"
        self._close(TimeoutError(f"{what} within {REQUEST_TIME}"))

    def _close(self, error: Exception) -> State:
        """Close with a reset; log why."""
        self._relay.counts["refused"] += 1
        self._relay.log_peer("info", self._vc.name, f"subscriber closed before it joined: {error}")
        self._vc.do_io_close(error)
        return self.REFUSED

    @REFUSED.enter
    def refused(self) -> None:
        """Report that it is over."""
        self._relay.joined(self, None)

    def finished(self) -> None:
        """Free the buffers. Of an abandoned machine also close the connection."""
        if self._requests is not None:
            self._requests.close()
        if self._answers is not None:
            self._answers.close()
        if not self.state.final:
            self._vc.do_io_close()
