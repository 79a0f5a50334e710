"""HttpProxy: CONNECT, Upgrade, and requests for servers that clients name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tunnels.harness import BULK
from vcproxy.http.filters import Filter, PhaseResult, Wait
from vcproxy.http.message.messages import Response
from vcproxy.http.proxy.access_list import AccessEntry
from vcproxy.http.proxy.options import AllowedDestinations, Options
from vcproxy.http.proxy.transaction import Transaction

from .harness import GET, OK, PLAIN, Http, answer, received, request, status

ANYWHERE = AllowedDestinations(
    allow=(AccessEntry.parse("server:1"), AccessEntry.parse("*.example:1"))
)
FORWARD = replace(PLAIN, forward=ANYWHERE, connect=ANYWHERE)

UPGRADE = ("Connection: upgrade", "Upgrade: websocket")
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


def connect(place: str = "server:1") -> bytes:
    return f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode()


def test_a_tunnel_to_where_it_is_allowed() -> None:
    with Http(options=FORWARD) as proxy:
        client = proxy.send(connect(), b"early")
        server = proxy.server()
        proxy.go()
        assert received(client) == "HTTP/1.1 200 Connection established\n\n"
        assert received(server) == "early"
        server.send(b"hello")
        client.send(b"bytes")
        client.end()
        proxy.go()
        assert (received(client), received(server)) == ("hello", "bytes")
        assert server.ended
        server.send(BULK)
        server.end()
        proxy.go()
        assert client.received == BULK
        assert client.ended


def test_a_tunnel_is_no_connection_that_has_served() -> None:
    with Http(options=FORWARD) as proxy:
        client = proxy.send(request("GET", "http://server:1/", host="server:1"))
        server = proxy.server()
        server.send(OK)
        proxy.go()
        received(client)
        client.send(connect())
        fresh = proxy.server()
        proxy.go()
        assert status(client) == "HTTP/1.1 200 Connection established"
        assert fresh is not server


@pytest.mark.parametrize(
    ("data", "options", "code"),
    [
        (connect("elsewhere:1"), FORWARD, 403),
        (connect("server:2"), FORWARD, 403),
        (connect(), PLAIN, 403),
        (request("GET", "http://elsewhere:1/", host="elsewhere:1"), FORWARD, 403),
        (request("GET", "https://server:1/", host="server:1"), FORWARD, 403),
        (request("GET", "http://elsewhere:1/", host="server:1"), FORWARD, 403),
        (request("CONNECT", "elsewhere:1", host="server:1"), FORWARD, 403),
    ],
)
def test_connect_that_is_refused(data: bytes, options: Options, code: int) -> None:
    with Http(options=options) as proxy:
        client = proxy.send(data)
        proxy.go()
        assert status(client).startswith(f"HTTP/1.1 {code} ")
        assert client.ended
        assert proxy.connections() == 0


def test_the_target_decides_not_the_host_field() -> None:
    with Http(options=FORWARD) as proxy:
        client = proxy.send(request("GET", "http://server:1/x", host="elsewhere:1"))
        server = proxy.server()
        proxy.go()
        assert received(server).startswith("GET /x HTTP/1.1\nHost: server:1\n")
        server.send(OK)
        client.send(request("CONNECT", "server:1", host="elsewhere"))
        proxy.go()
        assert received(client).endswith("HTTP/1.1 200 Connection established\n\n")


def test_a_tunnel_to_a_server_that_refuses() -> None:
    with Http(options=FORWARD, refusing=["server"]) as proxy:
        client = proxy.send(connect())
        proxy.go()
        assert status(client) == "HTTP/1.1 502 Bad Gateway"


def test_a_tunnel_that_breaks() -> None:
    with Http(options=FORWARD) as proxy:
        client = proxy.send(connect())
        server = proxy.server()
        proxy.go()
        server.reset()
        proxy.go()
        assert client.reset_seen


def test_a_tunnel_that_is_quiet_for_too_long() -> None:
    with Http(options=FORWARD, inactivity_s=5.0) as proxy:
        client = proxy.send(connect())
        server = proxy.server()
        for _ in range(100):
            proxy.elapse(4.0)
            client.send(b"!")
        assert not client.reset_seen
        proxy.elapse(6.0)
        assert client.reset_seen
        assert server.reset_seen


def test_a_request_for_a_server_that_the_client_names() -> None:
    with Http(options=FORWARD) as proxy:
        client = proxy.send(request("GET", "http://server:1/x?y", host="server:1"))
        server = proxy.server()
        proxy.go()
        assert received(server) == "GET /x?y HTTP/1.1\nHost: server:1\nVia: 1.1 vcproxy\n\n"
        server.send(OK)
        proxy.go()
        assert received(client).endswith("yes")
        client.send(request("GET", "http://server:1/z", host="server:1"))
        proxy.go()
        assert received(server).startswith("GET /z ")
        server.end()
        proxy.go()


def test_another_protocol_and_no_byte_of_it_lost() -> None:
    with Http() as proxy:
        client = proxy.send(request("GET", "/chat", *UPGRADE), b"early")
        server = proxy.server()
        proxy.go()
        text = received(server)
        assert "\nConnection: upgrade\nUpgrade: websocket\n" in text
        # bytes sent before 101 are kept: without a switch they would be a request
        assert text.endswith("\n\n")
        server.send(SWITCHED + b"welcome")
        client.send(b" bird")
        proxy.go()
        text = received(client)
        assert text.startswith("HTTP/1.1 101 Switching Protocols\n")
        assert "\nConnection: upgrade\nUpgrade: websocket\n\nwelcome" in text
        assert received(server) == "early bird"
        server.send(b"bye")
        server.end()
        client.end()
        proxy.go()
        assert received(client) == "bye"
        assert client.ended


def test_a_server_that_does_not_switch_protocols() -> None:
    with Http() as proxy:
        client = proxy.send(request("GET", "/chat", *UPGRADE), GET)
        server = proxy.server()
        server.send(answer(b"no"))
        proxy.go()
        assert received(client).endswith("no")
        server.send(OK)
        proxy.go()
        assert received(client).endswith("yes")
        assert proxy.connections() == 1


@pytest.mark.parametrize(
    "data",
    [
        GET,
        request("GET", "/", "Connection: upgrade", "Upgrade: h2c"),
        request("POST", "/", *UPGRADE, "Content-Length: 5"),
        request("POST", "/", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    ],
)
def test_101_without_an_upgrade_request(data: bytes) -> None:
    with Http() as proxy:
        client = proxy.send(data)
        server = proxy.server()
        server.send(SWITCHED + b"HTTP/1.1 200 OK\r\n\r\n")
        proxy.go()
        text = received(client)
        assert text.startswith("HTTP/1.1 502 Bad Gateway\n")
        assert "error=http_upgrade_failed" in text
        assert server.ended


@pytest.mark.parametrize("later", [False, True])
def test_a_filter_sees_a_switch_of_protocols_and_may_refuse_it(later: bool) -> None:
    class Guard(Filter):
        def response_head(self, tx: Transaction) -> PhaseResult:
            if tx.request.target == "/no":
                return Response(403, {}, b"no")
            assert tx.response is not None
            tx.response.fields["X-Seen"] = str(tx.response.status)
            return Wait("1s") if later else None

    with Http(filters=[Guard]) as proxy:
        client = proxy.send(request("GET", "/", *UPGRADE))
        server = proxy.server()
        server.send(SWITCHED + b"early")
        proxy.elapse(0.5)
        server.send(b" bird")
        proxy.elapse(1)
        text = received(client)
        assert text.startswith("HTTP/1.1 101 Switching Protocols\n")
        assert "\nX-Seen: 101\n" in text
        assert text.endswith("\n\nearly bird")
        refused = proxy.send(request("GET", "/no", *UPGRADE))
        server = proxy.server()
        server.send(SWITCHED + b"secret")
        proxy.go()
        text = received(refused)
        assert text.startswith("HTTP/1.1 403 ")
        assert text.endswith("\n\nno")
        assert server.ended


def test_a_server_may_switch_to_a_requested_protocol_only() -> None:
    with Http() as proxy:
        client = proxy.send(request("GET", "/", "Connection: upgrade", "Upgrade: websocket"))
        proxy.server().send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n"
        )
        proxy.go()
        assert status(client) == "HTTP/1.1 502 Bad Gateway"
