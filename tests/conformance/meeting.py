"""How two VCs come to be connected: one engine connects to where another listens."""

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
    """Waits for CONNECTED."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, Mutex())
        self.connected = False

    def handle_event(self, key: Hashable, data: object) -> None:
        """Take what connecting ends with."""
        assert key is Event.CONNECTED, getattr(data, "error", key)
        self.connected = True


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
    listener = Listener("listener", came.append, home, tls=server, secure=server is not None)
    address = listens(listener)
    caller = Caller(away)
    with caller.mutex.hold(away):
        vc = away.connect(caller, address, tls=client)
    run(lambda: bool(came) and caller.connected)
    return Pair(vc, came[0], run)
