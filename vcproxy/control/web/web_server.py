"""WebServer: a small HTTP/1.1 server for pages about the proxy itself.

    server = WebServer(engine, "metrics", [WebRoute("GET", "/healthz", healthz)])
    driver.listen(address, server, sock)

It is for few clients at a time, on the engine of the control: bodies of requests are at most
64 KiB, connections 24, and no client is waited for long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from vcproxy.control.web.web_connection import WebConnection
from vcproxy.control.web.web_reply import Refusal, WebReply
from vcproxy.control.web.web_request import WebRequest
from vcproxy.engine.listener import Listener
from vcproxy.http.message.head_cache import HeadCache
from vcproxy.http.message.limits import MessageLimits

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection

MAX_CONNECTIONS: Final = 24
"""The most connections of a server: operators and tools, out of the reserve of descriptors. More
wait; one that is idle is closed for a new one."""

LIMITS: Final = MessageLimits(head=16 * 1024)
"""Heads of requests: a browser's cookies, and not more."""

FIELDS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
"""Fields of each answer: it is true for a moment only, and of the type that it says."""

Handler: TypeAlias = Callable[[WebRequest, WebReply], None]
"""Answers a request, at once or later. An exception ends the connection, and is logged."""

Guard: TypeAlias = Callable[[WebRequest], Refusal | None]
"""Returns why a request is refused; None: it is not. It is called before the body is read."""


@dataclass(frozen=True, slots=True)
class WebRoute:
    """What answers the requests for one path, or for all below one."""

    method: str
    """GET (which stands for HEAD too) or POST."""
    path: str
    """The whole path, or its beginning and a `*`: WebRequest.rest is what stands for that."""
    handler: Handler
    guard: Guard | None = None
    """Who may ask; None: everybody whom the server admits."""


class WebServer(Listener):
    """A Listener for the driver's `listen`, at one or more addresses. Its connections are served by
    its engine."""

    __slots__ = ("_connections", "_guard", "_routes", "fields", "heads", "limits", "unix")

    def __init__(
        self,
        engine: Engine,
        name: str,
        routes: Sequence[WebRoute],
        *,
        guard: Guard | None = None,
        fields: Mapping[str, str] | None = None,
        unix: bool = False,
        tls: object = None,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        """`guard`: of all requests, before those of the routes; `fields`: more for each answer;
        `unix`: whether its addresses are Unix sockets; `tls`: the driver's context for tls://."""
        super().__init__(
            name, self._accept, engine, tls=tls, max_connections=max_connections, pinned=True
        )
        self.limits = LIMITS
        self.unix = unix
        self.fields: Mapping[str, str] = {**FIELDS, **(fields or {})}
        self.heads = HeadCache(LIMITS, engine)
        self._routes = list(routes)
        self._guard = guard
        self._connections: dict[WebConnection, None] = {}  # the oldest first

    def add(self, *routes: WebRoute) -> None:
        """Add routes."""
        self._routes += routes

    def find(self, request: WebRequest) -> WebRoute | Refusal:
        """Return what answers a request; a Refusal: it is not answered otherwise."""
        refusal = self._guard(request) if self._guard is not None else None
        if refusal is not None:
            return refusal
        method = "GET" if request.method == "HEAD" else request.method
        allowed: list[str] = []
        for route in self._routes:
            rest = _rest(route.path, request.path)
            if rest is None:
                continue
            if route.method == method:
                request.rest = rest
                return (route.guard(request) if route.guard is not None else None) or route
            allowed += ["GET", "HEAD"] if route.method == "GET" else [route.method]
        if allowed:
            fields = {"Allow": ", ".join(dict.fromkeys(allowed))}
            return Refusal(405, f"{request.method} is not possible here", fields)
        return Refusal(404, f"there is no {request.path or request.method} here")

    @property
    def crowded(self) -> bool:
        """Whether no connection is kept after its answer: the last places are for new clients."""
        return len(self._connections) >= self.max_connections - 1

    def finish(self) -> None:
        """Close all connections, each after its output."""
        for connection in list(self._connections):
            with connection.mutex.hold(self.engine):
                connection.close()

    def forget(self, connection: WebConnection) -> None:
        """Forget a connection that has ended. For the connection."""
        self._connections.pop(connection, None)

    def _accept(self, vc: NetVConnection) -> None:
        if self.crowded:
            self._make_room()
        connection = WebConnection(self, vc)
        self._connections[connection] = None
        connection.start()

    def _make_room(self) -> None:
        """Close the oldest connection that waits for its client, so that a place stays free:
        clients that keep their connections, and ask nothing, keep no others out."""
        for connection in self._connections:
            if connection.waiting:
                with connection.mutex.hold(self.engine):
                    connection.give_way()
                return


def _rest(pattern: str, path: str) -> str | None:
    """Return what the `*` of a route stands for in a path; None: the route is not for this path."""
    if pattern.endswith("*"):
        beginning = pattern[:-1]
        return path.removeprefix(beginning) if path.startswith(beginning) else None
    return "" if path == pattern else None
