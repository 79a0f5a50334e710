"""Validator: the base of plugins that check every message before a server gets it.

Messages are checked one at a time, and forwarded in their order. The proxy connects to the server
after the first accepted message, so a client without one never reaches the server. A message over
the limit, an incomplete last message, or an invalid length is counted and logged, and nothing more
is read from that client; messages accepted before are still answered.

    READING --Defer--> DEFERRED --Called--> READING
       |-- first accepted message --> CONNECTING --CONNECTED--> READING
       |-- the client has ended, or is rejected --> ENDED --the server has ended--> CLOSED
       +-- the same without a server, or the server has ended -------------------> CLOSED

When a connection fails, what it had sent before is still processed: messages of the client are
checked and forwarded, replies of the server are sent back. Then the other connection is reset.

Memory is bounded: the client is read only while there is room in both directions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vcproxy.engine.address import PACKETS
from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.calls import Called
from vcproxy.engine.event import Event
from vcproxy.engine.vconnection import Shutdown
from vcproxy.engine.vio import VIO
from vcproxy.framing.decoding import Damaged
from vcproxy.framing.framing import UNFRAMED, Framing, lines, reframe_with
from vcproxy.machine.state import State
from vcproxy.messages.replies import Replies
from vcproxy.messages.verdict import Accept, Defer, Reject, Resend, Verdict, is_plain
from vcproxy.messages.verdict_notes import note_verdict
from vcproxy.sessions.session import Session
from vcproxy.sessions.streams import InputStream, OutputStream
from vcproxy.tunnels.done import Reason
from vcproxy.tunnels.stall_timer import STALLED, StallTimer, flush_s

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.sessions.service import Service


class Validator(Session):
    """One client's conversation, message by message. A subclass checks each message.

        class Orders(Validator):
            framing = lines(limit="64KiB")

            def check(self, message):
                return Accept() if message.startswith(b"order ") else Resend(b"unknown\\n")

    Without `replies` the server's bytes go back as they arrive, and answers of verdicts may fall
    between any two of them. With `replies` they go back as whole messages, and answers of verdicts
    fall between these.
    """

    needs_upstream = True
    alpn_refused = frozenset({"h2"})  # a framing of messages cannot read its streams
    mixes_datagrams = True

    framing: Framing = lines()
    """How the client's messages are framed."""
    forwarding: Framing | None = None
    """How messages are framed for the server; None: like the client's."""
    replies: Framing | None = None
    """How the server's replies are framed, if answers of verdicts must not fall inside of one.
    With `forwarding` the client gets them framed like its messages, else as they were."""
    one_way: bool = False
    """Whether the server sends nothing back. Then what it sends is dropped, and a session whose
    client has ended is over when all its messages are forwarded."""
    in_turn: bool = False
    """Whether the server sends exactly one reply for each accepted message. Then answers of
    verdicts (except `wait`) and replies are sent in the order of the messages, and replies are
    framed like the messages to the server unless `replies` is set."""

    __slots__ = ("_deferred", "_delayed", "_forwarded", "_held", "_messages",
                 "_outgoing", "_reframe", "_replies", "_stall_timer")  # fmt: skip

    TALKING = State()
    READING = State(parent=TALKING, initial=True)
    DEFERRED = State(parent=TALKING)
    CONNECTING = State(parent=TALKING)
    ENDED = State(parent=TALKING)
    CLOSED = State(final=True)

    answers: OutputStream

    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client, service)
        self.answers = OutputStream(self, client)
        self._messages = InputStream(self, client, self.framing_at(client, self.framing))
        self._forwarded: OutputStream | None = None  # the output to the server
        self._outgoing = UNFRAMED  # of messages to the server, once it is connected
        self._reframe = reframe_with(UNFRAMED, UNFRAMED)  # the same, of unchanged messages
        self._replies: Replies | None = None  # from the server
        self._held = b""  # the message that is deferred, or waits for the server
        self._deferred: Defer | None = None
        self._delayed: Reject | Resend | None = None  # sent after earlier replies
        self._stall_timer: StallTimer | None = None  # of the server, after the client has failed
        if self.record is not None:
            self.record.validating = True

    # -- for authors -------------------------------------------------------------------------

    def check(self, message: bytes) -> Verdict:
        """Return the verdict on one message, without its framing. To be overridden.

        It must not block: see Defer. An exception, or any other result, closes the conversation.
        """
        raise NotImplementedError(f"{type(self).__qualname__} must define check(self, message)")

    def damaged(self, message: bytes, why: str) -> Reject | Resend:
        """Return the verdict on a message whose check by the framing has failed. To be overridden
        where the protocol has an answer to it; by default the client is not read any more.

        `message`: what arrived of it; it is never forwarded. `why`: what is wrong, as text.
        """
        return Reject()

    # -- messages of the client --------------------------------------------------------------

    @READING.on(Event.READ_READY, Event.WRITE_READY, to=(DEFERRED, CONNECTING, ENDED, CLOSED))
    def take_messages(self, vio: VIO) -> State | None:
        """Check the messages that have arrived, while there is room for the resulting output."""
        if vio is not self._messages.vio and self.relay_replies(vio) is not None:
            return self.CLOSED
        return self._take_all()

    @READING.on(Event.EOS, to=(DEFERRED, CONNECTING, ENDED, CLOSED))
    def side_ended(self, vio: VIO) -> State | None:
        """Process the rest of the input: the client or the server has half-closed."""
        return self._take_all() if vio is self._messages.vio else self.relay_replies(vio)

    def _take_all(self) -> State | None:
        messages, forwarded = self._messages, self._forwarded
        while not (self._client_is_full() or (forwarded is not None and forwarded.full)):
            if self._delayed is not None:
                if self._pending:
                    return None
                target = self._refuse(self._delayed)
            else:
                message = messages.take()
                if message is None:
                    return self._input_ended() if messages.stopped else None
                if isinstance(message, Damaged):
                    target = self._refuse_damaged(message)
                else:
                    target = self._apply(message, self.check(message))
            if target is not None:
                return target
        return None

    def _client_is_full(self) -> bool:
        """Return whether the client's output is full. If so, WRITE_READY follows when it drains."""
        full = self.answers.full
        if full:
            self.answers.vio.uncouple()
        return full

    def _input_ended(self) -> State:
        """End reading: the client has half-closed or failed, or its input has invalid framing."""
        error = self._messages.error
        if error is not None and not self.was_probe:
            self.log(f"{self.client.name}: {error}")
        fault = None if error is not None else self._messages.fault
        if fault is not None:
            self.count(fault.name.lower())
            if self.record is not None:
                self.record.note("V", fault.value, "V")
            self.log(f"{fault.value}; no further input is read")
        return self._after_last()

    def _after_last(self) -> State:
        return self.CLOSED if self._forwarded is None else self.ENDED

    # -- verdicts ----------------------------------------------------------------------------

    def _apply(self, message: bytes, verdict: Verdict) -> State | None:
        if isinstance(verdict, Accept):
            if self.client.record is not None:
                note_verdict(self, message, verdict)
            return self._accept(message, verdict)
        if isinstance(verdict, Reject | Resend):
            note_verdict(self, message, verdict)
            if self.in_turn and self._pending:
                self._delayed = verdict
                return None
            return self._refuse(verdict)
        if isinstance(verdict, Defer):
            self._held = message
            self._deferred = verdict
            fn, args, shares = verdict.fn, verdict.args, verdict.shares_s
            self.engine.call(self, fn, *args, deadline=verdict.deadline_s, shares=shares)
            return self.DEFERRED
        raise TypeError(
            f"{self.name}: the verdict was {verdict!r}: it must be Accept, Reject, Resend or Defer"
        )

    def _refuse_damaged(self, damaged: Damaged) -> State | None:
        self.count("damaged")
        why = f"damaged message: {damaged.why}"
        self.log_seldom("damaged", f"damaged message: {damaged.why}; it is not forwarded")
        verdict = self.damaged(*damaged)
        if not isinstance(verdict, Reject | Resend):
            raise TypeError(f"damaged() returned {verdict!r}: it must be Reject or Resend")
        return self._apply(damaged.data, verdict if verdict.why else replace(verdict, why=why))

    def _accept(self, message: bytes, verdict: Accept) -> State | None:
        self.count("accepted")
        rewritten = verdict.rewritten
        if verdict.wait:
            self.answers.send(verdict.wait)
        if self._forwarded is None:
            self._held = message if rewritten is None else rewritten
            return self.CONNECTING
        if self._replies is not None:
            self._replies.pending += 1
        wire = self._reframe(message) if rewritten is None else self._outgoing.encode(rewritten)
        self._forwarded.send(wire or EMPTY)
        return None

    @property
    def _pending(self) -> int:
        """Accepted messages without a reply: see `in_turn`."""
        return 0 if self._replies is None else self._replies.pending

    def _refuse(self, verdict: Reject | Resend) -> State | None:
        self._delayed = None
        self.answers.send(verdict.answer)
        self.count(verdict.counter)
        client = self.client
        datagrams = client.message_oriented and client.peer != PACKETS
        return None if verdict.keep or datagrams else self._after_last()

    @DEFERRED.on(Called, to=(READING, DEFERRED, CONNECTING, ENDED, CLOSED))
    def call_returned(self, called: Called) -> State:
        """Apply the verdict that the call returned, or that `then` derives from its value."""
        if called.error is not None or not (
            isinstance(called.value, Verdict) or is_plain(called.value)
        ):
            returned = f"it returned {called.value!r}, neither a verdict nor plain data"
            self.fail(f"the deferred check of a message failed: {called.error or returned}")
            return self.CLOSED
        message, self._held = self._held, b""
        deferred, self._deferred = self._deferred, None
        assert deferred is not None
        verdict: Any = called.value
        if deferred.then is not None:
            verdict = deferred.then(message, verdict)
        return self._apply(message, verdict) or self._take_all() or self.READING

    # -- the server --------------------------------------------------------------------------

    @CONNECTING.enter
    def connect_server(self) -> None:
        """Connect to the server: the first message was accepted."""
        self.connect_first()

    @CONNECTING.on(Event.CONNECTED, to=(READING, DEFERRED, ENDED, CLOSED))
    def connected(self, server: NetVConnection) -> State:
        """Send the message that waited for the server, and read its replies."""
        outgoing = self._outgoing = self.framing_at(server, self.forwarding or self.framing)
        self._reframe = reframe_with(outgoing, self._messages.framing)
        forwarded = self._forwarded = OutputStream(self, server)
        forwarded.send(outgoing.encode(self._held) or EMPTY)
        self._held = b""
        self._replies = Replies(self, server, outgoing)
        return self._take_all() or self.READING

    def framing_at(self, vc: NetVConnection, framing: Framing) -> Framing:
        """Return how messages are framed at a VC, where streams have a framing."""
        return (self.datagram_framing or framing) if vc.message_oriented else framing

    @CONNECTING.on(Event.ERROR, to=(CLOSED,))
    def connect_failed(self, failed: NetVConnection | VIO) -> State | None:
        """Try the next server. If the client failed, its accepted message is still forwarded."""
        if isinstance(failed, VIO):
            self.client_failed(failed)
            return None
        if self.connect_next():
            return None
        self.count("unserved")
        return self.CLOSED

    @TALKING.on(Event.READ_READY, Event.WRITE_READY, Event.EOS, to=(CLOSED,))
    def relay_replies(self, vio: VIO) -> State | None:
        """Send the server's replies to the client, while there is room."""
        replies = self._replies
        if replies is None or vio is self._messages.vio or not replies.relay(vio):
            return None
        return self._server_ended(replies)

    def _server_ended(self, replies: Replies) -> State:
        error = replies.error
        if error is not None:
            self.log(f"{replies.vio.name}: {error}")
            self.reset_after_answers(error)
            return self.CLOSED
        fault = replies.fault
        if fault is not None:
            self.count(f"reply_{fault.name.lower()}")
            self.log(f"{replies.vio.name}: {fault.value}; closing")
            self.close(ConnectionError(fault.value))
        return self.CLOSED

    @ENDED.enter
    def finish_forwarding(self) -> None:
        """End the direction to the server, after the client's last message."""
        assert self._forwarded is not None
        self._forwarded.finish()

    @ENDED.on(Event.WRITE_COMPLETE, to=(CLOSED,))
    def all_forwarded(self, vio: VIO) -> State | None:
        """Half-close to the server, as replies may still arrive; close if the client has failed."""
        if self.client.error is not None:
            self.close(self.client.error)
            return self.CLOSED
        if self.one_way:
            return self.CLOSED
        vio.vc.do_io_shutdown(Shutdown.WRITE)
        return None

    # -- ends --------------------------------------------------------------------------------

    @TALKING.on(Event.ERROR, to=(CLOSED,))
    def side_failed(self, failed: VIO) -> State | None:
        """Process what a failed connection sent before the error, then close."""
        if failed.vc is self.client:
            return self.client_failed(failed)
        replies = self._replies
        if replies is None or not replies.vio.over or replies.read_rest():
            return None  # more of the server's data is to be read
        return self._server_ended(replies) if replies.relay_rest() else None

    @READING.on(Event.ERROR, to=(DEFERRED, CONNECTING, ENDED, CLOSED))
    def failed_while_reading(self, failed: VIO) -> State | None:
        """Like `side_failed`; then check the messages that a failed client left unread."""
        state = self.side_failed(failed)
        return state or (self._take_all() if failed is self._messages.vio else None)

    def client_failed(self, failed: VIO) -> State | None:
        """Read what the kernel still holds, forward it, then close the server."""
        messages, forwarded = self._messages, self._forwarded
        if self._stall_timer is None:
            self._stall_timer = StallTimer(self, flush_s(failed.error), self._forwarded_bytes)
        if messages.read_rest() or self.state is not self.ENDED:
            return None
        if forwarded is not None and forwarded.vio.ntodo:
            return None
        self.close(failed.error)
        return self.CLOSED

    def _forwarded_bytes(self) -> int:
        return -1 if self._forwarded is None else self._forwarded.vio.ndone

    @TALKING.on(STALLED, to=(CLOSED,))
    def server_stalled(self, _: object) -> State | None:
        """Close if the server no longer reads the messages of a failed client."""
        forwarded = self._forwarded
        deferred = self.state is self.DEFERRED  # DEFERRED and CONNECTING have their own deadlines
        if deferred or forwarded is None or forwarded.vio.ntodo == 0:
            return None
        self.close(self._messages.vio.error)
        return self.CLOSED

    @TALKING.on(Event.INACTIVITY_TIMEOUT, to=CLOSED)
    def timed_out_inactive(self, vio: VIO) -> None:
        """Reset both connections: nothing moved for too long. Datagrams have no other end."""
        client, server, forwarded = self.client, self.server, self._forwarded
        ended = client.message_oriented or (
            self.state is self.ENDED and server is not None and server.message_oriented
        )
        if not ended or (forwarded is not None and forwarded.reader.avail):
            self._time_out(vio, Reason.INACTIVITY)

    @TALKING.on(Event.ACTIVE_TIMEOUT, to=CLOSED)
    def timed_out_active(self, vio: VIO) -> None:
        """Reset both connections: they were open for too long."""
        self._time_out(vio, Reason.ACTIVE)

    def _time_out(self, vio: VIO, reason: Reason) -> None:
        error = TimeoutError(reason.value)
        self.log(f"{vio.name}: {error}")
        self.close(error)

    def finished(self) -> None:
        """Drop unprocessed messages, and close."""
        for stream in (self._messages, self._forwarded, self._replies):
            if stream is not None:
                stream.close()
        self._replies = None  # it refers to the session
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        super().finished()
