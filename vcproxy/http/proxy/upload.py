"""Upload: the body of a request, from the client to the server.

It is passed on as it arrives, or first collected for a filter that needs all of it. Tested in
tests/http/proxy/test_bodies.py, test_times.py and test_proxied_filters.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vcproxy.http.message.body import body_reader, body_writer
from vcproxy.http.proxy.body_buffer import BodyBuffer
from vcproxy.http.proxy.body_pipeline import BodyPipeline, checked_only
from vcproxy.http.proxy.body_transfer import BodyTransfer
from vcproxy.http.proxy.deadline import NEVER
from vcproxy.http.proxy.failure import Failure, transfer_failure
from vcproxy.http.proxy.options import BODY_GRACE_S
from vcproxy.http.proxy.representation import Representation
from vcproxy.tunnels.done import Reason

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.http.message.messages import Body
    from vcproxy.http.proxy.client_side import ClientSide
    from vcproxy.http.proxy.server_side import ServerSide
    from vcproxy.http.proxy.transaction import Transaction
    from vcproxy.tunnels.done import TunnelDone
    from vcproxy.tunnels.one_way import OneWayTunnel

TOO_SLOW = Failure(408, "client", "request body too slow", "http_request_error")
NOT_SENT = Failure(  # a server may ignore Expect, so this does not count as the server's failure
    408,
    "client",
    "no request body: the client waits for 100 (Continue), which did not arrive",
    "http_request_error",
)


class Upload:
    """A request's body. Usage: `collect` until it is complete, for a filter; then, or at once,
    `prepare`, `first_part`, and if the body is not `consumed` by then, `begin` a tunnel."""

    __slots__ = (
        "_began_s",
        "_buffer",
        "_client",
        "_expected",
        "_received",
        "_representation",
        "_server",
        "_transfer",
        "_tx",
        "consumed",
        "content",
        "framing",
    )  # fmt: skip

    def __init__(self, client: ClientSide, tx: Transaction) -> None:
        self._client = client
        self._tx = tx
        chain = client.chains.base  # no duty has these phases
        filtered = chain.request_body or chain.request_chunk
        self._representation = Representation(tx.request.fields) if filtered else None
        self._buffer: BodyBuffer | None = None
        self._transfer: BodyTransfer | None = None
        self._server: NetVConnection | None = None  # where the tunnel sends the body
        self._expected = True  # False: the client waits for 100 (Continue)
        self._began_s = 0.0
        self.framing: Body = tx.request.body
        """Its framing as it is forwarded."""
        self.consumed = self.framing == 0
        """Whether the whole body was read from the client."""
        self._received = 0  # bytes of the body, without those of a running tunnel
        self.content = b""
        """The bytes that are sent with the head; the whole body, if a filter needed it."""

    # -- the whole body, for a filter --------------------------------------------------------

    def collect(self) -> bytes | None:
        """Read what has arrived; return the body once it is complete, else None.

        Raises BadMessage for a body that is malformed, too long, or ends too early.
        """
        client = self._client
        buffer = self._buffer
        if buffer is None:
            reader = body_reader(self.framing, client.limits, 400)
            limit = client.chains.base.request_limit
            self._buffer = buffer = BodyBuffer(client.cont, reader, limit, 413)
            self._began_s = client.vc.engine.now
        body = buffer.take(client.wire)
        if body is not None:
            self.consumed = True
            self.content = body
            self._received = len(body)
        return body

    @property
    def collected_too_slowly(self) -> bool:
        """Whether what was collected so far is less than `body_rate` requires."""
        assert self._buffer is not None
        return self._below_rate(self._buffer.held)

    def replace(self, content: bytes) -> None:
        """Forward this content, which the filters returned, instead of the collected body."""
        if content != self.content:
            self._withdraw()
        self.content = content
        self.framing = len(content)

    # -- the transfer ------------------------------------------------------------------------

    @property
    def too_long(self) -> bool:
        """Whether the announced length of the body is above the limit."""
        limit = self._limit
        return bool(limit) and self.framing is not None and self.framing > limit

    def prepare(self) -> None:
        """Decide how the body is transferred: its `framing` is then final."""
        if not self.consumed:
            pipeline = self._pipeline()
            self._transfer = BodyTransfer(self._client.wire, self.framing or 0, pipeline)

    def first_part(self) -> bytes:
        """Return the bytes of the body that have arrived: to be sent with the head. See `fault`."""
        transfer = self._transfer
        if transfer is not None:
            self.content = transfer.take()
            self._received = len(self.content)
            if transfer.over and transfer.fault is None:
                self.consumed = True
                self._transfer = None
        return self.content

    def begin(self, server: ServerSide, message: bytes, name: str) -> float:
        """Start the tunnel, with `message` before the rest of the body; TunnelDone follows. Return
        the seconds until `pace` must be called."""
        client, transfer = self._client, self._transfer
        assert transfer is not None
        assert server.vc is not None
        self._server = server.vc
        transfer.begin(client.cont, client.vc, server.vc, message, name)
        self._expected = not self._tx.request.expects_continue
        return self.expect() if self._expected else client.options.timeouts.first_byte

    def expect(self) -> float:
        """Start the timeouts for the client's body. Return the seconds until `pace` must be
        called."""
        assert self._server is not None
        self._expected = True
        self._server.set_inactivity_timeout(self._client.options.timeouts.stalled)
        self._began_s = self._server.engine.now
        return min(self._idle_left_s, BODY_GRACE_S)

    def pace(self) -> Failure | float:
        """Return the Failure if the body is too slow, else the seconds until the next check."""
        flow = self._tunnel.flow
        taken = len(self.content) + flow.received
        if not self._expected:
            # The client may send without a 100 (RFC 9110 10.1.1).
            return self.expect() if taken else NOT_SENT
        idle_s = NEVER if flow.buffered else self._idle_left_s  # the server does not read
        if idle_s <= 0 or (self._below_rate(taken) and not flow.buffered):
            return TOO_SLOW
        rate_s = BODY_GRACE_S - (self._client.vc.engine.now - self._began_s) % BODY_GRACE_S
        return max(min(idle_s, rate_s), 0.001)

    def is_from(self, done: TunnelDone) -> bool:
        """Whether the tunnel that has ended is that of this body."""
        return self._transfer is not None and done.tunnel is self._transfer.tunnel

    def finish(self, done: TunnelDone, server: ServerSide) -> Failure | Exception | None:
        """Take the connections back from the tunnel. Return why the body was not sent: an exception
        if the body or a filter is at fault."""
        transfer, self._transfer = self._transfer, None
        assert transfer is not None
        assert server.vc is not None
        self._received += done.flows[0].received
        if not server.vc.closed:
            server.vc.set_inactivity_timeout(0)
        if transfer.fault is not None:
            return transfer.fault
        if done.reason is not Reason.COMPLETE:
            return transfer_failure(done, self._client.vc, ("client", "server"))
        transfer.resume_reading()
        server.wire.start_writing()
        self.consumed = True
        return None

    @property
    def fault(self) -> Exception | None:
        """The error of the body, or of a filter, in its first part; None: none."""
        return None if self._transfer is None else self._transfer.fault

    @property
    def awaits_continue(self) -> bool:
        """Whether the client waits for 100 (Continue) before it sends the body."""
        return not self._expected

    @property
    def delivered(self) -> bool:
        """Whether the whole body was sent and its TunnelDone is still queued."""
        return self._transfer is not None and self._transfer.delivered

    @property
    def nothing_sent(self) -> bool:
        """Whether the tunnel has sent no byte yet."""
        return self._tunnel.sink.ndone == 0

    @property
    def received(self) -> int:
        """Bytes of the body that were received from the client, as they are transferred."""
        transfer = self._transfer
        tunnel = None if transfer is None else transfer.tunnel
        if tunnel is None and self._buffer is not None and not self.consumed:
            return self._buffer.held
        return self._received + (0 if tunnel is None else tunnel.flow.received)

    def stop(self) -> None:
        """Stop the tunnel, if it runs."""
        if self._transfer is not None:
            self._received = self.received
            self._transfer.stop()
            self._transfer = None

    def close(self) -> None:
        """Drop the collected body: it counts in the memory budget until then."""
        self._buffer = None
        self.content = b""

    # -- inside ------------------------------------------------------------------------------

    @property
    def _tunnel(self) -> OneWayTunnel:
        assert self._transfer is not None
        assert self._transfer.tunnel is not None
        return self._transfer.tunnel

    @property
    def _limit(self) -> int:
        """The largest body, in bytes; 0: no limit."""
        route, options = self._tx.route, self._client.options
        return options.limits.body if route is None else options.max_body(route)

    @property
    def _idle_left_s(self) -> float:
        """Seconds until `timeouts.body` passes if the client sends nothing; <= 0: it has passed."""
        client, server = self._client, self._server
        assert server is not None
        moved_s = max(self._began_s, client.vc.moved_at, server.moved_at)
        return moved_s + (client.options.timeouts.body or NEVER) - server.engine.now

    def _below_rate(self, taken: int) -> bool:
        """Whether `taken` bytes are fewer than `body_rate` requires now."""
        lasted_s = self._client.vc.engine.now - self._began_s
        return lasted_s >= BODY_GRACE_S and taken < self._client.options.body_rate * lasted_s

    def _withdraw(self) -> None:
        if self._representation is not None:
            self._representation.withdraw(self._tx.request.fields)

    def _pipeline(self) -> BodyPipeline | None:
        """Return the pipeline for the body; None: it is forwarded unchanged."""
        limits, steps = self._client.limits, self._client.chains.base.request_chunk
        if self.framing is not None and not steps:
            return None
        if steps:
            self._withdraw()
        if self.framing is None and not steps and not self._limit:
            return checked_only(limits, 400)
        reader = body_reader(self.framing, limits, 400)
        self.framing = None
        bound = tuple(partial(step, self._tx) for step in steps)
        return BodyPipeline(reader, body_writer(None), bound, self._limit)
