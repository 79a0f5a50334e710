"""HttpProxy: filters in every phase, and how a request ends when a filter fails."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from vcproxy.drivers.sim import Peer
from vcproxy.http.duties.answer import Answer
from vcproxy.http.filters import Filter, PhaseResult, Phases, Subrequests, Wait
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.routing import Route
from vcproxy.http.proxy.subrequests import Subrequest
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.messages.verdict import Defer
from vcproxy.testing.http import SimulatedHttp
from vcproxy.testing.machines import check_machine

from .harness import GET, OK, PLAIN, Http, answer, chunks, received, request, status

CHUNKED = "Transfer-Encoding: chunked"
HEADS = ["request_head", "route", "server_chosen", "response_head"]
BODIES = ["request_body", "response_body"]
CHUNKS = ["request_chunk", "response_chunk"]


def stepping_in(**phases: Callable[..., object]) -> type[Filter]:
    """Return a filter class with these phases, as functions without `self`."""
    return type("Stepping", (Filter,), {name: staticmethod(each) for name, each in phases.items()})


def served(proxy: Http, given: bytes, reply: bytes = OK) -> tuple[str, str]:
    """Send a request; return what the server and the client receive."""
    client = proxy.send(given)
    proxy.elapse(3)
    peers = proxy.peers()
    for server in peers[-1:]:
        server.send(reply)
    proxy.elapse(3)
    result = "".join(received(server) for server in peers)
    return result, received(client)


def test_the_order_of_the_phases() -> None:
    calls: list[str] = []

    def noting(name: str) -> type[Filter]:
        def phase(which: str) -> Callable[..., object]:
            def call(tx: Transaction, data: bytes | None = None) -> None:
                calls.append(f"{name} {which}")

            return call

        return stepping_in(**{each: phase(each) for each in (*HEADS, *BODIES, "done")})

    with Http(filters=[noting("a"), noting("b")]) as proxy:
        served(proxy, request("POST", "/", body=b"hello"))
    assert calls == [
        "a request_head", "b request_head",
        "a request_body", "b request_body",
        "a route", "b route", "a server_chosen", "b server_chosen",
        "b response_head", "a response_head",
        "b response_body", "a response_body",
        "b done", "a done",
    ]  # fmt: skip


class Users(Filter):
    """Looks each token up once in a minute."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def user(self, token: str) -> dict[str, str]:
        self.runs += 1
        return {"name": token.upper()}

    def request_head(self, tx: Transaction) -> Defer:
        token = tx.request.fields["Token"]
        return Defer(self.user, token, deadline="1s", then=self.found, shares="1m")

    def found(self, tx: Transaction, user: dict[str, str]) -> None:
        tx.request.fields["User"] = user.pop("name")


def test_equal_look_ups_are_made_once() -> None:
    users = Users()
    with SimulatedHttp(users) as proxy:
        ann = Request("GET", "/", {"Token": "ann"}, host="shop")
        proxy.send_all(ann, ann)
        proxy.send(Request("GET", "/", {"Token": "bob"}, host="shop"))
        proxy.send(ann)
        assert users.runs == 2
        assert [each.fields["User"] for each in proxy.received()] == ["ANN", "ANN", "BOB", "ANN"]


class Stock(Filter):
    """Asks for the stock of each item once in ten seconds."""

    def request_head(self, tx: Transaction) -> Subrequests:
        left = Request("GET", tx.request.path, host="stock")
        to = tx.upstreams["stock"]
        return Subrequests([left], then=self.known, upstream=to, timeout="3s", shares="10s")

    def known(self, tx: Transaction, answers: list[Response]) -> Response | None:
        tx.request.fields["Stock"] = answers[0].fields.pop("Left", "none")
        return Response(answers[0].status) if answers[0].status >= 500 else None


def test_equal_subrequests_are_sent_once() -> None:
    asked = []

    def stock(request: Request) -> Response:
        asked.append(request.target)
        status = 503 if request.path == "/broken" else 200
        return Response(status, {"Left": str(len(asked))})

    with SimulatedHttp(Stock(), upstreams={"stock": stock}) as proxy:
        clients = [proxy.client() for _ in range(3)]
        for client in clients:
            client.send(GET.replace(b"/", b"/pear", 1))
        proxy.elapse(1)
        assert asked == ["/pear"]
        assert proxy.send(Request("GET", "/pear", host="shop")).status == 200
        assert proxy.send(Request("GET", "/plum", host="shop")).status == 200
        assert asked == ["/pear", "/plum"]
        assert [each.fields["Stock"] for each in proxy.received()] == ["1", "1", "1", "1", "2"]
        proxy.elapse(10)
        proxy.send(Request("GET", "/pear", host="shop"))
        assert asked == ["/pear", "/plum", "/pear"]
        for _ in range(2):
            assert proxy.send(Request("GET", "/broken", host="shop")).status == 503
        assert asked == ["/pear", "/plum", "/pear", "/broken", "/broken"]


def test_who_waits_for_a_shared_subrequest_may_leave() -> None:
    with SimulatedHttp(Stock(), upstreams={"stock": lambda _: None}) as proxy:
        one, two = proxy.client(), proxy.client()
        one.send(GET)
        proxy.elapse(1)
        two.send(GET)
        proxy.elapse(1)
        one.reset()
        proxy.elapse(5)
        assert proxy.connections("stock") == 1
        assert status(two) == "HTTP/1.1 504 Gateway Timeout"
        proxy.run()


class Timed(Filter):
    """Logs when a request came."""

    def request_head(self, tx: Transaction) -> None:
        self.log(f"{tx} at {self.now:.1f} s, {self.wall % 60} past the minute", "warning")
        tx.log("asked", "debug")
        self.log_seldom("path", f"a request for {tx.request.path}")


def test_lines_that_clients_cause_are_few() -> None:
    with SimulatedHttp(Timed()) as proxy:
        for number in range(12):
            proxy.send(Request("GET", f"/{number}", host="shop"))
        lines = [line for line in proxy.log if "a request for" in line]
        assert lines == [f"info: proxy: a request for /{number}" for number in range(10)]


def test_a_filter_has_a_clock_and_a_log() -> None:
    with SimulatedHttp(Timed()) as proxy:
        proxy.sim.elapse(2.5)
        proxy.send(Request("GET", "/a", host="shop"), client_ip="192.0.2.7")
        assert "debug: proxy 192.0.2.7: asked" in proxy.log
        assert "warning: proxy: <GET shop/a> at 2.5 s, 2 past the minute" in proxy.log


def test_a_subclass_is_the_first_filter() -> None:
    class Own(HttpProxy):
        def request_head(self, tx: Transaction) -> None:
            tx.request.fields.add("Seen", "own")

    seen = stepping_in(request_head=lambda tx: tx.request.fields.add("Seen", "listed"))
    with Http(Own, filters=[seen]) as proxy:
        result, _ = served(proxy, GET)
        assert "\nSeen: own\nSeen: listed\n" in result


def test_rewriting() -> None:
    def there(tx: Transaction) -> None:
        tx.request.fields["X"] = "1"
        del tx.request.fields["Accept"]
        tx.request.target = "/new"

    def back(tx: Transaction) -> None:
        assert tx.response is not None
        tx.response.status, tx.response.reason = 201, "Made"
        tx.response.fields["Y"] = tx.request.method

    with Http(filters=[stepping_in(request_head=there, response_head=back)]) as proxy:
        result, text = served(proxy, request("GET", "/old", "Accept: a/b"))
        assert result == "GET /new HTTP/1.1\nHost: a\nX: 1\nVia: 1.1 vcproxy\n\n"
        assert text.startswith("HTTP/1.1 201 Made\n")
        assert "\nY: GET\n" in text


@pytest.mark.parametrize("phase", [*HEADS, *BODIES])
def test_a_filter_that_answers(phase: str) -> None:
    own = stepping_in(**{phase: lambda *_: Response(403, {"X": "1"}, b"mine")})
    with Http(filters=[own]) as proxy:
        result, text = served(proxy, request("POST", "/", body=b"secret"))
        assert text.startswith("HTTP/1.1 403 Forbidden\nX: 1\n")
        assert text.endswith("\n\nmine")
        assert ("secret" in result) == phase.startswith("response")


def test_an_answer_instead_of_a_body_that_still_comes() -> None:
    with Http(filters=[stepping_in(request_head=lambda _: Response(403))]) as proxy:
        client = proxy.send(request("POST", "/", "Content-Length: 100"), GET)
        proxy.go()
        text = received(client)
        assert text.count("HTTP/1.1 403 ") == 1  # the bytes after the head are the body
        assert "\nConnection: close\n" in text
        assert client.ended


def test_an_answer_keeps_the_connection_if_it_can() -> None:
    with Http(filters=[stepping_in(route=lambda _: Response(403, {}, b"no"))]) as proxy:
        client = proxy.send(GET, request("HEAD"), GET)
        proxy.go()
        text = received(client)
        assert text.count("HTTP/1.1 403 ") == 3
        assert text.count("Content-Length: 2\n") == 3
        assert text.count("\n\nno") == 2
        assert not client.ended


def test_configured_answers() -> None:
    routes = (
        Route(path="/old", answer=Answer(status=301, location="/new")),
        Route(path="/down", answer=Answer(status=503, body="soon")),
    )
    with Http(options=replace(PLAIN, routes=routes)) as proxy:
        client = proxy.send(request("GET", "/old"), request("GET", "/down"), GET)
        proxy.go()
        text = received(client)
        assert text.startswith("HTTP/1.1 301 Moved Permanently\nLocation: /new\n")
        assert "\n\nsoon" in text
        assert "HTTP/1.1 404 Not Found\n" in text
        assert not client.ended


def pausing(kind: str, values: list[int]) -> Callable[..., object]:
    """Return a phase that waits, and appends the results to `values`."""

    def phase(tx: Transaction, *_: bytes) -> object:
        if kind == "wait":
            return Wait("1s")
        if kind == "later":
            return Defer(lambda: 5, deadline="1s", then=lambda tx, value: note(tx, value))
        subrequests = [Request("GET", "/side", host="b"), Request("GET", "/side", host="b")]
        then = lambda tx, answers: note(tx, len(answers[0].content + answers[1].content))  # noqa: E731
        return Subrequests(subrequests, then=then, upstream=tx.upstreams["side"])

    def note(tx: Transaction, value: int) -> None:
        values.append(value)

    return phase


@pytest.mark.parametrize("kind", ["wait", "later", "ask"])
@pytest.mark.parametrize("phase", [*HEADS, *BODIES])
def test_a_filter_that_takes_time(phase: str, kind: str) -> None:
    """Two filters wait one after the other in the same phase, then again in the next phase."""
    values: list[int] = []
    pause = pausing(kind, values)
    every = stepping_in(**dict.fromkeys((phase, *BODIES), pause))
    with Http(filters=[every, stepping_in(**{phase: pause})]) as proxy:
        proxy.upstream("side", lambda peer, data: peer.send(answer(b"zz")))
        client = proxy.send(request("POST", "/", "Content-Length: 5"))
        proxy.elapse(2.5)
        client.send(b"hello" + GET)
        proxy.elapse(2.5)
        server = proxy.server()
        proxy.elapse(2.5)
        assert received(server).endswith("hello")
        server.send(OK)
        proxy.elapse(4.5)
        assert received(client).endswith("yes")
    assert set(values) == {"later": {5}, "ask": {4}, "wait": set()}[kind]


def test_a_filter_may_answer_after_a_wait() -> None:
    late = Wait("2s", then=lambda tx, _: Response(403, {}, b"too late"))
    with Http(filters=[stepping_in(request_head=lambda tx: late)]) as proxy:
        client = proxy.send(GET)
        proxy.elapse(1.9)
        assert received(client) == ""
        proxy.elapse(0.2)
        assert received(client).endswith("too late")
        assert proxy.peers("server") == []


@pytest.mark.parametrize("end", [Peer.end, Peer.close, Peer.reset, lambda peer: peer.send(OK)])
def test_a_new_connection_that_becomes_unusable_while_a_filter_waits(
    end: Callable[[Peer], None],
) -> None:
    with Http(filters=[stepping_in(server_chosen=lambda tx: Wait("1s"))]) as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        end(server)
        proxy.elapse(1.5)
        assert not server.received
        other = proxy.server()
        proxy.elapse(1)
        other.send(OK)
        proxy.go()
        assert status(client) == "HTTP/1.1 200 OK"


@pytest.mark.parametrize("late", [False, True])
def test_buffered_bodies_are_replaced(late: bool) -> None:
    own = stepping_in(
        request_body=lambda tx, body: body.upper(), response_body=lambda tx, body: body * 2
    )
    for given in (
        request("POST", "/", "Expect: 100-continue", body=b"hello"),
        request("POST", "/", CHUNKED) + chunks(b"he", b"llo", trailers="Sum: 1\r\n"),
    ):
        with Http(filters=[own]) as proxy:
            client = proxy.client()
            for piece in ([given[n : n + 1] for n in range(len(given))]) if late else [given]:
                client.send(piece)
                proxy.go()
            server = proxy.server()
            proxy.go()
            result = received(server)
            assert "\nContent-Length: 5\n" in result
            assert CHUNKED not in result
            assert "Expect" not in result
            assert result.endswith("\n\nHELLO")
            server.send(f"HTTP/1.1 200 OK\r\n{CHUNKED}\r\n\r\n".encode() + chunks(b"y", b"es"))
            proxy.go()
            text = received(client)
            assert text.startswith("HTTP/1.1 100 Continue\n\n") == (late and b"Expect" in given)
            assert "\nContent-Length: 6\n" in text
            assert text.endswith("\n\nyesyes")
            client.send(given)
            proxy.go()
            assert received(server).endswith("HELLO")


def test_chunks_are_replaced_and_the_end_comes_once() -> None:
    ends: list[bytes] = []

    def stutter(tx: Transaction, data: bytes) -> bytes:
        if not data:
            ends.append(data)
        return data * 2 if data else b"!"

    def last_first(tx: Transaction, data: bytes) -> bytes:
        kept = str(tx.notes.get("kept", "")) + data.decode()
        tx.notes["kept"] = kept if data else ""
        return b"" if data else kept.encode()

    for filters in ([stutter, last_first], [last_first, stutter]):
        ends.clear()
        made = [stepping_in(request_chunk=each, response_chunk=each) for each in filters]
        with Http(filters=made) as proxy:
            client = proxy.send(request("POST", "/", "Content-Length: 4"), b"ab")
            server = proxy.server()
            proxy.go()
            client.send(b"cd" + GET)
            proxy.go()
            result = received(server)
            assert CHUNKED in result
            body = result.partition("\n\n")[2].replace("\n", "")
            assert "ababcdcd" in body or "abcdabcd" in body
            server.send(answer(b"yes"))
            proxy.go()
            text = received(client)
            assert "yesyes" in text
            assert text.endswith("\n0\n\n")
            assert len(ends) == 2


def test_a_body_over_its_buffer_limit() -> None:
    class Whole(Filter):
        body_limit = "10B"

        def request_body(self, tx: Transaction, body: bytes) -> None: ...

        def response_body(self, tx: Transaction, body: bytes) -> None: ...

    with Http(filters=[Whole]) as proxy:
        result, text = served(proxy, request("POST", "/", body=b"12345678901"))
        assert (result, text[:12]) == ("", "HTTP/1.1 413")
        _, text = served(proxy, GET, answer(b"12345678901"))
        assert text.startswith("HTTP/1.1 502 ")


def failing(*_: object) -> object:
    raise ZeroDivisionError("the filter's")


BAD = [
    failing,
    lambda *_: "no verdict",
    lambda *_: Defer(failing, deadline="1s"),
    lambda *_: Defer(lambda: 5, deadline="1s"),
    lambda *_: Defer(lambda: 5, deadline="1s", then=failing),
    lambda *_: Response(100),
]


@pytest.mark.parametrize("verdict", range(len(BAD)))
@pytest.mark.parametrize("phase", [*HEADS, *BODIES])
def test_a_filter_that_fails_lets_nothing_through(phase: str, verdict: int) -> None:
    done: list[Transaction] = []
    own = stepping_in(**{phase: BAD[verdict]}, done=done.append)
    with Http(filters=[own]) as proxy:
        client = proxy.send(request("POST", "/", body=b"secret"))
        errors = 0
        for _ in range(10):
            try:
                proxy.elapse(0.2)
                for server in proxy.peers():
                    if b"secret" in server.received and not server.sent:
                        server.send(answer(b"private"))
            except (ZeroDivisionError, TypeError, ValueError, AttributeError):
                errors += 1
        assert errors == (verdict != 2)  # a failed call is not logged as a programming error
        text = received(client)
        assert text.startswith("HTTP/1.1 500 Internal Server Error\n")
        assert "error=proxy_internal_error" in text
        assert "private" not in text
        if phase.startswith("request"):
            assert proxy.connections() == 0
        [tx] = done
        assert tx.failure is not None
        assert tx.failure.party == "plugin"


@pytest.mark.parametrize("kind", [SystemExit, CancelledError, GeneratorExit, KeyboardInterrupt])
@pytest.mark.parametrize("phase", [*HEADS, *BODIES, *CHUNKS, "error", "done", "call"])
def test_any_class_of_exception_fails_closed(phase: str, kind: type[BaseException]) -> None:
    def leave(*_: object) -> object:
        raise kind("the filter's")

    class Leaving(Filter):
        def request_head(self, tx: Transaction) -> PhaseResult:
            if tx.request.method == "GET":
                return Response(200, {}, b"it goes on")
            if phase == "error":
                raise ZeroDivisionError
            return Defer(leave, deadline="1s") if phase == "call" else None

    if phase != "call":
        first = getattr(Leaving, phase)

        def once(self: Filter, tx: Transaction, *data: bytes) -> object:
            verdict = first(self, tx, *data)
            return verdict if tx.request.method == "GET" else leave()

        setattr(Leaving, phase, once)
    with Http(filters=[Leaving]) as proxy:
        client = proxy.send(request("POST", "/", body=b"secret"))
        for _ in range(10):
            with suppress(RuntimeError, KeyboardInterrupt, ZeroDivisionError):
                proxy.elapse(0.2)
            for server in proxy.peers():
                if b"secret" in server.received and not server.sent:
                    server.send(answer(b"private"))
        text = received(client)
        assert text.startswith("HTTP/1.1 200 " if phase == "done" else "HTTP/1.1 500 ")
        assert ("private" in text) == (phase == "done")
        assert served(proxy, GET)[1].endswith("it goes on")


@pytest.mark.parametrize("failing_statuses", [{200}, {200, 500}])
def test_a_filter_that_fails_in_every_response(failing_statuses: set[int]) -> None:
    seen: list[int] = []

    def last(tx: Transaction, response: Response) -> None:
        seen.append(response.status)
        response.fields["X-Last"] = str(response.status)
        if response.status in failing_statuses:
            raise ZeroDivisionError

    with Http(filters=[stepping_in(every_response=last)]) as proxy:
        client = proxy.send(GET)
        proxy.elapse(0.2)
        proxy.peers()[-1].send(answer(b"private"))
        for _ in range(3):
            with suppress(ZeroDivisionError):
                proxy.elapse(0.2)
        text = received(client)
        assert text.startswith("HTTP/1.1 500 Internal Server Error\n")
        assert "X-Last: 500\n" in text
        assert "private" not in text
    assert seen == [200, 500]


def test_a_failed_call_is_logged_with_the_type_of_its_error() -> None:
    calling = stepping_in(request_head=lambda tx: Defer(failing, deadline="1s"))
    with Http(filters=[calling]) as proxy:
        proxy.send(GET)
        proxy.elapse(2)
        assert "filter call failed: ZeroDivisionError: the filter's" in proxy.log[0]


@pytest.mark.parametrize("late", [False, True])
def test_a_filter_that_fails_at_a_chunk_of_a_request(late: bool) -> None:
    with Http(filters=[stepping_in(request_chunk=failing)]) as proxy:
        client = proxy.send(request("POST", "/", "Content-Length: 6"))
        if late:
            proxy.server()
            proxy.go()
        client.send(b"secret")
        with pytest.raises(ZeroDivisionError):
            proxy.go()
        proxy.go()
        assert status(client) == "HTTP/1.1 500 Internal Server Error"
        assert client.ended
        for server in proxy.peers():
            assert server.ended
            assert b"secret" not in server.received
            assert not server.received.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("late", [False, True])
def test_a_filter_that_fails_at_a_chunk_of_an_answer(late: bool) -> None:
    with Http(filters=[stepping_in(response_chunk=failing)]) as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")
        if late:
            proxy.go()
        server.send(b"private")
        with pytest.raises(ZeroDivisionError):
            proxy.go()
        proxy.go()
        assert server.ended or server.reset_seen
        assert b"private" not in client.received
        if late:
            assert client.reset_seen
            assert not client.received.endswith(b"0\r\n\r\n")
        else:
            assert status(client) == "HTTP/1.1 500 Internal Server Error"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tx: setattr(tx.request, "method", "BAD METHOD"),
        lambda tx: setattr(tx.request, "target", "/a b"),
    ],
)
def test_a_request_that_cannot_be_sent(spoil: Callable[[Transaction], None]) -> None:
    with Http(filters=[stepping_in(request_head=spoil)]) as proxy:
        client = proxy.send(GET)
        with pytest.raises(ValueError, match="request line"):
            proxy.go()
        proxy.go()
        assert status(client) == "HTTP/1.1 500 Internal Server Error"


@pytest.mark.parametrize("also", [False, True])
def test_an_answer_that_cannot_be_sent(also: bool) -> None:
    def spoil(tx: Transaction) -> None:
        assert tx.response is not None
        tx.response.reason = "two\r\nlines"

    whole = {"response_body": lambda *_: None} if also else {}
    with Http(filters=[stepping_in(response_head=spoil, **whole)]) as proxy:
        client = proxy.send(GET)
        proxy.server().send(OK)
        with pytest.raises(ValueError, match="status line"):
            proxy.go()
        proxy.go()
        assert status(client) == "HTTP/1.1 500 Internal Server Error"


@pytest.mark.parametrize("unfit", [100, 204, 304])
def test_an_answer_with_a_body_gets_no_status_that_has_none(unfit: int) -> None:
    def spoil(tx: Transaction) -> None:
        tx.response.status = unfit

    with Http(filters=[stepping_in(response_head=spoil)]) as proxy:
        client = proxy.send(GET)
        proxy.server().send(OK)
        with pytest.raises(ValueError, match=f"status {unfit}|final response"):
            proxy.go()
        proxy.go()
        assert status(client) == "HTTP/1.1 500 Internal Server Error"


def test_an_answer_in_place_of_another_takes_its_body_with_it() -> None:
    def replace_it(tx: Transaction) -> None:
        tx.response = Response(203, {"X-New": "1"}, b"no")

    with Http(filters=[stepping_in(response_head=replace_it)]) as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        server.send(answer(b"hello")[:-3])
        proxy.go()
        other = proxy.send(GET)
        proxy.go()
        assert received(server) == received(proxy.server())  # the first filter still waits
        server.send(b"llo")
        proxy.go()
        assert received(client).endswith("X-New: 1\nVia: 1.1 vcproxy\nContent-Length: 5\n\nhello")
        assert not other.received


def test_a_request_in_place_of_another_takes_its_body_with_it() -> None:
    def other(tx: Transaction) -> None:
        tx.request = Request("POST", "/other", host="b")

    with Http(filters=[stepping_in(request_head=other)]) as proxy:
        client = proxy.send(request("POST", "/", body=GET), request("POST", "/", body=b"x"))
        server = proxy.server()
        for body in (GET, b"x"):
            proxy.go()
            assert server.received.endswith(b"\r\n\r\n" + body)
            assert server.received.startswith(b"POST /other HTTP/1.1\r\nHost: b\r\n")
            server.received.clear()
            server.send(OK)
        proxy.go()
        assert received(client).count("HTTP/1.1 200 OK") == 2


def test_another_answer_to_an_error() -> None:
    def sorry(tx: Transaction) -> Response:
        assert tx.failure is not None
        return Response(503, {}, f"sorry: {tx.failure.status}".encode())

    for phase, text in ((sorry, "sorry: 502"), (lambda _: None, "\nserver: ")):
        with Http(filters=[stepping_in(error=phase)]) as proxy:
            assert text in served(proxy, GET, b"nonsense\r\n\r\n")[1]


def test_an_error_while_answering_an_error() -> None:
    for phase in (failing, lambda _: "sorry"):
        with Http(filters=[stepping_in(error=phase)], refusing=["server"]) as proxy:
            client = proxy.send(GET)
            with pytest.raises((ZeroDivisionError, TypeError)):
                proxy.go()
            proxy.go()
            assert status(client) == "HTTP/1.1 502 Bad Gateway"


def test_done_is_called_once_however_it_ends() -> None:
    done: list[Transaction] = []
    with Http(filters=[stepping_in(done=done.append)]) as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        server.send(OK)
        proxy.go()
        assert len(done) == 1
        client.reset()
        proxy.go()
        assert len(done) == 1
        client = proxy.send(GET)
        proxy.go()
        client.reset()
        proxy.go()
        assert [tx.failure is None for tx in done] == [True, False]


def test_another_upstream() -> None:
    def canary(tx: Transaction) -> None:
        tx.upstream = tx.upstreams["canary"]

    with Http(filters=[stepping_in(route=canary)]) as proxy:
        proxy.upstream("canary")
        client = proxy.send(GET)
        proxy.server("canary").send(OK)
        proxy.go()
        assert received(client).endswith("yes")
        assert proxy.connections() == 0


def test_a_copy_for_another_upstream() -> None:
    def copied(tx: Transaction, body: bytes) -> None:
        tx.mirror(tx.upstreams["copies"], body)

    with Http(filters=[stepping_in(request_body=copied)]) as proxy:
        proxy.upstream("copies")
        client = proxy.send(request("POST", "/x", body=b"hello"))
        proxy.server().send(OK)
        copy = proxy.server("copies")
        proxy.go()
        assert received(client).endswith("yes")
        result = received(copy)
        assert result.startswith("POST /x HTTP/1.1\nHost: a\n")
        assert result.endswith("\n\nhello")
        copy.send(answer(bytes(3_000_000)))
        proxy.go()


def test_a_request_without_host_is_copied_too() -> None:
    with Http(filters=[stepping_in(route=lambda tx: tx.mirror(tx.upstreams["copies"]))]) as proxy:
        proxy.upstream("copies", lambda peer, data: peer.send(OK))
        assert served(proxy, b"GET / HTTP/1.0\r\n\r\n")[1].endswith("yes")
        assert proxy.connections("copies") == 1


def test_a_subrequest_copy_announces_no_body() -> None:
    def asking(tx: Transaction) -> PhaseResult:
        return Subrequests(
            (tx.request,), then=lambda tx, answers: None, upstream=tx.upstreams["side"]
        )

    with Http(filters=[stepping_in(route=asking)]) as proxy:
        proxy.upstream("side", lambda peer, data: peer.send(OK))
        for _ in range(2):
            result, _ = served(proxy, request("POST", "/", "Expect: 100-continue", body=GET))
            assert result.endswith(GET.decode().replace("\r\n", "\n"))
            text = received(proxy.peers("side")[-1])
            assert "Content-Length: 0\n" in text
            assert "Expect" not in text
            assert "GET" not in text


def test_the_machine_of_subrequests() -> None:
    assert check_machine(Subrequest) == {
        "AWAITING_RESPONSE CONNECTED",
        "CONNECTING EOS",
        "CONNECTING READ_READY",
        "CONNECTING WRITE_READY",
    }


def test_subrequests_that_get_a_response_or_none() -> None:
    statuses: list[int] = []

    def asking(tx: Transaction) -> PhaseResult:
        subrequests = [Request("GET", f"/{n}", host="b") for n in range(6)]

        def then(tx: Transaction, answers: list[Response]) -> None:
            statuses.extend(each.status for each in answers)

        return Subrequests(subrequests, then=then, upstream=tx.upstreams["side"], timeout="2s")

    def reply(peer: Peer, data: bytes) -> None:
        number = data.split(b" ")[1]
        if number == b"/1":
            peer.reset()
        elif number == b"/2":
            peer.send(b"nonsense\r\n\r\n")
        elif number == b"/3":
            peer.send(b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\nno")
            peer.end()
        elif number == b"/4":
            peer.send(b"HTTP/1.1 200 OK\r\n\r\npart")
            proxy.sim.clock.after(0.5, peer.reset)
        elif number == b"/0":
            peer.send(OK)

    with Http(filters=[stepping_in(route=asking)]) as proxy:
        proxy.upstream("side", reply)
        client = proxy.send(GET)
        proxy.elapse(1.9)
        assert not statuses
        proxy.elapse(0.2)
        assert statuses == [200, 502, 502, 404, 502, 504]
        proxy.server().send(OK)
        proxy.go()
        assert received(client).endswith("yes")


def test_filters_of_a_listener_are_made_once() -> None:
    made: list[Phases] = []

    class Counted(Filter):
        def __init__(self, options: object = None) -> None:
            super().__init__(options)
            made.append(self)

    with Http(filters=[Counted]) as proxy:
        proxy.send(GET)
        proxy.send(GET)
        proxy.go()
        assert len(made) == 1


@pytest.mark.parametrize(("method", "made"), [("HEAD", "GET"), ("GET", "HEAD")])
def test_a_filter_cannot_change_a_method_to_or_from_head(method: str, made: str) -> None:
    def there(tx: Transaction) -> None:
        tx.request.method = made

    with Http(filters=[stepping_in(request_head=there)]) as proxy, suppress(ValueError):
        client = proxy.send(request(method))
        proxy.go()
        assert received(client).startswith("HTTP/1.1 500 Internal Server Error\n")


def test_a_filter_may_add_an_upgrade() -> None:
    def wished(tx: Transaction) -> None:
        tx.request.upgrade = f"v{len(wishes)}"
        wishes.append(tx.request.upgrade)

    wishes: list[str] = []
    with Http(filters=[stepping_in(request_head=wished)]) as proxy:
        for number in range(4):
            result, _ = served(proxy, request("GET", "/", "Connection: upgrade", "Upgrade: any"))
            assert f"\nUpgrade: v{number}\n" in result


def test_a_client_that_leaves_ends_what_its_filter_waits_for() -> None:
    with Http(filters=[stepping_in(request_head=lambda tx: Wait("1h"))]) as proxy:
        client = proxy.send(GET)
        client.reset()
        proxy.go()
        assert proxy.engine.next_deadline() is None
