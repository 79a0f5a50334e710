"""HttpProxy: its timeouts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vcproxy.http.filters import Filter, PhaseResult, Wait
from vcproxy.http.proxy.options import HttpTimeouts
from vcproxy.http.proxy.transaction import Transaction

from .harness import GET, OK, PLAIN, Http, answer, chunks, received, request, status

TIMES = replace(
    PLAIN,
    timeouts=HttpTimeouts(head=3.0, body=4.0, stalled=4.0, first_byte=5.0, idle=6.0, active=100.0),
)

POST = request("POST", "/", "Content-Length: 100000")
CHUNKED = request("POST", "/", "Transfer-Encoding: chunked")


class Whole(Filter):
    """Buffers all bodies."""

    def request_body(self, tx: Transaction, body: bytes) -> None: ...

    def response_body(self, tx: Transaction, body: bytes) -> None: ...


class Slow(Filter):
    """Waits for a long time."""

    def request_head(self, tx: Transaction) -> PhaseResult:
        return Wait("50s")


def test_a_head_that_trickles() -> None:
    with Http(options=TIMES) as proxy:
        client = proxy.client()
        for byte in GET[:-1]:
            client.send(bytes([byte]))
            proxy.elapse(0.1)
        assert not client.received
        proxy.elapse(0.7)
        text = received(client)
        assert text.startswith("HTTP/1.1 408 Request Timeout\n")
        assert "\nConnection: close\n" in text
        assert client.ended
        assert proxy.connections() == 0


def test_the_time_for_a_head_begins_with_it() -> None:
    with Http(options=TIMES) as proxy:
        client = proxy.send(GET)
        proxy.server().send(OK)
        proxy.elapse(5)
        client.send(b"G")
        proxy.elapse(2.9)
        client.send(GET[1:])
        proxy.go()
        assert len(proxy.peers()) == 2


@pytest.mark.parametrize("head", [POST, CHUNKED])
@pytest.mark.parametrize("filters", [[], [Whole]])
def test_a_body_that_stalls(head: bytes, filters: list[type[Filter]]) -> None:
    with Http(options=TIMES, filters=filters) as proxy:
        client = proxy.send(head, b"5\r\nhello\r\n")
        proxy.elapse(3.5)
        client.send(b"5\r\nhello\r\n")
        proxy.elapse(3.5)
        assert not client.received
        proxy.elapse(1)
        assert status(client) == "HTTP/1.1 408 Request Timeout"
        assert client.ended
        assert all(server.ended for server in proxy.peers())


@pytest.mark.parametrize("filters", [[], [Whole]])
def test_a_body_that_trickles(filters: list[type[Filter]]) -> None:
    with Http(options=TIMES, filters=filters) as proxy:
        client = proxy.send(POST)
        seconds = 0
        while not client.received and seconds < 100:
            client.send(bytes(90))
            proxy.elapse(1)
            seconds += 1
        assert status(client) == "HTTP/1.1 408 Request Timeout"
        assert 10 <= seconds <= 12
    with Http(options=TIMES, filters=filters) as proxy:
        client = proxy.send(POST)
        for _ in range(30):
            client.send(bytes(110))
            proxy.elapse(1)
        assert not client.received


def test_a_server_that_takes_a_body_slowly_is_not_the_clients_fault() -> None:
    options = replace(TIMES, body_rate=1 << 20)
    with Http(options=options) as proxy:
        client = proxy.send(request("POST", "/", "Content-Length: 10000000"), bytes(9_000_000))
        server = proxy.server()
        server.stall()
        for _ in range(13):
            proxy.elapse(1)
            server.resume()
            server.stall()
            server.received.clear()
        text = received(client)
        assert "408" not in text


def test_time_that_a_filter_took_does_not_count_for_the_client() -> None:
    with Http(options=TIMES, filters=[Slow]) as proxy:
        client = proxy.send(POST)
        proxy.server()
        for _ in range(15):
            client.send(bytes(110))
            proxy.elapse(1)
        assert not client.received


def test_a_server_that_does_not_answer() -> None:
    with Http(options=TIMES) as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        proxy.elapse(4.9)
        assert not client.received
        proxy.elapse(0.2)
        text = received(client)
        assert text.startswith("HTTP/1.1 504 Gateway Timeout\n")
        assert "error=connection_read_timeout" in text
        assert not client.ended
        assert server.ended
        client.send(GET)
        proxy.server().send(OK)
        proxy.go()
        assert received(client).endswith("yes")


def test_the_time_of_a_server_begins_when_it_has_the_body() -> None:
    with Http(options=TIMES) as proxy:
        client = proxy.send(CHUNKED)
        proxy.server()
        for _ in range(5):
            client.send(b"a\r\n0123456789\r\n" * 50)
            proxy.elapse(2)
        client.send(chunks())
        proxy.elapse(4.5)
        assert not client.received
        proxy.elapse(1)
        assert status(client) == "HTTP/1.1 504 Gateway Timeout"


def test_an_answer_that_stalls() -> None:
    with Http(options=TIMES) as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        server.send(answer(bytes(1000))[:-1])
        proxy.elapse(3.9)
        assert not client.reset_seen
        proxy.elapse(0.2)
        assert client.reset_seen
        assert server.reset_seen


def test_a_client_that_stalls_in_its_answer() -> None:
    with Http(options=TIMES) as proxy:
        client = proxy.send(GET)
        client.stall()
        server = proxy.server()
        server.send(answer(bytes(2_000_000)))
        proxy.elapse(4.2)
        assert server.reset_seen
        client.resume()
        proxy.go()
        assert client.reset_seen


def test_an_answer_that_stalls_where_a_filter_wants_all_of_it() -> None:
    with Http(options=TIMES, filters=[Whole]) as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        server.send(answer(bytes(1000))[:-2])
        proxy.elapse(3.5)
        server.send(b"\0")
        proxy.elapse(3.5)
        assert not client.received
        proxy.elapse(1)
        assert status(client) == "HTTP/1.1 504 Gateway Timeout"
        assert not client.ended


def test_a_filter_may_take_as_long_as_the_request() -> None:
    with Http(options=TIMES, filters=[Slow]) as proxy:
        client = proxy.send(GET)
        proxy.elapse(49)
        assert not client.received
        proxy.elapse(1.1)
        proxy.server().send(OK)
        proxy.go()
        assert received(client).endswith("yes")
    options = replace(TIMES, timeouts=HttpTimeouts(active=20.0))
    with Http(options=options, filters=[Slow]) as proxy:
        client = proxy.send(GET, GET)
        proxy.elapse(20.1)
        text = received(client)
        assert text.startswith("HTTP/1.1 504 ")
        assert "\nConnection: close\n" in text
        assert client.ended
        proxy.elapse(31)


@pytest.mark.parametrize("stage", ["the body", "the answer"])
def test_the_active_timeout_limits_the_whole_request(stage: str) -> None:
    with Http(options=replace(TIMES, timeouts=HttpTimeouts(active=20.0))) as proxy:
        client = proxy.send(CHUNKED if stage == "the body" else GET)
        server = proxy.server()
        if stage == "the answer":
            server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(25):
            (client if stage == "the body" else server).send(b"3e8\r\n" + bytes(1000) + b"\r\n")
            proxy.elapse(1)
        if stage == "the body":
            assert status(client) == "HTTP/1.1 408 Request Timeout"
        else:
            assert client.reset_seen
        assert server.ended or server.reset_seen


def test_zero_disables_each_timeout() -> None:
    for_ever = HttpTimeouts(head=0.0, body=0.0, stalled=0.0, first_byte=0.0, idle=0.0, active=0.0)
    with Http(options=replace(PLAIN, timeouts=for_ever, body_rate=0)) as proxy:
        client = proxy.client()
        server = None
        for piece in (GET[:5], GET[5:], POST, bytes(50_000), bytes(50_000)):
            client.send(piece)
            proxy.elapse(2000)
            if piece == GET[5:]:
                server = proxy.server()
                server.send(OK[:-1])
                proxy.elapse(2000)
                server.send(OK[-1:])
                proxy.go()
        assert received(client).endswith("yes")
        proxy.peers()[-1].send(OK)
        proxy.go()
        assert received(client).endswith("yes")


INVITED = request("POST", "/", "Content-Length: 5", "Expect: 100-continue")


def test_a_client_that_waits_for_100_in_vain_gets_408() -> None:
    """The server is not at fault: it may ignore Expect (RFC 9110 10.1.1)."""
    with Http(options=TIMES) as proxy:
        client = proxy.send(INVITED)
        proxy.elapse(5.1)
        assert status(client) == "HTTP/1.1 408 Request Timeout"


EXTENDED = b"1;an=extension\r\nx\r\n"
"""A chunk that is forwarded in fewer bytes: without its extension."""


def test_a_body_in_small_chunks_that_stalls() -> None:
    with Http(options=TIMES) as proxy:
        client = proxy.send(CHUNKED, EXTENDED)
        server = proxy.server()
        for _ in range(10):
            client.send(EXTENDED * 10)
            proxy.go()
        proxy.elapse(4.1)
        assert status(client) == "HTTP/1.1 408 Request Timeout"
        assert server.ended or server.reset_seen
        assert blamed(proxy) == 0


def test_a_body_in_small_chunks_that_trickles() -> None:
    with Http(options=TIMES) as proxy:
        client = proxy.send(CHUNKED)
        for _ in range(10):
            assert not client.received
            client.send(EXTENDED)
            proxy.elapse(1)
        proxy.go()
        assert status(client) == "HTTP/1.1 408 Request Timeout"


@pytest.mark.parametrize("first", [0, 60_000])
def test_a_client_that_does_not_read_is_not_the_servers_failure(first: int) -> None:
    with Http(options=TIMES) as proxy:
        client = proxy.send(GET)
        client.stall()
        reply = answer(bytes(900_000))
        server = proxy.server()
        server.send(reply[: 100 + first])
        proxy.go()
        server.send(reply[100 + first :])
        proxy.elapse(10)
        assert client.reset_seen
        assert blamed(proxy) == 0


def test_a_client_whose_time_is_up_is_not_the_servers_fault() -> None:
    with Http(options=TIMES) as proxy:
        proxy.service = replace(proxy.service, active_s=2.0)
        client = proxy.send(GET)
        server = proxy.server()
        server.send(answer(bytes(1000))[:500])
        proxy.elapse(2.5)
        assert client.reset_seen
        assert blamed(proxy) == 0


def test_a_server_that_stops_within_a_short_answer() -> None:
    with Http(options=TIMES) as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        for _ in range(3):
            server.send(answer(bytes(900))[:300] if not server.sent else bytes(200))
            proxy.elapse(3)
        assert len(client.received) > 600
        proxy.elapse(1.1)
        assert client.reset_seen
        assert blamed(proxy) == 1


def blamed(proxy: Http) -> int:
    """Return how many failures are counted against the server."""
    assert proxy.service.upstream is not None
    return proxy.service.upstream.servers[0].failures


def test_after_100_the_body_timeout_of_the_client_runs() -> None:
    with Http(options=TIMES) as proxy:
        client = proxy.send(INVITED)
        proxy.elapse(3)
        proxy.server().send(b"HTTP/1.1 100 Continue\r\n\r\n")
        proxy.elapse(3)
        assert status(client) == "HTTP/1.1 100 Continue"
        proxy.elapse(1.1)
        assert status(client) == "HTTP/1.1 408 Request Timeout"


# -- what has stopped moving, and what has not -----------------------------------------------------

STALLED = replace(PLAIN, timeouts=HttpTimeouts(body=3.0, stalled=8.0))


def test_the_defaults_end_what_has_stopped_and_nothing_else() -> None:
    """For an hour a server sends every 10 s (a radio), or every 290 s (an event stream)."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"
    radio = {chunked: chunks(b"a" * 1000)[:-5], long: bytes(1000), b"HTTP/1.1 200 OK\r\n\r\n": b"a"}
    for head, piece in radio.items():
        for seconds in (10, 290):
            with Http() as proxy:
                client = proxy.send(GET)
                server = proxy.server()
                server.send(head)
                for _ in range(3600 // seconds):
                    server.send(piece)
                    proxy.elapse(seconds)
                    assert piece in client.received
                    client.received.clear()
                assert not client.reset_seen
                proxy.elapse(301 - seconds)
                assert client.reset_seen
                assert server.reset_seen


@pytest.mark.parametrize("head", [POST, CHUNKED])
def test_a_server_that_takes_nothing_of_a_body(head: bytes) -> None:
    """The server is slow, not the client: `stalled` applies, and the failure is the server's."""
    with Http(options=STALLED) as proxy:
        client = proxy.send(head.replace(b"100000", b"9000000"))
        server = proxy.server()
        server.stall()
        client.send(b"f4240\r\n" + bytes(1_000_000) + b"\r\n")
        proxy.elapse(7.5)
        assert not client.received
        proxy.elapse(1)
        assert status(client) == "HTTP/1.1 504 Gateway Timeout"
        assert blamed(proxy) == 1


@pytest.mark.parametrize("head", [POST, CHUNKED])
def test_the_client_timeout_restarts_when_the_server_drains_the_body(head: bytes) -> None:
    with Http(options=STALLED) as proxy:
        client = proxy.send(head.replace(b"100000", b"9000000"))
        server = proxy.server()
        server.stall()
        client.send(b"f4240\r\n" + bytes(1_000_000) + b"\r\n")
        proxy.elapse(6)
        server.resume()
        proxy.elapse(2.8)
        assert not client.received
        proxy.elapse(10)
        assert status(client) == "HTTP/1.1 408 Request Timeout"
        assert blamed(proxy) == 0


def test_a_short_stalled_timeout_applies_to_the_client_too() -> None:
    for filters in ([], [Whole]):
        options = replace(PLAIN, timeouts=HttpTimeouts(body=30.0, stalled=2.0))
        with Http(options=options, filters=filters) as proxy:
            client = proxy.send(POST)
            proxy.elapse(2.1)
            assert status(client) == "HTTP/1.1 408 Request Timeout"


@pytest.mark.parametrize("held", [False, True])
def test_the_active_timeout_ends_the_wait_for_an_answer_too(held: bool) -> None:
    """The wait ends even if `first_byte` has not expired. This does not count as a failure of the
    server."""
    options = replace(PLAIN, timeouts=HttpTimeouts(first_byte=60.0, active=5.0))
    with Http(options=options, filters=[Whole] if held else []) as proxy:
        client = proxy.send(request("POST", "/", "Content-Length: 4"), b"so")
        proxy.elapse(3)
        client.send(b"me")
        proxy.elapse(1.9)
        assert not client.received
        proxy.elapse(0.2)
        assert status(client) == "HTTP/1.1 504 Gateway Timeout"
        assert blamed(proxy) == 0
