"""HTTP after a PROXY header: the client's address in all places, for filters, and on kept
connections."""

from __future__ import annotations

from tests.proxy_protocol.headers import V4
from vcproxy.http.filters import Filter
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.proxy_protocol.encoder import encode_v2
from vcproxy.proxy_protocol.header import ProxyHeader
from vcproxy.proxy_protocol.tlv import Tlv
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.upstream.settings import PoolSettings, UpstreamSettings

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEADER = V4._replace(tlvs=(Tlv(2, b"shop.example"),))
KEPT = UpstreamSettings(pool=PoolSettings(idle=8))


class Noting(Filter):
    """Notes what a filter sees of the client."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, ProxyHeader | None]] = []

    def request_head(self, tx: Transaction) -> None:
        """Note the client."""
        self.seen.append((tx.client, tx.proxied))


def test_filters_and_servers_get_the_announced_client() -> None:
    noting = Noting()
    with SimulatedProxy(
        HttpProxy, filters=[noting], upstream_settings=KEPT, proxy_protocol=True
    ) as proxy:
        client = proxy.client(client_ip="10.0.0.5")
        client.send(encode_v2(HEADER) + GET)
        server = proxy.server()
        proxy.elapse(0.1)
        server.send(OK)
        proxy.elapse(0.1)
        client.send(GET)
        proxy.elapse(0.1)
        server.send(OK)
        proxy.elapse(0.1)
        assert client.received.count(b"ok") == 2
        assert server.received.lower().count(b"x-forwarded-for: 203.0.113.7\r\n") == 2
        assert noting.seen == [("203.0.113.7", HEADER)] * 2
        records = proxy.access_log
    assert [each["client"] for each in records] == ["203.0.113.7:40000"] * 2
    assert [each["proxied_by"] for each in records] == ["10.0.0.5"] * 2


def test_two_clients_of_one_balancer_are_two() -> None:
    noting = Noting()
    with SimulatedProxy(
        HttpProxy, filters=[noting], upstream_settings=KEPT, proxy_protocol=True
    ) as proxy:
        other = V4._replace(source="203.0.113.8")
        for header in (V4, other):
            client = proxy.client(client_ip="10.0.0.5")
            client.send(encode_v2(header) + GET)
            proxy.elapse(0.1)
            server = proxy.peers()[0]
            server.send(OK)
            proxy.elapse(0.1)
            assert client.received.endswith(b"ok")
        assert (
            proxy.connections() == 1
        )  # without announcing clients, servers' connections serve all
        assert [each for each, _ in noting.seen] == ["203.0.113.7", "203.0.113.8"]


def test_without_a_header_there_is_none() -> None:
    noting = Noting()
    with SimulatedProxy(HttpProxy, filters=[noting], upstream_settings=KEPT) as proxy:
        proxy.client(client_ip="192.0.2.9").send(GET)
        proxy.elapse(0.1)
        assert noting.seen == [("192.0.2.9", None)]
