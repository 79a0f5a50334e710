"""The direct path and the ordinary path do the same, byte for byte and count for count."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from tests.http.direct.twins import SETTINGS, Play, Step, World, both
from tests.http.proxy.harness import PLAIN, answer, chunks, request
from vcproxy.admission.rate import Rate
from vcproxy.http.duties.answer import Answer
from vcproxy.http.proxy.options import HttpLimits, HttpTimeouts, Options
from vcproxy.http.proxy.routing import Route

GET = request("GET", "/a")
OK = answer(b"hello", "Date: x")


def connect(play: Play) -> None:
    play.clients.append(play.proxy.client())


def send(data: bytes, client: int = 0) -> Step:
    def step(play: Play) -> None:
        play.clients[client].send(data)

    return step


def of_client(what: str, client: int = 0) -> Step:
    def step(play: Play) -> None:
        getattr(play.clients[client], what)()

    return step


def reply(data: bytes, connection: int = 0) -> Step:
    def step(play: Play) -> None:
        if connection < len(play.connections):
            play.connections[connection].send(data)

    return step


def of_server(what: str, connection: int = 0) -> Step:
    def step(play: Play) -> None:
        if connection < len(play.connections):
            getattr(play.connections[connection], what)()

    return step


def together(*steps: Step) -> Step:
    def step(play: Play) -> None:
        for each in steps:
            each(play)

    return step


def elapse(seconds: float) -> Step:
    return lambda play: play.proxy.elapse(seconds)


def drain(play: Play) -> None:
    play.proxy.service.draining = True
    for session in play.proxy.sessions:
        if not session.client.closed:
            with session.mutex.hold(play.proxy.engine):
                session.drain()


def fall(play: Play) -> None:
    """The first server fails its health checks."""
    servers = play.upstream._servers
    servers.all[0].healthy = False
    servers._state_changed(servers.all[0], "it failed")


ONE = World(servers=("alpha",))
FIRST: list[Step] = [connect, send(GET), reply(OK)]
"""A first request, on the ordinary path: no connection is idle yet."""


def test_requests_on_a_kept_connection() -> None:
    assert both([*FIRST, *[send(GET), reply(OK)] * 3], ONE) == 3


def test_no_two_alike() -> None:
    steps = list(FIRST)
    for number in range(8):
        steps.append(send(request("GET", f"/{number}?x", f"X: {number}")))
        steps.append(reply(answer(b"%d" % number, f"ETag: {number}", "Date: x")))
    assert both(steps, ONE) == 8


def test_a_rate_counts_requests_of_both_paths() -> None:
    limited = replace(ONE, rates=[Rate(32, 4, 4.0, 4, "4 per 4s for each client")])
    four = [*FIRST, *[send(GET), reply(OK)] * 3]
    assert both([*four, *[send(GET)] * 3], limited) == 3
    assert both([*four, send(GET), elapse(1.0), *[send(GET), answer_all] * 2], limited) == 4
    parts = [send(GET), reply(OK[:20]), reply(OK[20:])]
    both([*FIRST, *parts * 3, *[send(GET)] * 2], limited)


@pytest.mark.parametrize("balance", ["round_robin", "weighted", "least_connections", "hash"])
def test_two_servers(balance: str) -> None:
    settings = replace(SETTINGS, balance=balance)
    steps: list[Step] = [connect, connect, connect]
    for _ in range(6):
        for client in range(3):
            steps += [send(GET, client)]
        # only those that were asked
        steps += [answer_all]
    assert both(steps, World(settings=settings)) > 3


def answer_all(play: Play) -> None:
    """Each server sends the responses that it still owes, one after the other.

    If all were sent at one moment, requests on the ordinary path would be served after those on the
    direct path.
    """
    for peer in play.connections:
        asked = bytes(peer.received).count(b"\r\n\r\n")
        answered = peer.__dict__.setdefault("answered", 0)
        for _ in range(asked - answered):
            peer.send(OK)
            play.proxy.go()
        peer.__dict__["answered"] = asked


REQUESTS = {
    "head": request("HEAD"),
    "post": request("POST", body=b"abc"),
    "close": request("GET", "/", "Connection: close"),
    "keep-alive": request("GET", "/", "Connection: keep-alive"),
    "http/1.0": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "bad": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "upgrade": request("GET", "/", "Connection: upgrade", "Upgrade: a"),
    "expect": request("GET", "/", "Expect: 100-continue"),
    "absolute": b"GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "connect": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "trace": request("TRACE"),
    "via": request("GET", "/", "Via: 1.1 x"),
    "forwarded": request("GET", "/", "X-Forwarded-For: 1.2.3.4"),
    "two": GET + GET,
    "one and a half": GET + GET[:9],
    "half": GET[:9],
    "empty line": b"\r\n" + GET,
    "long": request("GET", "/", "X: " + "x" * 5000),
    "large": request("GET", "/", "X: " + "x" * 40_000),
    "folded": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "spaces": b"GET / HTTP/1.1\r\nHost:a\r\nX:  a \r\n\r\n",
    "control": b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
    "underscore": request("GET", "/", "X_Forwarded_For: 1.2.3.4", "Content_Length: 4"),
}
RESPONSES = {
    "head only": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: x\r\n\r\n",
    "undated": answer(b"abc"),
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx",
    "kept": answer(b"abc", "Keep-Alive: timeout=3", "Date: x"),
    "connection": answer(b"abc", "Connection: keep-alive", "Date: x"),
    "close": answer(b"abc", "Connection: close", "Date: x"),
    "http/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nDate: x\r\nContent-Length: 7\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"abc"),
    "interim": b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
    "twice": OK + OK,
    **{f"{size} bytes": OK[:size] for size in range(1, 6)},
    "half": OK[:30],
    "body half": OK[:-2],
    "bad": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "nonsense": b"\0\1\2",
    "large": answer(b"x" * 70_000, "Date: x"),
    "middle": answer(b"x" * 10_000, "Date: x"),
    "server error": answer(b"abc", "Date: x", status="503 Unavailable"),
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\n\r\n",
    "until close": b"HTTP/1.1 200 OK\r\nDate: x\r\n\r\nabc",
    "hop by hop": answer(b"abc", "Date: x", "Proxy-Connection: a", "Upgrade: h2c"),
}
AFTER: dict[str, list[Step]] = {
    "another": [send(GET), answer_all, send(GET), answer_all],
    "the server ends": [of_server("end"), send(GET), answer_all],
    "the client ends": [of_client("end"), answer_all],
    "time passes": [elapse(4.9), send(GET), answer_all, elapse(100.0)],
}


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("sent", REQUESTS)
def test_each_request(sent: str, after: str) -> None:
    steps = [*FIRST, send(REQUESTS[sent]), reply(OK), *AFTER[after]]
    both([*steps, send(REQUESTS[sent]), reply(OK), *AFTER[after]], ONE)


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("sent", RESPONSES)
def test_each_response(sent: str, after: str) -> None:
    again = [send(GET), reply(RESPONSES[sent])]
    both([*FIRST, *again, *again, *again, *AFTER[after]], ONE)


def test_responses_whose_heads_come_in_pieces_do_not_end_the_direct_path() -> None:
    steps = list(FIRST)
    for _ in range(3):
        steps += [send(GET), reply(OK[:20]), reply(OK[20:])]
    assert both([*steps, *[send(GET), reply(OK)] * 4], ONE) == 4


IN_FLIGHT: dict[str, Step] = {
    "the client ends": of_client("end"),
    "the client resets": of_client("reset"),
    "the client closes": of_client("close"),
    "the client pipelines": send(GET),
    "the client sends half a request": send(GET[:7]),
    "the server ends": of_server("end"),
    "the server resets": of_server("reset"),
    "the server closes": of_server("close"),
    "the server sends half": reply(OK[:20]),
    "the proxy drains": drain,
    "nothing for long": elapse(30.0),
    "nothing for too long": elapse(61.0),
    "the server is found down": lambda play: play.proxy.engine.inbox.post(partial(fall, play)),
    "the upstream is closed": lambda play: play.proxy.engine.inbox.post(play.upstream.close),
    "the client reads no more": of_client("stall"),
}


@pytest.mark.parametrize("then", [reply(OK), reply(OK + OK), of_server("reset"), answer_all])
@pytest.mark.parametrize("event", IN_FLIGHT)
def test_each_event_between_request_and_response(event: str, then: Step) -> None:
    steps: list[Step] = [*FIRST, send(GET), IN_FLIGHT[event], then, send(GET), answer_all]
    both(steps, ONE)


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "reversed"])
@pytest.mark.parametrize("then", [reply(OK), of_server("reset")])
@pytest.mark.parametrize("event", IN_FLIGHT)
def test_each_event_at_the_moment_of_the_response(event: str, then: Step, turned: bool) -> None:
    steps = [*FIRST, send(GET), together(IN_FLIGHT[event], then), send(GET), answer_all]
    both(steps, replace(ONE, turned=turned))


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "reversed"])
@pytest.mark.parametrize("event", IN_FLIGHT)
def test_each_event_at_the_moment_of_the_request(event: str, turned: bool) -> None:
    steps = [*FIRST, together(send(GET), IN_FLIGHT[event]), answer_all, send(GET), answer_all]
    both(steps, replace(ONE, turned=turned))


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "reversed"])
def test_a_server_that_sends_before_the_request_is_not_used(turned: bool) -> None:
    early = answer(b"early", "Date: x")
    steps = [*FIRST, together(send(GET), reply(early)), answer_all, send(GET), answer_all]
    both(steps, replace(ONE, turned=turned))


LISTENERS: dict[str, Options] = {
    "forwarded": Options(),
    "both": Options(forwarded="both"),
    "no via": Options(via="p"),
    "few requests": replace(PLAIN, limits=HttpLimits(requests=3)),
    "short times": replace(PLAIN, timeouts=HttpTimeouts(first_byte=1.0, idle=2.0, active=3.0)),
    "no times": replace(PLAIN, timeouts=HttpTimeouts(first_byte=0.0, idle=0.0)),
    "a route for a host": replace(PLAIN, routes=(Route(host="a"),)),
    "another host": replace(PLAIN, routes=(Route(host="b"),)),
    "a route for a path": replace(
        PLAIN, routes=(Route(path="/a"), Route(path="/", answer=Answer(404)))
    ),
    "a route for a field": replace(PLAIN, routes=(Route(headers={"X": "1"}), Route(path="/b"))),
    "an answer": replace(PLAIN, routes=(Route(answer=Answer(200, "hi")),)),
    "abort": replace(PLAIN, abort_on_close=True),
}


@pytest.mark.parametrize("options", LISTENERS)
def test_each_listener(options: str) -> None:
    steps = list(FIRST)
    for number in range(3):
        for target in ("/a", "/b", "/%61/x", "/A", f"/a/{number}"):
            for more in ((), ("X: 1",)):
                steps += [send(request("GET", target, *more)), answer_all]
        steps.append(elapse(0.7))
    both(steps, replace(ONE, options=LISTENERS[options]))
