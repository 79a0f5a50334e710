"""Connects two VCs: one engine to the listener of another."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.engine import Engine
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.net import NetVConnection
from vcproxy.testing.conformance import Pair, Run


class Caller(Continuation):
    """Connects to the address that it receives, on its own engine."""

    def __init__(self, engine: Engine, tls: object) -> None:
        super().__init__(engine, Mutex())
        self.tls = tls
        self.connected: list[NetVConnection] = []

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle an address to connect to, then the result of connecting."""
        if isinstance(data, Address):
            self.engine.connect(self, data, tls=self.tls)
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
) -> Pair:
    """Connect from `away` to a listener of `home`, with TLS where contexts are given."""
    came: list[NetVConnection] = []
    listener = Listener("listener", came.append, home, tls=server)
    address = listens(listener)
    caller = Caller(away, client)
    away.schedule(caller, Address, address)
    run(lambda: bool(came and caller.connected))
    return Pair(caller.connected[0], came[0], run)
