"""Stage: a proxy in simulation, and around it the peers of a recorded run.

The network is instant and loses nothing. A server's connection is found by the conversation that it
was asked for in, and by its address; where it is reused, by the conversation that has it then.
Health checks are answered as they were, and the last answer holds for those that come after it.
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
from vcproxy.replay.format.entries import CHECK
from vcproxy.replay.format.peer_scripts import PeerScript, PeerScripts
from vcproxy.replay.format.values import RecordType
from vcproxy.replay.record.recorder import asked
from vcproxy.replay.what_if.driver import StageDriver, StageEngine, StageHost
from vcproxy.replay.what_if.player import Player
from vcproxy.sessions.program import Signal

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration
    from vcproxy.drivers.sim.datagram_network import HostPort, SimSocket
    from vcproxy.drivers.sim.link import Endpoint
    from vcproxy.engine.commands import Call
    from vcproxy.engine.log_function import Level
    from vcproxy.engine.mutex import Mutex

SETTLE_S = 1.0
"""What the last act leads to has come about by then."""


@dataclass(frozen=True, slots=True)
class Mishap:
    """Something that went wrong, in a client's conversation or in none (0)."""

    client: int
    text: str


class Stage:
    """A proxy by a configuration, and the peers of a recorded run around it."""

    def __init__(self, parts: PeerScripts, configuration: Configuration) -> None:
        """Raises OSError where the proxy cannot listen."""
        self.sim = Simulation(parts.header.seed)
        self.end = parts.end
        """When the recording ended: a run ends later."""
        self.mishaps: list[Mishap] = []
        """What the engine logged as errors: mistakes of plugins."""
        self.unknown: dict[str, int] = {}
        """Calls that nobody made then, and how often."""
        self.players = {number: Player(part, self.sim) for number, part in parts.parts.items()}
        """By the numbers of the recorded VCs."""
        self.extras: list[Player] = []
        """Servers' connections that there were not then. They say nothing, but to checks."""
        self._parts = parts
        self._free = [p for p in self.players.values() if not p.part.listener]
        self._clients: dict[NetVConnection, Player] = {}
        self._entering: dict[Endpoint, Player] = {}
        self._cast: dict[NetVConnection, Player] = {}
        self._answers = {text: deque(answers) for text, answers in parts.answers.items()}
        self._senders: dict[str, Player] = {}
        self._mail: dict[HostPort, DatagramPeer] = {}
        self._correspondents: dict[HostPort, Player] = {}
        self._alike: dict[str, set[str]] = {}
        """In a log that was cut, the servers of the same upstream: it depends on conversations that
        are not there, whose turn it is."""
        if "cut" in parts.header.marks:
            configuration = _unchecked(configuration)
            for upstream in configuration.settings.upstream.values():
                addresses = set(map(str, upstream.addresses))
                for address in addresses:
                    self._alike[address] = self._alike.get(address, addresses) | addresses
        self.sim.network.names.update(parts.names)
        self.engine = StageEngine(
            "net-0",
            memory=configuration.settings.proxy.memory,
            random=Random(parts.header.seed),
            log=self._log,
            bridges=False,
            token=parts.header.token,
        )
        self.engine.moved = self._moved
        driver = self.sim.attach(self.engine, partial(StageDriver, self))
        host = StageHost(driver, parts)
        self._listeners = Listeners(host, [self.engine], _unwritten)
        self._listeners.apply(configuration)
        for player in self.players.values():
            if player.part.listener:
                self.sim.clock.at(player.part.began, partial(self._enter, player, host))
        for at, signal in parts.signals:
            told = Signal(signal.number, signal.pid)
            self.sim.clock.at(at, partial(self._listeners.signalled, told))

    def run(self) -> Iterator[float]:
        """Play to the end; yield the time now and then. Raises Stuck."""
        sim = self.sim
        sim.clock.at(self.end, _passed)
        players = self.players.values()
        while sim.now < self.end or any(player.busy for player in players):
            if not sim.step():
                break
            yield sim.now
        sim.elapse(SETTLE_S)

    # -- for the driver ----------------------------------------------------------------------

    def time_of_day(self) -> int:
        """The time of day that was told last by then; 0: none was."""
        told = self._parts.seconds
        at = bisect_right(told, self.sim.now, key=lambda each: each[0])
        return told[at - 1][1] if at else 0

    def entered(self, vc: NetVConnection, endpoint: Endpoint) -> None:
        """A client is there."""
        player = self._entering.pop(endpoint, None)
        if player is not None:
            self._clients[vc] = player

    def server(self, vc: NetVConnection, target: Address, asker: str) -> Player:
        """Who plays the server that a VC is to be connected to."""
        if vc not in self._cast:
            self._cast[vc] = self._found(self._client_of(vc.mutex), str(target), asker)
        return self._cast[vc]

    def corresponding(self, address: Address, player: Player) -> SimSocket:
        """Open a socket to a server of datagrams, for a VC."""
        post, place = self.sim.network.datagrams, (address.host, address.port)
        if place not in self._mail and not address.multicast:
            self._mail[place] = DatagramPeer(post.bind(address))
            self._mail[place].on_datagram = self._deliver
        local = player.part.local
        here = Address.parse(local) if local else None
        sock = post.connect(address, None if here is None else (here.host, here.port))
        self._correspondents[sock.local] = player
        if place in self._mail:
            player.correspond(partial(self._mail[place].send, to=sock.local))
        return sock

    def answer(self, call: Call) -> tuple[object, Exception | None]:
        """What a call was answered then. The last answer holds for those that come after it."""
        text = asked(call)
        answers = self._answers.get(text)
        if not answers:
            self.unknown[text] = self.unknown.get(text, 0) + 1
            return None, LookupError(f"nobody asked {text} when this was recorded")
        told = answers.popleft() if len(answers) > 1 else answers[0]
        value = told.value.made() if isinstance(told.value, RecordType) else told.value
        return value, None if told.error is None else told.error.raised()

    # -- inside ------------------------------------------------------------------------------

    def _enter(self, player: Player, host: StageHost) -> None:
        part = player.part
        address = host.place(part)
        if address is None or (part.secure and part.handshake is None):
            return  # nobody listens there; or it never came as far as the plugin
        if part.message_oriented:
            name, _, port = part.place.rpartition(":")
            place = name.strip("[]"), int(port)
            peer = DatagramPeer(self.sim.network.datagrams.connect(address, place))
            peer.on_datagram = lambda data, _: player.hear(data)
            self._senders[part.place] = player
            player.correspond(peer.send)
            return
        connecting = Peer()

        def done(endpoint: Endpoint | None, error: OSError | None) -> None:
            connecting.attach(endpoint, error)
            if endpoint is not None:
                entering = endpoint.outgoing.sink
                entering.secure = part.handshake
                self._entering[entering] = player

        self.sim.network.connect(address, done, part.place)
        player.take_up(connecting)

    def _moved(self, vc: NetVConnection) -> None:
        """A server's connection has moved: in this turn it may move again."""
        if vc in self._cast:
            self.sim.clock.after(0.0, partial(self._hand_over, vc))

    def _hand_over(self, vc: NetVConnection) -> None:
        """Whoever is behind a connection that has moved plays another part."""
        before = self._cast[vc]
        if vc.closed or before.peer is None:
            return
        before.leave()
        player = self._found_kept(self._client_of(vc.mutex), before.part.place)
        player.take_up(before.peer)
        self._cast[vc] = player

    def _found(self, client: int, target: str, asker: str) -> Player:
        """Find one that is free: of this conversation, or where that is not known then or now.

        What a check has heard is for checks, and what happened to a connection that was kept for
        nobody but those.
        """
        checks = asker == CHECK
        there = [
            player
            for player in self._free
            if self._is(player.part, target)
            and (player.part.asker == CHECK) == checks
            and (player.part.client or player.part.number > 0)
        ]
        mine = [player for player in there if player.part.client == client]
        shared = [player for player in there if not client or not player.part.client]
        for player in (*mine, *shared):
            self._free.remove(player)
            return player
        parts = self._parts.parts.values()
        known = [part for part in parts if part.place == target]
        if checks and (asked := [part for part in known if part.asker == CHECK]):
            return self._extra(_later(asked[-1], self.sim.now))
        reached = next((part for part in known if part.connected), None)
        part = PeerScript(0, client, target, connected=reached is not None, asker=asker)
        if reached is not None:
            part.local, part.peer = reached.local, reached.peer
        return self._extra(part)

    def _found_kept(self, client: int, target: str) -> Player:
        """Find one that is free for a connection that there is already; 0: it is kept."""
        for player in self._free:
            part = player.part
            mine = self._is(part, target) and part.client == client and part.connected
            if mine and (client or part.number < 0) and part.asker != CHECK:
                self._free.remove(player)
                return player
        return self._extra(PeerScript(0, client, target, connected=True))

    def _is(self, part: PeerScript, target: str) -> bool:
        """Whether a part is that of a server, or may be."""
        return part.place == target or part.place in self._alike.get(target, ())

    def _extra(self, part: PeerScript) -> Player:
        self.extras.append(Player(part, self.sim))
        return self.extras[-1]

    def _client_of(self, mutex: Mutex) -> int:
        for vc in mutex.vcs:
            if not isinstance(vc, NetVConnection):
                continue
            player = self._senders.get(vc.peer) if vc.message_oriented else self._clients.get(vc)
            if player is not None:
                return player.part.number
        return 0

    def _deliver(self, data: bytes, source: HostPort) -> None:
        player = self._correspondents.get(source)
        if player is not None:
            player.hear(data)

    def _log(self, level: Level, text: str, error: Exception | None = None) -> None:
        if level == "error":
            running = self.engine.running
            client = 0 if running is None else self._client_of(running.mutex)
            said = text.splitlines()[0] if error is None else _scene(error)
            self.mishaps.append(Mishap(client, said))


def _unchecked(configuration: Configuration) -> Configuration:
    """The same without health checks: in a log that was cut there are no answers to them."""
    settings = configuration.settings
    upstreams = {
        name: upstream.model_copy(update={"check": None})
        for name, upstream in settings.upstream.items()
    }
    return replace(configuration, settings=settings.model_copy(update={"upstream": upstreams}))


def _later(part: PeerScript, now: float) -> PeerScript:
    """The same part, played at another time, for nobody who was there."""
    acts = [act._replace(at=act.at - part.began + now) for act in part.acts]
    return replace(part, number=0, began=now, acts=acts)


def _scene(error: Exception) -> str:
    """Say what was raised, and where."""
    place, trace = "", error.__traceback__
    while trace is not None:
        place = f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}{place}"


def _passed() -> None:
    """Time has passed."""


def _unwritten(line: str) -> None:
    """What programs print is not compared."""
