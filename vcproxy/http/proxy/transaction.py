"""Transaction: one request and its response, as the phases of filters get it.

Tested in tests/http/proxy/test_proxied_filters.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from vcproxy.access_log.author_fields import author_fields
from vcproxy.http.message.forwarded_client import forwarded_scheme

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.log_function import Level
    from vcproxy.engine.peer_certificate import PeerCertificate
    from vcproxy.http.duties.duty import Scheme
    from vcproxy.http.message.client_fields import ClientFields
    from vcproxy.http.message.forwarded_client import Source
    from vcproxy.http.message.messages import Request, Response
    from vcproxy.http.proxy.failure import Failure
    from vcproxy.http.proxy.request_mirror import RequestMirror
    from vcproxy.http.proxy.request_record import RequestRecord
    from vcproxy.http.proxy.routing import Route
    from vcproxy.proxy_protocol.header import ProxyHeader
    from vcproxy.upstream.server import Server
    from vcproxy.upstream.upstream import Upstream


_REQUEST_ID, _USER = "vcproxy.request_id", "vcproxy.user"
"""Their keys in `notes`."""


class BodyEncoder(Protocol):
    """Changes the body of one response, as a compressor does."""

    def feed(self, data: bytes) -> bytes:
        """Return the bytes to send for a piece of the body; b"" marks the end of the body."""


class TransactionContext(NamedTuple):
    """What all transactions of one client share: see the properties of Transaction."""

    engine: Engine
    client: str
    secure: bool
    upstreams: Mapping[str, Upstream]
    mirror: RequestMirror
    fields: ClientFields
    """The fields that are added to the client's requests."""
    proxied: ProxyHeader | None = None
    listener: str = ""
    """The name of the listener."""
    source: Source = "connection"
    """Which fields of a trusted proxy are used: see the option `client_from`."""
    certificate: PeerCertificate | None = None

    @property
    def scheme(self) -> Scheme:
        """ "https" if the client uses TLS, to this proxy or to the load balancer that announces it
        in a PROXY header; else "http"."""
        proxied = self.proxied
        tls = None if proxied is None else proxied.tls
        return "https" if self.secure or (tls is not None and tls.encrypted) else "http"


class Transaction:
    """One request and its response. Each phase gets it, and may change what is sent later.

    The request may be changed up to the phase `server_chosen`, the response in `response_head`. The
    framing of their bodies cannot be changed by fields: see the phases for bodies.
    """

    __slots__ = (
        "_context", "_notes", "attempts", "began_s", "client", "encoder", "failure", "preferred",
        "record", "request", "response", "reused", "route", "server", "upstream",
    )  # fmt: skip

    response: Response
    """The server's response, from `response_head` on; in `done`, the one sent to the client."""

    def __init__(self, context: TransactionContext, request: Request, began_s: float) -> None:
        self._context = context
        self._notes: dict[str, object] | None = None
        self.request = request
        self.client = context.client
        """The client's IP address; empty if it has none. For a client of a trusted proxy, the
        address that this proxy's field gives: see the options `trusted` and `client_from`."""
        self.began_s = began_s
        """The engine's time at which the head was complete, in seconds."""
        self.route: Route | None = None
        """The configured route, from the phase `route` on; None: the client named a server."""
        self.upstream: Upstream | None = None
        """Where the request goes, from `route` on; there it may be changed to one of
        `upstreams`."""
        self.encoder: BodyEncoder | None = None
        """What changes the body of this response as the last, after all filters; None: nothing. Set
        it in `every_response`, and change the fields."""
        self.preferred: Server | None = None
        """The server of `upstream` that gets the request if it is up and not in maintenance, even
        if it is drained; None: the policy chooses. Set it in the phase `route`."""
        self.server = ""
        """The address of the server, from `server_chosen` on; in `error` and `done`, of the last
        one that could not be connected."""
        self.reused = False
        """Whether the server's connection has carried an earlier request."""
        self.attempts = 0
        """How many connections to servers were tried."""
        self.record: RequestRecord | None = None
        """What becomes its record in the access log; None: there is no access log."""
        self.failure: Failure | None = None
        """In `error` and `done`: why the client did not get a server's complete response."""

    @property
    def notes(self) -> dict[str, object]:
        """For filters: values that they keep for later phases of this request."""
        if self._notes is None:
            self._notes = {}
        return self._notes

    @property
    def client_certificate(self) -> PeerCertificate | None:
        """The verified certificate that the client has presented to this proxy; None: none."""
        return self._context.certificate

    @property
    def request_id(self) -> str:
        """The identifier of the request: see the duty `request_id`, which sets it. Empty without
        that duty."""
        return str((self._notes or {}).get(_REQUEST_ID, ""))

    @request_id.setter
    def request_id(self, value: str) -> None:
        self.notes[_REQUEST_ID] = value

    @property
    def user(self) -> str:
        """The name of the user whom a duty has authenticated, and which that duty sets; empty if
        none has."""
        return str((self._notes or {}).get(_USER, ""))

    @user.setter
    def user(self, value: str) -> None:
        self.notes[_USER] = value

    @property
    def access_fields(self) -> dict[str, object]:
        """Fields for its record in the access log, by name: whatever JSON can show, at best texts
        and numbers. Without an access log, what is set here has no effect."""
        return author_fields(self.record)

    def log(self, text: object, level: Level = "info") -> None:
        """Log a line that begins with the names of the listener and the client. `level`: see
        Session."""
        context = self._context
        context.engine.log(level, f"{context.listener} {self.client}: {text}")

    @property
    def engine(self) -> Engine:
        """The engine that it runs on: for `stop_proxy` and `reload_proxy`."""
        return self._context.engine

    @property
    def status(self) -> int:
        """The status of the response; 0: there is none yet, or there will be none."""
        return self.response.status if hasattr(self, "response") else 0

    @property
    def peer_address(self) -> str:
        """The IP address of the connection: of the client, or of a trusted proxy before this
        one."""
        return self._context.client

    @property
    def secure(self) -> bool:
        """Whether the client is connected by TLS."""
        return self._context.secure

    @property
    def trusted(self) -> bool:
        """Whether the connection is that of a proxy in the option `trusted`."""
        return self._context.fields.trusted

    @property
    def scheme(self) -> Scheme:
        """ "https" if the client uses TLS, to this proxy or to the trusted proxy before it, as the
        fields of that proxy or its PROXY header say; else "http"."""
        context = self._context
        if context.fields.trusted:
            stated = forwarded_scheme(self.request.fields, context.source)
            if stated:
                return "https" if stated == "https" else "http"
        return context.scheme

    @property
    def proxied(self) -> ProxyHeader | None:
        """What a load balancer has announced of the client's connection: its addresses, and
        perhaps its TLS; None: the connection has no PROXY header."""
        return self._context.proxied

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        """The listener's upstream and those in its options, by name."""
        return self._context.upstreams

    def mirror(self, upstream: Upstream, body: bytes = b"") -> None:
        """Send a copy of the request to `upstream`, with `body`. Its response is dropped.

        While too many copies are in flight, the copy is dropped and counted as `unmirrored`.
        """
        self._context.mirror.send(upstream, self.request, body, self._context.fields, self.record)

    def __repr__(self) -> str:
        request = self.request
        where = "" if request.form in ("absolute", "authority") else request.host
        return f"<{request.method} {where}{request.target}>"
