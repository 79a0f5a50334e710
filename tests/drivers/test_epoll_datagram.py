"""Datagrams under epoll: real sockets, multicast on the loopback interface, sends that are cut."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.engine.world import Ear, engine
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
"""What has not come to pass in so many turns of 10 ms never will."""

GROUP = "239.255.77.1"
GROUP6 = "ff12::77:1"


class Hearer(Ear):
    """Reads a VC's datagrams, and says some."""

    def __init__(self, driver: EpollDriver) -> None:
        super().__init__(driver.engine)
        self._driver = driver
        self.inbox: Reader = self.engine.buffer(message_oriented=True).reader()
        self.said = self.engine.buffer(message_oriented=True)
        self._outbox = self.said.reader()
        self._got: list[bytes] = []

    def read(self, vc: NetVConnection) -> None:
        with self.mutex.hold(self.engine):
            vc.do_io_read(self, None, self.inbox.buffer)

    def say(self, vc: NetVConnection, *messages: bytes) -> None:
        with self.mutex.hold(self.engine):
            for message in messages:
                self.said.write(message)
            if vc.write_vio is None:
                vc.do_io_write(self, None, self._outbox)
            else:
                vc.write_vio.reenable()

    def messages(self) -> list[bytes]:
        """All that came so far."""
        self._got += [self.inbox.read_block() for _ in range(self.inbox.blocks)]
        return self._got


class World:
    """A driver, its log, and sockets of others."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.driver = EpollDriver(engine(self.log))

    def until(self, condition: Callable[[], object]) -> None:
        for _ in range(TURNS):
            if condition():
                return
            self.driver.turn(0.01)
        raise AssertionError("it never came to that")

    def hear(self, uri: str) -> tuple[Hearer, NetVConnection]:
        """A VC that hears an address, or has been told why not."""
        hearer = Hearer(self.driver)
        with hearer.mutex.hold(hearer.engine):
            vc = hearer.engine.subscribe(hearer, Address.parse(uri))
        self.until(lambda: hearer.heard)
        return hearer, vc

    def connect(self, uri: str) -> tuple[Hearer, NetVConnection]:
        """A VC that sends to an address, or has been told why not."""
        hearer = Hearer(self.driver)
        with hearer.mutex.hold(hearer.engine):
            vc = hearer.engine.connect(hearer, Address.parse(uri))
        self.until(lambda: hearer.heard)
        return hearer, vc


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.driver.close()


@pytest.fixture
def other() -> Iterator[socket.socket]:
    """Somebody else's socket."""
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


def test_a_connected_vc_sends_and_hears_whole_datagrams(world: World, other: socket.socket) -> None:
    hearer, vc = world.connect(uri(other))
    assert hearer.heard == [Event.CONNECTED]
    assert vc.message_oriented
    hearer.read(vc)
    hearer.say(vc, b"one", b"two", b"x" * 65_507)
    world.driver.turn(0)
    heard = [other.recvfrom(70_000) for _ in range(3)]
    assert [data for data, _ in heard] == [b"one", b"two", b"x" * 65_507]
    for data in (b"a", b"", b"b" * 65_507):
        other.sendto(data, heard[0][1])
    world.until(lambda: len(hearer.messages()) == 3)
    assert hearer.messages() == [b"a", b"", b"b" * 65_507]
    hearer.say(vc, b"c", EMPTY, EMPTY, b"d", b"e")
    world.driver.turn(0)
    assert [other.recvfrom(70_000)[0] for _ in range(5)] == [b"c", b"", b"", b"d", b"e"]


def test_a_port_where_nobody_listens_fails_the_vc(world: World) -> None:
    hearer, vc = world.connect(f"udp://127.0.0.1:{free_port()}")
    hearer.read(vc)
    hearer.say(vc, b"anybody?")
    world.until(lambda: Event.ERROR in hearer.heard)
    assert str(vc.error) == "connection refused"


def test_what_is_not_read_stays_in_the_kernel(world: World, other: socket.socket) -> None:
    hearer, vc = world.connect(uri(other))
    hearer.inbox.buffer.water_mark = 10 + MESSAGE_OVERHEAD
    hearer.read(vc)
    hearer.say(vc, b"hello")
    world.driver.turn(0)
    _, peer = other.recvfrom(10)
    for number in range(100):
        other.sendto(b"%09d" % number, peer)
    for _ in range(10):
        world.driver.turn(0.001)
    assert len(hearer.messages()) == 2, "more is not taken than fits, and one"

    def more() -> bool:
        assert vc.read_vio is not None
        vc.read_vio.reenable()
        return len(hearer.messages()) == 100

    world.until(more)
    assert hearer.messages() == [b"%09d" % number for number in range(100)]


def test_a_datagram_too_large_is_dropped_and_the_vc_lives(
    world: World, other: socket.socket
) -> None:
    hearer, vc = world.connect(uri(other))
    hearer.say(vc, b"x" * 70_000, b"small")
    world.driver.turn(0)
    assert other.recv(10) == b"small"
    assert vc.error is None
    assert isinstance(vc.port, DatagramPort)
    assert vc.port.drops is not None
    assert vc.port.drops.count == 1
    assert world.log == [
        f"warning: {vc.name}: a datagram was dropped: too large for the path (70000 bytes)"
    ]


# -- one send for many -----------------------------------------------------------------------


class Counted:
    """A socket's sends, counted; `refuses` fails those that are to be cut."""

    def __init__(self, port: DatagramPort, refuses: int = 0) -> None:
        self.sends = self.cut = 0
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
        self.cut += 1
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


def test_the_kernel_cuts_one_send_to_many(world: World, other: socket.socket) -> None:
    _, vc = world.connect(uri(other))
    assert port_of(vc).segments
    counted = Counted(port_of(vc))
    said = [bytes([number]) * size for number, size in enumerate(SIZES)]
    assert port_of(vc).push_each(said) == sum(SIZES)
    assert [other.recv(1000) for _ in said] == said
    assert (counted.cut, counted.sends) == (4, 0), "64, 6 and a shorter one, 2, 1 and a shorter one"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO, errno.ENOPROTOOPT, errno.EMSGSIZE])
def test_where_nothing_cuts_each_is_sent_by_itself(
    world: World, other: socket.socket, number: int
) -> None:
    _, vc = world.connect(uri(other))
    counted = Counted(port_of(vc), refuses=number)
    said = [bytes([number]) * size for number, size in enumerate(SIZES)]
    for _ in range(2):
        assert port_of(vc).push_each(said) == sum(SIZES)
        assert [other.recv(1000) for _ in said] == said
    assert (counted.cut, counted.sends) == (1, 2 * len(said)), "it is tried once"


def test_an_old_kernel_is_not_asked_to_cut(
    world: World, other: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagrams, "UDP_SEGMENT", 9999)
    _, vc = world.connect(uri(other))
    assert not port_of(vc).segments
    assert port_of(vc).push_each([b"one", b"two"]) == 6
    assert [other.recv(10), other.recv(10)] == [b"one", b"two"]


def test_a_full_socket_is_waited_for(world: World, other: socket.socket) -> None:
    hearer, vc = world.connect(uri(other))
    port = port_of(vc)
    real, refusals = port._send, [errno.EAGAIN]

    def full_once(data: Block) -> int:
        if refusals:
            raise BlockingIOError(refusals.pop(), "")
        return real(data)

    port._send = full_once
    hearer.say(vc, b"hello")
    world.driver.turn(0)
    assert not port.writable
    assert port.push(b"too early") == 0
    world.until(lambda: port.writable)
    assert other.recv(10) == b"hello"


# -- listening -------------------------------------------------------------------------------


class Guests:
    """What a listener accepts."""

    def __init__(self, world: World, most: int = 10, uri: str = "udp://127.0.0.1:0") -> None:
        self.world = world
        self.guests: list[tuple[Hearer, NetVConnection]] = []
        self.listener = Listener("in", self._accept, world.driver.engine, max_connections=most)
        self.address = world.driver.listen(Address.parse(uri), self.listener)
        self.place = (self.address.host, self.address.port)

    def _accept(self, vc: NetVConnection) -> None:
        hearer = Hearer(self.world.driver)
        vc.join(hearer.mutex)
        hearer.read(vc)
        self.guests.append((hearer, vc))


def test_one_socket_tells_its_sources_apart(world: World, other: socket.socket) -> None:
    host = Guests(world)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as another:
        another.settimeout(5)
        for number in range(3):
            other.sendto(b"other %d" % number, host.place)
            another.sendto(b"another %d" % number, host.place)
        world.until(lambda: len(host.guests) == 2)
        world.driver.turn(0)
        (one, one_vc), (two, two_vc) = host.guests
        assert one.messages() == [b"other %d" % number for number in range(3)]
        assert two.messages() == [b"another %d" % number for number in range(3)]
        assert one_vc.message_oriented
        one.say(one_vc, b"to one")
        two.say(two_vc, *[b"to two"] * 40)
        world.driver.turn(0)
        assert other.recv(10) == b"to one"
        assert [another.recv(10) for _ in range(40)] == [b"to two"] * 40


def test_over_ipv6(world: World) -> None:
    host = Guests(world, uri="udp://[::1]:0")
    with closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as client:
        client.settimeout(5)
        client.sendto(b"hello", host.place)
        world.until(lambda: host.guests)
        ((hearer, vc),) = host.guests
        assert vc.peer.startswith("[::1]:")
        hearer.say(vc, b"welcome")
        world.driver.turn(0)
        assert client.recv(10) == b"welcome"


def test_a_listener_closed_keeps_its_sessions_and_takes_no_others(
    world: World, other: socket.socket
) -> None:
    host = Guests(world)
    other.sendto(b"before", host.place)
    world.until(lambda: host.guests)
    world.driver.unlisten(host.listener)
    ((hearer, vc),) = host.guests
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as late:
        late.sendto(b"late", host.place)
        other.sendto(b"after", host.place)
        world.until(lambda: len(hearer.messages()) == 2)
    assert hearer.messages() == [b"before", b"after"]
    assert len(host.guests) == 1
    with vc.mutex.hold(vc.engine):
        vc.do_io_close()
    world.until(lambda: not world.driver.engine.vcs)
    Guests(world, uri=str(host.address))  # nobody has it any more


def test_an_address_is_bound_once(world: World, other: socket.socket) -> None:
    with pytest.raises(OSError, match="in use"):
        Guests(world, uri=uri(other))


# -- hearing ---------------------------------------------------------------------------------


def test_a_vc_hears_everybody_who_sends_to_an_address(world: World, other: socket.socket) -> None:
    port = free_port()
    hearer, vc = world.hear(f"udp://127.0.0.1:{port}")
    hearer.read(vc)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as another:
        other.sendto(b"one", ("127.0.0.1", port))
        another.sendto(b"two", ("127.0.0.1", port))
        world.until(lambda: len(hearer.messages()) == 2)
    assert hearer.messages() == [b"one", b"two"]


@pytest.mark.parametrize("interface", ["127.0.0.1", "lo"])
@pytest.mark.parametrize("source", ["", "&source=127.0.0.1"])
def test_many_hear_a_group(world: World, interface: str, source: str) -> None:
    port = free_port()
    at = f"udp://{GROUP}:{port}?interface={interface}"
    hearers = [world.hear(at + source) for _ in range(2)]
    stranger, strange = world.hear(f"{at}&source=127.0.0.9")
    sender, to = world.connect(f"{at}&ttl=0")
    for hearer, vc in [*hearers, (stranger, strange)]:
        assert hearer.heard == [Event.CONNECTED], vc.error
        hearer.read(vc)
    said = [b"%d" % number for number in range(100)]
    sender.say(to, *said)
    world.until(lambda: [hearer.messages() for hearer, _ in hearers] == [said, said])
    assert stranger.messages() == []


@pytest.mark.parametrize("interface", ["::1", "lo"])
def test_a_group_of_ipv6_is_joined(world: World, interface: str) -> None:
    """Joined only: without a route of its own the loopback interface carries none of it."""
    at = f"udp://[{GROUP6}]:{free_port()}?interface={interface}"
    for uri in (at, f"{at}&source=2001:db8::9"):
        hearer, vc = world.hear(uri)
        assert hearer.heard == [Event.CONNECTED], vc.error
    group = "ff120000000000000000000000770001"
    assert f"lo              {group}" in Path("/proc/net/igmp6").read_text()
    filters = Path("/proc/net/mcfilter6").read_text()
    assert f"{group} 20010db8000000000000000000000009" in filters


def test_the_way_out_to_a_group_of_ipv6() -> None:
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
def test_an_interface_that_is_not_there_is_named(
    world: World, group: str, interface: str, what: str
) -> None:
    host = f"[{group}]" if ":" in group else group
    at = f"udp://{host}:{free_port()}?interface={interface}"
    for hearer, vc in (world.hear(at), world.connect(at)):
        assert hearer.heard == [Event.ERROR]
        text = str(vc.error)
        assert f"interface={interface}: {what}" in text
        assert "use one of" in text
        assert "lo" in text
