"""WhatIfRun: a proxy in simulation, connected to the replayed peers of a recorded run.

The network is instant and loses nothing. A server's connection is identified by the conversation
that requested it and by its address; after reuse, by the conversation that uses it at that time.
Health checks get their recorded answers; further checks get the last answer again. WhatIfDriver
gets servers, results and times from this class. Tested in tests/replay/test_what_if.py.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from vcproxy.drivers.sim import DatagramPeer, Peer, Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.net import NetVConnection
from vcproxy.listeners.listeners import Listeners
from vcproxy.replay.format.entries import HEALTH_CHECK, ChangedEntry
from vcproxy.replay.format.peer_history import PeerHistory, RunHistory
from vcproxy.replay.format.values import DataclassValue
from vcproxy.replay.record.recorder import call_text
from vcproxy.replay.what_if.driver import WhatIfDriver, WhatIfEngine, WhatIfHost
from vcproxy.replay.what_if.replayed_peer import ReplayedPeer
from vcproxy.sessions.program import Signal

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration
    from vcproxy.drivers.sim.datagram_network import SimSocket
    from vcproxy.drivers.sim.link import Endpoint
    from vcproxy.engine.commands import Call
    from vcproxy.engine.log_function import Level
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.sources.datagrams import HostPort

SETTLE_S = 1.0
"""Time for the effects of the last action: the simulated network is instant."""


@dataclass(frozen=True, slots=True)
class LoggedError:
    """An error that the engine logged, in the conversation of a client or in none (0)."""

    client: int
    text: str


class WhatIfRun:
    """A proxy with a configuration, and the peers of a recorded run around it."""

    def __init__(self, recorded: RunHistory, configuration: Configuration) -> None:
        """Raises OSError if the proxy cannot listen."""
        self.sim = Simulation(recorded.header.seed)
        self.end = recorded.end
        """When the recording ended; the run ends later."""
        self.errors: list[LoggedError] = []
        """What the engine logged as errors: faults of plugins."""
        self.unknown: dict[str, int] = {}
        """Calls without a recorded result, and how often they were made."""
        self.peers = {
            number: ReplayedPeer(history, self.sim) for number, history in recorded.peers.items()
        }
        """The replayed peers, by the number of their history."""
        self.extras: list[ReplayedPeer] = []
        """Server connections that are not in the recording. They only answer health checks."""
        self._recorded = recorded
        self._free = [peer for peer in self.peers.values() if not peer.history.listener]
        self._clients: dict[NetVConnection, ReplayedPeer] = {}
        self._connecting: dict[Endpoint, ReplayedPeer] = {}
        self._servers: dict[NetVConnection, ReplayedPeer] = {}
        self._answers = {text: deque(answers) for text, answers in recorded.answers.items()}
        self._datagram_clients: dict[str, ReplayedPeer] = {}
        self._datagram_sockets: dict[HostPort, DatagramPeer] = {}
        self._datagram_servers: dict[HostPort, ReplayedPeer] = {}
        self._same_upstream: dict[str, set[str]] = {}
        """The servers of the upstream of each server, if the log was cut: the choice among them
        depended on conversations that are missing."""
        if "cut" in recorded.header.marks:
            configuration = _without_checks(configuration)
            for upstream in configuration.settings.upstream.values():
                addresses = set(map(str, upstream.addresses))
                for address in addresses:
                    others = self._same_upstream.get(address, addresses)
                    self._same_upstream[address] = others | addresses
        self.sim.network.names.update(recorded.names)
        self.engine = WhatIfEngine(
            "net-0",
            memory=configuration.settings.proxy.memory,
            random=Random(recorded.header.seed),
            log=self._log,
            bridges=False,
            direct=False,
            token=recorded.header.token,
        )
        self.engine.on_moved = self._on_moved
        driver = self.sim.attach(self.engine, partial(WhatIfDriver, self))
        host = WhatIfHost(driver, recorded)
        self._listeners = Listeners(host, [self.engine], _ignore_line)
        self._listeners.apply(configuration)
        for peer in self.peers.values():
            if peer.history.listener:
                self.sim.clock.at(peer.history.began, partial(self._connect, peer, host))
        for at, entry in recorded.signals:
            signal = Signal(entry.number, entry.pid)
            self.sim.clock.at(at, partial(self._listeners.signalled, signal))
        for at, change in recorded.changes:
            if change.name != "KILL":  # the numbers of connections may be others
                self.sim.clock.at(at, partial(self._change, change))

    def run(self) -> Iterator[float]:
        """Run to the end; yield the simulated time after each step. Raises Stuck."""
        sim = self.sim
        sim.clock.at(self.end, _do_nothing)
        peers = self.peers.values()
        while sim.now < self.end or any(peer.busy for peer in peers):
            if not sim.step():
                break
            yield sim.now
        sim.elapse(SETTLE_S)

    def _change(self, entry: ChangedEntry) -> None:
        from vcproxy.control.changes.change import applied  # few recordings have any
        from vcproxy.control.changes.table import CHANGES

        assert isinstance(entry.arguments, dict)
        applied(CHANGES[entry.name], self.engine, self._listeners, entry.arguments)

    # -- for the driver ----------------------------------------------------------------------

    def time_of_day(self) -> int:
        """Return the last recorded time of day before the simulated time; 0: none."""
        times = self._recorded.seconds
        at = bisect_right(times, self.sim.now, key=lambda each: each[0])
        return times[at - 1][1] if at else 0

    def on_accepted(self, vc: NetVConnection, endpoint: Endpoint) -> None:
        """Store the VC of a client that has connected."""
        peer = self._connecting.pop(endpoint, None)
        if peer is not None:
            self._clients[vc] = peer

    def server(self, vc: NetVConnection, target: Address, requester: str) -> ReplayedPeer:
        """Return the peer that replays the server of a VC."""
        if vc not in self._servers:
            client = self._client_of(vc.mutex)
            self._servers[vc] = self._new_connection(client, str(target), requester)
        return self._servers[vc]

    def datagram_socket(self, address: Address, server: ReplayedPeer) -> SimSocket:
        """Open a socket of the proxy to a datagram server."""
        post, place = self.sim.network.datagrams, (address.host, address.port)
        if place not in self._datagram_sockets and not address.multicast:
            self._datagram_sockets[place] = DatagramPeer(post.bind(address))
            self._datagram_sockets[place].on_datagram = self._deliver
        local = server.history.local
        source = Address.parse(local) if local else None
        sock = post.connect(address, None if source is None else (source.host, source.port))
        self._datagram_servers[sock.local] = server
        if place in self._datagram_sockets:
            server.attach_datagrams(partial(self._datagram_sockets[place].send, to=sock.local))
        return sock

    def result_of(self, call: Call) -> tuple[object, Exception | None]:
        """Return the recorded result of a call. Further calls get the last result again."""
        text = call_text(call)
        answers = self._answers.get(text)
        if not answers:
            self.unknown[text] = self.unknown.get(text, 0) + 1
            return None, LookupError(f"the recording has no result of the call {text}")
        entry = answers.popleft() if len(answers) > 1 else answers[0]
        value = entry.value.rebuild() if isinstance(entry.value, DataclassValue) else entry.value
        return value, None if entry.error is None else entry.error.to_exception()

    def source_events(self, number: int) -> list[tuple[float, object]]:
        """Return the recorded events of a source, and when each happened."""
        recorded = self._recorded.sources.get(number, ())
        return [(at, event.rebuild()) for at, event in recorded]

    # -- clients -----------------------------------------------------------------------------

    def _connect(self, client: ReplayedPeer, host: WhatIfHost) -> None:
        history = client.history
        address = host.address_for(history)
        if address is None or (history.secure and history.handshake is None):
            return  # no listener; or the recorded handshake failed: no plugin was involved
        if history.message_oriented and address.scheme != "udp":
            return  # only datagrams of UDP are repeated
        if history.message_oriented:
            name, _, port = history.address.rpartition(":")
            source = name.strip("[]"), int(port)
            datagrams = DatagramPeer(self.sim.network.datagrams.connect(address, source))
            datagrams.on_datagram = lambda data, _: client.receive_datagram(data)
            self._datagram_clients[history.address] = client
            client.attach_datagrams(datagrams.send)
            return
        peer = Peer()

        def on_connected(endpoint: Endpoint | None, error: OSError | None) -> None:
            peer.attach(endpoint, error)
            if endpoint is not None:
                proxy_end = endpoint.outgoing.sink
                proxy_end.secure = history.handshake
                self._connecting[proxy_end] = client

        self.sim.network.connect(address, on_connected, history.address)
        client.attach(peer)

    # -- servers -----------------------------------------------------------------------------

    def _on_moved(self, vc: NetVConnection) -> None:
        """Replace the server's peer after this turn, because the VC may move again before."""
        if vc in self._servers:
            self.sim.clock.after(0.0, partial(self._hand_over, vc))

    def _hand_over(self, vc: NetVConnection) -> None:
        """Attach another replayed peer to a connection that has moved."""
        before = self._servers[vc]
        if vc.closed or before.peer is None:
            return
        before.detach()
        after = self._reused_connection(self._client_of(vc.mutex), before.history.address)
        after.attach(before.peer)
        self._servers[vc] = after

    def _new_connection(self, client: int, target: str, requester: str) -> ReplayedPeer:
        """Take a free peer of this conversation, or one without a conversation.

        Peers of health checks are used only for health checks. Histories of kept connections
        (number below 0, no client) are not used for new connections.
        """
        check = requester == HEALTH_CHECK
        matching = [
            peer
            for peer in self._free
            if self._matches(peer.history, target)
            and (peer.history.requester == HEALTH_CHECK) == check
            and (peer.history.client or peer.history.number > 0)
        ]
        own = [peer for peer in matching if peer.history.client == client]
        shared = [peer for peer in matching if not client or not peer.history.client]
        for peer in (*own, *shared):
            self._free.remove(peer)
            return peer
        histories = self._recorded.peers.values()
        known = [history for history in histories if history.address == target]
        if check and (checks := [each for each in known if each.requester == HEALTH_CHECK]):
            return self._extra(_moved_to(checks[-1], self.sim.now))
        reached = next((history for history in known if history.connected), None)
        connected = reached is not None
        history = PeerHistory(0, client, target, connected=connected, requester=requester)
        if reached is not None:
            history.local, history.peer = reached.local, reached.peer
        return self._extra(history)

    def _reused_connection(self, client: int, target: str) -> ReplayedPeer:
        """Take a free peer for an existing connection; client 0: the connection is kept."""
        for peer in self._free:
            history = peer.history
            own = self._matches(history, target) and history.client == client and history.connected
            if own and (client or history.number < 0) and history.requester != HEALTH_CHECK:
                self._free.remove(peer)
                return peer
        return self._extra(PeerHistory(0, client, target, connected=True))

    def _matches(self, history: PeerHistory, target: str) -> bool:
        """Whether a history belongs to this server, or to another server of its upstream."""
        return history.address == target or history.address in self._same_upstream.get(target, ())

    def _extra(self, history: PeerHistory) -> ReplayedPeer:
        self.extras.append(ReplayedPeer(history, self.sim))
        return self.extras[-1]

    def _client_of(self, mutex: Mutex) -> int:
        for vc in mutex.vcs:
            if not isinstance(vc, NetVConnection):
                continue
            peer = (
                self._datagram_clients.get(vc.peer)
                if vc.message_oriented
                else self._clients.get(vc)
            )
            if peer is not None:
                return peer.history.number
        return 0

    def _deliver(self, data: bytes, source: HostPort) -> None:
        server = self._datagram_servers.get(source)
        if server is not None:
            server.receive_datagram(data)

    def _log(self, level: Level, text: str, error: Exception | None = None) -> None:
        if level == "error":
            running = self.engine.running
            client = 0 if running is None else self._client_of(running.mutex)
            shown = text.splitlines()[0] if error is None else _with_place(error)
            self.errors.append(LoggedError(client, shown))


def _without_checks(configuration: Configuration) -> Configuration:
    """Return the configuration without health checks: a cut log has no answers to them."""
    settings = configuration.settings
    upstreams = {
        name: upstream.model_copy(update={"check": None})
        for name, upstream in settings.upstream.items()
    }
    return replace(configuration, settings=settings.model_copy(update={"upstream": upstreams}))


def _moved_to(history: PeerHistory, now: float) -> PeerHistory:
    """Return a copy of a history that begins now, for a peer that is not in the recording."""
    actions = [each._replace(at=each.at - history.began + now) for each in history.actions]
    return replace(history, number=0, began=now, actions=actions)


def _with_place(error: Exception) -> str:
    """Return the class, the text and the place of an exception."""
    place, trace = "", error.__traceback__
    while trace is not None:
        place = f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}{place}"


def _do_nothing() -> None:
    """Do nothing. Only the simulated time passes."""


def _ignore_line(line: str) -> None:
    """Ignore what programs print: it is not compared."""
