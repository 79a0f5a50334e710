"""Validator: the base of plugins that look at every message before a server gets it.

Messages are judged one at a time, in order, and go on in order. The server is connected to after
the first accepted message: a client that never says anything valid never touches it. A message over
the limit, half a message at the end, a length that cannot be: nothing of it goes on, it is counted
and logged, and the client is not heard any more. What was accepted before is still answered.

    READING --Defer--> ASKING --Called--> READING
       |-- first accepted message --> CONNECTING --CONNECTED--> READING
       |-- no more from the client -> ENDED --no more from the server--> CLOSED
       +-- the same, without a server, or the server has ended --------> CLOSED

A connection that breaks is closed behind what it had sent before: the messages of a client are
judged and go on, the replies of a server go back, and then the other side sees a reset.

What bounds it: the client is read only while there is room for what its messages bring about, on
the way to the server and on the way back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vcproxy.engine.engine import Called
from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import EMPTY
from vcproxy.engine.vconnection import Shutdown
from vcproxy.engine.vio import VIO, couple
from vcproxy.framing.framing import Framing, lines
from vcproxy.machine.state import State
from vcproxy.messages.verdict import Accept, Defer, Reject, Resend, Verdict, is_plain
from vcproxy.sessions.session import Session
from vcproxy.sessions.streams import InputStream, OutputStream
from vcproxy.tunnels.stall_timer import STALLED, StallTimer, flush_s

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.sessions.service import Service


class Validator(Session):
    """A conversation of messages. A subclass says how they are framed and what is valid.

        class Orders(Validator):
            framing = lines(limit="64KiB")

            def check(self, message):
                return Accept() if message.startswith(b"order ") else Resend(b"what?\\n")

    Without `replies` the server's answers go back as they come, and what is said by verdicts
    stands between them wherever it falls. With it they go back in whole messages.
    """

    needs_upstream = True
    alpn_refused = frozenset({"h2"})  # a framing of messages does not find its streams

    framing: Framing = lines()
    """How the client's messages are told apart."""
    replies: Framing | None = None
    """How the server's are, if what verdicts say must not fall into one of them."""
    in_turn: bool = False
    """Whether each accepted message gets exactly one reply: then what verdicts answer (but for
    `wait`) comes in its turn, and `replies` are framed like messages unless it says otherwise."""

    __slots__ = ("_asked", "_forwarded", "_heard", "_held", "_messages", "_owed", "_received",
                 "_stall_timer", "_unturned")  # fmt: skip

    TALKING = State()
    READING = State(parent=TALKING, initial=True)
    ASKING = State(parent=TALKING)
    CONNECTING = State(parent=TALKING)
    ENDED = State(parent=TALKING)
    CLOSED = State(final=True)

    answers: OutputStream

    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client, service)
        self.answers = OutputStream(self, client)
        self._messages = InputStream(self, client, self.framing)
        self._forwarded: OutputStream | None = None
        self._heard: VIO | None = None  # the server's read
        self._received: InputStream | None = None  # with `replies`: what it reads
        self._held = b""  # the message that is asked about, or waits for the server
        self._asked: Defer | None = None
        self._unturned: Reject | Resend | None = None
        self._owed = 0  # replies to accepted messages
        self._stall_timer: StallTimer | None = None  # the server's, once the client has broken

    # -- for authors -------------------------------------------------------------------------

    def check(self, message: bytes) -> Verdict:
        """Judge one message, without its framing. It must not block: see Defer. To be overridden.

        An exception ends the conversation, closed, and so does anything but a Verdict.
        """
        raise NotImplementedError(f"{type(self).__qualname__} must say what is valid: check()")

    # -- what the client says ----------------------------------------------------------------

    @READING.on(Event.READ_READY, Event.WRITE_READY, to=(ASKING, CONNECTING, ENDED, CLOSED))
    def moved(self, vio: VIO) -> State | None:
        """Take what has come, as far as there is room for what it brings about."""
        if vio is not self._messages.vio and self.relayed(vio) is not None:
            return self.CLOSED
        return self._take_all()

    @READING.on(Event.EOS, to=(ASKING, CONNECTING, ENDED, CLOSED))
    def ended(self, vio: VIO) -> State | None:
        """One side has said all."""
        return self._take_all() if vio is self._messages.vio else self.relayed(vio)

    def _take_all(self) -> State | None:
        messages, forwarded = self._messages, self._forwarded
        while not (self._stuffed() or (forwarded is not None and forwarded.full)):
            if self._unturned is not None:
                if self._owed:
                    return None
                target = self._refuse(self._unturned)
            else:
                message = messages.take()
                if message is None:
                    return self._no_more() if messages.stopped else None
                target = self._carry_out(message, self.check(message))
            if target is not None:
                return target
        return None

    def _stuffed(self) -> bool:
        """Whether the client does not read what it is answered. Then it is told when it does."""
        full = self.answers.full
        if full:
            self.answers.vio.uncouple()
        return full

    def _no_more(self) -> State:
        """The client is not heard any more: in order, for a fault, or its connection broke."""
        error = self._messages.error
        if error is not None and not self.was_probe:
            self.log(f"{self.client.name}: {error}")
        fault = None if error is not None else self._messages.fault
        if fault is not None:
            self.count(fault.name.lower())
            self.log(f"{fault.value}; no further input is read")
        return self._leave()

    def _leave(self) -> State:
        return self.CLOSED if self._forwarded is None else self.ENDED

    # -- verdicts ----------------------------------------------------------------------------

    def _carry_out(self, message: bytes, verdict: Verdict) -> State | None:
        if isinstance(verdict, Accept):
            return self._accept(message, verdict)
        if isinstance(verdict, Reject | Resend):
            if self.in_turn and self._owed:
                self._unturned = verdict
                return None
            return self._refuse(verdict)
        if isinstance(verdict, Defer):
            self._held = message
            self._asked = verdict
            self.engine.call(self, verdict.fn, *verdict.args, deadline=verdict.deadline_s)
            return self.ASKING
        raise TypeError(
            f"{self.name}: the verdict was {verdict!r}: it must be Accept, Reject, Resend or Defer"
        )

    def _accept(self, message: bytes, verdict: Accept) -> State | None:
        self.count("accepted")
        forwarded = message if verdict.rewritten is None else verdict.rewritten
        wire = self._messages.framing.encode(forwarded) or EMPTY
        if verdict.wait:
            self.answers.send(verdict.wait)
        self._owed += 1
        if self._forwarded is None:
            self._held = wire
            return self.CONNECTING
        self._forwarded.send(wire)
        return None

    def _refuse(self, verdict: Reject | Resend) -> State | None:
        self._unturned = None
        self.answers.send(verdict.answer)
        if isinstance(verdict, Resend):
            self.count("resent")
            return None
        self.count("rejected")
        return None if verdict.keep else self._leave()

    @ASKING.on(Called, to=(READING, ASKING, CONNECTING, ENDED, CLOSED))
    def told(self, called: Called) -> State:
        """A Defer has its value: a verdict, or what one is made of."""
        if called.error is not None or not (
            isinstance(called.value, Verdict) or is_plain(called.value)
        ):
            problem = called.error or f"it brought {called.value!r}, no verdict nor plain data"
            self.fail(f"the verdict on a message failed: {problem}")
            return self.CLOSED
        message, self._held = self._held, b""
        asked, self._asked = self._asked, None
        assert asked is not None
        verdict: Any = called.value
        if asked.then is not None:
            verdict = asked.then(message, verdict)
        return self._carry_out(message, verdict) or self._take_all() or self.READING

    # -- the server --------------------------------------------------------------------------

    @CONNECTING.enter
    def connecting(self) -> None:
        """Something valid has come: now there is a reason to connect."""
        self.connect_first()

    @CONNECTING.on(Event.CONNECTED, to=(READING, ASKING, ENDED, CLOSED))
    def connected(self, server: NetVConnection) -> State:
        """Send what was held for it, and take its replies."""
        forwarded = self._forwarded = OutputStream(self, server)
        forwarded.send(self._held)
        self._held = b""
        replies = self.replies or (self.framing if self.in_turn else None)
        if replies is None:
            self._heard = server.do_io_read(self, None, self.answers.buffer)
            couple(self._heard, self.answers.vio)
        else:
            self._received = InputStream(self, server, replies)
            self._heard = self._received.vio
        return self._take_all() or self.READING

    @CONNECTING.on(Event.ERROR, to=(CLOSED,))
    def refused(self, failed: NetVConnection | VIO) -> State | None:
        """Try the next server; a client that broke has said something for it."""
        if isinstance(failed, VIO):
            self.client_broke(failed)
            return None
        if self.connect_next():
            return None
        self.count("unserved")
        return self.CLOSED

    @TALKING.on(Event.READ_READY, Event.WRITE_READY, Event.EOS, to=(CLOSED,))
    def relayed(self, vio: VIO) -> State | None:
        """Bring the client what the server says, as far as there is room."""
        heard, answers = self._heard, self.answers
        if heard is None or vio is self._messages.vio:
            return None
        if self._received is not None:
            return self._relay_whole(self._received)
        if vio is heard and vio.over:
            return self.CLOSED if vio.error is None else None
        if heard.partner is None and not answers.full:
            couple(heard, answers.vio)
            heard.reenable()
        return None

    def _relay_whole(self, received: InputStream) -> State | None:
        answers = self.answers
        while not answers.full:
            reply = received.take()
            if reply is None:
                return self._server_done(received) if received.stopped else None
            self._owed -= self._owed > 0
            answers.send(received.framing.encode(reply))
        return None

    def _server_done(self, received: InputStream) -> State:
        if received.error is not None:
            return self._part(received.vio)
        fault = received.fault
        if fault is not None:
            self.count(f"reply_{fault.name.lower()}")
            self.log(f"{received.vio.name}: {fault.value}; closing")
            self.close(ConnectionError(fault.value))
        return self.CLOSED

    @ENDED.enter
    def last_forwarded(self) -> None:
        """The client has said all: so will the server have heard all."""
        assert self._forwarded is not None
        self._forwarded.finish()

    @ENDED.on(Event.WRITE_COMPLETE, to=(CLOSED,))
    def told_all(self, vio: VIO) -> State | None:
        """Half-close: the answers are still to come, unless there is nobody to have them."""
        if self.client.error is not None:
            self.close(self.client.error)
            return self.CLOSED
        vio.vc.do_io_shutdown(Shutdown.WRITE)
        return None

    # -- ends --------------------------------------------------------------------------------

    @TALKING.on(Event.ERROR, to=(CLOSED,))
    def broke(self, broken: VIO) -> State | None:
        """A connection has broken: what came from it before goes on first."""
        if broken.vc is self.client:
            return self.client_broke(broken)
        heard, received = self._heard, self._received
        if heard is None or not heard.over:
            return None  # there is more to read from it
        if received is not None:
            if received.read_rest():
                self._heard = received.vio
                return None
            return self._relay_whole(received)
        if not heard.vc.unread:
            return self._part(heard)
        self._heard = heard.vc.do_io_read(self, None, self.answers.buffer)
        couple(self._heard, self.answers.vio)
        return None

    @READING.on(Event.ERROR, to=(ASKING, CONNECTING, ENDED, CLOSED))
    def broke_while_reading(self, broken: VIO) -> State | None:
        """The same; of a client there may be messages left."""
        state = self.broke(broken)
        return state or (self._take_all() if broken is self._messages.vio else None)

    def client_broke(self, broken: VIO) -> State | None:
        """Read what its system still holds; behind all that, the server is let go of."""
        messages, forwarded = self._messages, self._forwarded
        if self._stall_timer is None:
            self._stall_timer = StallTimer(self, flush_s(broken.error), self._given)
        if messages.read_rest() or self.state is not self.ENDED:
            return None
        if forwarded is not None and forwarded.vio.ntodo:
            return None
        self.close(broken.error)
        return self.CLOSED

    def _part(self, broken: VIO) -> State:
        """Close behind what was answered: the client then sees a reset."""
        assert broken.error is not None
        self.log(f"{broken.name}: {broken.error}")
        self.reset_after_answers(broken.error)
        return self.CLOSED

    def _given(self) -> int:
        return -1 if self._forwarded is None else self._forwarded.vio.ndone

    @TALKING.on(STALLED, to=(CLOSED,))
    def stalled(self, _: object) -> State | None:
        """The server should have taken something more from a client that has broken."""
        forwarded = self._forwarded
        asking = self.state is self.ASKING  # that has a deadline of its own, and so has connecting
        if asking or forwarded is None or forwarded.vio.ntodo == 0:
            return None
        self.close(self._messages.vio.error)
        return self.CLOSED

    @TALKING.on(Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    def idled(self, vio: VIO) -> None:
        """Nothing moves, or it has lasted too long: both sides see an abnormal end."""
        error = TimeoutError("connection timed out")
        self.log(f"{vio.name}: {error}")
        self.close(error)

    def finished(self) -> None:
        """Let go of what was not taken, and close."""
        for way in (self._messages, self._forwarded, self._received):
            if way is not None:
                way.close()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        super().finished()
