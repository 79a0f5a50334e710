"""A harness for HTTP: the proxy between scripted clients and servers, and a check for leaks.

Its end asserts that no connection, no buffer memory and no timer is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from vcproxy.engine.address import Address
from vcproxy.http.filters import Phases
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.listener_context import ListenerContext
from vcproxy.http.proxy.options import Options
from vcproxy.http.proxy.origins import ORIGIN_SETTINGS
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import PoolSettings, UpstreamSettings
from vcproxy.upstream.upstream import Upstream

if TYPE_CHECKING:
    from vcproxy.drivers.sim import NetworkFaults, Peer
    from vcproxy.sessions.session import Session

IDLE_S = 3.0
"""How long idle server connections are kept: longer than a lingering close of a client takes."""

POOLED = UpstreamSettings(pool=PoolSettings(idle=8, idle_time=IDLE_S))

PLAIN = Options(forwarded="off")
"""No forwarding fields, so that transcripts stay short."""


class Http(SimulatedProxy):
    """An HttpProxy with a pool of server connections; `go` advances the time by a millisecond."""

    def __init__(
        self,
        plugin: type[HttpProxy] = HttpProxy,
        options: Options = PLAIN,
        *,
        servers: Sequence[str] = ("server",),
        filters: Sequence[Callable[[], Phases]] = (),
        refusing: Sequence[str] = (),
        terms: UpstreamSettings = POOLED,
        connect_s: float = 5.0,
        inactivity_s: float = 0.0,
        seed: int = 0,
        faults: NetworkFaults | None = None,
    ) -> None:
        super().__init__(
            plugin,
            servers,
            options=options,
            refusing=refusing,
            upstream_settings=terms,
            connect_s=connect_s,
            inactivity_s=inactivity_s,
            seed=seed,
            faults=faults,
        )
        self.sim.network.epoch = None  # the time of day is not known, so heads have no Date
        self.service = replace(self.service, filters=tuple(filters))
        self._clients: list[Peer] = []

    def upstream(
        self, name: str, script: Callable[[Peer, bytes], None] = lambda peer, data: None
    ) -> Upstream:
        """Add an upstream with one server of the same name; `script` gets the data that it
        receives."""
        address = Address("tcp", name, 1)

        def met(peer: Peer) -> None:
            peer.on_data = partial(script, peer)

        self._servers[name] = self.sim.server(address, met)
        self._taken[name] = 0
        upstream = Upstream(self.engine, name, [Server(address)], POOLED)
        self.service = replace(self.service, upstreams={**self.service.upstreams, name: upstream})
        return upstream

    def client(self, option: str = "", number: int = 0, client_ip: str = "") -> Peer:
        """See SimulatedProxy."""
        client = super().client(option, number, client_ip)
        self._clients.append(client)
        return client

    def send(self, *data: bytes) -> Peer:
        """Return a client that sends `data` as soon as the simulation runs."""
        client = self.client()
        client.send(b"".join(data))
        return client

    def go(self) -> None:
        """Run everything that is due now."""
        self.elapse(0.001)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._leave()
        super().__exit__(kind, error, traceback)

    def _leave(self) -> None:
        for client in self._clients:
            client.reset()
        common = self.service.shared.get(ListenerContext)
        named = isinstance(common, ListenerContext) and len(common.origins) > 0
        self.elapse(ORIGIN_SETTINGS.pool.idle_time if named else IDLE_S)
        upstreams = (self.service.upstream, *self.service.upstreams.values())
        for upstream in filter(None, upstreams):
            self.engine.inbox.post(upstream.close)
        self.go()
        for upstream in filter(None, upstreams):
            assert all(server.connections == 0 for server in upstream.servers)
        assert not self.engine.vcs, "a connection stays open"
        assert self.engine.memory.used == 0, "a buffer holds something"
        assert self.engine.next_deadline() is None, "a timer still runs"


def request(
    method: str = "GET", target: str = "/", *fields: str, body: bytes = b"", host: str = "a"
) -> bytes:
    """A request as a client sends it."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer(body: bytes = b"", *fields: str, status: str = "200 OK") -> bytes:
    """A server's answer with a length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def chunks(*pieces: bytes, trailers: str = "") -> bytes:
    """A body in chunks."""
    framed = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b"") if piece]
    return b"".join([*framed, b"0\r\n", trailers.encode(), b"\r\n"])


def received(peer: Peer) -> str:
    """Return what a peer has received since the last call, with plain line ends."""
    data = bytes(peer.received)
    peer.received.clear()
    return data.decode("latin-1").replace("\r\n", "\n")


def status(peer: Peer) -> str:
    """Return the first line of what a peer has received since the last call."""
    return received(peer).partition("\n")[0]


def stage(session: Session) -> str:
    """Return the name of the state: that of the request being served, else of the connection."""
    assert isinstance(session, HttpProxy)
    return (session if session.exchange is None else session.exchange).state.name


GET = request()
OK = answer(b"yes")
