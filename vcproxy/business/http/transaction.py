"""Transaction: one request and what becomes of it, as the phases see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vcproxy.business.http.routing import Route
    from vcproxy.http.messages import Request, Response
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
    """

    __slots__ = (
        "attempts", "began_s", "client", "failure", "notes", "request", "response", "reused",
        "route", "secure", "server", "upstream", "upstreams",
    )  # fmt: skip

    def __init__(
        self,
        request: Request,
        client: str,
        secure: bool,
        began_s: float,
        upstreams: Mapping[str, Upstream],
    ) -> None:
        self.request = request
        self.response: Response | None = None
        """The server's, from `response_head` on."""
        self.client = client
        """The client's IP address."""
        self.secure = secure
        """Whether it came by TLS."""
        self.began_s = began_s
        """When its head was there, in the engine's time: seconds."""
        self.route: Route | None = None
        """The configured route that is taken, from `route` on."""
        self.upstreams = upstreams
        """Those that the listener's options name."""
        self.upstream: Upstream | None = None
        """Who will be asked, from `route` on: it may be changed there, to another of these."""
        self.server = ""
        """The address of the server that is asked, from `server_chosen` on."""
        self.reused = False
        """Whether the server's connection has served before."""
        self.attempts = 0
        """How many servers, or connections, were tried."""
        self.failure: Failure | None = None
        """In `error` and `done`: why no server's answer reached the client whole."""
        self.notes: dict[str, object] = {}
        """For filters: what they want to remember of this request."""

    def __repr__(self) -> str:
        return f"<{self.request.method} {self.request.host}{self.request.target}>"
