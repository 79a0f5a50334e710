"""HttpProxy: several requests on a connection, answered in order; server connections are reused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vcproxy.http.filters import Filter
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.exchange import Exchange
from vcproxy.http.proxy.options import HttpLimits, HttpTimeouts
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.testing.machines import check_machine

from .harness import GET, OK, PLAIN, Http, answer, chunks, received, request, status

CHUNKED = "Transfer-Encoding: chunked"


class Whole(Filter):
    """Buffers the bodies of requests."""

    def request_body(self, tx: Transaction, body: bytes) -> None: ...


def test_the_machine_of_a_connection() -> None:
    assert check_machine(HttpProxy) == {
        "BETWEEN_REQUESTS DEADLINE",  # only its child states receive DEADLINE
        "BETWEEN_REQUESTS SentRequest",
        "INSIDE_HEAD SentRequest",
    }


def test_the_machine_of_an_exchange() -> None:
    holes = check_machine(Exchange)
    assert {hole.split()[1] for hole in holes} == {
        "CONNECT",
        "CONNECTED",
        "Called",
        "SubrequestsDone",
        "RESUMED",
        "Request",
        "SentRequest",
        "FILE_READY",
        "FILE_FAILED",
    }
    taken = {
        "OPENING_FILE FILE_READY",
        "SENDING_FILE FILE_FAILED",
        "RECEIVED Request",
        "CONNECTING CONNECTED",
        "FILTERING_REQUEST Called",
        "FILTERING_REQUEST SubrequestsDone",
        "FILTERING_RESPONSE RESUMED",
    }
    assert not holes & taken


def test_a_request_and_its_answer() -> None:
    with Http() as proxy:
        client = proxy.send(request("GET", "/x?y", "Accept: a/b"))
        server = proxy.server()
        proxy.go()
        assert received(server) == ("GET /x?y HTTP/1.1\nHost: a\nAccept: a/b\nVia: 1.1 vcproxy\n\n")
        server.send(answer(b"yes", "X: 1"))
        proxy.go()
        assert received(client) == (
            "HTTP/1.1 200 OK\nContent-Length: 3\nX: 1\nVia: 1.1 vcproxy\n\nyes"
        )
        assert not client.ended
        assert not server.ended


def test_both_connections_are_reused() -> None:
    with Http() as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        for _ in range(3):
            server.send(OK)
            proxy.go()
            assert received(client).endswith("yes")
            client.send(GET)
            proxy.go()
        assert proxy.connections() == 1
        assert received(server).count("GET / HTTP/1.1") == 4


def test_another_client_gets_the_idle_connection() -> None:
    with Http() as proxy:
        proxy.send(GET)
        server = proxy.server()
        server.send(OK)
        proxy.go()
        other = proxy.send(request(target="/other"))
        proxy.go()
        server.send(answer(b"other"))
        proxy.go()
        assert proxy.connections() == 1
        assert received(other).endswith("other")


def test_pipelined_requests_are_answered_in_order() -> None:
    with Http() as proxy:
        paths = [f"/{n}" for n in range(5)]
        client = proxy.send(*(request(target=path) for path in paths))
        server = proxy.server()
        for path in paths:
            proxy.go()
            # the next request only after the answer
            assert received(server).startswith(f"GET {path} ")
            server.send(answer(path.encode()))
        proxy.go()
        bodies = [
            text.partition("\n\n")[2] for text in received(client).split("HTTP/1.1 200 OK")[1:]
        ]
        assert bodies == paths


@pytest.mark.parametrize(
    "given",
    [GET, request("POST", "/", body=b"x"), request("POST", "/", CHUNKED) + chunks(b"x")],
)
@pytest.mark.parametrize("filters", [[], [Whole]])
def test_buffered_pipelined_requests_are_bounded(given: bytes, filters: list[type[Filter]]) -> None:
    with Http(filters=filters) as proxy:
        client = proxy.send(given * 40_000)
        server = proxy.server()
        for _ in range(50):
            proxy.go()
            server.send(OK)
        proxy.go()
        assert received(client).count("HTTP/1.1 200 OK") == 50
        (session,) = proxy.sessions
        assert isinstance(session, HttpProxy)
        assert len(session.side.wire.pending) < 200_000


def test_a_thousand_pipelined_requests() -> None:
    options = replace(PLAIN, limits=HttpLimits(requests=2000))
    with Http(options=options) as proxy:
        client = proxy.send(*[GET] * 1000)
        server = proxy.server()
        server.on_data = lambda _: server.send(OK)
        proxy.elapse(1)
        assert received(client).count("200 OK") == 1000


def test_a_thousand_requests_that_the_proxy_answers() -> None:
    options = replace(PLAIN, limits=HttpLimits(requests=2000))
    with Http(options=options) as proxy:
        client = proxy.send(*[request("OPTIONS", "*", "Max-Forwards: 0")] * 1000)
        proxy.elapse(1)
        assert received(client).count("204 No Content") == 1000
        assert proxy.connections() == 0


def test_a_client_that_does_not_read_is_not_served() -> None:
    with Http() as proxy:
        client = proxy.client()
        client.stall()
        client.send(GET * 200)
        server = proxy.server()
        body = bytes(50_000)
        seen = []

        def answered(data: bytes) -> None:
            seen.append(data)
            server.send(answer(body))

        server.on_data = answered
        proxy.elapse(1)
        before = len(seen)
        assert before < 20  # the network holds five answers, and so does the proxy
        assert proxy.engine.memory.used < 500_000
        client.resume()
        proxy.elapse(1)
        assert len(seen) == 200
        assert client.received.count(b"200 OK") == 200


def test_connection_close_is_for_one_side() -> None:
    with Http() as proxy:
        client = proxy.send(request("GET", "/", "Connection: close"))
        server = proxy.server()
        proxy.go()
        assert "Connection" not in received(server)
        server.send(OK)
        proxy.go()
        assert "\nConnection: close\n" in received(client)
        assert client.ended
        assert not server.ended
    with Http() as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        server.send(answer(b"yes", "Connection: close"))
        proxy.go()
        assert "Connection" not in received(client)
        assert not client.ended
        assert server.ended


def test_the_last_request_of_a_connection() -> None:
    with Http(options=replace(PLAIN, limits=HttpLimits(requests=2))) as proxy:
        client = proxy.send(GET, GET, GET)
        server = proxy.server()
        server.on_data = lambda _: server.send(OK)
        proxy.go()
        text = received(client)
        assert text.count("200 OK") == 2
        assert text.count("Connection: close") == 1
        assert client.ended


def test_an_idle_client_is_closed_after_a_time() -> None:
    with Http(options=replace(PLAIN, timeouts=HttpTimeouts(idle=2.0))) as proxy:
        client = proxy.send(GET)
        proxy.server().send(OK)
        proxy.elapse(1.9)
        assert not client.ended
        proxy.elapse(0.2)
        assert client.ended
        assert status(client) == "HTTP/1.1 200 OK"
        quiet = proxy.client()
        proxy.elapse(2.1)
        assert quiet.ended
        assert not quiet.received


def test_a_proxy_in_front_that_keeps_connections_for_a_minute_ends_them_itself() -> None:
    """If this proxy closed at the same time, a request could meet a connection that is closing."""
    with Http() as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        for _ in range(3):
            server.send(OK)
            proxy.go()
            assert received(client).endswith("yes")
            proxy.elapse(60)
            client.send(GET)
            server = proxy.server()
        server.send(OK)
        proxy.elapse(74.9)
        assert not client.ended
        proxy.elapse(0.2)
        assert client.ended


def test_an_old_client() -> None:
    with Http() as proxy:
        client = proxy.send(b"GET / HTTP/1.0\r\n\r\n")
        server = proxy.server()
        proxy.go()
        assert received(server) == "GET / HTTP/1.1\nHost:\nVia: 1.0 vcproxy\n\n"
        server.send(OK)
        proxy.go()
        assert "\nConnection: close\n" in received(client)
        assert client.ended
    with Http() as proxy:
        client = proxy.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        server = proxy.server()
        server.send(OK)
        proxy.go()
        assert "\nConnection: keep-alive\n" in received(client)
        assert not client.ended


def test_an_old_server() -> None:
    with Http() as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        server.send(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nyes")
        proxy.go()
        assert received(client).startswith("HTTP/1.1 200 OK\n")
        assert not client.ended
        assert server.ended
        client.send(GET)
        server = proxy.server()
        server.send(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nyes")
        proxy.go()
        assert not server.ended


def test_unsolicited_data_of_a_server_closes_its_connection() -> None:
    with Http() as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        server.send(OK)
        proxy.go()
        received(client)
        server.send(answer(b"poison"))
        proxy.go()
        assert server.ended
        client.send(GET)
        proxy.server().send(OK)
        proxy.go()
        assert received(client).endswith("yes")


def test_bytes_behind_a_response_are_dropped() -> None:
    for behind in (OK + answer(b"poison"), answer(b"", status="304 Not Modified") + b"poison"):
        with Http() as proxy:
            client = proxy.send(GET)
            server = proxy.server()
            server.send(behind)
            proxy.go()
            assert "poison" not in received(client)
            assert server.ended


def test_bytes_behind_a_long_answer_are_dropped() -> None:
    with Http() as proxy:
        client = proxy.send(GET, GET)
        server = proxy.server()
        server.send(answer(bytes(300_000)) + answer(b"poison"))
        proxy.go()
        assert len(client.received) == client.received.find(b"\r\n\r\n") + 4 + 300_000
        assert server.ended
        proxy.server().send(OK)
        proxy.go()
        assert client.received.endswith(b"yes")
        assert b"poison" not in client.received


def test_idle_connections_are_ended_and_others_after_their_answer() -> None:
    """A drain ends them, and a reload with a changed configuration too."""
    with Http() as proxy:
        idle, busy = proxy.client(), proxy.send(GET)
        server = proxy.server()
        proxy.go()
        retire(proxy)
        proxy.go()
        assert not idle.ended, "its first request may be on its way"
        proxy.elapse(1)
        assert idle.ended
        assert not busy.ended
        server.send(OK)
        proxy.go()
        assert "\nConnection: close\n" in received(busy)
        assert busy.ended
        assert not server.ended, "others may use the upstream"


def retire(proxy: Http) -> None:
    """Mark the service as draining, and drain its sessions."""
    proxy.service.draining = True
    for session in proxy.sessions:
        with session.mutex.hold(proxy.engine):
            session.drain()


def test_draining_waits_for_a_request_on_its_way() -> None:
    """A request that arrives shortly after the drain began is answered; then the connection
    closes."""
    with Http() as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        server.send(OK)
        proxy.elapse(0.5)
        assert "Connection: close" not in received(client)
        retire(proxy)
        proxy.elapse(0.4)
        client.send(GET)
        proxy.go()
        server.send(OK)
        proxy.go()
        text = received(client)
        assert "\nConnection: close\n" in text
        assert text.endswith("yes")
        assert client.ended


def test_draining_closes_a_quiet_connection_at_once() -> None:
    with Http() as proxy:
        client = proxy.send(GET)
        proxy.server().send(OK)
        proxy.elapse(5)
        retire(proxy)
        proxy.elapse(0.01)
        assert client.ended
        assert not client.reset_seen


def test_draining_closes_after_a_response_in_progress() -> None:
    """The head was sent without Connection: close; the client may send one more request."""
    for asks_again in (False, True):
        with Http() as proxy:
            client = proxy.send(GET)
            server = proxy.server()
            server.send(answer(bytes(1000))[:-1])
            proxy.go()
            retire(proxy)
            proxy.elapse(2)
            server.send(b"\0")
            proxy.elapse(0.9)
            assert "Connection: close" not in received(client)
            assert not client.ended
            if asks_again:
                client.send(GET)
                proxy.go()
                server.send(OK)
                proxy.go()
                assert "\nConnection: close\n" in received(client)
            else:
                proxy.elapse(0.2)
            assert client.ended


def test_draining_answers_a_request_whose_head_has_begun() -> None:
    with Http() as proxy:
        client = proxy.send(GET[:10])
        proxy.go()
        retire(proxy)
        proxy.elapse(3)
        client.send(GET[10:])
        proxy.server().send(OK)
        proxy.go()
        text = received(client)
        assert "\nConnection: close\n" in text
        assert text.endswith("yes")
        assert client.ended
