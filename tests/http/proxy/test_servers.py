"""HttpProxy: servers that refuse, close or send invalid data; which requests are sent again."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from vcproxy.drivers.sim import NetworkFaults, Peer
from vcproxy.http.filters import Filter, PhaseResult, Wait
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.upstream.settings import QueueSettings

from .harness import GET, OK, PLAIN, POOLED, Http, answer, chunks, received, request, status


def proxy_status(text: str) -> str:
    """Return the error that a response of the proxy names."""
    found = re.search(r'\nProxy-Status: vcproxy; error=(\w+); details="(\w+): ', text)
    assert found, text
    return f"{text[9:12]} {found[1]} {found[2]}"


def idle(proxy: Http) -> tuple[Peer, Peer]:
    """A client and a server whose connections have carried one request."""
    client = proxy.send(GET)
    server = proxy.server()
    server.send(OK)
    proxy.go()
    received(client)
    received(server)
    return client, server


# -- no connection ---------------------------------------------------------------------------


def test_a_server_that_refuses() -> None:
    with Http(refusing=["server"]) as proxy:
        client = proxy.send(GET, GET)
        proxy.go()
        text = received(client)
        assert proxy_status(text) == "502 connection_refused server"
        # a server's fault: the client's connection stays open
        assert text.count("HTTP/1.1 502") == 2
        assert not client.ended


def test_failed_servers_are_logged() -> None:
    with Http(servers=("a", "b"), refusing=["a", "b"]) as proxy:
        proxy.send(GET)
        proxy.go()
        first, last = proxy.log
        assert "server tcp://a:1 failed: " in first
        assert first.endswith("; trying the next")
        assert "502 for <GET a/> at tcp://b:1: server: " in last


def test_an_upstream_without_room_is_logged() -> None:
    terms = replace(POOLED, max_connections=1, queue=QueueSettings(size=0))
    with Http(terms=terms) as proxy:
        proxy.send(GET)
        proxy.server()
        proxy.send(GET)
        proxy.go()
        assert "> at upstream upstream: proxy: " in proxy.log[-1]


def test_the_next_server_is_tried_for_every_method() -> None:
    with Http(servers=("a", "b"), refusing=["a"]) as proxy:
        client = proxy.send(request("POST", "/", body=b"hello"))
        server = proxy.server("b")
        server.send(OK)
        proxy.go()
        assert received(server).endswith("hello")
        assert received(client).endswith("yes")


def test_a_server_that_cannot_be_reached() -> None:
    with Http(connect_s=2.0, faults=NetworkFaults(latency=(3.0, 3.0))) as proxy:
        client = proxy.send(GET)
        proxy.elapse(20)
        assert proxy_status(received(client)) == "504 connection_timeout server"


def test_a_server_that_has_no_room() -> None:
    terms = replace(POOLED, max_connections=1, queue=QueueSettings(timeout=1.0))
    with Http(terms=terms) as proxy:
        proxy.send(GET)
        proxy.server()
        late = proxy.send(GET)
        proxy.elapse(1.1)
        assert proxy_status(received(late)) == "503 connection_limit_reached proxy"


@pytest.mark.parametrize(
    ("addresses", "data"),
    [
        ([], "502 dns_error server"),
        (["gone"], "502 destination_ip_unroutable server"),
        (["refuses"], "502 connection_refused server"),
        (["gone", "refuses"], "502 connection_refused server"),
        (["refuses", "gone"], "502 connection_refused server"),
    ],
)
def test_reasons_why_a_server_cannot_be_reached(addresses: list[str], data: str) -> None:
    with Http(refusing=["server"]) as proxy:
        proxy.sim.network.names["server"] = addresses
        proxy.sim.network.unroutable.add("gone")
        client = proxy.send(GET)
        proxy.go()
        assert proxy_status(received(client)) == data


def test_a_name_that_is_not_found_in_time() -> None:
    with Http(connect_s=2.0, faults=NetworkFaults(resolve_s=(3.0, 3.0))) as proxy:
        client = proxy.send(GET)
        proxy.elapse(20)
        assert proxy_status(received(client)) == "504 dns_timeout server"
        assert "no address of server in time" in proxy.log[-1]


# -- retries ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_an_idle_connection_that_dies_under_a_request(method: str) -> None:
    with Http() as proxy:
        client, server = idle(proxy)
        data = request(method, "/", body=b"hello" if method == "PUT" else b"")
        client.send(data)
        server.on_data = lambda _: server.reset()
        fresh = proxy.server()
        proxy.go()
        assert received(fresh).endswith("hello" if method == "PUT" else "\n\n")
        fresh.send(answer())
        proxy.go()
        assert status(client) == "HTTP/1.1 200 OK"


def test_a_body_in_chunks_is_sent_anew_too() -> None:
    with Http() as proxy:
        client, server = idle(proxy)
        client.send(request("PUT", "/", "Transfer-Encoding: chunked") + chunks(b"hello"))
        server.on_data = lambda _: server.reset()
        fresh = proxy.server()
        proxy.go()
        assert received(fresh).endswith("\n\n5\nhello\n0\n\n")


def test_a_request_that_is_not_idempotent_is_not_repeated() -> None:
    with Http() as proxy:
        client, server = idle(proxy)
        client.send(request("POST", "/", body=b"once"))
        server.on_data = lambda _: server.reset()
        proxy.go()
        assert proxy_status(received(client)) == "502 connection_terminated server"
        assert proxy.connections() == 1


@pytest.mark.parametrize("way", ["end", "reset"])
def test_nothing_is_sent_twice_whenever_the_server_leaves(way: str) -> None:
    seen = set()
    for seed in range(30):
        with Http(seed=seed) as proxy:
            client, server = idle(proxy)
            client.send(request("POST", "/", body=b"once"))
            for _ in range(seed % 10):
                if not server.received:
                    proxy.sim.step()
            getattr(server, way)()
            proxy.go()
            for peer in proxy.peers()[1:]:
                peer.send(OK)
            proxy.go()
            data = [b"once" in peer.received for peer in proxy.peers()]
            assert data.count(True) <= 1
            answered = data == [False, True]
            assert status(client) == f"HTTP/1.1 {'200 OK' if answered else '502 Bad Gateway'}"
            seen.add(answered)
    assert seen == {True, False}


@pytest.mark.parametrize("fate", ["speaks", "ends", "breaks"])
def test_an_idle_connection_that_becomes_unusable_while_a_filter_waits(fate: str) -> None:
    class Slow(Filter):
        def server_chosen(self, tx: Transaction) -> PhaseResult:
            return Wait("1s")

    with Http(filters=[Slow]) as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        proxy.elapse(1)
        server.send(OK)
        proxy.go()
        received(client)
        received(server)
        client.send(request("POST", "/", body=b"once"))
        proxy.elapse(0.5)
        if fate == "speaks":
            server.send(answer(b"poison", status="408 Request Timeout"))
        elif fate == "ends":
            server.end()
        else:
            server.reset()
        proxy.elapse(1.6)
        proxy.server().send(OK)
        proxy.go()
        assert received(client).endswith("yes")
        assert not received(server)


def test_a_new_connection_that_fails_is_not_retried() -> None:
    with Http() as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        proxy.go()
        server.reset()
        proxy.go()
        assert proxy_status(received(client)) == "502 connection_terminated server"
        assert proxy.connections() == 1


def test_a_request_is_sent_again_only_once() -> None:
    with Http() as proxy:
        client, server = idle(proxy)
        client.send(GET)
        server.on_data = lambda _: server.reset()
        fresh = proxy.server()
        proxy.go()
        fresh.reset()
        proxy.go()
        assert proxy_status(received(client)) == "502 connection_terminated server"
        assert proxy.connections() == 2


def test_retries_can_be_disabled() -> None:
    with Http(options=replace(PLAIN, retries=0)) as proxy:
        client, server = idle(proxy)
        client.send(GET)
        server.on_data = lambda _: server.reset()
        proxy.go()
        assert status(client) == "HTTP/1.1 502 Bad Gateway"
        assert proxy.connections() == 1


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_an_answer_that_has_begun_is_the_only_one(begun: bytes) -> None:
    with Http() as proxy:
        client, server = idle(proxy)
        client.send(GET)
        proxy.go()
        server.send(begun)
        proxy.go()
        server.end()
        proxy.go()
        assert "HTTP/1.1 502 Bad Gateway\n" in received(client)
        assert proxy.connections() == 1


def test_a_streamed_body_is_not_sent_again() -> None:
    with Http() as proxy:
        client, server = idle(proxy)
        client.send(request("PUT", "/", "Content-Length: 10") + b"some ")
        proxy.go()
        server.reset()
        proxy.go()
        text = received(client)
        assert proxy_status(text) == "502 connection_terminated server"
        assert "\nConnection: close\n" in text
        assert client.ended
        assert proxy.connections() == 1


# -- answers that cannot be passed on --------------------------------------------------------


@pytest.mark.parametrize("end", ["end", "reset"])
@pytest.mark.parametrize("first", [b"partial", bytes(100_000)])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_truncated_answer_is_truncated_for_the_client(
    framing: str, first: bytes, end: str
) -> None:
    with Http() as proxy:
        client = proxy.send(GET, GET)
        server = proxy.server()
        if framing == "length":
            server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + first)
        else:
            server.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            server.send(b"%x\r\n%b\r\n" % (len(first), first))
        proxy.go()
        getattr(server, end)()
        proxy.go()
        assert client.reset_seen
        assert not client.received.endswith(b"0\r\n\r\n")
        assert client.received.count(b"HTTP/1.1") == 1
        assert proxy.connections() == 1


def test_an_answer_until_the_end_that_ends_in_a_reset() -> None:
    with Http() as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        server.send(b"HTTP/1.1 200 OK\r\n\r\npart")
        proxy.go()
        server.reset()
        proxy.go()
        assert client.reset_seen
        assert not client.received.endswith(b"0\r\n\r\n")


def test_a_complete_answer_counts_whatever_follows() -> None:
    for data in (OK, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"yes")):
        for end in ("end", "close"):
            with Http() as proxy:
                client = proxy.send(GET)
                server = proxy.server()
                server.send(data)
                getattr(server, end)()
                proxy.go()
                assert "yes" in received(client)
                assert not client.ended
                assert not client.reset_seen


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"SSH-2.0-OpenSSH\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + bytes(40_000).replace(b"\0", b"x"),
        b"HTTP/1.1 200 " + bytes(40_000).replace(b"\0", b"x"),
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
def test_an_invalid_response(data: bytes) -> None:
    with Http() as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        server.send(data)
        proxy.go()
        text = received(client)
        assert text.startswith("HTTP/1.1 502 Bad Gateway\n")
        assert 'details="server: ' in text
        assert not client.ended
        assert server.ended


def test_data_on_an_idle_connection_just_before_its_next_request() -> None:
    """Data of a server without a request must not be sent as the response to the next request."""
    for seed in range(20):
        with Http(seed=seed) as proxy:
            client, server = idle(proxy)
            client.send(GET)
            server.send(answer(b"poison", status="408 Request Timeout"))
            server.end()
            proxy.go()
            if proxy.connections() == 2:
                proxy.peers()[-1].send(OK)
                proxy.go()
                assert received(client).endswith("yes")


def test_failures_of_servers_are_reported_to_their_upstream() -> None:
    with Http() as proxy:
        assert proxy.service.upstream is not None
        [known] = proxy.service.upstream.servers
        client = proxy.send(GET, GET, GET)
        for n in range(2):
            server = proxy.server()
            proxy.go()
            server.send(b"nonsense\r\n\r\n")
            proxy.go()
            assert known.failures == n + 1
        proxy.server().send(OK)
        proxy.go()
        assert known.failures == 0
        assert received(client).count("HTTP/1.1 502") == 2


def test_an_unparsable_answer_does_not_reach_the_client() -> None:
    with Http() as proxy:
        client = proxy.send(GET)
        proxy.server().send(b"Set-Cookie: for=another\r\n\r\n")
        proxy.go()
        text = received(client)
        assert text.startswith("HTTP/1.1 502 Bad Gateway\n")
        assert text.endswith("server: http protocol error\n")
        assert "another" not in text
