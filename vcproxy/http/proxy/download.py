"""Download: the body of a server's response, to the client.

It is passed on as it arrives, or first collected for a filter that needs all of it. Tested in
tests/http/proxy/test_bodies.py, test_servers.py and test_proxied_filters.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.http.message.body import body_reader, body_writer
from vcproxy.http.message.messages import UNTIL_CLOSE
from vcproxy.http.proxy.body_buffer import BodyBuffer
from vcproxy.http.proxy.body_pipeline import BodyPipeline, checked_only
from vcproxy.http.proxy.body_transfer import BodyTransfer
from vcproxy.http.proxy.representation import Representation

if TYPE_CHECKING:
    from vcproxy.http.filters import FilterChain
    from vcproxy.http.message.messages import Body, Response
    from vcproxy.http.proxy.client_side import ClientSide
    from vcproxy.http.proxy.server_side import ServerSide
    from vcproxy.http.proxy.transaction import Transaction
    from vcproxy.tunnels.done import TunnelDone


class Download:
    """A response's body. Usage: `collect` until it is complete, for a filter; or `prepare`, `take`,
    and if it is not `over` then, `take` again if the rest is `short`, else `begin` a tunnel."""

    __slots__ = (
        "_buffer",
        "_chain",
        "_client",
        "_content",
        "_representation",
        "_server",
        "_transfer",
        "_tx",
    )

    def __init__(
        self, client: ClientSide, chain: FilterChain, server: ServerSide, tx: Transaction
    ) -> None:
        """Create it when the head of `tx.response` has arrived, before a filter changes it."""
        self._client = client
        self._chain = chain
        self._server = server
        self._tx = tx
        filtered = chain.response_body or chain.response_chunk
        self._representation = Representation(tx.response.fields) if filtered else None
        self._buffer: BodyBuffer | None = None
        self._transfer: BodyTransfer | None = None
        self._content = b""

    def withdraw(self, response: Response) -> None:
        """Remove the fields that describe the body, because a filter changes it."""
        if self._representation is not None:
            self._representation.withdraw(response.fields)

    # -- the whole body, for a filter --------------------------------------------------------

    def collect(self) -> bytes | None:
        """Read what has arrived; return the body once it is complete, else None.

        Raises BadMessage for a body that is malformed, too long, or ends too early.
        """
        client = self._client
        if self._buffer is None:
            reader = body_reader(self._tx.response.body, client.limits, 502)
            self._buffer = BodyBuffer(client.cont, reader, self._chain.response_limit, 502)
        body = self._buffer.take(self._server.wire)
        if body is not None:
            self._content = body
        return body

    def replace(self, content: bytes) -> None:
        """Store the content that the filters returned instead of the collected body."""
        if content != self._content:
            self.withdraw(self._tx.response)

    # -- the transfer ------------------------------------------------------------------------

    def prepare(self, response: Response, version: int) -> Body:
        """Decide how the body is sent to a client with this HTTP version; return its framing."""
        body, steps, limits = response.body, self._chain.response_chunk, self._client.limits
        encoder = self._tx.encoder
        bound: list[Callable[[bytes], bytes]] = [partial(step, self._tx) for step in steps]
        if encoder is not None:
            bound.append(encoder.feed)
        pipeline = None
        if body is None and not bound and version > 10:
            pipeline = checked_only(limits, 502)
        elif body is None or body < 0 or (bound and not response.bodiless):
            reader = body_reader(body, limits, 502)
            body = None if version > 10 else UNTIL_CLOSE
            pipeline = BodyPipeline(reader, body_writer(body), tuple(bound))
        self._transfer = BodyTransfer(self._server.wire, body or 0, pipeline)
        return body

    @property
    def transfer(self) -> BodyTransfer:
        """The transfer, after `prepare`."""
        assert self._transfer is not None
        return self._transfer

    def begin(self, opening: bytes, name: str) -> None:
        """Start the tunnel, with `opening` before the rest of the body; TunnelDone follows."""
        client, server = self._client, self._server.vc
        assert server is not None
        unsent = client.wire.take_unsent()
        self.transfer.begin(client.cont, server, client.vc, unsent + opening, name)
        client.vc.set_inactivity_timeout(client.options.timeouts.stalled)

    def is_from(self, done: TunnelDone) -> bool:
        """Whether the tunnel that has ended is that of this body."""
        return self._transfer is not None and done.tunnel is self._transfer.tunnel

    def resume(self) -> None:
        """Take the connections back from a tunnel that has sent the whole body."""
        self.transfer.resume_reading()
        self._client.wire.start_writing()

    def stop(self) -> None:
        """Stop the tunnel, if it runs."""
        if self._transfer is not None:
            self._transfer.stop()

    def close(self) -> None:
        """Drop the collected body: it counts in the memory budget until then."""
        self._buffer = None
        self._content = b""
