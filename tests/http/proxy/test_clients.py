"""HttpProxy: clients that close at any time, connect too often, or send invalid requests."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from functools import partial

import pytest

from vcproxy.drivers.sim import NetworkFaults
from vcproxy.drivers.sim.network import EPOCH
from vcproxy.http.filters import Filter, PhaseResult, Wait
from vcproxy.http.message.messages import Response
from vcproxy.http.proxy.access_list import AccessEntry
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.options import AllowedDestinations, HttpLimits, HttpTimeouts
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.machine.state import State
from vcproxy.upstream.settings import QueueSettings

from .harness import GET, OK, PLAIN, POOLED, Http, answer, chunks, received, request, stage, status

CHUNKED = "Transfer-Encoding: chunked"


class Pausing(Filter):
    """Waits a second in each phase of heads, and buffers all bodies."""

    def request_head(self, tx: Transaction) -> PhaseResult:
        return Wait("1s")

    def request_body(self, tx: Transaction, body: bytes) -> None: ...

    def server_chosen(self, tx: Transaction) -> PhaseResult:
        return Wait("1s")

    def response_head(self, tx: Transaction) -> PhaseResult:
        return Wait("1s")

    def response_body(self, tx: Transaction, body: bytes) -> None: ...


@pytest.mark.parametrize("way", ["reset", "close", "end"])
def test_a_client_that_leaves_at_any_time(way: str) -> None:
    """The client leaves in each state of a request: then no connection, memory or timer is left."""
    options = replace(PLAIN, timeouts=HttpTimeouts(body=2.0, stalled=2.0, first_byte=2.0))
    slow = NetworkFaults(latency=(0.1, 0.1))
    met: set[str] = set()
    for tenths in range(60):
        with Http(options=options, filters=[Pausing], faults=slow) as proxy:
            client = proxy.send(request("PUT", "/", "Content-Length: 1000"))
            proxy.sim.clock.after(1.7, partial(client.send, bytes(1000)))
            for _ in range(tenths):
                proxy.elapse(0.1)
                for server in proxy.peers():
                    if server.received and not server.sent:
                        server.send(answer(bytes(100_000))[:50_000])
            met.update(map(stage, proxy.sessions))
            getattr(client, way)()
            # a half-closed client still gets its answer
            proxy.elapse(8.0 if way == "close" else 0.2)
    states = {
        "FILTERING_REQUEST",
        "BUFFERING_REQUEST",
        "CONNECTING",
        "AWAITING_RESPONSE",
        "FILTERING_RESPONSE",
        "BUFFERING_RESPONSE",
    }
    assert met == {"READING_HEAD", *states}


@pytest.mark.parametrize("waits_for", ["an answer", "its server to read", "room", "a filter"])
def test_a_reset_behind_more_than_is_read_is_noticed_at_once(waits_for: str) -> None:
    """The proxy stops reading when its buffers are full, but still notices a reset, with or without
    a bridge. It is not counted as a failure of the server."""
    data = request("PUT", "/", "Content-Length: 3000000") + bytes(2_000_000)
    terms = replace(POOLED, max_connections=1, queue=QueueSettings(timeout=2.0))
    for seed in range(3):
        with Http(
            terms=terms if waits_for == "room" else POOLED,
            filters=[Pausing] if waits_for == "a filter" else [],
            faults=NetworkFaults(no_pipe=0.5),
            seed=seed,
        ) as proxy:
            if waits_for == "room":
                proxy.send(GET)
                proxy.server()
            client = proxy.send(GET * 30_000 if waits_for == "an answer" else data)
            proxy.go()
            if waits_for == "its server to read":
                proxy.server().stall()
            proxy.elapse(0.5)
            assert len(proxy.sessions) == (2 if waits_for == "room" else 1)
            client.reset()
            proxy.go()
            assert proxy.log[-1].endswith(": client: connection reset by peer")
            assert proxy.sessions[-1].state is HttpProxy.CLOSED
            for server in proxy.peers()[waits_for == "room" :]:
                server.resume()
                proxy.go()
                assert server.reset_seen
            assert proxy.service.upstream is not None
            assert [each.failures for each in proxy.service.upstream.servers] == [0]


GONE = replace(PLAIN, abort_on_close=True)


def test_abort_on_close_aborts_at_the_end_of_stream() -> None:
    """The request is aborted at once in every state. The log names the client; no failure is
    counted against the server."""
    met: set[str] = set()
    for tenths in range(3, 55):
        with Http(
            options=GONE, filters=[Pausing], faults=NetworkFaults(latency=(0.1, 0.1))
        ) as proxy:
            client = proxy.send(request("PUT", "/", body=bytes(1000)))
            for _ in range(tenths):
                proxy.elapse(0.1)
                for server in proxy.peers():
                    if server.received and not server.sent:
                        server.send(answer(bytes(100_000))[:50_000])
            [session] = proxy.sessions
            met.add(stage(session))
            client.end()
            # until the FIN is at the proxy and its close at the server, which may still be
            # connecting
            proxy.elapse(0.5)
            assert all(server.ended or server.reset_seen for server in proxy.peers())
            assert client.reset_seen
            assert proxy.service.upstream is not None
            assert [each.failures for each in proxy.service.upstream.servers] == [0]
            assert proxy.log[-1].endswith("client: connection closed")
    assert {
        "FILTERING_REQUEST",
        "CONNECTING",
        "AWAITING_RESPONSE",
        "FILTERING_RESPONSE",
        "BUFFERING_RESPONSE",
    } <= met


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_abort_on_close_aborts_during_the_response(framing: str) -> None:
    for size in (10, 900_000):
        with Http(options=GONE) as proxy:
            client = proxy.send(GET)
            server = proxy.server()
            if framing == "length":
                server.send(answer(bytes(size + 1))[:-1])
            else:
                server.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                server.send(chunks(bytes(size))[:-5])
            proxy.go()
            client.end()
            proxy.go()
            assert server.reset_seen
            assert proxy.log[-1].endswith("client: connection closed")


def test_abort_on_close_with_request_and_end_at_once_contacts_no_server() -> None:
    with Http(options=GONE) as proxy:
        client = proxy.send(GET)
        client.end()
        proxy.go()
        assert client.reset_seen
        assert not any(b"GET" in server.received for server in proxy.peers())
    with Http(options=GONE) as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        server.send(OK)
        proxy.go()
        client.end()
        proxy.go()
        assert received(client).endswith("yes")
        assert client.ended
        assert not proxy.log


def test_the_place_of_a_closed_client_in_the_queue_is_free() -> None:
    terms = replace(POOLED, max_connections=1, queue=QueueSettings(size=1, timeout=2.0))
    for way in ("end", "reset"):
        with Http(options=GONE, terms=terms) as proxy:
            proxy.send(GET)
            server = proxy.server()
            waiter = proxy.send(GET)
            proxy.go()
            getattr(waiter, way)()
            proxy.go()
            last = proxy.send(GET)
            proxy.go()
            assert not last.received
            server.send(OK)
            proxy.go()
            server.send(OK)
            proxy.go()
            assert received(last).endswith("yes")


@pytest.mark.parametrize("body", [b"", b"some"])
def test_a_request_cut_by_its_client_never_looks_complete(body: bytes) -> None:
    for head in (request("PUT", "/", "Content-Length: 1000"), request("PUT", "/", CHUNKED)):
        for way in ("reset", "end"):
            with Http() as proxy:
                client = proxy.send(head)
                server = proxy.server()
                client.send(chunks(body)[:-5] if b"chunked" in head else body)
                proxy.go()
                getattr(client, way)()
                proxy.go()
                assert server.ended or server.reset_seen
                assert not server.received.endswith(b"0\r\n\r\n")
                if way == "end":
                    assert status(client) == "HTTP/1.1 400 Bad Request"


def test_a_client_reset_during_a_response_closes_the_server() -> None:
    for data in (answer(bytes(2_000_000)), b"HTTP/1.1 200 OK\r\n\r\n" + bytes(2_000_000)):
        with Http() as proxy:
            client = proxy.send(GET)
            client.stall()
            server = proxy.server()
            server.send(data)
            proxy.go()
            client.reset()
            proxy.go()
            assert server.reset_seen


def test_a_half_closed_client_gets_its_response() -> None:
    with Http() as proxy:
        client = proxy.send(GET, GET)
        client.end()
        server = proxy.server()
        server.on_data = lambda _: server.send(answer(bytes(100_000)))
        proxy.elapse(0.1)
        assert client.received.count(b"HTTP/1.1 200 OK") == 2
        assert client.ended
        assert not server.ended


def test_a_head_that_ends_too_early() -> None:
    with Http() as proxy:
        client = proxy.send(GET, GET[:-2])
        client.end()
        proxy.server().send(OK)
        proxy.go()
        text = received(client)
        assert "yes" in text
        assert "HTTP/1.1 400 Bad Request\n" in text
        assert client.ended


def test_a_client_that_connects_and_closes() -> None:
    with Http() as proxy:
        for way in ("end", "close", "reset"):
            client = proxy.client()
            proxy.go()
            getattr(client, way)()
            proxy.go()
        assert proxy.connections() == 0
        assert not [line for line in proxy.log if "cut" in line]


class Answering(Filter):
    def request_head(self, tx: Transaction) -> Response | None:
        return Response(200) if tx.request.path == "/own" else None


CONNECTING = replace(PLAIN, connect=AllowedDestinations((AccessEntry.parse("server:1"),)))
LIMITED = replace(PLAIN, limits=HttpLimits(head=1000, line=200, field=300, fields=5))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (request("GET", "/" + 200 * "x"), 414),
        (b"GET /" + 300 * b"x", 414),
        (request("GET", "/", "X: " + 300 * "x"), 431),
        (request("GET", "/", *[f"X{n}: 1" for n in range(5)]), 431),
        (request("GET", "/", *[f"X: {200 * 'x'}"] * 4)[:-2] + 300 * b"x", 431),
        (request("GET", "/", CHUNKED, "Content-Length: 5"), 400),
        (request("GET", "/", "Expect: miracles"), 417),
        (request("GET", "/", host="a b"), 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", 400),
        (request("TRACE"), 501),
    ],
)
def test_invalid_requests_are_refused(data: bytes, code: int) -> None:
    for pieces in ([data], [data[n : n + 1] for n in range(len(data))]):
        with Http(options=LIMITED) as proxy:
            client = proxy.client()
            for piece in pieces:
                client.send(piece)
                proxy.go()
            client.send(GET)
            proxy.go()
            text = received(client)
            assert text.startswith(f"HTTP/1.1 {code} ")
            assert text.count("\nProxy-Status: ") == 1
            assert "\nProxy-Status: vcproxy; error=http_request_error; " in text
            assert "\nConnection: close\n" in text
            assert client.ended
            assert proxy.connections() == 0
            assert proxy.service.counts[str(code)] == 1


def test_an_empty_line_before_a_request_is_nothing() -> None:
    with Http() as proxy:
        client = proxy.send(b"\r\n" + GET)
        proxy.server().send(OK)
        proxy.go()
        assert received(client).endswith("yes")


def test_options_that_may_go_no_further() -> None:
    with Http() as proxy:
        client = proxy.send(request("OPTIONS", "/", "Max-Forwards: 0"))
        proxy.go()
        assert status(client) == "HTTP/1.1 204 No Content"
        client.send(request("OPTIONS", "*", "Max-Forwards: 1"))
        server = proxy.server()
        proxy.go()
        text = received(server)
        assert text.startswith("OPTIONS * HTTP/1.1\n")
        assert "\nMax-Forwards: 0\n" in text


def test_a_request_loop_is_refused() -> None:
    calls: list[str] = []

    class Noting(HttpProxy):
        def request_head(self, tx: Transaction) -> None:
            calls.append(tx.request.target)

    with Http(Noting) as proxy:
        client = proxy.send(request("GET", "/", "Via: 1.1 fred, 1.1 vcproxy"), GET)
        proxy.server().send(OK)
        proxy.go()
        text = received(client)
        assert text.startswith("HTTP/1.1 502 Bad Gateway\n")
        assert "\nProxy-Status: vcproxy; error=proxy_loop_detected; " in text
        assert text.endswith("yes"), "the client is not to blame: it may go on"
        assert "a server forwards to this proxy" in proxy.log[0]
        assert calls == ["/"]


def test_a_request_forwarded_by_a_proxy_of_another_name() -> None:
    with Http(options=replace(PLAIN, via="edge")) as proxy:
        proxy.send(request("GET", "/", "Via: 1.1 vcproxy"))
        server = proxy.server()
        proxy.go()
        assert "\nVia: 1.1 vcproxy\nVia: 1.1 edge\n" in received(server)


DATE = "Date: Thu, 01 Jan 2026 00:00:00 GMT\n"


def test_answers_have_a_date() -> None:
    with Http(filters=[Answering], options=CONNECTING) as proxy:
        proxy.sim.network.epoch = EPOCH
        client = proxy.send(GET)
        server = proxy.server()
        server.send(OK)
        proxy.go()
        assert DATE in received(client)
        client.send(GET)
        proxy.go()
        server.send(answer(b"no", "Date: Thu, 01 Jan 1970 00:00:00 GMT"))
        proxy.go()
        assert DATE not in received(client)
        client.send(request("GET", "/own"))
        proxy.go()
        assert DATE in received(client)
        proxy.elapse(1)
        client.send(request("GET", "/own") + b"nonsense\r\n\r\n")
        proxy.go()
        assert received(client).count(DATE.replace(":00 GMT", ":01 GMT")) == 2
        tunnel = proxy.send(request("CONNECT", "server:1", host="server:1"))
        proxy.go()
        later = DATE.replace(":00 GMT", ":01 GMT")
        assert received(tunnel) == f"HTTP/1.1 200 Connection established\n{later}\n"


def test_too_many_connections_of_an_address_get_429() -> None:
    with Http() as proxy:
        client = proxy.client()
        proxy.go()
        [session] = proxy.sessions
        listener = session.client.listener
        assert listener is not None
        listener.max_per_client = 1
        listener.refuser = lambda vc: HttpProxy.refuse(vc, proxy.service)
        other = proxy.send(GET)
        proxy.go()
        text = received(other)
        assert text.startswith("HTTP/1.1 429 Too Many Requests\n")
        assert "\nConnection: close\n" in text
        assert other.ended
        other.close()
        client.close()
        proxy.go()
        proxy.send(GET)
        proxy.server()


def test_an_exception_closes_one_session_only() -> None:
    class Broken(HttpProxy):
        def pass_on(self, key: Hashable, data: object) -> State | None:
            if self.exchange is not None and self.exchange.tx.request.path == "/broken":
                raise ZeroDivisionError
            return super().pass_on(key, data)

    # the timer is due after the connection's end
    short = HttpTimeouts(head=1.0, first_byte=2.0, idle=2.0, active=2.0)
    with Http(Broken, replace(PLAIN, timeouts=short)) as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        other = proxy.send(request(target="/broken"))
        with pytest.raises(ZeroDivisionError):
            proxy.elapse(1)
        proxy.go()
        assert other.reset_seen
        server.send(OK)
        proxy.go()
        assert received(client).endswith("yes")
        assert proxy.service.upstream is not None
        assert [each.connections for each in proxy.service.upstream.servers] == [1]
