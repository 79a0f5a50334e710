"""PROXY headers on real sockets: cut at every byte, ended early, before TLS, at a Unix socket."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from trustme import CA

from tests.drivers.stream_world import StreamWorld
from tests.proxy_protocol.headers import V4, field, v2
from vcproxy.drivers.certificate_choice import Identity
from vcproxy.drivers.tls_context import server_context
from vcproxy.engine.listener import Listener
from vcproxy.proxy_protocol.encoder import encode_v1, encode_v2
from vcproxy.proxy_protocol.senders import TrustedSenders

HEADER = encode_v2(V4)
LONG = v2(0x21, 0x11, bytes(12) + field(0xE0, bytes(3000)))


class Front:
    """A listener for load balancers of this host."""

    def __init__(self, uri: str) -> None:
        self.world = StreamWorld()
        self.listener: Listener = self.world.listener(uri)
        self.listener.notes_local = True
        self.listener.senders = TrustedSenders([ip_network("127.0.0.0/8")], unix=True)
        (port,) = self.world.driver._listening[self.listener]
        self.address = port.address

    def connect(self) -> socket.socket:
        if self.address.scheme == "unix":
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(self.address.path)
            return sock
        return socket.create_connection((self.address.host, self.address.port))

    def received(self, data: bytes) -> None:
        """Run until the last client has sent these data, after its header."""
        talkers = self.world.talkers
        self.world.run(until=lambda: talkers and talkers[-1].received == data)


@pytest.fixture
def front() -> Iterator[Front]:
    made = Front("tcp://127.0.0.1:0")
    yield made
    made.world.close()


@pytest.mark.parametrize("header", [HEADER, encode_v1(V4), LONG], ids=["v2", "v1", "long"])
def test_a_header_with_data_in_one_segment(front: Front, header: bytes) -> None:
    with front.connect() as client:
        client.sendall(header + b"hello")
        front.received(b"hello")
        (talker,) = front.world.talkers
        assert talker.vc.proxied is not None
        assert talker.vc.real_peer_address == "127.0.0.1"
        assert talker.vc.local == f"127.0.0.1:{front.address.port}"
        assert talker.vc.peer_address == talker.vc.proxied.source
        talker.write(b"answer")
        front.world.run(until=lambda: talker.outgoing.avail == 0)
        assert client.recv(100) == b"answer"


def test_a_header_cut_at_every_byte(front: Front) -> None:
    whole = encode_v2(V4, checksum=True)
    for at in range(1, len(whole) + 1):
        before = len(front.world.talkers)
        with front.connect() as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(whole[:at])
            front.world.run(until=lambda: front.listener.open)
            front.world.driver.turn(0.01)
            assert at == len(whole) or len(front.world.talkers) == before
            client.sendall(whole[at:] + b"data")
            front.world.run(until=lambda before=before: len(front.world.talkers) > before)  # type: ignore[misc]
            front.received(b"data")
            front.world.talkers[-1].close()
        front.world.run(until=lambda: not front.listener.open)
    assert front.world.log == []


def test_a_header_and_the_end_in_one_segment(front: Front) -> None:
    with front.connect() as client:
        client.sendall(HEADER + b"last")
        client.shutdown(socket.SHUT_WR)
        front.received(b"last")
        talker = front.world.talkers[0]
        front.world.run(until=lambda: talker.vc.read_vio is not None and talker.vc.read_vio.over)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"", ""),
        (HEADER[:20], "it ended the connection within its PROXY header, after 20 bytes"),
        (LONG[:2000], "it ended the connection within its PROXY header, after 2000 bytes"),
        (
            b"GET / HTTP/1.1\r\n\r\n",
            "its PROXY header is not valid at byte 0: it does not begin as one",
        ),
    ],
)
def test_a_connection_without_a_complete_header_is_closed(
    front: Front, sent: bytes, why: str
) -> None:
    with front.connect() as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        front.world.run(until=lambda: front.listener.accepted and not front.listener.open)
        client.settimeout(5)
        try:
            assert client.recv(1) == b""
        except ConnectionResetError:
            pass  # the kernel's answer to unread bytes
    assert front.world.talkers == []
    assert [line.partition(" is refused: ")[2] for line in front.world.log] == (
        [why] if why else []
    )


def test_at_a_unix_socket(tmp_path: Path) -> None:
    front = Front(f"unix:{tmp_path}/front")
    with front.connect() as client:
        client.sendall(HEADER)
        client.sendall(b"data")
        front.received(b"data")
        vc = front.world.talkers[0].vc
        assert (vc.peer, vc.real_peer_address) == ("203.0.113.7:40000", "")
    front.world.close()


def test_before_tls(tmp_path: Path) -> None:
    authority = CA()
    leaf = authority.issue_cert("front.example")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    front = Front("tls://127.0.0.1:0")
    front.listener.tls = server_context(*Identity(tmp_path / "cert.pem", tmp_path / "key.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)

    def client() -> None:
        with front.connect() as sock:
            sock.sendall(HEADER)
            with context.wrap_socket(sock, server_hostname="front.example") as secure:
                secure.sendall(b"secret")
                secure.recv(1)

    thread = threading.Thread(target=client)
    thread.start()
    front.received(b"secret")
    vc = front.world.talkers[0].vc
    assert (vc.peer_address, vc.sni) == ("203.0.113.7", "front.example")
    front.world.talkers[0].close()
    front.world.run(until=lambda: not thread.is_alive())
    thread.join()
    front.world.close()
