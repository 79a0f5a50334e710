"""DirectPath: passes a client's request on to an idle connection of a server while the driver reads
it, without an event, a machine or a buffer. DirectResponse passes the response back.

It serves a client that has nothing pending and sends a GET whose head needs no decision. What is
sent, counted and recorded is the same as on the ordinary path, which remains the reference. All
other requests take the ordinary path: a request that was not sent yet is received as usual; a
request that was sent becomes a SentRequest.

    client's read --accept--> server's port --pushed--> in flight: see DirectResponse

Tested in tests/http/direct.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.plugin_error import as_error
from vcproxy.http.proxy.deadline import NEVER
from vcproxy.http.proxy.direct_answer import DirectlyAnswered
from vcproxy.http.proxy.direct_response import DirectResponse
from vcproxy.machine.trace import Trace

if TYPE_CHECKING:
    from vcproxy.admission.rate import Keys
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.http.proxy.connection import HttpProxy


class DirectPath:
    """The direct path of one client's connection. Drivers call it as the engine's DirectHandler."""

    __slots__ = (
        "_address", "_answer", "_client", "_connection", "_deadline", "_engine", "_first_byte_s",
        "_host", "_host_lines", "_idle_s", "_keys", "_limit", "_mutex", "_output", "_rates",
        "_reads", "_requests", "_service", "ready", "response", "sink",
    )  # fmt: skip

    sink: NetVConnection
    _reads: VIO
    _output: Reader

    def __init__(self, connection: HttpProxy) -> None:
        client, options = connection.client, connection.options
        self._connection = connection
        self._client = client
        self._engine = connection.engine
        self._service = connection.service
        self._mutex = connection.mutex
        self._deadline = connection.side.deadline
        self._requests = connection.side.listener.direct_requests(connection.side.context.scheme)
        times = options.timeouts
        self._idle_s = times.idle
        self._first_byte_s = min(times.first_byte or NEVER, times.active or NEVER)
        self._limit = options.limits.requests - 1  # after the last one the connection is closed
        self._address = client.peer_address
        admission = connection.service.admission
        self._rates = rates = None if admission is None else admission.requests
        self._keys: Keys = () if rates is None else rates.keys(self._address)
        self._host = ""  # of the last request
        self._host_lines = b""  # the lines added to requests for this host
        self._answer: DirectlyAnswered | None = None  # the response of a duty, while it is sent
        self.ready = False
        """Whether the next request is accepted: the client has nothing pending."""
        self.response = DirectResponse(connection, self)
        """The request in flight, if there is one."""

    def arm(self) -> None:
        """Accept the client's next request from now on. To be called while the connection waits,
        before any byte of that request."""
        reads, writes = self._client.read_vio, self._client.write_vio
        if reads is not None and writes is not None:
            self._reads = reads
            self._output = writes.reader
            self.response.reads, self.response.writes = reads, writes
            self.ready = True
            reads.direct = self

    def close(self) -> None:
        """End the direct path, because the connection ends. It and its DirectResponse refer to each
        other."""
        del self.response

    def accept(self, data: Block) -> bytes | None:
        """Take a connection for a request; return what is sent on it. See DirectHandler.

        None: this request and all further ones take the ordinary path, until `arm` is called.
        """
        ready, self.ready = self.ready, False
        output, connection = self._output, self._connection
        try:
            if ready and output.position == output.buffer.written and not Trace.running:
                head = data if type(data) is bytes else bytes(data)
                requests = self._requests
                found = requests.known(head) or requests.find(head)
                if (
                    found is not None
                    and connection.requests < self._limit
                    and not self._service.draining
                ):
                    start, host, upstream, key, heads, answer = found
                    if host != self._host:
                        self._host = host
                        self._host_lines = connection.side.context.fields.lines_of(host) + b"\r\n"
                    rates = self._rates
                    if rates is not None and rates.take(self._keys, self._engine.now):
                        self._client.received(data)  # the ordinary path refuses it
                        return None
                    if answer is not None:
                        self._answer = DirectlyAnswered(connection, answer, head)
                        self.sink = self._client
                        return self._answer.message
                    assert upstream is not None
                    server = upstream.take_at_once(connection, key or self._address)
                    if server is None and rates is not None:
                        rates.give_back(self._keys)  # the ordinary path takes it
                    if server is not None:
                        response = self.response
                        response.request = head
                        response.heads = heads
                        response.upstream = upstream
                        response.server = self.sink = server
                        return start + self._host_lines
        except BaseException as mistake:
            self._engine.crashed(connection, as_error(mistake))
            self._mutex.release(self._engine)
            return None
        self._client.received(data)
        return None

    def pushed(self, message: bytes, count: int) -> None:
        """Record what was sent, and wait for the response. See DirectHandler."""
        if self._answer is not None:
            self._answered(self._answer, count)
            return
        response, reads, server = self.response, self._reads, self.sink
        server_reads, writes = server.read_vio, server.write_vio
        assert server_reads is not None
        assert writes is not None
        now = self._engine.now
        reads.ndone += len(response.request)
        reads.direct = None  # until the response has been passed on
        self._client.moved_at = now
        response.began_s = now
        response.idle_s = now - server.moved_at
        response.sent = count
        server_reads.direct = response
        writes.ndone += count
        if count:
            server.moved_at = now
        deadline, first_byte_s = self._deadline, self._first_byte_s
        if now + first_byte_s < deadline.fires_s:
            deadline.set(first_byte_s)
        else:  # set() inlined
            deadline.when_s = now + first_byte_s
        if count < len(message):
            try:
                response.leave(message[count:])
            except BaseException as mistake:
                self._engine.crashed(self._connection, as_error(mistake))
        mutex = self._mutex
        if mutex.depth == 1:  # release() inlined
            mutex.depth = 0
            mutex.owner = None
            mutex.lock.release()
            if mutex.parked:
                mutex.post_parked()
        else:
            mutex.release(self._engine)

    def _answered(self, answer: DirectlyAnswered, count: int) -> None:
        """Record the response of a duty, of which the port has taken `count` bytes."""
        self._answer = None
        try:
            answer.sent(self._reads, count)
            self._deadline.set(self._idle_s)
            self.ready = True
        except BaseException as mistake:
            self._engine.crashed(self._connection, as_error(mistake))
        self._mutex.release(self._engine)
