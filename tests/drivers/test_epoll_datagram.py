"""Datagrams under epoll: real sockets, multicast on the loopback interface, segmented sends."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.engine.world import EventRecorder, engine
from vcproxy.drivers import datagrams
from vcproxy.drivers.datagrams import DatagramPort
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.multicast import send_on
from vcproxy.engine.address import Address
from vcproxy.engine.blocks import EMPTY, Block
from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import MESSAGE_OVERHEAD, Reader
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection

TURNS = 500
"""Limit of turns, of 10 ms each, for a condition to hold."""

GROUP = "239.255.77.1"
GROUP6 = "ff12::77:1"


class Receiver(EventRecorder):
    """Reads a VC's datagrams, and sends some."""

    def __init__(self, driver: EpollDriver) -> None:
        super().__init__(driver.engine)
        self._driver = driver
        self.inbox: Reader = self.engine.buffer(message_oriented=True).reader()
        self.outbox = self.engine.buffer(message_oriented=True)
        self._outbox = self.outbox.reader()
        self._got: list[bytes] = []

    def read(self, vc: NetVConnection) -> None:
        with self.mutex.hold(self.engine):
            vc.do_io_read(self, None, self.inbox.buffer)

    def send(self, vc: NetVConnection, *messages: bytes) -> None:
        with self.mutex.hold(self.engine):
            for message in messages:
                self.outbox.write(message)
            if vc.write_vio is None:
                vc.do_io_write(self, None, self._outbox)
            else:
                vc.write_vio.reenable()

    def messages(self) -> list[bytes]:
        """Return all datagrams received so far."""
        self._got += [self.inbox.read_block() for _ in range(self.inbox.blocks)]
        return self._got


class World:
    """A driver and its log."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.driver = EpollDriver(engine(self.log))

    def until(self, condition: Callable[[], object]) -> None:
        for _ in range(TURNS):
            if condition():
                return
            self.driver.turn(0.01)
        raise AssertionError("the condition does not hold")

    def subscribe(self, uri: str) -> tuple[Receiver, NetVConnection]:
        """Return a VC that subscribes to an address, once it is open or has failed."""
        receiver = Receiver(self.driver)
        with receiver.mutex.hold(receiver.engine):
            vc = receiver.engine.subscribe(receiver, Address.parse(uri))
        self.until(lambda: receiver.events)
        return receiver, vc

    def connect(self, uri: str) -> tuple[Receiver, NetVConnection]:
        """Return a VC that is connected to an address, once it is open or has failed."""
        receiver = Receiver(self.driver)
        with receiver.mutex.hold(receiver.engine):
            vc = receiver.engine.connect(receiver, Address.parse(uri))
        self.until(lambda: receiver.events)
        return receiver, vc


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.driver.close()


@pytest.fixture
def other() -> Iterator[socket.socket]:
    """A peer's socket."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


def uri(sock: socket.socket) -> str:
    return f"udp://127.0.0.1:{sock.getsockname()[1]}"


def free_port() -> int:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_a_connected_vc_sends_and_receives_datagrams(world: World, other: socket.socket) -> None:
    receiver, vc = world.connect(uri(other))
    assert receiver.events == [Event.CONNECTED]
    assert vc.message_oriented
    receiver.read(vc)
    receiver.send(vc, b"one", b"two", b"x" * 65_507)
    world.driver.turn(0)
    received = [other.recvfrom(70_000) for _ in range(3)]
    assert [data for data, _ in received] == [b"one", b"two", b"x" * 65_507]
    for data in (b"a", b"", b"b" * 65_507):
        other.sendto(data, received[0][1])
    world.until(lambda: len(receiver.messages()) == 3)
    assert receiver.messages() == [b"a", b"", b"b" * 65_507]
    receiver.send(vc, b"c", EMPTY, EMPTY, b"d", b"e")
    world.driver.turn(0)
    assert [other.recvfrom(70_000)[0] for _ in range(5)] == [b"c", b"", b"", b"d", b"e"]


def test_a_port_without_a_listener_fails_the_vc(world: World) -> None:
    receiver, vc = world.connect(f"udp://127.0.0.1:{free_port()}")
    receiver.read(vc)
    receiver.send(vc, b"hello")
    world.until(lambda: Event.ERROR in receiver.events)
    assert str(vc.error) == "connection refused"


def test_unread_datagrams_stay_in_the_kernel(world: World, other: socket.socket) -> None:
    receiver, vc = world.connect(uri(other))
    receiver.inbox.buffer.water_mark = 10 + MESSAGE_OVERHEAD
    receiver.read(vc)
    receiver.send(vc, b"hello")
    world.driver.turn(0)
    _, peer = other.recvfrom(10)
    for number in range(100):
        other.sendto(b"%09d" % number, peer)
    for _ in range(10):
        world.driver.turn(0.001)
    assert len(receiver.messages()) == 2, "one more than fits"

    def more() -> bool:
        assert vc.read_vio is not None
        vc.read_vio.reenable()
        return len(receiver.messages()) == 100

    world.until(more)
    assert receiver.messages() == [b"%09d" % number for number in range(100)]


def test_a_datagram_too_large_is_dropped_and_the_vc_lives(
    world: World, other: socket.socket
) -> None:
    receiver, vc = world.connect(uri(other))
    receiver.send(vc, b"x" * 70_000, b"small")
    world.driver.turn(0)
    assert other.recv(10) == b"small"
    assert vc.error is None
    assert isinstance(vc.port, DatagramPort)
    assert vc.port.drops is not None
    assert vc.port.drops.count == 1
    assert world.log == [
        f"warning: {vc.name}: a datagram was dropped: too large for the path (70000 bytes)"
    ]


# -- segmented sends ---------------------------------------------------------------------


class Counted:
    """Counts a socket's sends; with `refuses`, an errno, segmented sends fail."""

    def __init__(self, port: DatagramPort, refuses: int = 0) -> None:
        self.sends = self.segmented = 0
        self._refuses = refuses
        self._sock = port._sock
        self._send = port._send
        port._sock = self
        port._send = self.send

    def send(self, data: Block, /) -> int:
        self.sends += 1
        return self._send(data)

    def sendmsg(
        self,
        buffers: Iterable[Block],
        ancdata: Iterable[tuple[int, int, bytes]] = (),
        flags: int = 0,
        address: tuple[str, int] | None = None,
        /,
    ) -> int:
        self.segmented += 1
        if self._refuses:
            raise OSError(self._refuses, "")
        return self._sock.sendmsg(buffers, ancdata, flags, address)

    def recv(self, size: int, /) -> bytes:
        return self._sock.recv(size)

    def recvfrom(self, size: int, /) -> tuple[bytes, tuple[str, int]]:
        return self._sock.recvfrom(size)

    def sendto(self, data: Block, peer: tuple[str, int], /) -> int:
        return self._sock.sendto(data, peer)

    def getsockopt(self, level: int, option: int, /) -> int:
        return self._sock.getsockopt(level, option)

    def close(self) -> None:
        self._sock.close()


def port_of(vc: NetVConnection) -> DatagramPort:
    assert isinstance(vc.port, DatagramPort)
    return vc.port


SIZES = [100] * 70 + [40] + [100, 100, 200, 3]


def test_many_datagrams_go_in_one_segmented_send(world: World, other: socket.socket) -> None:
    _, vc = world.connect(uri(other))
    assert port_of(vc).segments
    counted = Counted(port_of(vc))
    sent = [bytes([number]) * size for number, size in enumerate(SIZES)]
    assert port_of(vc).push_each(sent) == sum(SIZES)
    assert [other.recv(1000) for _ in sent] == sent
    assert (counted.segmented, counted.sends) == (4, 0), (
        "64, 6 and a shorter one, 2, 1 and a shorter one"
    )


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO, errno.ENOPROTOOPT, errno.EMSGSIZE])
def test_where_segmentation_fails_each_datagram_is_sent_alone(
    world: World, other: socket.socket, number: int
) -> None:
    _, vc = world.connect(uri(other))
    counted = Counted(port_of(vc), refuses=number)
    sent = [bytes([number]) * size for number, size in enumerate(SIZES)]
    for _ in range(2):
        assert port_of(vc).push_each(sent) == sum(SIZES)
        assert [other.recv(1000) for _ in sent] == sent
    assert (counted.segmented, counted.sends) == (1, 2 * len(sent)), "segmentation is tried once"


def test_an_old_kernel_gets_no_segmented_sends(
    world: World, other: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagrams, "UDP_SEGMENT", 9999)
    _, vc = world.connect(uri(other))
    assert not port_of(vc).segments
    assert port_of(vc).push_each([b"one", b"two"]) == 6
    assert [other.recv(10), other.recv(10)] == [b"one", b"two"]


def test_a_full_socket_is_written_to_when_it_has_room(world: World, other: socket.socket) -> None:
    receiver, vc = world.connect(uri(other))
    port = port_of(vc)
    real, refusals = port._send, [errno.EAGAIN]

    def full_once(data: Block) -> int:
        if refusals:
            raise BlockingIOError(refusals.pop(), "")
        return real(data)

    port._send = full_once
    receiver.send(vc, b"hello")
    world.driver.turn(0)
    assert not port.writable
    assert port.push(b"too early") == 0
    world.until(lambda: port.writable)
    assert other.recv(10) == b"hello"


# -- listening -------------------------------------------------------------------------------


class Accepted:
    """A listener, and its accepted sessions."""

    def __init__(self, world: World, limit: int = 10, uri: str = "udp://127.0.0.1:0") -> None:
        self.world = world
        self.sessions: list[tuple[Receiver, NetVConnection]] = []
        self.listener = Listener("in", self._accept, world.driver.engine, max_connections=limit)
        self.address = world.driver.listen(Address.parse(uri), self.listener)
        self.target = (self.address.host, self.address.port)

    def _accept(self, vc: NetVConnection) -> None:
        receiver = Receiver(self.world.driver)
        vc.join(receiver.mutex)
        receiver.read(vc)
        self.sessions.append((receiver, vc))


def test_each_source_has_its_own_session(world: World, other: socket.socket) -> None:
    host = Accepted(world)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as another:
        another.settimeout(5)
        for number in range(3):
            other.sendto(b"other %d" % number, host.target)
            another.sendto(b"another %d" % number, host.target)
        world.until(lambda: len(host.sessions) == 2)
        world.driver.turn(0)
        (one, one_vc), (two, two_vc) = host.sessions
        assert one.messages() == [b"other %d" % number for number in range(3)]
        assert two.messages() == [b"another %d" % number for number in range(3)]
        assert one_vc.message_oriented
        one.send(one_vc, b"to one")
        two.send(two_vc, *[b"to two"] * 40)
        world.driver.turn(0)
        assert other.recv(10) == b"to one"
        assert [another.recv(10) for _ in range(40)] == [b"to two"] * 40


def test_over_ipv6(world: World) -> None:
    host = Accepted(world, uri="udp://[::1]:0")
    with closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as client:
        client.settimeout(5)
        client.sendto(b"hello", host.target)
        world.until(lambda: host.sessions)
        ((receiver, vc),) = host.sessions
        assert vc.peer.startswith("[::1]:")
        receiver.send(vc, b"reply")
        world.driver.turn(0)
        assert client.recv(10) == b"reply"


def test_a_closed_listener_keeps_its_sessions_and_opens_no_others(
    world: World, other: socket.socket
) -> None:
    host = Accepted(world)
    other.sendto(b"before", host.target)
    world.until(lambda: host.sessions)
    world.driver.unlisten(host.listener)
    ((receiver, vc),) = host.sessions
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as late:
        late.sendto(b"late", host.target)
        other.sendto(b"after", host.target)
        world.until(lambda: len(receiver.messages()) == 2)
    assert receiver.messages() == [b"before", b"after"]
    assert len(host.sessions) == 1
    with vc.mutex.hold(vc.engine):
        vc.do_io_close()
    world.until(lambda: not world.driver.engine.vcs)
    Accepted(world, uri=str(host.address))  # the address is free again


def test_an_address_is_bound_once(world: World, other: socket.socket) -> None:
    with pytest.raises(OSError, match="in use"):
        Accepted(world, uri=uri(other))


# -- subscribing -----------------------------------------------------------------------------


def test_a_bound_vc_receives_from_all_sources(world: World, other: socket.socket) -> None:
    port = free_port()
    receiver, vc = world.subscribe(f"udp://127.0.0.1:{port}")
    receiver.read(vc)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as another:
        other.sendto(b"one", ("127.0.0.1", port))
        another.sendto(b"two", ("127.0.0.1", port))
        world.until(lambda: len(receiver.messages()) == 2)
    assert receiver.messages() == [b"one", b"two"]


@pytest.mark.parametrize("interface", ["127.0.0.1", "lo"])
@pytest.mark.parametrize("source", ["", "&source=127.0.0.1"])
def test_all_members_of_a_group_receive(world: World, interface: str, source: str) -> None:
    port = free_port()
    at = f"udp://{GROUP}:{port}?interface={interface}"
    receivers = [world.subscribe(at + source) for _ in range(2)]
    other_source, other_vc = world.subscribe(f"{at}&source=127.0.0.9")
    sender, to = world.connect(f"{at}&ttl=0")
    for receiver, vc in [*receivers, (other_source, other_vc)]:
        assert receiver.events == [Event.CONNECTED], vc.error
        receiver.read(vc)
    sent = [b"%d" % number for number in range(100)]
    sender.send(to, *sent)
    world.until(lambda: [receiver.messages() for receiver, _ in receivers] == [sent, sent])
    assert other_source.messages() == []


@pytest.mark.parametrize("interface", ["::1", "lo"])
def test_a_group_of_ipv6_is_joined(world: World, interface: str) -> None:
    """The test only joins: the loopback interface has no route for IPv6 multicast datagrams."""
    at = f"udp://[{GROUP6}]:{free_port()}?interface={interface}"
    for uri in (at, f"{at}&source=2001:db8::9"):
        receiver, vc = world.subscribe(uri)
        assert receiver.events == [Event.CONNECTED], vc.error
    group = "ff120000000000000000000000770001"
    assert f"lo              {group}" in Path("/proc/net/igmp6").read_text()
    filters = Path("/proc/net/mcfilter6").read_text()
    assert f"{group} 20010db8000000000000000000000009" in filters


def test_interface_and_hops_for_sending_to_an_ipv6_group() -> None:
    with closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as sock:
        send_on(sock, Address.parse(f"udp://[{GROUP6}]:5000?interface=lo&ttl=7"))
        lo = socket.if_nametoindex("lo")
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF) == lo
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS) == 7


@pytest.mark.parametrize(
    ("group", "interface", "what"),
    [
        (GROUP, "eth99", "no such interface"),
        (GROUP, "10.99.99.99", "no interface has this address"),
        (GROUP6, "eth99", "no such interface"),
        (GROUP6, "2001:db8::9", "no interface has this address"),
    ],
)
def test_a_missing_interface_is_an_error_with_its_name(
    world: World, group: str, interface: str, what: str
) -> None:
    host = f"[{group}]" if ":" in group else group
    at = f"udp://{host}:{free_port()}?interface={interface}"
    for receiver, vc in (world.subscribe(at), world.connect(at)):
        assert receiver.events == [Event.ERROR]
        text = str(vc.error)
        assert f"interface={interface}: {what}" in text
        assert "use one of" in text
        assert "lo" in text
