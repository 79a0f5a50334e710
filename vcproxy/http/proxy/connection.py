"""HttpProxy: one client connection, its requests one after the other, each answered by a server.

    WAITING --a head--> SEEKING --CONNECTED--> ASKING --a head--> ANSWERING --its body--> WAITING
       |                   ^ an idle connection spares it           |
       +--> COLLECTING, THINKING: a filter wants the whole body,    +--> GATHERING, REVIEWING: the
       |    or time                                                 |    same for the answer
       +--- CONNECT --------> TUNNELLING <--------------- Upgrade --+

HeadCache are judged here. A body that has come with its head is sent with it, and what is left of a
short answer as it comes. A longer one whose length is known goes through a OneWayTunnel, which the
driver may bridge; any other through a MessageTunnel: chunks that nobody changes are only checked,
all else is decoded and framed anew. What the client sends behind a request waits in the buffer:
answers keep the order of requests because no two are ever under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.calls import Called
from vcproxy.engine.event import Event
from vcproxy.engine.vio import VIO
from vcproxy.http.message.body import body_reader, body_writer
from vcproxy.http.message.forwarding import max_forwards
from vcproxy.http.message.keep_alive import keep_alive_s
from vcproxy.http.message.messages import UNTIL_CLOSE, Response
from vcproxy.http.message.parsing import HEAD_END, head_end
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.proxy.own_responses import configured, sendable, trouble, unreachable
from vcproxy.http.proxy.body_buffer import BodyBuffer
from vcproxy.http.proxy.body_pipeline import BodyPipeline, unchanged
from vcproxy.http.proxy.body_transfer import BodyTransfer
from vcproxy.http.proxy.deadline import NEVER
from vcproxy.http.proxy.destination import destination
from vcproxy.http.proxy.exchange import DUE, NEXT, RESUMED, Exchange
from vcproxy.http.proxy.subrequests import Fetched
from vcproxy.http.proxy.options import BODY_GRACE_S
from vcproxy.http.proxy.representation import Representation
from vcproxy.http.proxy.routing import Route
from vcproxy.http.proxy.transaction import Failure
from vcproxy.machine.state import State
from vcproxy.tunnels.done import Reason, TunnelDone
from vcproxy.tunnels.two_way import TwoWayTunnel

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods of which twice is the same as once (RFC 9110, 9.2.2)."""

STALE_S = 1.0
"""A kept connection that ends so soon behind a request has most likely been ended before it."""

QUIET_S = 1.0
"""A client's connection that is not to be kept is closed once nothing has moved on it for so long:
else it would be closed just as the next request comes, which the client then sees fail."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n%b\r\n"


class HttpProxy(Exchange):
    """Accepts HTTP/1.1 from one client, and has each request answered. See Options.

    A subclass steps in where it overrides a method of Phases; so do the filters that are listed in
    its options, after it.
    """

    __slots__ = (
        "_answers",
        "_body_s",
        "_described",
        "_idle_s",
        "_invited",
        "_repeatable",
    )

    ALIVE = State()
    WAITING = State(parent=ALIVE, initial=True)
    COLLECTING = State(parent=ALIVE)
    THINKING = State(parent=ALIVE)
    SEEKING = State(parent=ALIVE)
    ASKING = State(parent=ALIVE)
    GATHERING = State(parent=ALIVE)
    REVIEWING = State(parent=ALIVE)
    ANSWERING = State(parent=ALIVE)
    TUNNELLING = State(parent=ALIVE)
    CLOSED = State(final=True)

    # -- a request ---------------------------------------------------------------------------

    @WAITING.enter
    def waiting(self) -> None:
        """Wait for a request: the first, or the next."""
        client = self._client
        if not self.requests:
            client.attach(self.client)
            client.begin(b"")
        self._alarm.set(QUIET_S if self.service.draining else self.options.timeouts.idle)
        if client.waiting or client.over:
            self.engine.schedule(self, NEXT, None)

    @WAITING.on(
        Event.READ_READY, Event.WRITE_READY, Event.EOS, NEXT,
        to=(WAITING, COLLECTING, THINKING, SEEKING, ASKING, CLOSED),
    )  # fmt: skip
    def heard(self, _: object) -> State | None:
        """Take the next request, if its head is there, and the client reads its answers."""
        client = self._client
        if client.full:
            return None
        pending = client.pending
        seen = len(pending) if self._begun else 0
        # A head and an empty line, or no head, or one that is here: then what follows it waits.
        data = client.take(1 if pending and HEAD_END in pending[2:] else self._limits.head + 3)
        try:
            end = head_end(data, self._limits, seen=seen)
            if end < 0:
                return self._unfinished(data)
            request = self._common.heads.request(data[:end])
        except BadMessage as problem:
            return self._refuse(problem)
        if end < len(data):
            client.pending = data[end:]
            client.keep()
        self._begin(request)
        if b"via" in request.fields.marks and self.sender.is_looping(request):
            why = "it has passed here before, says its Via: a server leads back to this proxy"
            return self._fail(502, "proxy", why, "proxy_loop_detected")
        if self._chain.request_body or self._chain.request_chunk:
            self._described = Representation(request.fields)
        steps = self._chain.request_head
        return self._run(steps, self._taken, self.THINKING) if steps else self._taken()

    def _unfinished(self, data: bytes) -> State | None:
        client = self._client
        if not data and client.over:
            return self.CLOSED
        if client.over:
            return self._refuse(BadMessage(400, "it ended within a head", "RFC 9112 8"))
        if data and not self._begun:
            self._begun = True
            self._alarm.set(self.options.timeouts.head)
        elif not data and self.service.draining:
            self._alarm.set(max(self.client.moved_at + QUIET_S - self.engine.now, 0.001))
        client.pending = data
        client.keep()
        return None

    @WAITING.on(Event.ERROR, to=(WAITING, COLLECTING, THINKING, SEEKING, ASKING, CLOSED))
    def ended(self, _: VIO) -> State | None:
        """The client's connection has broken; or TLS on it has ended without close_notify, and what
        it said before is served."""
        return self.CLOSED if self.client.error is not None else self.heard(None)

    @WAITING.on(DUE, to=(CLOSED,))
    def overslept(self, _: object) -> State | None:
        """No request has come, or not all of its head."""
        if self._alarm.early():
            return None
        if not self._begun:
            return self.CLOSED
        return self._refuse(BadMessage(408, "its head took too long", "RFC 9110 15.5.9"))

    def _taken(self) -> State | None:
        """The head is the filters' no more."""
        request = self.tx.request
        if request.method == "TRACE":
            return self._fail(501, "client", "TRACE is not served", "http_request_error")
        if request.method == "OPTIONS" and max_forwards(request) == 0:
            return self._answer(Response(204))
        if not self._chain.request_body or request.method == "CONNECT":
            return self._find()
        reader = body_reader(self._framing, self._limits, 400)
        self._gathering = BodyBuffer(self, reader, self._chain.request_limit, 413)
        if request.expects_continue and not self._client.pending:
            self._client.say(CONTINUE)
        self._body_s = self.engine.now
        return self._collect()

    # -- its whole body, for a filter -----------------------------------------------------------

    @COLLECTING.on(
        Event.READ_READY, Event.EOS, Event.ERROR,
        to=(WAITING, THINKING, SEEKING, ASKING, CLOSED),
    )  # fmt: skip
    def collecting(self, _: VIO) -> State | None:
        """Some of it has come; or the client has gone."""
        return self._left() if self.client.error is not None else self._collect()

    def _collect(self) -> State | None:
        assert self._gathering is not None
        try:
            whole = self._gathering.take(self._client)
        except BadMessage as problem:
            return self._faulty(problem, "client")
        if whole is None:
            if self._too_slow(self._gathering.held):
                return self._dawdles()
            times = self.options.timeouts
            self._within(min(times.body or NEVER, times.stalled or NEVER))
            return None if self.state is self.COLLECTING else self.COLLECTING
        self._consumed = True
        self._described.body = whole
        return self._run(self._chain.request_body, self._collected, self.THINKING, whole)

    def _collected(self) -> State | None:
        """The body is the filters' no more: it goes as it is now, with its length."""
        self.tx.request.expects_continue = False  # we have said it
        if self._body != self._described.body:
            self._described.withdraw(self.tx.request.fields)
        self._framing = len(self._body)
        return self._find()

    @COLLECTING.on(DUE, to=(WAITING, CLOSED))
    def dawdled(self, _: object) -> State | None:
        """The body does not come."""
        return None if self._alarm.early() else self._dawdles()

    def _dawdles(self) -> State:
        return self._fail(408, "client", "its body comes too slowly", "http_request_error")

    def _too_slow(self, taken: int) -> bool:
        """Whether so much of its body is too little by now."""
        lasted_s = self.engine.now - self._body_s
        return lasted_s >= BODY_GRACE_S and taken < self.options.body_rate * lasted_s

    # -- a filter thinks -----------------------------------------------------------------------

    @THINKING.on(
        Called, Fetched, RESUMED, to=(WAITING, COLLECTING, SEEKING, ASKING, TUNNELLING, CLOSED)
    )
    @REVIEWING.on(Called, Fetched, RESUMED, to=(WAITING, GATHERING, ANSWERING, TUNNELLING, CLOSED))
    def thought(self, told: Called | Fetched | None) -> State | None:
        """What a filter waited for is here."""
        return self._resume(told)

    # -- a server --------------------------------------------------------------------------------

    def _find(self) -> State | None:
        """Where does it go?"""
        tx = self.tx
        place = destination(tx.request, self.options)
        if isinstance(place, Failure):
            return self._failed(place)
        if isinstance(place, Route):
            if place.answer is not None:
                return self._answer(configured(place.answer))
            tx.route = place
            tx.upstream = tx.upstreams[place.upstream] if place.upstream else self.service.upstream
            if tx.upstream is None:  # of a proxy that only goes where clients say
                return self._fail(421, "client", "no host is served here", "destination_not_found")
        else:
            tx.upstream = self._common.origins.find(place)
        steps = self._chain.route
        return self._run(steps, self._found, self.THINKING) if steps else self._found()

    def _found(self) -> State | None:
        limit, length = self._most, self._framing
        if limit and length is not None and length > limit:
            return self._fail(413, "client", "its body is too long", "http_request_error")
        return self._seek()

    def _seek(self) -> State | None:
        """Have a connection: at the first try an idle one, but for CONNECT none that spoke HTTP."""
        tx, upstream = self.tx, self.tx.upstream
        assert upstream is not None
        if self._client.over and (abandoned := self._abandoned) is not None:
            return self._abort(abandoned)
        tx.attempts += 1
        key = self._key() if upstream.terms.balance == "hash" else None
        if tx.attempts == 1 and tx.request.form != "authority":
            idle = upstream.take(self, key=key, client=self.client.peer_address)
            if idle is not None:
                return self._reuse(idle)
        tx.reused = False
        self.server = upstream.connect(
            self,
            key=key,
            client=self.client.peer_address,
            tried=self._tried,
            timeout=self.service.connect_s,
            kept=tx.request.form != "authority",
        )
        self._within()
        return self.SEEKING

    def _reuse(self, server: NetVConnection) -> State | None:
        """Go on with a connection that has served before."""
        self.tx.reused = True
        self._idle_s = self.engine.now - server.moved_at
        return self._chosen(server)

    @SEEKING.on(Event.CONNECTED, to=(WAITING, SEEKING, THINKING, ASKING, TUNNELLING, CLOSED))
    def connected(self, server: NetVConnection) -> State | None:
        """There is a new connection; or, for who waited in the queue, one that has become free."""
        if server.open:
            return self._chosen(server)
        upstream = self.tx.upstream
        assert upstream is not None
        kept = upstream.claim(self, server)
        self._drop_server()
        if kept is not None:
            return self._reuse(kept)
        self.tx.attempts -= 1  # that was none
        return self._seek()

    @SEEKING.on(Event.ERROR, to=(WAITING, SEEKING, CLOSED))
    def refused(self, failed: NetVConnection | VIO) -> State | None:
        """There is none; or nobody to be answered any more."""
        if isinstance(failed, VIO):
            return self._left()
        upstream = self.tx.upstream
        assert upstream is not None
        server = upstream.server_of(failed)
        if server is not None:
            self.tx.server = failed.name
            self._tried.append(server)
            if upstream.another(self._tried):
                self.log(f"server {failed.name} failed: {failed.error}; trying the next")
                self._drop_server()
                return self._seek()
        return self._failed(unreachable(failed.error))

    def _chosen(self, server: NetVConnection) -> State | None:
        tx = self.tx
        self.server = server
        tx.server = server.name
        steps = self._chain.server_chosen
        if not steps:
            return self._ask()
        self._server.attach(server)  # it is heard while a filter takes its time
        return self._run(steps, self._settled, self.THINKING)

    def _settled(self) -> State | None:
        """The connection is the filters' no more: what it has said meanwhile is no answer."""
        if not self._server.quiet and self.tx.request.form != "authority":
            return self._lost("it spoke or ended before it was asked", again=True)
        return self._ask()

    # -- the request goes ------------------------------------------------------------------------

    def _ask(self) -> State | None:
        """Send the request: its body as far as it is here, the rest by a tunnel."""
        request, server = self.tx.request, self._server
        assert self.server is not None
        if request.form == "authority":
            return self._lend(ESTABLISHED % self._common.heads.dates.line())
        passage = None if self._consumed else self._passage_up()
        request.body = self._framing
        if (request.method == "HEAD") is not self._bodiless:
            mistake = ValueError("a filter made HEAD of a method, or one of HEAD")
            return self._faulty(mistake, "plugin")
        try:
            message = self._common.heads.to_server(
                request, self.sender, upgrade=request.upgrade is not None
            )
        except ValueError as mistake:  # a filter has made of it what cannot be sent
            return self._faulty(mistake, "plugin")
        server.attach(self.server)
        if not self._consumed:
            self._up = up = BodyTransfer(self._client, self._framing or 0, passage)
            self._body = up.take()
            if up.fault is not None:
                return self._faulty(up.fault, "client")
            self._consumed = up.over
        message += self._body
        self._repeatable = self._consumed
        if self._consumed:
            self._up = None
            server.begin(message)
            self._within(self.options.timeouts.first_byte)
        else:
            up.begin(self, self.client, self.server, message, f"{self.name} up")
            self._invited = not request.expects_continue
            if self._invited:
                self._expect_body()
            else:
                self._within(self.options.timeouts.first_byte)
        return self.ASKING

    def _expect_body(self) -> None:
        """From now on it is the client that is waited for."""
        assert self.server is not None
        self.server.set_inactivity_timeout(self.options.timeouts.stalled)
        self._body_s = self.engine.now
        self._within(min(self._silence_s, BODY_GRACE_S))

    @property
    def _silence_s(self) -> float:
        """How long a client may yet send nothing of its body; 0 or less: no longer."""
        assert self.server is not None
        moved_s = max(self._body_s, self.client.moved_at, self.server.moved_at)
        return moved_s + (self.options.timeouts.body or NEVER) - self.engine.now

    def _passage_up(self) -> BodyPipeline | None:
        """What the body goes through, unless it goes as it comes."""
        steps = self._chain.request_chunk
        if self._framing is not None and not steps:
            return None
        if steps:
            self._described.withdraw(self.tx.request.fields)
        if self._framing is None and not steps and not self._most:
            return unchanged(self._limits, 400)
        reader = body_reader(self._framing, self._limits, 400)
        self._framing = None
        return BodyPipeline(reader, body_writer(None), self._bound(steps), self._most)

    @property
    def _unasked(self) -> bool:
        """Whether not one byte of the request has gone."""
        if self._up is None or self._up.tunnel is None:
            return self._repeatable and self._server.untouched
        return self._up.tunnel.sink.ndone == 0

    @property
    def _just_sent(self) -> bool:
        """Whether the body has gone, and its tunnel is about to say so: see `sent`."""
        return self._up is not None and self._up.delivered

    @ASKING.on(
        TunnelDone, to=(WAITING, SEEKING, REVIEWING, GATHERING, ANSWERING, TUNNELLING, CLOSED)
    )
    def sent(self, done: TunnelDone) -> State | None:
        """All of the body has gone, or not."""
        if self._up is None or done.tunnel is not self._up.tunnel:
            return None
        failure = self._uploaded(done)
        if failure is not None:
            return self._failed(failure) if self.client.error is None else self._abort(failure)
        self._within(self.options.timeouts.first_byte)
        return self._listen() if self._server.waiting or self._server.over else None

    def _uploaded(self, done: TunnelDone) -> Failure | None:
        """The client is read by us again; return what was wrong with the body."""
        up, self._up = self._up, None
        assert up is not None
        assert self.server is not None
        if not self.server.closed:
            self.server.set_inactivity_timeout(0)
        if up.fault is not None:
            return self._failure_of(up.fault, "client")
        if done.reason is not Reason.COMPLETE:
            return trouble(done, self.client, ("client", "server"))
        up.taken_back()
        self._server.speak()
        self._consumed = True
        return None

    @ASKING.on(DUE, to=(WAITING, CLOSED))
    def unanswered(self, _: object) -> State | None:
        """The body comes too slowly, or no answer does."""
        if self._alarm.early():
            return None
        if self._up is None:
            if self._left_s <= 0:
                why = Reason.ACTIVE.value
                return self._fail(504, "proxy", why, "http_response_timeout")
            why = "connection timed out: it did not answer"
            return self._fail(504, "server", why, "connection_read_timeout")
        assert self._up.tunnel is not None
        flow = self._up.tunnel.flow
        taken = len(self._body) + flow.received
        if not self._invited:
            if not taken:
                # A server may ignore Expect: it is not ejected for what no client sends.
                why = "it waits to be asked for its body, and the server does not ask"
                return self._fail(408, "client", why, "http_request_error")
            self._invited = True  # who does not wait for ever may begin (RFC 9110 10.1.1)
            self._expect_body()
            return None
        silence_s = NEVER if flow.buffered else self._silence_s  # the server is slow
        if silence_s <= 0 or (self._too_slow(taken) and not flow.buffered):
            return self._dawdles()
        if self._left_s <= 0:
            return self._fail(408, "client", "its body lasts too long", "http_request_error")
        rate_s = BODY_GRACE_S - (self.engine.now - self._body_s) % BODY_GRACE_S
        self._within(max(min(silence_s, rate_s), 0.001))
        return None

    # -- the answer comes ------------------------------------------------------------------------

    @ASKING.on(
        Event.READ_READY,
        to=(WAITING, SEEKING, REVIEWING, GATHERING, ANSWERING, TUNNELLING, CLOSED),
    )
    def told(self, vio: VIO) -> State | None:
        """A server answers. (What a client says behind its request waits.)"""
        if vio is not self._server.reads or self._just_sent:
            return None
        if self.tx.reused and self._unasked:
            return self._lost("it spoke before it was asked", again=self._repeatable)
        return self._listen()

    def _listen(self) -> State | None:
        """Take the answer's head, and those of the interim ones before it."""
        server, request = self._server, self.tx.request
        while True:
            data = server.take()
            try:
                end = head_end(data, self._limits)
                if end < 0:
                    server.pending = data
                    return self._cut() if server.over else None
                response = self._common.heads.response(data[:end], request.method)
            except BadMessage as problem:
                return self._faulty(problem, "server")
            server.pending = data[end:]
            if response.status >= 200:
                break
            if response.status == 101:
                return self._switch(response)
            self._repeatable = False
            if response.status == 100 and self._up is not None and not self._invited:
                self._invited = True
                self._expect_body()
            if request.version > 10 and not self._client.full:  # else nobody hears them
                self._client.say(self._head(response, keep=True, body=0))
        self._repeatable = False
        marks = response.fields.marks
        if b"keep-alive" in marks and (kept_s := keep_alive_s(response.fields)) is not None:
            assert self.tx.upstream is not None
            assert self.server is not None
            self.tx.upstream.keeps(self.server, kept_s)
        self.tx.response = response
        self._answers = response.body, response.bodiless, response.persistent
        if self._chain.response_body or self._chain.response_chunk:
            self._described = Representation(response.fields)
        steps = self._chain.response_head
        return self._run(steps, self._judged, self.REVIEWING) if steps else self._judged()

    @ASKING.on(Event.EOS, Event.ERROR, to=(WAITING, SEEKING, CLOSED))
    def cut(self, vio: VIO) -> State | None:
        """The server has gone without an answer; or the client has."""
        if vio.vc is self.server:
            return None if self._just_sent else self._cut()
        return self._left()

    def _cut(self) -> State | None:
        tx = self.tx
        assert self.server is not None
        error = self.server.error
        again = self._repeatable and (
            self._server.untouched
            or (tx.reused and tx.request.method in IDEMPOTENT and not self._server.pending)
        )
        why = str(error) if error is not None else "it ended without an answer"
        if tx.reused and self.engine.now - self.server.moved_at < STALE_S:
            assert tx.upstream is not None
            tx.upstream.ended_early(self.server, self._idle_s)
            why += f" on a connection that had been idle for {self._idle_s:.1f} s"
            if not again:
                why += "; it is not sent again, as the server may have taken it"
        return self._lost(why, again)

    def _lost(self, why: str, again: bool) -> State | None:
        """The connection is of no use any more: try another one, if that can do no harm."""
        if again and self.tx.attempts <= self.options.retries:
            self._drop_server()
            return self._seek()
        return self._fail(502, "server", why, "connection_terminated")

    def _judged(self) -> State | None:
        """The answer's head is the filters' no more."""
        try:
            response = sendable(self.tx.response)
        except (TypeError, ValueError) as mistake:
            return self._faulty(mistake, "plugin")
        response.body, response.bodiless, response.persistent = self._answers
        chain = self._chain
        if chain.response_body or chain.response_chunk:
            if self._bodiless or response.status == 304:  # what the body would be is not known
                self._described.withdraw(response.fields)
                response.fields.discard("Content-Length")
            elif not (chain.response_body or response.bodiless):
                self._described.withdraw(response.fields)
        if not chain.response_body or response.bodiless:
            try:
                return self._pass_on(response)
            except ValueError as mistake:  # a filter has made of it what cannot be sent
                return self._faulty(mistake, "plugin")
        reader = body_reader(response.body, self._limits, 502)
        self._gathering = BodyBuffer(self, reader, self._chain.response_limit, 502)
        return self._gather()

    # -- its whole body, for a filter -----------------------------------------------------------

    @GATHERING.on(Event.READ_READY, Event.EOS, Event.ERROR, to=(WAITING, REVIEWING, CLOSED))
    def gathering(self, vio: VIO) -> State | None:
        """Some more of it; or the client has gone."""
        return self._gather() if vio.vc is self.server else self._left()

    def _gather(self) -> State | None:
        assert self._gathering is not None
        try:
            whole = self._gathering.take(self._server)
        except BadMessage as problem:
            return self._faulty(problem, "server")
        if whole is None:
            self._within(self.options.timeouts.stalled)
            return None if self.state is self.GATHERING else self.GATHERING
        self._described.body = whole
        return self._run(self._chain.response_body, self._gathered, self.REVIEWING, whole)

    def _gathered(self) -> State | None:
        """The answer is the filters' no more: it goes as it is now, with its length."""
        response = self.tx.response
        if self._body != self._described.body:
            self._described.withdraw(response.fields)
        keep = self._may_keep
        try:
            head = self._head(response, keep, len(self._body))
        except ValueError as mistake:
            return self._faulty(mistake, "plugin")
        self._keep = keep
        self._client.say(head + self._body)
        return self._answered()

    @GATHERING.on(DUE, to=(WAITING, CLOSED))
    def stalled(self, _: object) -> State | None:
        """The answer does not come."""
        if self._alarm.early():
            return None
        return self._fail(504, "server", "its answer took too long", "connection_read_timeout")

    # -- the answer goes -------------------------------------------------------------------------

    def _pass_on(self, response: Response) -> State | None:
        """Send the answer: its body as far as it is here; the rest as it comes, or by a tunnel."""
        client, body, steps = self._client, response.body, self._chain.response_chunk
        assert self.server is not None
        keep = self._may_keep
        passage = None
        if body is None and not steps and self._version > 10:
            passage = unchanged(self._limits, 502)
        elif body is None or body < 0 or (steps and not response.bodiless):
            reader = body_reader(body, self._limits, 502)
            body = None if self._version > 10 else UNTIL_CLOSE
            keep = keep and body is None
            passage = BodyPipeline(reader, body_writer(body), self._bound(steps))
        down = BodyTransfer(self._server, body or 0, passage)
        said = down.take()
        if down.fault is not None:
            return self._faulty(down.fault, "server")
        said = self._head(response, keep, body) + said
        self._keep = keep
        if down.over:
            client.say(said)
            return self._answered()
        self._down = down
        if down.short:
            client.say(said)
            self._within(self.options.timeouts.stalled)
            return self.ANSWERING
        down.begin(self, self.server, self.client, client.unsaid() + said, f"{self.name} down")
        self.client.set_inactivity_timeout(self.options.timeouts.stalled)
        self._within()
        return self.ANSWERING

    @ANSWERING.on(Event.READ_READY, Event.EOS, Event.ERROR, to=(WAITING, CLOSED))
    def brought(self, vio: VIO) -> State | None:
        """Some more of a short answer, or its server's end; or the client has gone."""
        if vio.vc is self.client:
            return self._left()
        down, server = self._down, self._server
        if down is None or down.tunnel is not None or vio is not server.reads:
            return None  # its tunnel sees to that
        said = down.take()
        if said:
            self._client.say(said)
        if down.over:
            self._down = None
            return self._answered()
        if server.over:
            why = str(vio.error) if vio.error is not None else "it ended within a body"
            return self._abort(Failure(502, "server", why, "http_response_incomplete"))
        self._within(self.options.timeouts.stalled)
        return None

    @ANSWERING.on(TunnelDone, to=(WAITING, CLOSED))
    def passed(self, done: TunnelDone) -> State | None:
        """All of the answer has gone, or not; or all of the request's body."""
        up, down = self._up, self._down
        if up is not None and done.tunnel is up.tunnel:
            failure = self._uploaded(done)
            self._keep = False  # the client was told so: the body had not gone when the answer came
            if failure is None or failure.party == "server":  # which may have said enough
                return None
            return self._abort(failure)
        if down is None or done.tunnel is not down.tunnel:
            return None
        self._down = None
        self.client.set_inactivity_timeout(0)
        if down.fault is not None:
            return self._abort(self._failure_of(down.fault, "server"))
        if done.reason not in (Reason.COMPLETE, Reason.EOS):
            return self._abort(trouble(done, self.server, ("server", "client")))
        down.taken_back()
        self._client.speak()
        return self._answered()

    def _answered(self) -> State:
        """The answer is on its way to the client: the server is free, if it is in order."""
        tx, server, side = self.tx, self.server, self._server
        response, upstream = tx.response, tx.upstream
        assert server is not None
        assert upstream is not None
        upstream.succeeded(server)
        last = self.service.draining and tx.route is None  # of a server that a client has named
        if response.persistent and self._consumed and side.quiet and not last:
            self.server = None
            side.let_go()
            upstream.give(server)
        else:
            self._drop_server()
        return self._end(self._keep)

    # -- tunnels ---------------------------------------------------------------------------------

    def _switch(self, response: Response) -> State | None:
        """The server speaks another protocol from now on, if it was asked to."""
        wanted = self.tx.request.upgrade
        chosen = response.fields.get("Upgrade", wanted or "").lower()
        if wanted is None or chosen not in wanted.split(", ") or not self._consumed:
            return self._fail(502, "server", "it switched protocols unasked", "http_upgrade_failed")
        self.tx.response = response
        steps = self._chain.response_head
        return self._run(steps, self._switched, self.REVIEWING) if steps else self._switched()

    def _switched(self) -> State:
        """The head is the filters' no more. What is said after it is not theirs."""
        try:
            response = self.tx.response
            if response.status != 101:
                raise ValueError("a filter changed 101: to refuse the switch, return a Response")
            head = self._head(response, keep=True, body=0)
        except (AttributeError, TypeError, ValueError) as mistake:
            return self._faulty(mistake, "plugin")
        return self._lend(head)

    def _lend(self, head: bytes) -> State:
        """Client and server speak to each other from now on. No byte is lost on the way."""
        assert self.server is not None
        said = b"" if self._server.vc is None else self._server.take()
        client = self._client
        for vc in (self.client, self.server):
            vc.set_inactivity_timeout(self.service.inactivity_s)
        self._alarm.set(0)
        openings = client.take(), client.unsaid() + head + said
        TwoWayTunnel(
            self, self.client, self.server, openings=openings,
            half_close=self.service.half_close, name=f"{self.name} tunnel",
        ).start()  # fmt: skip
        return self.TUNNELLING

    @TUNNELLING.on(TunnelDone, to=CLOSED)
    def relayed(self, done: TunnelDone) -> None:
        """An abnormal end is passed on as one."""
        if not done.reason.clean:
            self.log(done)
            self.close(done.error or ConnectionAbortedError(done.reason.value))
        self._end(keep=False)

    # -- whatever it is doing --------------------------------------------------------------------

    @ALIVE.on(Event.EOS, Event.ERROR, to=(CLOSED,))
    def left(self, vio: VIO) -> State | None:
        """The client has gone; what a server does its tunnel reports."""
        return self._left() if vio.vc is self.client else None

    @ANSWERING.on(DUE, to=(CLOSED,))
    def outlived(self, _: object) -> State | None:
        """All of the request's time is up, or a server has stopped within a short answer."""
        if self._alarm.early():
            return None
        if self._left_s > 0:
            failure = Failure(
                0, "server", "connection timed out within a body", "connection_read_timeout"
            )
            return self._abort(failure)
        why = Reason.ACTIVE.value
        return self._abort(Failure(0, "proxy", why, "http_response_timeout"))

    @ANSWERING.on(Event.ACTIVE_TIMEOUT, to=(CLOSED,))
    def aged(self, _: VIO) -> State | None:
        """The client's connection has lasted as long as its listener allows."""
        if self._down is None or self._down.tunnel is not None:
            return None  # its tunnel tells
        why = Reason.ACTIVE.value
        return self._abort(Failure(0, "proxy", why, "http_response_timeout"))

    WAITING.goes(Event.ACTIVE_TIMEOUT, CLOSED)

    @ALIVE.on(DUE, to=(CLOSED,))
    def expired(self, _: object) -> State | None:
        """The same, and nothing was answered."""
        if self._alarm.early():
            return None
        self._keep = False  # what a filter waits for may still come
        return self._fail(504, "proxy", Reason.ACTIVE.value, "http_response_timeout")

    @ALIVE.on(
        Event.READ_READY, Event.WRITE_READY, Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT,
        NEXT, TunnelDone,
    )  # fmt: skip
    def later(self, _: object) -> None:
        """What comes keeps until it is asked for; a tunnel that was stopped has nothing to say."""
