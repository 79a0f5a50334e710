"""Transaction: one request and its response, as the phases of filters get it.

Tested in tests/http/proxy/test_proxied_filters.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.http.message.messages import Request, Response
    from vcproxy.http.proxy.failure import Failure
    from vcproxy.http.proxy.routing import Route
    from vcproxy.sessions.service import Service
    from vcproxy.upstream.upstream import Upstream


class TransactionOwner(Protocol):
    """The attributes of an Exchange that a transaction uses."""

    @property
    def engine(self) -> Engine:
        """The engine that the session runs on."""

    @property
    def client(self) -> NetVConnection:
        """The client's connection."""

    @property
    def client_address(self) -> str:
        """The client's IP address; empty if it has none."""

    @property
    def service(self) -> Service:
        """The listener's configuration."""

    def mirror(self, upstream: Upstream, body: bytes) -> None:
        """See Transaction.mirror."""


class Transaction:
    """One request and its response. Each phase gets it, and may change what is sent later.

    The request may be changed up to the phase `server_chosen`, the response in `response_head`. The
    framing of their bodies cannot be changed by fields: see the phases for bodies.
    """

    __slots__ = (
        "_owner", "attempts", "began_s", "failure", "notes", "request", "response", "reused",
        "route", "server", "upstream",
    )  # fmt: skip

    response: Response
    """The server's response, from `response_head` on; in `done`, the one sent to the client."""

    def __init__(self, owner: TransactionOwner, request: Request) -> None:
        self._owner = owner
        self.request = request
        self.began_s = owner.engine.now
        """The engine's time at which the head was complete, in seconds."""
        self.route: Route | None = None
        """The configured route, from the phase `route` on; None: the client named a server."""
        self.upstream: Upstream | None = None
        """Where the request goes, from `route` on; there it may be changed to one of
        `upstreams`."""
        self.server = ""
        """The address of the server, from `server_chosen` on; in `error` and `done`, of the last
        one that could not be connected."""
        self.reused = False
        """Whether the server's connection has carried an earlier request."""
        self.attempts = 0
        """How many connections to servers were tried."""
        self.failure: Failure | None = None
        """In `error` and `done`: why the client did not get a server's complete response."""
        self.notes: dict[str, object] = {}
        """For filters: values that they keep for later phases of this request."""

    @property
    def engine(self) -> Engine:
        """The engine that it runs on: for `stop_proxy` and `reload_proxy`."""
        return self._owner.engine

    @property
    def status(self) -> int:
        """The status of the response; 0: there is none yet, or there will be none."""
        return self.response.status if hasattr(self, "response") else 0

    @property
    def client(self) -> str:
        """The client's IP address; empty if it has none."""
        return self._owner.client_address

    @property
    def secure(self) -> bool:
        """Whether the client is connected by TLS."""
        return self._owner.client.secure

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        """The listener's upstream and those in its options, by name."""
        return self._owner.service.upstreams

    def mirror(self, upstream: Upstream, body: bytes = b"") -> None:
        """Send a copy of the request to `upstream`, with `body`. Its response is dropped.

        While too many copies are in flight, the copy is dropped and counted as `unmirrored`.
        """
        self._owner.mirror(upstream, body)

    def __repr__(self) -> str:
        request = self.request
        where = "" if request.form in ("absolute", "authority") else request.host
        return f"<{request.method} {where}{request.target}>"
