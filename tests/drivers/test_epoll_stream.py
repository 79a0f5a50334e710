"""Plain descriptors under epoll: errors and ends, which epoll reports once; urgent data; stdio."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from random import Random

import pytest

from tests.engine.world import EventRecorder
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.stdio import StdioPort
from vcproxy.drivers.epoll.stream import StreamPort
from vcproxy.engine.blocks import Block
from vcproxy.engine.engine import Engine
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.log_function import Level
from vcproxy.engine.net import NetVConnection
from vcproxy.tunnels.one_way import OneWayTunnel

TURNS = 2000
"""Limit of turns, of 10 ms each, for a condition to hold."""

PIECE = b"p" * (256 * 1024)


def quiet(level: Level, text: str, error: Exception | None = None) -> None:
    """Discard a log line."""


class Driven:
    """A driver, and the peers of its VCs."""

    def __init__(self) -> None:
        self.driver = EpollDriver(Engine("net", memory=1 << 30, random=Random(0), log=quiet))
        self._vcs: list[NetVConnection] = []
        self._listener = Listener("in", self._vcs.append, self.driver.engine)
        self._peers: list[socket.socket] = []

    def connect(self) -> tuple[NetVConnection, socket.socket]:
        """Return a VC over TCP and its peer's socket."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            peer = socket.create_connection(listening.getsockname())
            sock, _ = listening.accept()
        sock.setblocking(False)
        peer.setblocking(False)
        self._peers.append(peer)
        self._listener.count_accepted()
        self.driver.adopt(self._listener, sock, "peer", None)
        return self._vcs[-1], peer

    def until(self, condition: Callable[[], object]) -> None:
        """Turn until a condition holds."""
        for _ in range(TURNS):
            if condition():
                return
            self.driver.turn(0.01)
        raise AssertionError("the condition does not hold")

    def receive(self, peer: socket.socket, size: int) -> bytes:
        """Return the next `size` bytes that the peer receives."""
        received = bytearray()

        def complete() -> bool:
            try:
                received.extend(peer.recv(size - len(received)))
            except BlockingIOError:
                pass
            return len(received) == size

        self.until(complete)
        return bytes(received)

    def end(self) -> None:
        """Close the driver and the peers."""
        self.driver.close()
        for peer in self._peers:
            peer.close()


@pytest.fixture
def driven() -> Iterator[Driven]:
    driven = Driven()
    yield driven
    driven.end()


@pytest.mark.parametrize("bridged", [False, True])
def test_urgent_data_is_skipped_and_stops_nothing(driven: Driven, bridged: bool) -> None:
    source, sender = driven.connect()
    sink, receiver = driven.connect()
    engine = driven.driver.engine
    owner = EventRecorder(engine, source.mutex)
    with source.mutex.hold(engine), sink.mutex.hold(engine):
        OneWayTunnel(owner, source, sink).start()
    while bridged and (source.read_vio is None or source.read_vio.bridge is None):
        sent = sender.send(PIECE)
        driven.receive(receiver, sent)
    sender.send(b"abc")
    sender.send(b"!", socket.MSG_OOB)
    sender.send(b"def")
    assert driven.receive(receiver, 6) == b"abcdef"


def test_a_reset_is_reported_while_nothing_is_read(driven: Driven) -> None:
    vc, peer = driven.connect()
    engine = driven.driver.engine
    recorder = EventRecorder(engine, vc.mutex)
    with vc.mutex.hold(engine):
        vc.do_io_read(recorder, 0, recorder.buffer)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    driven.until(lambda: recorder.events)
    assert recorder.events == [Event.ERROR]
    assert str(vc.error) == "connection reset by peer"


def stdio(driver: EpollDriver, fd: int) -> StdioPort:
    """Return the port of a program whose input and output are one open file."""
    return StdioPort(driver, os.dup(fd), os.dup(fd))


def test_the_end_of_output_is_seen_where_input_is_the_same_socket(driven: Driven) -> None:
    peer, ours = socket.socketpair()
    with peer, ours:
        port = stdio(driven.driver, ours.fileno())
        port.shutdown_write()
        peer.settimeout(5)
        ours.close()
        assert peer.recv(1) == b""
        assert not os.get_blocking(port.fd)
        port.release()


def test_the_end_of_output_does_not_make_reading_a_terminal_block(driven: Driven) -> None:
    master, slave = os.openpty()
    port = stdio(driven.driver, slave)
    port.shutdown_write()
    assert not os.get_blocking(port.fd)
    port.release()
    assert os.get_blocking(slave), "the blocking mode is restored"
    os.close(slave)
    os.close(master)


class Passing:
    """A direct path to another VC: it passes each read on, as upper-case letters."""

    def __init__(self, engine: Engine, vc: NetVConnection, sink: NetVConnection) -> None:
        assert vc.read_vio is not None
        vc.read_vio.direct = self
        self.vc = vc
        self.sink = sink
        self.counts: list[int] = []
        self.reported: list[bool] = []
        self._engine = engine

    def accept(self, data: Block) -> bytes | None:
        """See DirectHandler."""
        self.reported.append(self._engine.reported(self.sink))
        if data == b"later":
            self.vc.received(data)
            return None
        return bytes(data).upper()

    def pushed(self, message: bytes, count: int) -> None:
        """See DirectHandler."""
        self.counts.append(count)
        self.vc.mutex.release(self._engine)


def passing(driven: Driven) -> tuple[Passing, EventRecorder, socket.socket, socket.socket]:
    """Return a direct path, the recorder of its VC's events, and the peers of both VCs."""
    vc, peer = driven.connect()
    sink, other = driven.connect()
    engine = driven.driver.engine
    recorder = EventRecorder(engine, vc.mutex)
    with vc.mutex.hold(engine), sink.mutex.hold(engine):
        vc.do_io_read(recorder, None, recorder.buffer)
        sink.do_io_read(EventRecorder(engine, sink.mutex), None, engine.buffer())
        path = Passing(engine, vc, sink)
    driven.driver.turn(0.0)
    return path, recorder, peer, other


def test_a_direct_path_gets_what_is_read_in_place_of_an_event(driven: Driven) -> None:
    path, recorder, peer, other = passing(driven)
    peer.send(b"now")
    assert driven.receive(other, 3) == b"NOW"
    assert path.counts == [3]
    assert recorder.events == []
    peer.send(b"later")
    driven.until(lambda: recorder.events)
    assert recorder.events == [Event.READ_READY]


def test_what_a_port_does_not_take_is_left_to_the_direct_path(driven: Driven) -> None:
    path, _, peer, _ = passing(driven)
    assert isinstance(path.sink.port, StreamPort)
    path.sink.port.writable = False
    peer.send(b"now")
    driven.until(lambda: path.counts)
    assert path.counts == [0]


def test_a_driver_knows_of_which_vcs_it_has_events_in_a_turn(driven: Driven) -> None:
    path, _, peer, other = passing(driven)
    peer.send(b"a")
    driven.until(lambda: path.reported == [False])
    other.send(b"b")
    peer.send(b"c")
    driven.until(lambda: len(path.reported) == 2)
    assert path.reported == [False, True]
