"""The laws on real descriptors: TCP, TLS, Unix sockets and stdio, on two engines."""

import os
import pty
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from tests.proxy_protocol.headers import V4
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.descriptor_port import NONE, DescriptorPort
from vcproxy.drivers.epoll.stdio import StdioPort
from vcproxy.drivers.tls_sessions import ClientTls
from vcproxy.engine.address import Address
from vcproxy.engine.engine import Engine
from vcproxy.engine.listener import Listener
from vcproxy.engine.mutex import current
from vcproxy.engine.net import NetVConnection
from vcproxy.proxy_protocol.encoder import encode_v1, encode_v2
from vcproxy.testing.conformance import Law, Pair, Run, Trait, end, laws

from .conftest import Contexts
from .meeting import Caller, meet

PATIENCE_S = 20.0
"""Time limit for a condition to hold, sufficient for a busy machine."""

GLANCE_S = 0.001
"""How long each driver polls in turn."""


class Drivers:
    """Two engines and their drivers, taking turns on one thread."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.home, self.away = self._driver("home"), self._driver("away")

    def _driver(self, name: str) -> EpollDriver:
        def log(level: str, text: str, error: Exception | None = None) -> None:
            self.lines.append(f"{name} {level}: {text}")

        return EpollDriver(Engine(name, memory=1 << 30, random=Random(0), log=log))

    def run(self, until: Callable[[], bool]) -> None:
        """Run both drivers in turn until the condition holds."""
        last = time.monotonic() + PATIENCE_S
        while not until():
            self.home.turn(GLANCE_S)
            self.away.turn(GLANCE_S)
            assert time.monotonic() < last, f"not reached; logged {self.lines}"


@contextmanager
def drivers() -> Iterator[Drivers]:
    """Two drivers; at the end no VC, no byte and no descriptor is left behind."""
    before = os.listdir("/proc/self/fd")
    both = Drivers()
    try:
        yield both
        engines = (both.home.engine, both.away.engine)
        both.run(lambda: not any(engine.vcs for engine in engines))
        assert [engine.memory.used for engine in engines] == [0, 0]
    finally:
        both.home.close()
        both.away.close()
    assert os.listdir("/proc/self/fd") == before


@contextmanager
def connected(
    address: str, server: object = None, client: object = None, header: bytes = b""
) -> Iterator[Pair]:
    """Two VCs connected at an address, with a PROXY header if there is one."""
    with drivers() as both:
        yield meet(
            lambda listener: both.home.listen(Address.parse(address), listener),
            both.home.engine,
            both.away.engine,
            both.run,
            server,
            client,
            header,
        )


@contextmanager
def threaded(address: str) -> Iterator[Pair]:
    """Two VCs on two net threads that switch as often as possible."""
    both = Drivers()
    never = threading.Event()

    def run(until: Callable[[], bool]) -> None:
        last = time.monotonic() + PATIENCE_S
        while not until():
            never.wait(GLANCE_S)
            assert time.monotonic() < last, f"not reached; logged {both.lines}"

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=driver.run) for driver in (both.home, both.away)]
    home, away = both.home.engine, both.away.engine

    def listens(listener: Listener) -> Address:
        real = both.home.listen(Address.parse(address), listener)
        current.engine = None  # from now on the engines belong to their threads
        for thread in threads:
            thread.start()
        return real

    try:
        yield meet(listens, home, away, run)
        run(lambda: not (home.vcs or away.vcs))
        assert (home.memory.used, away.memory.used) == (0, 0)
    finally:
        sys.setswitchinterval(interval)
        both.home.stop()
        both.away.stop()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("law", laws(), ids=str)
def test_two_net_threads(law: Law) -> None:
    with threaded("tcp://127.0.0.1:0") as pair:
        law(pair)


@pytest.mark.parametrize("law", laws(), ids=str)
def test_tcp(law: Law) -> None:
    with connected("tcp://127.0.0.1:0") as pair:
        law(pair)


@pytest.mark.parametrize("law", laws(), ids=str)
def test_tcp_on_a_slow_machine(law: Law, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wait has expired before the next turn begins, as on a busy machine."""
    monkeypatch.setattr(end, "MOMENT_S", 1e-6)
    with connected("tcp://127.0.0.1:0") as pair:
        law(pair)


@pytest.mark.parametrize("law", laws(), ids=str)
def test_the_accepted_end_of_tcp(law: Law) -> None:
    with connected("tcp://127.0.0.1:0") as pair:
        law(Pair(pair.b, pair.a, pair.run))


@pytest.mark.parametrize("law", laws(lacking=(Trait.RESET,)), ids=str)
def test_unix(law: Law, tmp_path: Path) -> None:
    with connected(f"unix:{tmp_path}/socket") as pair:
        law(pair)


@pytest.mark.parametrize("law", laws(), ids=str)
def test_tls(law: Law, contexts: Contexts) -> None:
    with connected("tls://127.0.0.1:0", contexts.server, ClientTls(contexts.client)) as pair:
        law(pair)


@pytest.mark.parametrize("law", laws(), ids=str)
def test_the_accepted_end_of_tls(law: Law, contexts: Contexts) -> None:
    with connected("tls://127.0.0.1:0", contexts.server, ClientTls(contexts.client)) as pair:
        law(Pair(pair.b, pair.a, pair.run))


@pytest.mark.parametrize("law", laws(), ids=str)
def test_tcp_after_a_proxy_header(law: Law) -> None:
    with connected("tcp://127.0.0.1:0", header=encode_v2(V4)) as pair:
        law(Pair(pair.b, pair.a, pair.run))


@pytest.mark.parametrize("law", laws(lacking=(Trait.RESET,)), ids=str)
def test_unix_after_a_proxy_header(law: Law, tmp_path: Path) -> None:
    with connected(f"unix:{tmp_path}/socket", header=encode_v1(V4)) as pair:
        law(pair)


@pytest.mark.parametrize("law", laws(), ids=str)
def test_tls_after_a_proxy_header(law: Law, contexts: Contexts) -> None:
    tls = contexts.server, ClientTls(contexts.client)
    with connected("tls://127.0.0.1:0", *tls, encode_v2(V4, checksum=True)) as pair:
        law(Pair(pair.b, pair.a, pair.run))


def on_descriptors(driver: EpollDriver, source: int, sink: int, run: Run) -> NetVConnection:
    """A VC with separate descriptors for reading and writing, as standard input and output."""
    port = StdioPort(driver, source, sink)
    os.close(source)
    os.close(sink)
    return accepted(driver, port, run)


def accepted(driver: EpollDriver, port: DescriptorPort, run: Run) -> NetVConnection:
    """A VC on a port that a listener has accepted."""
    came: list[NetVConnection] = []
    listener = Listener("listener", came.append, driver.engine)
    listener.count_accepted()
    driver.engine.clock(time.monotonic())
    port.vc = driver.engine.accepted(listener, port, "stdio", secure=False)
    run(lambda: bool(came))
    return came[0]


@pytest.mark.parametrize("law", laws(lacking=(Trait.RESET,)), ids=str)
def test_stdio(law: Law) -> None:
    with drivers() as both:
        there, back = os.pipe(), os.pipe()
        a = on_descriptors(both.home, back[0], there[1], both.run)
        b = on_descriptors(both.away, there[0], back[1], both.run)
        law(Pair(a, b, both.run))


class Cable:
    """A cable between two serial lines: the other ends of two pseudo terminals."""

    def __init__(self) -> None:
        (one, self._one), (two, self._two) = pty.openpty(), pty.openpty()
        self.ends = one, two
        self.paths = os.ttyname(self._one), os.ttyname(self._two)
        self._inside = {one: bytearray(), two: bytearray()}  # to be written there
        for fd in self.ends:
            os.set_blocking(fd, False)

    def move(self) -> None:
        """Move what is there, in both directions; it holds little."""
        one, two = self.ends
        for source, sink in ((one, two), (two, one)):
            inside = self._inside[sink]
            with suppress(BlockingIOError, OSError):
                if len(inside) < 4096:
                    inside += os.read(source, 4096)
            with suppress(BlockingIOError, OSError):
                if inside:
                    del inside[: os.write(sink, inside)]

    def close(self) -> None:
        """Close it."""
        for fd in (*self.ends, self._one, self._two):
            os.close(fd)


@pytest.mark.parametrize("law", laws(lacking=(Trait.RESET, Trait.HALF_CLOSE, Trait.END)), ids=str)
def test_serial(law: Law) -> None:
    with drivers() as both, closing(Cable()) as cable:

        def run(until: Callable[[], bool]) -> None:
            def moved() -> bool:
                cable.move()
                return until()

            both.run(moved)

        ends = [Caller(driver.engine, None) for driver in (both.home, both.away)]
        for end_, path in zip(ends, cable.paths, strict=True):
            end_.engine.schedule(end_, Address, Address.parse(f"serial:{path}?baud=115200"))
        run(lambda: all(each.connected for each in ends))
        law(Pair(ends[0].connected[0], ends[1].connected[0], run))


@pytest.mark.parametrize("law", laws(lacking=(Trait.RESET, Trait.BOTH_WAYS)), ids=str)
def test_fifo(law: Law, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with drivers() as both:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        reader = accepted(both.home, DescriptorPort(both.home, fd, NONE), both.run)
        writer = Caller(both.away.engine, None)
        writer.engine.schedule(writer, Address, Address.parse(f"fifo:{path}"))
        both.run(lambda: bool(writer.connected))
        law(Pair(writer.connected[0], reader, both.run))
