"""A WebServer on a simulated network: requests, answers, streams, and clients that misbehave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

import pytest

from vcproxy.control.web.web_connection import BODY_LIMIT
from vcproxy.control.web.web_reply import STREAM_LIMIT, Refusal, WebReply, WebStream, event_text
from vcproxy.control.web.web_request import WebRequest
from vcproxy.control.web.web_server import MAX_CONNECTIONS, WebRoute, WebServer
from vcproxy.drivers.sim import Peer, Simulation, seeds
from vcproxy.engine.address import Address

HERE = Address.parse("tcp://10.0.0.1:80")


def said(request: WebRequest, reply: WebReply) -> None:
    """Answer with what was asked."""
    asked = {"path": request.path, "rest": request.rest, "query": dict(request.query)}
    reply.send(200, json.dumps({**asked, "body": request.body.decode("latin-1")}).encode())


class Site:
    """A server with some routes, on a simulated network."""

    def __init__(self, *routes: WebRoute) -> None:
        self.sim = Simulation(seed=7)
        driver = self.sim.driver("control")
        own = WebRoute("GET", "/said/*", said), WebRoute("POST", "/said", said)
        self.server = WebServer(driver.engine, "web", [*own, *routes])
        driver.listen(HERE, self.server)
        self.engine = driver.engine
        self.sim.run()

    def send(self, *texts: str, run: bool = True) -> Peer:
        """Return a client that has sent heads and bodies."""
        client = self.sim.client(HERE)
        for text in texts:
            client.send(text.encode())
        if run:
            self.sim.elapse(1.0)
        return client


def get(target: str, *fields: str) -> str:
    """Return a request."""
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: 10.0.0.1", *fields, "", ""])


def post(target: str, body: str, *fields: str) -> str:
    """Return a request with a body."""
    head = [f"POST {target} HTTP/1.1", "Host: 10.0.0.1", *fields]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", body])


REQUESTS = [
    get("/said/x"),
    get("/said/x").replace("GET", "HEAD"),
    get("/large"),
    get("/large", "Connection: close"),
    get("/large").replace("HTTP/1.1", "HTTP/1.0"),
    post("/said", "a body"),
    post("/said", "y" * 3000, "Expect: 100-continue"),
    "POST /said HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "POST /said HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
    get("/nothing"),
]
"""Requests of all kinds."""


def status(client: Peer) -> int:
    """Return the status of the first answer."""
    return int(client.received.split(b" ")[1])


def body(client: Peer) -> dict[str, object]:
    """Return the JSON of the last answer."""
    value = json.loads(client.received.rpartition(b"\r\n\r\n")[2])
    assert isinstance(value, dict)
    return value


def test_a_request_is_answered() -> None:
    client = Site().send(get("/said/conns?listener=a%20b&limit=&limit=3"))
    assert status(client) == 200
    assert body(client)["rest"] == "conns"
    assert body(client)["query"] == {"listener": "a b", "limit": "3"}
    head = bytes(client.received).lower()
    assert b"cache-control: no-store" in head
    assert b"content-type: application/json" in head
    assert not client.ended


def test_requests_on_one_connection_are_answered_in_order() -> None:
    last = get("/said/3", "Connection: close")
    client = Site().send(get("/said/1") + post("/said", "two") + last)
    received = bytes(client.received)
    assert received.count(b"HTTP/1.1 200 OK") == 3
    places = [received.index(each) for each in (b'"rest": "1"', b'"body": "two"', b'"rest": "3"')]
    assert places == sorted(places)
    assert client.ended


def test_a_request_that_comes_byte_by_byte() -> None:
    site = Site()
    client = site.send()
    for each in post("/said", "a body", "Connection: close"):
        client.send(each.encode())
        site.sim.elapse(0.01)
    assert body(client)["body"] == "a body"
    assert client.ended


def test_a_chunked_body_and_100_continue() -> None:
    head = ["POST /said HTTP/1.1", "Host: 10.0.0.1", "Transfer-Encoding: chunked"]
    site = Site()
    client = site.send("\r\n".join([*head, "Expect: 100-continue", "", ""]))
    assert client.received == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")
    site.sim.elapse(1.0)
    assert body(client)["body"] == "abcd"


def test_a_head_request_gets_the_head_only() -> None:
    text = get("/said/x").replace("GET", "HEAD")
    client = Site().send(text + get("/said/y", "Connection: close"))
    first, _, second = bytes(client.received).partition(b"\r\n\r\n")
    assert b"Content-Length: " in first
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_that_ends_its_direction_is_answered() -> None:
    site = Site()
    client = site.send(get("/said/x"), run=False)
    client.end()
    site.sim.run()
    assert body(client)["rest"] == "x"
    assert client.ended


def test_a_client_that_ends_its_direction_gets_the_whole_refusal() -> None:
    site = Site()
    client = site.send(get("/nothing"), run=False)
    client.end()
    site.sim.run()
    assert body(client) == {"error": "there is no /nothing here"}
    assert client.ended
    assert client.error is None


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "why"),
    [
        (get("/nothing"), 404, "there is no /nothing here"),
        (get("/said"), 405, "GET is not possible here"),
        (get("/said/x").replace("GET", "DELETE"), 405, "DELETE is not possible here"),
        ("GET /said/x HTTP/1.1\r\n\r\n", 400, "no Host field (RFC 9112 3.2)"),
        ("no request\r\n\r\n", 400, None),
        (f"GET /{'a' * 9000} HTTP/1.1\r\n", 414, None),
        (get("/said/x", "A: " + "a" * 17_000), 431, None),
        (
            f"POST /said HTTP/1.1\r\nHost: a\r\nContent-Length: {10 << 20}\r\n\r\n",
            413,
            "the body is longer than 65536 bytes",
        ),
    ],
)
def test_what_is_refused(text: str, code: int, why: str | None) -> None:
    client = Site().send(text)
    assert status(client) == code
    assert why in (None, body(client)["error"])


def test_a_body_of_10_mb_in_chunks_is_refused_at_the_limit() -> None:
    site = Site()
    client = site.send("POST /said HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    before = site.engine.memory.used
    for _ in range(10 << 4):
        client.send(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
        site.sim.elapse(0.01)
        assert site.engine.memory.used - before < 4 * BODY_LIMIT
    assert status(client) == 413
    site.sim.elapse(60.0)
    assert not site.server.open


def test_a_guard_refuses_before_the_body_has_come() -> None:
    def guard(request: WebRequest) -> Refusal | None:
        return Refusal(401, "no token", {"WWW-Authenticate": "Bearer"})

    site = Site(WebRoute("POST", "/guarded", said, guard))
    client = site.send("POST /guarded HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
    assert status(client) == 401
    assert b"WWW-Authenticate: Bearer\r\n" in client.received
    assert body(client) == {"error": "no token"}


def test_an_error_of_a_handler_ends_its_connection_only() -> None:
    def fail(request: WebRequest, reply: WebReply) -> None:
        raise LookupError("a mistake")

    site = Site(WebRoute("GET", "/fail", fail))
    with pytest.raises(LookupError):  # the simulation raises what is logged
        site.send(get("/fail"))
    site.sim.elapse(1.0)
    assert not site.server.open
    assert status(site.send(get("/said/x"))) == 200


def test_a_request_is_answered_once() -> None:
    def twice(request: WebRequest, reply: WebReply) -> None:
        reply.error(409, "once")
        with pytest.raises(RuntimeError, match="a reply is sent once"):
            reply.send(200)

    client = Site(WebRoute("GET", "/twice", twice)).send(get("/twice"))
    assert status(client) == 409


@pytest.mark.parametrize("seed", list(seeds(30)))
def test_whatever_clients_send_is_answered_or_closed(seed: int) -> None:
    """Requests with mistakes, in pieces of any size, and clients that leave at any time: nothing is
    logged as a mistake of the server, and nothing is left of them."""
    print(f"{seed=}")
    random = Random(seed)
    site = Site(WebRoute("GET", "/large", lambda _, reply: reply.send(200, [bytes(9000)] * 20)))
    clients = []
    for _ in range(40):
        client = site.send(run=False)
        clients.append(client)
        if random.random() < 0.2:
            client.stall()
        data = bytearray("".join(random.choices(REQUESTS, k=random.randint(1, 4))), "latin-1")
        for _ in range(random.choice([0, 0, 1, 5])):
            place = random.randrange(len(data))
            data[place : place + random.randint(0, 3)] = random.randbytes(random.randint(0, 3))
        while data:
            size = random.choice([1, 7, 100, len(data)])
            client.send(bytes(data[:size]))
            del data[:size]
            site.sim.elapse(random.choice([0.0, 0.01, 0.5]))
        if random.random() < 0.5:
            getattr(client, random.choice(["end", "close", "reset"]))()
    assert site.server.open <= MAX_CONNECTIONS
    site.sim.elapse(300.0)
    assert site.server.open == 0
    assert site.engine.memory.used == 0
    assert not [line for line in site.sim.log if line[1] == "error"]


# -- slow and silent clients -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds", "code"),
    [
        ("", 61, None),
        ("GET /sa", 11, None),
        (post("/said", "whole")[:-2], 31, 408),
    ],
)
def test_a_client_that_sends_too_slowly_is_closed(
    text: str, seconds: int, code: int | None
) -> None:
    site = Site()
    client = site.send(text)
    site.sim.elapse(seconds)
    assert client.ended or client.reset_seen
    if code is not None:
        assert status(client) == code
    site.sim.elapse(3.0)
    assert not site.server.open


def test_no_answer_in_time() -> None:
    replies: list[WebReply] = []
    site = Site(WebRoute("GET", "/late", lambda request, reply: replies.append(reply)))
    client = site.send(get("/late"))
    assert not client.received
    site.sim.elapse(91.0)
    assert status(client) == 504
    replies[0].send(200, b"too late")
    site.sim.elapse(1.0)
    assert b"too late" not in client.received


def test_an_answer_that_comes_later_goes_to_its_client() -> None:
    replies: list[WebReply] = []
    site = Site(WebRoute("GET", "/later", lambda request, reply: replies.append(reply)))
    client = site.send(get("/later") + get("/said/next"))
    site.sim.elapse(5.0)
    replies[0].send(200, b"later")
    site.sim.elapse(1.0)
    assert client.received.index(b"later") < client.received.index(b'"next"')


def test_a_client_that_never_reads_holds_little_and_not_for_long() -> None:
    made = [0]

    def pieces() -> Iterator[bytes]:
        for _ in range(1000):
            made[0] += 1
            yield bytes(16 << 10)

    site = Site(WebRoute("GET", "/large", lambda request, reply: reply.send(200, pieces())))
    client = site.send(get("/large"), run=False)
    client.stall()
    site.sim.elapse(5.0)
    assert 0 < made[0] < 50  # of the pieces: more are made when these were read
    assert site.engine.memory.used < 200 << 10
    site.sim.elapse(60.0)
    assert not site.server.open
    assert made[0] < 50


def test_a_large_answer_comes_in_chunks() -> None:
    large = [bytes(10_000)] * 100
    site = Site(WebRoute("GET", "/large", lambda request, reply: reply.send(200, large)))
    client = site.send(get("/large"))
    assert b"Transfer-Encoding: chunked" in client.received
    assert client.received.endswith(b"\r\n0\r\n\r\n")
    assert len(client.received) > 1_000_000
    old = site.send("GET /large HTTP/1.0\r\nHost: a\r\n\r\n")
    assert b"chunked" not in old.received
    assert old.ended


def test_clients_that_only_keep_their_connections_keep_no_others_out() -> None:
    site = Site()
    silent = [site.send() for _ in range(MAX_CONNECTIONS * 2)]
    assert status(site.send(get("/said/x"))) == 200
    assert sum(not (each.ended or each.reset_seen) for each in silent) < MAX_CONNECTIONS
    # An orderly close would take the place for two more seconds, in the driver for real sockets.
    assert sum(each.reset_seen for each in silent) > MAX_CONNECTIONS


def test_clients_that_send_half_a_body_keep_no_others_out() -> None:
    site = Site()
    for _ in range(MAX_CONNECTIONS * 2):
        site.send(post("/said", "whole")[:-2])
    assert status(site.send(get("/said/x"))) == 200


def test_clients_that_do_not_read_keep_no_others_out() -> None:
    large = [bytes(10_000)] * 100
    site = Site(WebRoute("GET", "/large", lambda request, reply: reply.send(200, large)))
    for _ in range(MAX_CONNECTIONS * 2):
        client = site.send(get("/large"), run=False)
        client.stall()
        site.sim.elapse(1.0)
    assert status(site.send(get("/said/x"))) == 200


def test_more_clients_wait_while_all_places_are_used() -> None:
    replies: list[WebReply] = []
    site = Site(WebRoute("GET", "/late", lambda request, reply: replies.append(reply)))
    clients = [site.send(get("/late")) for _ in range(MAX_CONNECTIONS + 6)]
    assert len(replies) == MAX_CONNECTIONS
    for reply in replies:
        reply.send(200)
    site.sim.elapse(5.0)
    assert len(replies) == MAX_CONNECTIONS + 6
    for reply in replies[MAX_CONNECTIONS:]:
        reply.send(200)
    site.sim.elapse(5.0)
    assert [status(each) for each in clients] == [200] * len(clients)


# -- streams -----------------------------------------------------------------------------------


class Streams:
    """A route that streams, and how its streams have ended."""

    def __init__(self) -> None:
        self.streams: list[WebStream] = []
        self.closed = 0
        self.site = Site(WebRoute("GET", "/events", self._begin))

    def _begin(self, request: WebRequest, reply: WebReply) -> None:
        self.streams.append(reply.stream(closed=self._closed))

    def _closed(self) -> None:
        self.closed += 1


def test_events_are_streamed_until_the_stream_is_closed() -> None:
    events = Streams()
    client = events.site.send(get("/events"))
    assert b"Content-Type: text/event-stream\r\n" in client.received
    [stream] = events.streams
    assert stream.send(event_text("a\nb", "tick"))
    events.site.sim.elapse(600.0)  # there may be nothing to show for long
    assert stream.send(event_text("c"))
    stream.close()
    assert not stream.send("too late")
    events.site.sim.elapse(1.0)
    sent = bytes(client.received).partition(b"\r\n\r\n")[2]
    assert sent == b"event: tick\ndata: a\ndata: b\n\ndata: c\n\n"
    assert client.ended
    assert events.closed == 1


@pytest.mark.parametrize("way", ["end", "reset", "close"])
def test_a_stream_ends_with_its_client(way: str) -> None:
    events = Streams()
    client = events.site.send(get("/events"))
    getattr(client, way)()
    events.site.sim.elapse(1.0)
    assert events.closed == 1
    assert not events.streams[0].open
    assert not events.streams[0].send("x")


def test_a_stream_that_is_not_read_is_closed() -> None:
    events = Streams()
    client = events.site.send(get("/events"))
    client.stall()
    stream, count = events.streams[0], 0
    while stream.send("x" * 1024):
        count += 1
        events.site.sim.elapse(0.01)
        assert events.site.engine.memory.used < STREAM_LIMIT * 2
    assert count * 1024 >= STREAM_LIMIT - 1024
    events.site.sim.elapse(1.0)
    assert events.closed == 1
    assert not events.site.server.open


def test_a_stream_that_is_read_may_be_longer_than_the_limit() -> None:
    events = Streams()
    events.site.send(get("/events"))
    for _ in range(3 * STREAM_LIMIT // 10_000):
        assert events.streams[0].send("x" * 10_000)
        events.site.sim.elapse(0.1)


def test_the_end_of_the_server_closes_what_is_open() -> None:
    events = Streams()
    idle = events.site.send()
    streaming = events.site.send(get("/events"))
    events.site.server.finish()
    events.site.sim.elapse(3.0)
    assert idle.ended
    assert streaming.ended
    assert events.closed == 1
