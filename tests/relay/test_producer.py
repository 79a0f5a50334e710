"""Producer: passes on whole messages while there is room, and gives its VC back once."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from vcproxy.drivers.sim import Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.engine import Engine
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection
from vcproxy.framing.framing import lines
from vcproxy.relay.options import RelayOptions
from vcproxy.relay.producer import Producer
from vcproxy.relay.relay import Relay
from vcproxy.sessions.service import Service
from vcproxy.testing.machines import check_machine
from vcproxy.tunnels.done import Reason, SourceDone, TunnelRoom

HERE = Address("tcp", "here", 1)


class Watched(Relay):
    """Lets one producer speak, and keeps what it is told."""

    def __init__(self, engine: Engine, service: Service, write: Callable[[str], None]) -> None:
        super().__init__(engine, service, write)
        self.over: list[SourceDone] = []
        self.rooms = 0

    def handle_event(self, key: Hashable, data: object) -> None:
        if isinstance(data, NetVConnection):
            self.producer = Producer(self, data, lines(limit=100))
            self.producer.start()
        elif isinstance(data, SourceDone):
            self.over.append(data)
        elif isinstance(data, TunnelRoom):
            self.rooms += 1
            self.engine.schedule(self.producer, TunnelRoom, data)


class Scene:
    """A relay whose sink is a reader of its tunnel's buffer: it takes what it is told to take."""

    def __init__(self) -> None:
        self.sim = Simulation(seed=1)
        driver = self.sim.driver()
        self.engine = driver.engine
        options = RelayOptions(subscribers=(HERE,), framing="lines")
        self.relay = Watched(self.engine, Service("proxy", options=options), print)
        self.buffer = self.relay.tunnel.buffer
        self.sink = self.buffer.reader()

        def accept(vc: NetVConnection) -> Continuation | None:
            return self.relay.accept(vc)

        driver.listen(HERE, Listener("proxy", accept, self.engine))
        self.peer = self.sim.client(HERE)
        self.sim.run()

    def say(self, data: bytes) -> None:
        self.peer.send(data)
        self.sim.run()

    def take(self) -> bytes:
        """What has come; there is room for more."""
        taken = self.sink.read()
        with self.relay.mutex.hold(self.engine):
            self.relay.tunnel.reenable()
        self.sim.run()
        return taken

    def stop(self) -> None:
        with self.relay.mutex.hold(self.engine):
            self.relay.producer.stop()
        self.sim.run()


def test_it_is_a_sound_machine() -> None:
    assert check_machine(Producer) == set()


def test_it_passes_on_what_is_whole_and_ends_once() -> None:
    scene = Scene()
    scene.say(b"one\ntw")
    assert scene.take() == b"one\n"
    scene.say(b"o\nhalf")
    scene.peer.close()
    scene.sim.run()
    assert scene.take() == b"two\n"
    [over] = scene.relay.over
    assert (over.reason, str(over.error), over.taken) == (
        Reason.EOS,
        "stream ended inside a message",
        12,
    )
    scene.stop()
    assert len(scene.relay.over) == 1


def test_it_waits_for_room_and_reads_no_more_than_it_may_keep() -> None:
    scene = Scene()
    scene.say(b"x\n" * 1_000_000)
    assert scene.relay.tunnel.full
    kept = scene.engine.memory.used
    assert kept < 1 << 20
    taken = len(scene.take())
    while taken < 2_000_000:
        more = len(scene.take())
        assert more, "it has stopped"
        taken += more
    assert scene.relay.over == []


def test_what_it_had_read_goes_on_before_it_is_stopped() -> None:
    scene = Scene()
    scene.say(b"x\n" * 1_000_000)
    assert scene.relay.tunnel.full
    before = scene.buffer.written
    scene.stop()
    [over] = scene.relay.over
    assert over.reason is Reason.STOPPED
    assert scene.buffer.written == over.taken > before


def test_after_an_error_too() -> None:
    scene = Scene()
    scene.say(b"x\n" * 1_000_000)
    before = scene.buffer.written
    scene.peer.reset()
    scene.sim.run()
    [over] = scene.relay.over
    assert over.reason is Reason.ERROR
    assert scene.buffer.written == over.taken > before
