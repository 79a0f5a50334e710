"""The header that announces a client to servers, and whose connections are reused for whom."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.proxy_protocol.headers import V4, V6
from vcproxy.drivers.sim import Peer
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.plugins.forward import Forward
from vcproxy.proxy_protocol.encoder import LOCAL, UNKNOWN, encode_v1, encode_v2
from vcproxy.proxy_protocol.header import ProxyHeader
from vcproxy.proxy_protocol.parser import parse
from vcproxy.proxy_protocol.tlv import Tlv
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.upstream.announcement import Announcement
from vcproxy.upstream.settings import CheckSettings, PoolSettings, UpstreamSettings

V2 = UpstreamSettings(announcement=Announcement(2))


class Handshake(NamedTuple):
    """The result of a client's TLS handshake."""

    sni: str | None = "shop.example"
    alpn: str | None = "http/1.1"
    peer: str | None = "CN=Anna\\2C B.,O=Example"


def announced(server: Peer) -> ProxyHeader:
    """Return the header that a server has received."""
    parsed = parse(bytes(server.received))
    assert parsed is not None
    return parsed.header


def test_the_client_and_where_it_has_connected_to_in_one_segment() -> None:
    with SimulatedProxy(Forward, upstream_settings=V2) as proxy:
        client = proxy.client(client_ip="203.0.113.7")
        client.send(b"hello")
        server = proxy.server()
        proxy.run()
        header = announced(server)
        assert (header.version, header.protocol, header.source) == (2, "tcp4", "203.0.113.7")
        assert header.source_port
        assert server.received == encode_v2(header) + b"hello"


def test_a_server_that_speaks_first_gets_the_header_too() -> None:
    with SimulatedProxy(Forward, upstream_settings=V2) as proxy:
        client, server = proxy.client(client_ip="203.0.113.7"), proxy.server()
        proxy.run()
        assert announced(server).source == "203.0.113.7"
        server.send(b"220 ready")
        proxy.run()
        assert client.received == b"220 ready"


@pytest.mark.parametrize("version", [1, 2])
def test_the_header_of_a_balancer_is_passed_on(version: int) -> None:
    settings = UpstreamSettings(announcement=Announcement(version))
    encode = encode_v1 if version == 1 else encode_v2
    for header in (V4, V6):
        with SimulatedProxy(Forward, upstream_settings=settings, proxy_protocol=True) as proxy:
            client = proxy.client(client_ip="10.0.0.5")
            client.send(encode_v2(header._replace(tlvs=(Tlv(0xE0, b"x"),))) + b"hello")
            server = proxy.server()
            proxy.run()
            assert server.received == encode(header) + b"hello"


@pytest.mark.parametrize(("version", "local"), [(1, UNKNOWN), (2, LOCAL)])
def test_a_client_without_an_address_is_local_or_unknown(version: int, local: bytes) -> None:
    settings = UpstreamSettings(announcement=Announcement(version))
    with SimulatedProxy(Forward, upstream_settings=settings, proxy_protocol=True) as proxy:
        client = proxy.client(client_ip="10.0.0.5")
        client.send(encode_v2(ProxyHeader(2, False, "unix")) + b"hello")
        server = proxy.server()
        proxy.run()
        assert server.received == local + b"hello"


def test_health_checks_are_local() -> None:
    local = Announcement(2).local
    check = CheckSettings(local, interval=1.0)
    settings = UpstreamSettings(announcement=Announcement(2), check=check)
    with SimulatedProxy(Forward, upstream_settings=settings) as proxy:
        server = proxy.server()
        proxy.elapse(0.5)
        assert server.received == LOCAL
        assert server.ended


# -- fields ----------------------------------------------------------------------------------


def header_with(tlvs: list[str], received: bytes | None = None, tls: bool = True) -> ProxyHeader:
    settings = UpstreamSettings(announcement=Announcement(2, tlvs))
    with SimulatedProxy(
        Forward,
        upstream_settings=settings,
        handshake=Handshake() if tls else None,
        proxy_protocol=received is not None,
        token="abcd",
    ) as proxy:
        client = proxy.client(client_ip="203.0.113.7")
        client.send((received or b"") + b"hello")
        server = proxy.server()
        proxy.run()
        header = announced(server)
        assert server.received.endswith(b"hello")
        return header


def test_the_fields_of_the_clients_own_tls() -> None:
    header = header_with(["alpn", "authority", "ssl", "unique-id", "crc32c"])
    assert (header.alpn, header.authority) == ("http/1.1", "shop.example")
    assert header.unique_id is not None
    assert header.unique_id.startswith(b"abcd-")
    facts = header.tls
    assert facts is not None
    assert (facts.encrypted, facts.certificate, facts.verified) == (True, True, True)
    assert facts.name == "Anna, B."
    assert header.tlvs[0].kind == 3


def test_without_tls_there_is_nothing_to_send_of_it() -> None:
    header = header_with(["alpn", "authority", "ssl"], tls=False)
    assert header.tlvs == ()


def test_received_fields_are_passed_on_unless_the_own_connection_has_them() -> None:
    sent = V4._replace(
        tlvs=(
            Tlv(1, b"h2"),
            Tlv(2, b"a.example"),
            Tlv(4, b"\0\0"),
            Tlv(5, b"id"),
            Tlv(0xEA, b"vpc"),
        )
    )
    received = encode_v2(sent, checksum=True)
    header = header_with(["received"], received, tls=False)
    kept = tuple(each for each in sent.tlvs if each.kind != 4)
    assert header.tlvs == kept
    header = header_with(["received", "alpn", "unique-id", "crc32c"], received)
    assert header.alpn == "http/1.1"
    assert header.unique_id == b"id"
    assert header.authority == "a.example"
    assert header.tlv(0xEA) == b"vpc"
    kinds = [each.kind for each in header.tlvs]
    assert sorted(kinds) == sorted(set(kinds))
    assert header_with(["alpn"], received, tls=False).tlvs == (Tlv(1, b"h2"),)


def test_all_fields_of_the_own_connection_fit_in_a_segment() -> None:
    class Long(NamedTuple):
        sni: str | None = "x" * 1000
        alpn: str | None = "y" * 255
        peer: str | None = "CN=" + "z" * 1000

    settings = UpstreamSettings(
        announcement=Announcement(2, ["alpn", "authority", "ssl", "unique-id", "crc32c"])
    )
    with SimulatedProxy(Forward, upstream_settings=settings, handshake=Long()) as proxy:
        proxy.client(client_ip="2001:db8::7")
        server = proxy.server()
        proxy.run()
        assert announced(server).authority == "x" * 255
        assert len(server.received) < 1220


# -- the pool --------------------------------------------------------------------------------

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_a_kept_connection_is_reused_for_its_client_only() -> None:
    settings = UpstreamSettings(announcement=Announcement(2), pool=PoolSettings(idle=8))
    with SimulatedProxy(HttpProxy, upstream_settings=settings) as proxy:
        first, second = (proxy.client(client_ip=f"203.0.113.{n}") for n in (7, 8))
        first.send(GET)
        kept = proxy.server()
        proxy.elapse(0.1)
        kept.send(OK)
        proxy.elapse(0.1)
        assert first.received.endswith(b"ok")
        assert announced(kept).source == "203.0.113.7"
        second.send(GET)
        other = proxy.server()
        proxy.elapse(0.1)
        assert announced(other).source == "203.0.113.8"
        other.send(OK)
        proxy.elapse(0.1)
        for client, server in ((first, kept), (second, other), (first, kept)):
            before = len(server.received)
            client.send(GET)
            proxy.elapse(0.1)
            assert bytes(server.received[before:]).startswith(b"GET / ")
            server.send(OK)
            proxy.elapse(0.1)
        assert proxy.connections() == 2


def test_a_connection_of_another_client_makes_room() -> None:
    settings = UpstreamSettings(
        announcement=Announcement(2), pool=PoolSettings(idle=8), max_connections=1
    )
    with SimulatedProxy(HttpProxy, upstream_settings=settings) as proxy:
        first, second = (proxy.client(client_ip=f"203.0.113.{n}") for n in (7, 8))
        first.send(GET)
        kept = proxy.server()
        proxy.elapse(0.1)
        kept.send(OK)
        proxy.elapse(0.1)
        second.send(GET)
        other = proxy.server()
        proxy.elapse(0.1)
        assert kept.ended
        assert announced(other).source == "203.0.113.8"


def test_where_a_client_has_connected_to_may_be_unknown() -> None:
    class Client:
        peer, peer_address, proxied, local = "[2001:db8::7]:1", "2001:db8::7", None, ""

    made = Announcement(1).header(Client())  # type: ignore[arg-type]
    assert made == b"PROXY TCP6 2001:db8::7 :: 1 0\r\n"
