"""ConnectAttempts: the attempts to make one connection, to several servers or upstreams in turn."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.net import NetVConnection
    from vcproxy.upstream.server import Server


class Backend(Protocol):
    """What a session can connect to: a Server, or an Upstream with several."""

    def connect(
        self,
        cont: Continuation,
        *,
        client: str,
        origin: NetVConnection | None,
        tried: Collection[Server],
        timeout: float,
    ) -> NetVConnection:
        """Connect to a server that was not tried yet: see Upstream.connect."""

    def server_of(self, vc: NetVConnection) -> Server | None:
        """Return the server that a VC is connected to."""

    def has_another(self, tried: Collection[Server]) -> bool:
        """Return whether another server may be tried after these have failed."""


class ConnectAttempts:
    """Tries backends in order, each one until it has no server left.

    Args:
        backends: at least one.
        client: the client's address, for balancing.
        origin: the client that is announced to the server; None: no single one.
        timeout: seconds for each attempt, 0: no limit.
    """

    __slots__ = ("_backends", "_client", "_origin", "_timeout", "_tried")

    def __init__(
        self,
        backends: Iterable[Backend],
        *,
        client: str = "",
        origin: NetVConnection | None = None,
        timeout: float = 0.0,
    ) -> None:
        self._backends = list(backends)
        self._client = client
        self._origin = origin
        self._timeout = timeout
        self._tried: list[Server] = []

    def connect(self, cont: Continuation) -> NetVConnection:
        """Start an attempt: CONNECTED or ERROR follows, with the VC. See Upstream.connect."""
        return self._backends[0].connect(
            cont,
            client=self._client,
            origin=self._origin,
            tried=self._tried,
            timeout=self._timeout,
        )

    def failed(self, vc: NetVConnection) -> bool:
        """Record the failure of the last attempt; return whether another one can be made.

        To be called before the VC is closed.
        """
        server = self._backends[0].server_of(vc)
        if server is not None:
            self._tried.append(server)
        if server is None or not self._backends[0].has_another(self._tried):
            del self._backends[0]
        return bool(self._backends)
