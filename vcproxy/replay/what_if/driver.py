"""WhatIfDriver, WhatIfEngine and WhatIfHost: the simulated driver, engine and host of a WhatIfRun.

The driver and the run refer to each other: the driver gets servers, results of calls and times of
day from the run. Tested in tests/replay/test_what_if.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.sim import DatagramPeer, Peer, SimDriver
from vcproxy.drivers.sim.message_sockets import Opened, open_port, udp_port
from vcproxy.engine.address import Address
from vcproxy.engine.commands import Connect
from vcproxy.engine.engine import Engine
from vcproxy.engine.net import NetVConnection
from vcproxy.replay.format.peer_history import Handshake, PeerHistory, RunHistory, StreamEnd
from vcproxy.replay.hosts import OfflineHost

if TYPE_CHECKING:
    from vcproxy.drivers.sim.link import Endpoint
    from vcproxy.engine.commands import Call, OpenSource, Subscribe
    from vcproxy.engine.listener import Listener
    from vcproxy.engine.mutex import Mutex
    from vcproxy.replay.what_if.replayed_peer import ReplayedPeer
    from vcproxy.replay.what_if.run import WhatIfRun


class WhatIfVC(NetVConnection):
    """A VC that reports when it becomes part of another conversation."""

    __slots__ = ()

    engine: WhatIfEngine

    def join(self, mutex: Mutex) -> None:
        """See VConnection."""
        moves = mutex is not self.mutex and self.outgoing is not None
        super().join(mutex)
        if moves:
            self.engine.on_moved(self)


class WhatIfEngine(Engine):
    """An engine that reports which server connections have moved to another conversation."""

    connection = WhatIfVC

    __slots__ = ("on_moved",)

    on_moved: Callable[[NetVConnection], None]


class WhatIfDriver(SimDriver):
    """A SimDriver whose engine is connected to the replayed peers of a run."""

    def __init__(self, run: WhatIfRun, *others: object) -> None:
        super().__init__(*others)  # type: ignore[arg-type]
        self._run = run

    def adopt(self, listener: Listener, endpoint: Endpoint, tls: object) -> NetVConnection:
        """See SimDriver."""
        vc = super().adopt(listener, endpoint, tls)
        self._run.on_accepted(vc, endpoint)
        return vc

    def time_of_day(self) -> int:
        """See SimDriver: return the recorded time of day."""
        return self._run.time_of_day()

    def _connect(self, command: Connect) -> None:
        outgoing = command.outgoing
        vc = outgoing.vc
        outgoing.introduction = b""  # the recorded servers' bytes are counted without it
        server = self._run.server(vc, outgoing.target, outgoing.opener_name)
        history = server.history
        if command.address.message_oriented:
            open_port(self, command, partial(self._datagram_port, server))
            return
        self.start_attempt(command)
        endpoint: Endpoint | None = None
        error: OSError | None = None
        if server.refusals:
            why = server.refusals.popleft().to_exception()
            error = why if isinstance(why, OSError) else OSError(str(why))
        elif not history.connected and not history.number:
            error = ConnectionRefusedError(
                f"{command.address}: connection refused: the recording has no connection to it"
            )
        elif not history.connected:
            return  # the recorded attempt got no reply
        elif outgoing.tls is not None and history.number and history.handshake is None:
            reset = any(each.action is StreamEnd.RESET for each in history.actions)
            if not reset:
                return  # the recorded handshake did not finish either
            error = OSError(f"{command.address}: the handshake failed")
        else:
            endpoint, server_end = self.network.pair(history.local, history.peer)
            if outgoing.tls is not None:
                endpoint.secure = history.handshake or Handshake()
            peer = Peer()
            peer.attach(server_end)
            server.attach(peer)
        self.complete_after((0.0, 0.0), partial(self._connected, command, endpoint, error))

    def _datagram_port(self, server: ReplayedPeer, address: Address) -> Opened:
        if address.scheme != "udp":
            raise OSError(f"{address}: what it receives is not repeated: only udp:// is")
        return udp_port(self, self._run.datagram_socket(address, server))

    def _subscribe(self, command: Subscribe) -> None:
        if not command.address.message_oriented:  # a FIFO
            self._connect(Connect(command.outgoing, command.address))
            return
        super()._subscribe(command)
        if command.address.scheme != "udp":
            return
        post = self.network.datagrams
        sender = self._run.server(command.outgoing.vc, command.outgoing.target, "")
        sender.attach_datagrams(DatagramPeer(post.connect(command.address)).send)

    def _open_source(self, command: OpenSource) -> None:
        """Repeat what happened at the source with this number; what it sends is not compared."""
        source = command.source
        for at, event in self._run.source_events(source.number):
            happened = partial(self.engine.happened, source, event)
            self.network.clock.at(at, partial(self.complete, happened))

    def _call(self, command: Call) -> None:
        value, error = self._run.result_of(command)
        self.complete_after((0.0, 0.0), partial(self.engine.called, command.number, value, error))


class WhatIfHost(OfflineHost):
    """Listens on the recorded addresses. See Host. TLS is omitted, as in the recording."""

    def __init__(self, driver: SimDriver, recorded: RunHistory) -> None:
        self._driver = driver
        listening = () if recorded.serve is None else recorded.serve.listening
        self._recorded = {(name, requested): real for _, name, requested, real in listening}
        self._names = recorded.listener_names
        self._addresses: dict[str, list[Address]] = {}

    def address_for(self, client: PeerHistory) -> Address | None:
        """Return the address that a client connects to, or None if there is no such listener."""
        addresses = self._addresses.get(self._names.get(client.listener, ""), [])
        kind = (client.message_oriented, client.secure)
        udp = ":" in client.address  # the colons of a path are escaped
        for each in addresses:
            right = not each.message_oriented or (each.scheme == "udp") is udp
            if right and (each.message_oriented, each.secure) == kind:
                return each
        return None

    def listen(self, address: Address, listener: Listener) -> Address:
        """See Host."""
        recorded = self._recorded.get((listener.name, str(address)))
        real = self._driver.listen(
            Address.parse(recorded) if isinstance(recorded, str) else address, listener
        )
        self._addresses.setdefault(listener.name, []).append(real)
        return real
