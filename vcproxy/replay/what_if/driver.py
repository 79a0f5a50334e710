"""StageDriver: the simulated driver of a proxy among players; StageEngine: what it drives;
StageHost: where that listens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.sim import DatagramPeer, Peer, SimDriver
from vcproxy.engine.address import Address
from vcproxy.engine.engine import Engine
from vcproxy.engine.net import NetVConnection
from vcproxy.replay.format.peer_scripts import Deed, Handshake, PeerScript, PeerScripts
from vcproxy.replay.hosts import Unconnected

if TYPE_CHECKING:
    from vcproxy.drivers.sim.link import Endpoint
    from vcproxy.engine.commands import Call, Connect, Subscribe
    from vcproxy.engine.listener import Listener
    from vcproxy.engine.mutex import Mutex
    from vcproxy.replay.what_if.stage import Stage


class StageVC(NetVConnection):
    """A VC that says when it becomes part of another conversation."""

    __slots__ = ()

    engine: StageEngine

    def join(self, mutex: Mutex) -> None:
        """See VConnection."""
        moves = mutex is not self.mutex and self.outgoing is not None
        super().join(mutex)
        if moves:
            self.engine.moved(self)


class StageEngine(Engine):
    """An engine that says which servers' connections have moved."""

    connection = StageVC

    __slots__ = ("moved",)

    moved: Callable[[NetVConnection], None]


class StageDriver(SimDriver):
    """A SimDriver whose engine meets the players of a stage."""

    def __init__(self, stage: Stage, *others: object) -> None:
        super().__init__(*others)  # type: ignore[arg-type]
        self._stage = stage

    def adopt(self, listener: Listener, endpoint: Endpoint, tls: object) -> NetVConnection:
        """See SimDriver."""
        vc = super().adopt(listener, endpoint, tls)
        self._stage.entered(vc, endpoint)
        return vc

    def time_of_day(self) -> int:
        """See SimDriver: as it was told when this was recorded."""
        return self._stage.time_of_day()

    def _connect(self, command: Connect) -> None:
        outgoing = command.outgoing
        vc = outgoing.vc
        player = self._stage.server(vc, outgoing.target, outgoing.opener_name)
        part = player.part
        if command.address.scheme == "udp":
            self._open_datagram(command, lambda address: self._stage.corresponding(address, player))
            return
        self.start_attempt(command)
        endpoint: Endpoint | None = None
        error: OSError | None = None
        if player.refusals:
            why = player.refusals.popleft().raised()
            error = why if isinstance(why, OSError) else OSError(str(why))
        elif not part.connected and not part.number:
            error = ConnectionRefusedError(
                f"{command.address}: nobody was there when this was recorded"
            )
        elif not part.connected:
            return  # nobody answered
        elif outgoing.tls is not None and part.number and part.handshake is None:
            reason = next((act for act in part.acts if act.does is Deed.RESET), None)
            if reason is None:
                return  # nor did the handshake end
            error = OSError(f"{command.address}: the handshake failed")
        else:
            endpoint, theirs = self.network.pair(part.local, part.peer)
            if outgoing.tls is not None:
                endpoint.secure = part.handshake or Handshake()
            peer = Peer()
            peer.attach(theirs)
            player.take_up(peer)
        self.complete_after((0.0, 0.0), partial(self._connected, command, endpoint, error))

    def _subscribe(self, command: Subscribe) -> None:
        super()._subscribe(command)
        post = self.network.datagrams
        player = self._stage.server(command.outgoing.vc, command.outgoing.target, "")
        player.correspond(DatagramPeer(post.connect(command.address)).send)

    def _call(self, command: Call) -> None:
        value, error = self._stage.answer(command)
        self.complete_after((0.0, 0.0), partial(self.engine.called, command.number, value, error))


class StageHost(Unconnected):
    """Where the listeners were. See Host. TLS was over when a recording began to look."""

    def __init__(self, driver: SimDriver, parts: PeerScripts) -> None:
        self._driver = driver
        listening = () if parts.serve is None else parts.serve.listening
        self._was = {(name, wanted): real for _, name, wanted, real in listening}
        self._names = parts.listener_names
        self._places: dict[str, list[Address]] = {}

    def place(self, part: PeerScript) -> Address | None:
        """Where a client comes in; None: nobody listens there."""
        places = self._places.get(self._names.get(part.listener, ""), [])
        kinds = (part.message_oriented, part.secure)
        return next(
            (each for each in places if (each.message_oriented, each.secure) == kinds), None
        )

    def listen(self, address: Address, listener: Listener) -> Address:
        """See Host."""
        was = self._was.get((listener.name, str(address)))
        real = self._driver.listen(
            Address.parse(was) if isinstance(was, str) else address, listener
        )
        self._places.setdefault(listener.name, []).append(real)
        return real
