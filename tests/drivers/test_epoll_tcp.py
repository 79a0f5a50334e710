"""TCP options: set on both sides, inherited by accepted connections; and their effects."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.engine.world import EventRecorder, engine
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.stream import StreamPort
from vcproxy.engine.address import Address
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.tcp import TcpOptions

ADDRESS = Address("tcp", "127.0.0.1", 0)


def options(vc: NetVConnection) -> tuple[int, ...]:
    """Return TCP_NODELAY, keep-alive and its three settings, and the user timeout."""
    port = vc.port
    assert isinstance(port, StreamPort)
    assert port.sock is not None
    names = (
        (socket.IPPROTO_TCP, socket.TCP_NODELAY),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    )
    return tuple(port.sock.getsockopt(*name) for name in names)


@pytest.fixture
def driver() -> Iterator[EpollDriver]:
    with closing(EpollDriver(engine())) as driver:
        yield driver


def pair(
    driver: EpollDriver, listener: Listener, address: Address, tcp: TcpOptions
) -> list[NetVConnection]:
    """Return both VCs of a connection of the driver to itself: the client's and the server's."""
    accepted: list[NetVConnection] = []
    listener.acceptor = accepted.append
    recorder = EventRecorder(driver.engine)
    with recorder.mutex.hold(driver.engine):
        outgoing = driver.engine.outgoing(recorder, "out")
        outgoing.start(address, tcp=tcp, timeout=15.0)
    for _ in range(1000):
        if accepted and recorder.events:
            break
        driver.turn(0.01)
    assert recorder.events == [Event.CONNECTED]
    return [outgoing.vc, *accepted]


@pytest.mark.parametrize(("tcp", "expected"), [
    (TcpOptions(), (1, 1, 60, 10, 6, 0)),
    (TcpOptions(keepalive=2.0, user_timeout=1.5), (1, 1, 2, 1, 2, 1500)),
    (TcpOptions(keepalive=1.0), (1, 1, 1, 1, 1, 0)),
    (TcpOptions(keepalive=32767.0), (1, 1, 32767, 5461, 6, 0)),
])  # fmt: skip
def test_options_are_set_on_both_sides(
    driver: EpollDriver, tcp: TcpOptions, expected: tuple[int, ...]
) -> None:
    listener = Listener("in", lambda _: None, driver.engine, tcp=tcp)
    address = driver.listen(ADDRESS, listener)
    assert [options(vc) for vc in pair(driver, listener, address, tcp)] == [expected] * 2


def test_keep_alive_can_be_disabled(driver: EpollDriver) -> None:
    off = TcpOptions(keepalive=0.0)
    listener = Listener("in", lambda _: None, driver.engine, tcp=off)
    address = driver.listen(ADDRESS, listener)
    for vc in pair(driver, listener, address, off):
        assert options(vc)[:2] == (1, 0)


def test_changed_options_apply_to_new_connections(driver: EpollDriver) -> None:
    listener = Listener("in", lambda _: None, driver.engine)
    address = driver.listen(ADDRESS, listener)
    before = pair(driver, listener, address, TcpOptions())[1]
    listener.tcp = TcpOptions(keepalive=30.0, user_timeout=5.0)
    driver.renew(ADDRESS, listener)
    after = pair(driver, listener, address, TcpOptions())[1]
    assert options(before)[2:] == (60, 10, 6, 0)
    assert options(after)[2:] == (30, 5, 6, 5000)


TCP_REPAIR = 19
"""linux/tcp.h: a socket closed in this mode sends nothing to its peer."""


@pytest.mark.parametrize("keepalive", [0.0, 1.0])
def test_keep_alive_detects_a_vanished_peer(driver: EpollDriver, keepalive: float) -> None:
    listener = Listener("in", lambda _: None, driver.engine, tcp=TcpOptions(keepalive=keepalive))
    address = driver.listen(ADDRESS, listener)
    accepted: list[NetVConnection] = []
    listener.acceptor = accepted.append
    with socket.create_connection((address.host, address.port)) as peer:
        for _ in range(1000):
            if accepted:
                break
            driver.turn(0.01)
        [vc] = accepted
        recorder = EventRecorder(driver.engine, vc.mutex)
        with recorder.mutex.hold(driver.engine):
            vc.do_io_read(recorder, None, recorder.buffer)
        try:
            peer.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        except PermissionError:
            pytest.skip("TCP_REPAIR needs root")
    for _ in range(1500 if keepalive else 200):
        driver.turn(0.01)
        if recorder.events:
            break
    assert recorder.events == ([Event.ERROR] if keepalive else [])


def test_data_not_acknowledged_in_time_fails_the_connection(driver: EpollDriver) -> None:
    """The user timeout also ends a connection to a peer that does not read (RFC 5482): so it is
    off by default."""
    listener = Listener("in", lambda _: None, driver.engine)
    address = driver.listen(ADDRESS, listener)
    vc, _ = pair(driver, listener, address, TcpOptions(user_timeout=0.5))
    recorder = EventRecorder(driver.engine, vc.mutex)
    recorder.outward.write(bytes(16 << 20))
    with recorder.mutex.hold(driver.engine):
        vc.do_io_write(recorder, None, recorder.outgoing)
    for _ in range(1500):
        if vc.error is not None:
            break
        driver.turn(0.01)
    assert str(vc.error) == "connection timed out"
