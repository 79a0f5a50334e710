"""Producer: publishes whole messages while there is room, and returns its VC once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from vcproxy.drivers.sim import Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.engine import Engine
from vcproxy.engine.listener import Listener
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.net import NetVConnection
from vcproxy.framing.framing import lines
from vcproxy.relay.producer import Producer
from vcproxy.testing.machines import check_machine
from vcproxy.tunnels.done import Reason, SourceDone, TunnelWritable
from vcproxy.tunnels.one_way_multi import OneWayMultiTunnel

HERE = Address("tcp", "here", 1)


class Unchanged:
    """An editor that changes nothing."""

    def __init__(self) -> None:
        self.producer: NetVConnection | None = None
        self.counts: Counter[str] = Counter()

    def edit(self, message: bytes) -> bytes:
        return message

    def pack(self, messages: list[bytes]) -> list[bytes]:
        return messages

    def log_peer(self, level: str, peer: str, what: str, kind: str = "") -> None:
        pass


class Owner(Continuation):
    """Owns a tunnel and one producer, and records what both report."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, Mutex())
        with self.mutex.hold(engine):
            self.tunnel = OneWayMultiTunnel(self, ends="never", message_oriented=True)
            self.tunnel.start()
        self.done: list[SourceDone] = []

    def accept(self, vc: NetVConnection) -> Continuation:
        vc.join(self.mutex)
        return self

    def handle_event(self, key: Hashable, data: object) -> None:
        if isinstance(data, NetVConnection):
            self.producer = Producer(
                self,
                self.tunnel,
                data,
                lines(limit=100),
                editor=Unchanged(),
                inactivity_s=0.0,
            )
            self.producer.start()
        elif isinstance(data, SourceDone):
            self.done.append(data)
        elif isinstance(data, TunnelWritable):
            self.engine.schedule(self.producer, TunnelWritable, data)


class Harness:
    """A producer, whose only sink is a reader of the tunnel's buffer that the test reads from."""

    def __init__(self) -> None:
        self.sim = Simulation(seed=1)
        driver = self.sim.driver()
        self.engine = driver.engine
        self.owner = Owner(self.engine)
        self.buffer = self.owner.tunnel.buffer
        self.sink = self.buffer.reader()
        driver.listen(HERE, Listener("proxy", self.owner.accept, self.engine))
        self.peer = self.sim.client(HERE)
        self.sim.run()

    def send(self, data: bytes) -> None:
        self.peer.send(data)
        self.sim.run()

    def read(self) -> bytes:
        """What has come; there is room for more."""
        data = self.sink.read()
        with self.owner.mutex.hold(self.engine):
            self.owner.tunnel.reenable()
        self.sim.run()
        return data

    def stop(self) -> None:
        with self.owner.mutex.hold(self.engine):
            self.owner.producer.stop()
        self.sim.run()


def test_the_machine_is_sound() -> None:
    assert check_machine(Producer) == set()


def test_whole_messages_are_published_and_it_ends_once() -> None:
    harness = Harness()
    harness.send(b"one\ntw")
    assert harness.read() == b"one\n"
    harness.send(b"o\nhalf")
    harness.peer.close()
    harness.sim.run()
    assert harness.read() == b"two\n"
    [done] = harness.owner.done
    assert (done.reason, str(done.error), done.received) == (
        Reason.EOS,
        "stream ended inside a message",
        12,
    )
    harness.stop()
    assert len(harness.owner.done) == 1


def test_it_waits_for_room_and_reads_no_more_than_it_may_hold() -> None:
    harness = Harness()
    harness.send(b"x\n" * 1_000_000)
    assert harness.owner.tunnel.full
    assert harness.engine.memory.used < 1 << 20
    received = len(harness.read())
    while received < 2_000_000:
        more = len(harness.read())
        assert more, "it has stopped"
        received += more
    assert harness.owner.done == []


def test_buffered_messages_are_published_before_a_stop() -> None:
    harness = Harness()
    harness.send(b"x\n" * 1_000_000)
    assert harness.owner.tunnel.full
    before = harness.buffer.written
    harness.stop()
    [done] = harness.owner.done
    assert done.reason is Reason.STOPPED
    assert harness.buffer.written == done.received > before


def test_buffered_messages_are_published_after_an_error() -> None:
    harness = Harness()
    harness.send(b"x\n" * 1_000_000)
    before = harness.buffer.written
    harness.peer.reset()
    harness.sim.run()
    [done] = harness.owner.done
    assert done.reason is Reason.ERROR
    assert harness.buffer.written == done.received > before
