"""Attempts: one connection, to the first of several places that can be reached."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.net import NetVConnection
    from vcproxy.upstream.server import Server


class Place(Protocol):
    """Somewhere to connect to: a Server, or an Upstream, which has several."""

    def connect(
        self, cont: Continuation, *, client: str, tried: Collection[Server], timeout: float
    ) -> NetVConnection:
        """Connect, but to none that was tried: see Upstream."""

    def server_of(self, vc: NetVConnection) -> Server | None:
        """Who that is a connection to."""

    def another(self, tried: Collection[Server]) -> bool:
        """Whether one more may be tried here where these have failed."""


class Attempts:
    """Places to try, at least one, each as long as it has another server.

    Args:
        places: the first first.
        client: the address of whom it is for.
        timeout: seconds for each attempt, 0: no limit.
    """

    __slots__ = ("_client", "_places", "_timeout", "_tried")

    def __init__(self, places: Iterable[Place], *, client: str = "", timeout: float = 0.0) -> None:
        self._places = list(places)
        self._client = client
        self._timeout = timeout
        self._tried: list[Server] = []

    def connect(self, cont: Continuation) -> NetVConnection:
        """Make an attempt: CONNECTED or ERROR follows, with the VC. See Upstream.connect."""
        return self._places[0].connect(
            cont, client=self._client, tried=self._tried, timeout=self._timeout
        )

    def failed(self, vc: NetVConnection) -> bool:
        """Hear that the last one did, before its VC is closed; return whether there is another."""
        server = self._places[0].server_of(vc)
        if server is not None:
            self._tried.append(server)
        if server is None or not self._places[0].another(self._tried):
            del self._places[0]
        return bool(self._places)
