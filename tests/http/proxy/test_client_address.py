"""The address of a client behind a trusted proxy: what filters, balancing and servers get."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from tests.http.proxy.harness import OK, POOLED, Http, received, request
from vcproxy.http.filters import Filter
from vcproxy.http.message.forwarded_client import Source
from vcproxy.http.proxy.options import Options
from vcproxy.http.proxy.transaction import Transaction

BALANCER = "10.0.0.1"
BEHIND = Options(trusted=(ip_network("10.0.0.0/8"),), via="")


class Addresses(Filter):
    """Keeps what it gets."""

    def __init__(self, options: object = None) -> None:
        super().__init__(options)
        self.seen: list[tuple[str, str]] = []

    def request_head(self, tx: Transaction) -> None:
        self.seen.append((tx.client, tx.peer_address))


@pytest.mark.parametrize(
    ("client_ip", "source", "client"),
    [
        (BALANCER, "x-forwarded-for", "192.0.2.7"),
        (BALANCER, "forwarded", "198.51.100.1"),
        (BALANCER, "connection", BALANCER),
        ("203.0.113.9", "x-forwarded-for", "203.0.113.9"),
        ("203.0.113.9", "forwarded", "203.0.113.9"),
    ],
)
def test_only_a_trusted_proxy_is_believed(client_ip: str, source: Source, client: str) -> None:
    addresses = Addresses()
    options = replace(BEHIND, client_from=source)
    with Http(options=options, filters=[lambda: addresses]) as proxy:
        peer = proxy.client(client_ip=client_ip)
        fields = "X-Forwarded-For: 1.1.1.1, 192.0.2.7, 10.9.9.9", "Forwarded: for=198.51.100.1"
        peer.send(request("GET", "/", *fields))
        server = proxy.server()
        proxy.go()
        server.send(OK)
        proxy.go()
    assert addresses.seen == [(client, client_ip)]


def test_a_server_gets_the_whole_list() -> None:
    with Http(options=BEHIND) as proxy:
        peer = proxy.client(client_ip=BALANCER)
        peer.send(request("GET", "/", "X-Forwarded-For: 192.0.2.7"))
        server = proxy.server()
        proxy.go()
        assert f"X-Forwarded-For: 192.0.2.7, {BALANCER}\n" in received(server)
        server.send(OK)
        proxy.go()


def test_clients_of_one_balancer_are_spread_by_their_own_addresses() -> None:
    terms = replace(POOLED, balance="hash")
    chosen: dict[str, set[str]] = {}
    with Http(options=BEHIND, servers=("alpha", "beta", "gamma"), terms=terms) as proxy:
        for number in range(24):
            address = f"192.0.2.{number % 12}"
            peer = proxy.client(client_ip=BALANCER)
            peer.send(request("GET", "/", f"X-Forwarded-For: {address}"))
            proxy.go()
            for name in ("alpha", "beta", "gamma"):
                for server in proxy.peers(name):
                    if server.received:
                        server.received.clear()
                        chosen.setdefault(address, set()).add(name)
                        server.send(OK)
            proxy.go()
            assert received(peer).endswith("yes")
    assert all(len(names) == 1 for names in chosen.values())
    assert len({name for names in chosen.values() for name in names}) == 3


def test_the_direct_path_serves_the_requests_without_such_a_field() -> None:
    addresses: list[str] = []
    for direct in (False, True):
        with Http(options=BEHIND, terms=replace(POOLED, balance="hash")) as proxy:
            proxy.engine.direct = direct
            peer = proxy.client(client_ip=BALANCER)
            for fields in ((), (), ("X-Forwarded-For: 192.0.2.7",), ()):
                peer.send(request("GET", "/", *fields))
                proxy.go()
                server = proxy.peers()[-1]
                addresses.append(received(server))
                server.send(OK)
                proxy.go()
    assert addresses[:4] == addresses[4:]
