"""A simulated proxy that lends each client and its server to a tunnel, and checks the tunnel."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeAlias

from vcproxy.drivers.sim import SimDriver
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.engine import Engine
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.vio import VIO
from vcproxy.tunnels.done import TunnelDone
from vcproxy.tunnels.one_way import OneWayTunnel
from vcproxy.tunnels.two_way import TwoWayTunnel

Tunnel: TypeAlias = OneWayTunnel | TwoWayTunnel


class Session(Continuation):
    """One client: connects to the server, lends both to a tunnel, closes both when it is done."""

    def __init__(self, proxy: Proxy, client: NetVConnection) -> None:
        super().__init__(client.engine, client.mutex)
        self._proxy = proxy
        self._client = client
        self.tunnel: Tunnel | None = None
        self.done: list[TunnelDone] = []
        self.wrong: list[str] = []
        """Events that must not be delivered."""
        proxy.sessions.append(self)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle the events of a session; record any other event as wrong."""
        if key is Event.ACCEPT:
            self._server = self._proxy.outward.connect(self, self._proxy.server)
        elif key is Event.CONNECTED and self.tunnel is None:
            for vc in (self._client, self._server):
                vc.set_inactivity_timeout(self._proxy.inactivity_s)
            self.tunnel = self._lend()
            self.tunnel.start()
        elif key is Event.ERROR and self.tunnel is None:
            self._close(self._server.error)
        elif isinstance(data, TunnelDone):
            self.done.append(data)
            if len(self.done) == 1:
                self._close(None if data.reason.clean else ConnectionError(str(data)))
        else:
            self.wrong.append(f"{key} for the session: {data}")

    def _lend(self) -> Tunnel:
        proxy = self._proxy
        if proxy.two_way:
            tunnel = WithMachines if proxy.machines else TwoWayTunnel
            return tunnel(
                self,
                self._client,
                self._server,
                half_close=proxy.half_close,
                water_mark=proxy.water_mark,
            )
        return WatchedTunnel(
            self, self._client, self._server, nbytes=proxy.nbytes, water_mark=proxy.water_mark
        )

    def _close(self, error: Exception | None) -> None:
        self._client.do_io_close(error)
        self._server.do_io_close(error)


class WatchedTunnel(OneWayTunnel):
    """Fails, and with it the run, at an event of a closed VC or of a replaced VIO."""

    def handle_event(self, key: Hashable, data: object) -> None:
        """Check the event, then handle it."""
        if isinstance(data, VIO):
            assert not data.vc.closed, f"{key} after do_io_close(): {data}"
            assert data.live, f"{key} for a VIO that was replaced: {data}"
        super().handle_event(key, data)


class WithMachines(TwoWayTunnel):
    """A two-way tunnel whose directions have watched machines from the beginning."""

    one_way = WatchedTunnel


class Proxy:
    """Listens on one engine, and connects from the same or another engine."""

    def __init__(
        self,
        inward: SimDriver,
        outward: SimDriver,
        server: Address,
        *,
        two_way: bool,
        half_close: bool = True,
        nbytes: int | None = None,
        water_mark: int | None = None,
        inactivity_s: float = 0.0,
        machines: bool = False,
    ) -> None:
        self.outward: Engine = outward.engine
        self.server = server
        self.two_way = two_way
        self.half_close = half_close
        self.nbytes = nbytes
        self.water_mark = water_mark
        self.inactivity_s = inactivity_s
        self.machines = machines
        self.sessions: list[Session] = []
        listener = Listener("proxy", self._accept, inward.engine)
        self.address = inward.listen(Address("tcp", "proxy"), listener)

    def _accept(self, client: NetVConnection) -> Session:
        return Session(self, client)
