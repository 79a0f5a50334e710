"""Connects two VCs: one engine to the listener of another."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from ipaddress import ip_network

from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.engine import Engine
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.net import NetVConnection
from vcproxy.proxy_protocol.senders import TrustedSenders
from vcproxy.testing.conformance import Pair, Run


class Caller(Continuation):
    """Connects to the address that it receives, on its own engine."""

    def __init__(self, engine: Engine, tls: object, introduction: bytes = b"") -> None:
        super().__init__(engine, Mutex())
        self.tls = tls
        self.introduction = introduction
        self.connected: list[NetVConnection] = []

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle an address to connect to, then the result of connecting."""
        if isinstance(data, Address):
            self.engine.connect(self, data, tls=self.tls, introduction=self.introduction)
        else:
            assert isinstance(data, NetVConnection)
            assert key is Event.CONNECTED, data.error
            self.connected.append(data)


def meet(
    listens: Callable[[Listener], Address],
    home: Engine,
    away: Engine,
    run: Run,
    server: object = None,
    client: object = None,
    header: bytes = b"",
) -> Pair:
    """Connect from `away` to a listener of `home`, with TLS where contexts are given, and with a
    PROXY header if there is one."""
    came: list[NetVConnection] = []
    listener = Listener("listener", came.append, home, tls=server)
    if header:
        networks = map(ip_network, ("127.0.0.0/8", "10.0.0.0/8"))
        listener.senders = TrustedSenders(networks, unix=True)
    address = listens(listener)
    caller = Caller(away, client, header)
    away.schedule(caller, Address, address)
    run(lambda: bool(came and caller.connected))
    assert bool(came[0].proxied) == bool(header)
    return Pair(caller.connected[0], came[0], run)
