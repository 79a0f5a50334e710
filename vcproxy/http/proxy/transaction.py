"""Transaction: one request and what becomes of it, as the phases see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.http.message.messages import Request, Response
    from vcproxy.http.proxy.exchange import Exchange
    from vcproxy.http.proxy.routing import Route
    from vcproxy.upstream.upstream import Upstream

Party = Literal["client", "server", "proxy", "plugin"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request was not answered by a server."""

    status: int
    """What the client is told; 0: nothing, it has gone or its answer had begun."""
    party: Party
    """Which side failed."""
    why: str
    error: str
    """The type that RFC 9209, 2.3 has for it, as "connection_refused"."""

    def __str__(self) -> str:
        return f"{self.party}: {self.why}"


class Transaction:
    """One request: from its head to its end. Each phase gets it, and may change what is to come.

    Up to the phase `server_chosen` the request may be changed; in `response_head`, the response.
    Their bodies go on as they come, whatever is said of their framing: see the phases for bodies.
    """

    __slots__ = (
        "_exchange", "attempts", "began_s", "failure", "notes", "request", "response", "reused",
        "route", "server", "upstream",
    )  # fmt: skip

    response: Response
    """The server's, from `response_head` on; in `done`, what the client was told in its place."""

    def __init__(self, exchange: Exchange, request: Request) -> None:
        self._exchange = exchange
        self.request = request
        self.began_s = exchange.engine.now
        """When its head was there, in the engine's time: seconds."""
        self.route: Route | None = None
        """The configured route that is taken, from `route` on; None: the client named a server."""
        self.upstream: Upstream | None = None
        """Who will be asked, from `route` on: it may be changed there, to one of `upstreams`."""
        self.server = ""
        """The address of the server that is asked, from `server_chosen` on; in `error` and `done`,
        of the last one that could not be reached."""
        self.reused = False
        """Whether the server's connection has served before."""
        self.attempts = 0
        """How many connections were tried."""
        self.failure: Failure | None = None
        """In `error` and `done`: why no server's answer reached the client whole."""
        self.notes: dict[str, object] = {}
        """For filters: what they want to remember of this request."""

    @property
    def engine(self) -> Engine:
        """The engine that it is on: for `stop_proxy` and `reload_proxy`."""
        return self._exchange.engine

    @property
    def status(self) -> int:
        """The status of the response; 0: there is none yet, or will never be."""
        return self.response.status if hasattr(self, "response") else 0

    @property
    def client(self) -> str:
        """The client's IP address; empty where it has none."""
        return self._exchange.client_address

    @property
    def secure(self) -> bool:
        """Whether the client came by TLS."""
        return self._exchange.client.secure

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        """The listener's upstream, and those that its options name."""
        return self._exchange.service.upstreams

    def mirror(self, upstream: Upstream, body: bytes = b"") -> None:
        """Send a copy of the request there, with this body. Nobody waits for its answer.

        While too many are on their way, it is dropped, and counted as `unmirrored`.
        """
        self._exchange.mirror(upstream, body)

    def __repr__(self) -> str:
        request = self.request
        where = "" if request.form in ("absolute", "authority") else request.host
        return f"<{request.method} {where}{request.target}>"
