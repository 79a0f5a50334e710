"""TLS ports under epoll: what one message costs in system calls."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from trustme import CA

from tests.engine.world import EventRecorder
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.stream import ByteStream
from vcproxy.drivers.epoll.tls_port import TlsPort
from vcproxy.drivers.tls import RECORD, TlsFilter
from vcproxy.drivers.tls_context import client_context, server_context
from vcproxy.engine.blocks import Block
from vcproxy.engine.engine import Engine
from vcproxy.engine.listener import Listener
from vcproxy.engine.log_function import Level
from vcproxy.engine.net import NetVConnection
from vcproxy.tunnels.one_way import OneWayTunnel

TURNS = 2000
"""Limit of turns, of 10 ms each, for a condition to hold."""


def quiet(level: Level, text: str, error: Exception | None = None) -> None:
    """Discard a log line."""


class Client:
    """The client's end of a TLS connection."""

    def __init__(self, sock: socket.socket, tls: TlsFilter) -> None:
        self.sock = sock
        self.tls = tls
        self.received = b""

    def step(self) -> None:
        """Continue the handshake, or read received data."""
        try:
            self.tls.feed(self.sock.recv(1 << 16))
        except BlockingIOError:
            pass
        if not self.tls.established:
            self.tls.handshake()
        while self.tls.established and (data := self.tls.read(RECORD)):
            self.received += data
        self.flush()

    @property
    def has_ticket(self) -> bool:
        """Whether a session ticket has been received."""
        session = self.tls._object.session
        return session is not None and session.has_ticket

    def has(self, size: int) -> bool:
        """Return whether that many bytes have been received."""
        return len(self.received) == size

    def flush(self) -> None:
        """Send all ciphertext."""
        while wire := self.tls.ciphertext():
            self.tls.sent(self.sock.send(wire))

    def send(self, data: bytes) -> None:
        """Send data in one record."""
        assert self.tls.write([data]) == len(data)
        self.flush()


class End(NamedTuple):
    """A VC of the driver, and the client that it serves."""

    vc: NetVConnection
    client: Client
    calls: list[str]
    """The system calls of the VC's port, since the handshake."""


class Driven:
    """A driver with TLS clients."""

    def __init__(self, folder: Path) -> None:
        ca = CA()
        ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        pem = folder / "site.pem"
        ca.issue_cert("site.example").private_key_and_cert_chain_pem.write_to_path(str(pem))
        self.server, self.client = server_context(pem, pem), client_context(ca=folder / "ca.pem")
        self.driver = EpollDriver(Engine("net", memory=1 << 30, random=Random(0), log=quiet))
        self._vcs: list[NetVConnection] = []
        self._listener = Listener("in", self._vcs.append, self.driver.engine)
        self._peers: list[socket.socket] = []

    def connect(self) -> End:
        """Return a VC over TLS and its client, after the handshake."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            peer = socket.create_connection(listening.getsockname())
            sock, _ = listening.accept()
        sock.setblocking(False)
        peer.setblocking(False)
        self._peers.append(peer)
        tls = TlsFilter(self.client, server_side=False, server_hostname="site.example")
        client = Client(peer, tls)
        number = len(self._vcs)
        self._listener.count_accepted()
        self.driver.adopt(self._listener, sock, "peer", self.server)
        self.until(client, lambda: len(self._vcs) > number)
        vc = self._vcs[number]
        calls: list[str] = []
        port = vc.port
        assert isinstance(port, TlsPort)
        port._io = Counted(port._io, calls)
        return End(vc, client, calls)

    def tunnel(self, source: End, sink: End) -> None:
        """Pass on what one client sends to another."""
        engine = self.driver.engine
        owner = EventRecorder(engine, source.vc.mutex)
        with source.vc.mutex.hold(engine), sink.vc.mutex.hold(engine):
            OneWayTunnel(owner, source.vc, sink.vc).start()
        self.driver.turn(0)
        del source.calls[:]

    def until(self, client: Client, condition: Callable[[], bool]) -> None:
        """Run turns of the driver, and step the client, until a condition holds."""
        for _ in range(TURNS):
            client.step()
            if condition():
                return
            self.driver.turn(0.01)
        raise AssertionError("the condition does not hold")

    def end(self) -> None:
        """Close the driver and the clients."""
        self.driver.close()
        for peer in self._peers:
            peer.close()


class Counted:
    """A ByteStream that notes its calls."""

    def __init__(self, stream: ByteStream, calls: list[str]) -> None:
        self.recv, self.sendmsg = stream.recv, stream.sendmsg
        self._stream, self._calls = stream, calls

    def recv_into(self, view: memoryview) -> int:
        self._calls.append("recv")
        return self._stream.recv_into(view)

    def send(self, data: Block) -> int:
        self._calls.append("send")
        return self._stream.send(data)


@pytest.fixture
def driven(tmp_path: Path) -> Iterator[Driven]:
    driven = Driven(tmp_path)
    yield driven
    driven.end()


@pytest.mark.parametrize("size", [1, 5000, RECORD])
def test_a_message_costs_one_receive_and_one_send(driven: Driven, size: int) -> None:
    source, sink = driven.connect(), driven.connect()
    driven.tunnel(source, sink)
    for number in range(1, 4):
        source.client.send(bytes(size))
        driven.until(sink.client, partial(sink.client.has, number * size))
    assert sink.calls == ["send"] * 3
    assert source.calls == ["recv"] * 3


def test_a_client_that_only_uploads_is_sent_nothing(driven: Driven) -> None:
    """Session tickets that the client does not read would turn its close into a reset."""
    source, sink = driven.connect(), driven.connect()
    driven.tunnel(source, sink)
    source.client.send(b"uploaded")
    driven.until(sink.client, lambda: sink.client.has(8))
    source.client.step()
    assert not source.client.has_ticket
    assert sink.client.has_ticket
