"""DirectResponse: passes the response to a direct request back to the client.

A response is passed back if it arrives whole in one read while nothing else has happened. Otherwise
the request becomes a SentRequest, and the ordinary path goes on with it: after another kind of
response, any event of the client or the server, or a deadline, or if the server's port has not
taken the whole request.

Tested in tests/http/direct.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from vcproxy.engine.plugin_error import as_error
from vcproxy.http.proxy.deadline import NEVER
from vcproxy.http.proxy.destination import destination
from vcproxy.http.proxy.exchange import Exchange
from vcproxy.http.proxy.routing import Route
from vcproxy.http.proxy.sent_request import SentRequest

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.http.message.direct_heads import AnswerExtra, DirectHeads
    from vcproxy.http.proxy.connection import HttpProxy
    from vcproxy.http.proxy.direct_path import DirectPath
    from vcproxy.upstream.upstream import Upstream


class DirectResponse:
    """The response to a client's direct request. Drivers call it as the engine's DirectHandler."""

    __slots__ = (
        "_connection", "_deadline", "_durations", "_engine", "_idle_s", "_listener", "_log",
        "_mutex", "_path", "_responses", "_service", "_size", "began_s", "heads", "idle_s", "reads",
        "request", "sent", "server", "sink", "upstream", "writes",
    )  # fmt: skip

    reads: VIO
    """The client's read VIO."""
    writes: VIO
    """The client's write VIO."""
    upstream: Upstream
    """Where the request was sent."""
    heads: DirectHeads
    """Finds how the response is passed back."""
    began_s: float
    """The engine's time at which its head was complete."""
    idle_s: float
    """How long the server's connection had been idle before."""
    sent: int
    """How many bytes the server's port has taken."""

    def __init__(self, connection: HttpProxy, path: DirectPath) -> None:
        self._connection = connection
        self._listener = listener = connection.side.listener
        self._responses = listener.counts.responses
        self._durations = listener.counts.durations
        self._log = connection.side.log
        self._service = connection.service
        self._engine = connection.engine
        self._mutex = connection.mutex
        self._deadline = connection.side.deadline
        self._idle_s = connection.options.timeouts.idle or NEVER
        self._path = path
        self.sink = connection.client
        self.server: NetVConnection | None = None
        """The connection on which the request is in flight; None: no request is in flight."""
        self.request = b""
        """The head of that request, as it was received."""

    def accept(self, data: Block) -> bytes | None:
        """Return what is sent to the client for a whole response. See DirectHandler.

        None: the response takes the ordinary path.
        """
        server, reads = self.server, self.reads
        assert server is not None
        heads = self.heads
        try:
            whole = data if type(data) is bytes else bytes(data)
            end = heads.last_size
            answer = heads.answers(whole[:end])
            if answer is None:
                end = whole.find(b"\r\n\r\n") + 4
                head = whole[:end]
                answer = heads.answers(head) or heads.answer(head)
                heads.last_size = end
            head, length, extra = answer
            self._size = size = len(whole)
            if size - end == length and not (reads.pending or reads.over or self._service.draining):
                if extra is not None:
                    head = self._complete(head, extra)
                return head + whole[end:]
            self.leave()
        except BaseException as mistake:
            self._engine.crashed(self._connection, as_error(mistake))
            self._mutex.release(self._engine)
            return None
        server.received(data)
        return None

    def pushed(self, message: bytes, count: int) -> None:
        """Record what was sent, and give the connection back. See DirectHandler."""
        server, connection, now = self.server, self._connection, self._engine.now
        assert server is not None
        log, request = self._log, self.request
        self.server = None
        self.request = b""
        reads = server.read_vio
        assert reads is not None
        reads.ndone += self._size
        reads.direct = None
        server.moved_at = now
        connection.requests += 1
        durations, took = self._durations, now - self.began_s  # RequestCounts.answered() inlined
        durations.counts[bisect_left(durations.limits, took)] += 1
        durations.total += took
        if message[9] != 50:  # "2", the first digit of the status
            self._responses.count(int(message[9:12]))
        ring, latest = connection._ring, connection._next
        if latest + 1 < len(ring):  # remember() inlined
            ring[latest], ring[latest + 1] = connection.REQUEST_READ, connection.RESPONSE_READ
            connection._next = latest + 2
        else:
            connection.remember(connection.REQUEST_READ)
            connection.remember(connection.RESPONSE_READ)
        deadline, idle_s = self._deadline, self._idle_s
        if now + idle_s < deadline.fires_s:
            deadline.set(idle_s)
        else:  # set() inlined
            deadline.when_s = now + idle_s
        try:
            if log is not None:
                log.templates.write_direct(
                    log, request, self.upstream.name, server.name, message, self.began_s,
                    connection.requests,
                )  # fmt: skip
            self.upstream.answered(server)
            if count:
                self.sink.moved_at = now
                self.writes.ndone += count
            if count < len(message):
                connection.side.wire.send(message[count:])
            self._path.ready = True
            self.reads.direct = self._path
        except BaseException as mistake:
            self._engine.crashed(connection, as_error(mistake))
        mutex = self._mutex
        if mutex.depth == 1:  # release() inlined
            mutex.depth = 0
            mutex.owner = None
            mutex.lock.release()
            if mutex.parked:
                mutex.post_parked()
        else:
            mutex.release(self._engine)

    def leave(self, unsent: bytes = b"") -> None:
        """Let the ordinary path receive the response.

        `unsent`: the part of the request that was not sent yet.
        """
        server, self.server = self.server, None
        head, self.request = self.request, b""
        assert server is not None
        assert server.read_vio is not None
        assert server.write_vio is not None
        server.read_vio.direct = None
        request = self._listener.heads.request(head)
        route = destination(request, self._connection.options)
        assert isinstance(route, Route)
        sent = SentRequest(
            request,
            route,
            self.upstream,
            server,
            began_s=self.began_s,
            idle_s=self.idle_s,
            before=server.write_vio.ndone - self.sent,
            unsent=unsent,
        )
        self._connection.remember(self._connection.REQUEST_READ)
        self._connection.handle_event(SentRequest, sent)

    def unfinished(self) -> Exchange | None:
        """Return an exchange of the request in flight, as the connection is being closed: it is
        not started, and only has the record in the access log. None: no request is in flight, or
        there is no access log."""
        server, connection = self.server, self._connection
        if server is None or self._log is None:
            return None
        connection.requests += 1
        request = self._listener.heads.request(self.request)
        exchange = Exchange(connection.side, request, self.began_s, keep=False)
        tx, route = exchange.tx, destination(request, connection.options)
        tx.route = route if isinstance(route, Route) else None
        tx.upstream, tx.server = self.upstream, server.name
        exchange.server.vc = server
        assert tx.record is not None
        tx.record.server_selected(exchange.server, reused=True)
        return exchange

    def _complete(self, head: bytes, extra: AnswerExtra) -> bytes:
        """Return the head of a response with the Date; record the server's keep-alive time."""
        if extra.kept_s is not None:
            assert self.server is not None
            self.upstream.keep_alive_announced(self.server, extra.kept_s)
        return b"%b%b\r\n" % (head, self._listener.heads.dates.line()) if extra.undated else head
