"""The records of requests in the access log: one for each, however it has ended."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_network

import pytest

from tests.http.proxy.harness import (
    GET,
    OK,
    PLAIN,
    POOLED,
    Http,
    answer,
    chunks,
    request,
    status,
)  # fmt: skip
from tests.http.proxy.test_admission import BALANCER, BEHIND, CLIENT, TWO, answered, limited
from vcproxy.access_log.log import AccessLog, AccessLogSettings
from vcproxy.engine.failures import Killed
from vcproxy.http.duties.answer import Answer
from vcproxy.http.filters import Filter, PhaseResult, Subrequests, Wait
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.proxy.access_list import AccessEntry
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.options import AllowedDestinations, HttpLimits, HttpTimeouts
from vcproxy.http.proxy.routing import Route
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.upstream.settings import QueueSettings

Record = dict[str, object]


def one(proxy: Http) -> Record:
    """Return the only record."""
    (record,) = proxy.access_log
    return record


def quiet(level: str, text: str, error: Exception | None = None) -> None:
    """Do not raise the errors that are logged."""


def ends(proxy: Http) -> list[tuple[object, object]]:
    """Return the status and the end of each record."""
    return [(record["status"], record["end"]) for record in proxy.access_log]


def third_request(proxy: Http, direct: bool) -> None:
    """Send three requests of one client, of which two are answered."""
    proxy.engine.direct = direct
    client = proxy.client()
    for _ in range(2):
        client.send(GET)
        proxy.go()
        proxy.peers()[-1].send(OK)
        proxy.go()
    client.send(GET)


def test_a_request_on_a_new_connection() -> None:
    with Http() as proxy:
        proxy.elapse(2.0)
        client = proxy.send(
            request("GET", "/a?b", "User-Agent: u", "Referer: r", "X-Request-Id: 7", host="A.b")
        )
        server = proxy.server()
        proxy.elapse(0.5)
        server.send(answer(b"hello")[:30])
        proxy.elapse(0.25)
        server.send(answer(b"hello")[30:])
        proxy.go()
        record = one(proxy)
        (session,) = proxy.sessions
    assert record | {"time": None, "id": None, "time_total": None} == {
        "time": None,
        "kind": "http",
        "id": None,
        "parent": None,
        "listener": "proxy",
        "client": session.client.peer,
        "proxied_by": None,
        "forwarded_for": None,
        "tls": None,
        "cipher": None,
        "sni": None,
        "alpn": None,
        "certificate": None,
        "plugin": None,
        "method": "GET",
        "host": "a.b",
        "target": "/a?b",
        "version": "HTTP/1.1",
        "referer": "r",
        "user_agent": "u",
        "request_id": "7",
        "status": 200,
        "answered_by": None,
        "route": "*/",
        "upstream": "upstream",
        "server": "tcp://server:1",
        "tried": [],
        "bytes_up": 0,
        "bytes_down": 5,
        "time_queue": 0.0,
        "time_connect": 0.0,
        "time_first_byte": 500.0,
        "time_total": None,
        "end": "--",
        "reason": None,
    }
    assert record["time_total"] == 750.0
    assert record["id"] == f"{session.client.id}-1"
    assert client.ended is False


def test_requests_of_one_connection_are_numbered() -> None:
    with Http() as proxy:
        client = proxy.client()
        for _ in range(3):
            client.send(GET)
            proxy.go()
            proxy.peers()[-1].send(OK)
            proxy.go()
        records = proxy.access_log
        identifier = proxy.sessions[0].client.id
    assert [record["id"] for record in records] == [f"{identifier}-{n}" for n in (1, 2, 3)]
    assert [record["time_connect"] for record in records] == [0.0, None, None]


INVALID = {
    "400": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "414": (b"GET /" + b"x" * 9000, 414),
    "431": (request("GET", "/", "X: " + "x" * 40_000), 431),
    "501": (request("POST", "/", "Transfer-Encoding: gzip"), 501),
    "505": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
}


@pytest.mark.parametrize("name", INVALID)
def test_a_request_that_is_refused_before_any_phase(name: str) -> None:
    sent, expected = INVALID[name]
    with Http() as proxy:
        client = proxy.send(sent)
        proxy.go()
        assert f" {expected} " in status(client)
        record = one(proxy)
    assert (record["status"], record["end"], record["method"]) == (expected, "PR", None)
    assert record["answered_by"] == "vcproxy"
    assert "RFC" in str(record["reason"])


def test_a_head_that_takes_too_long() -> None:
    with Http() as proxy:
        client = proxy.send(b"GET / HT")
        proxy.elapse(11.0)
        assert " 408 " in status(client)
        record = one(proxy)
    assert (record["status"], record["end"], record["time_total"]) == (408, "cR", 10_000.0)


@pytest.mark.parametrize(("how", "expected"), [("end", 400), ("reset", None)])
def test_a_client_that_leaves_inside_a_head(how: str, expected: int | None) -> None:
    with Http() as proxy:
        client = proxy.send(b"GET / HT")
        proxy.elapse(1.0)
        getattr(client, how)()
        proxy.go()
        record = one(proxy)
    assert (record["status"], record["end"], record["time_total"]) == (expected, "CR", 1000.0)


def test_a_connection_without_a_request_has_no_record() -> None:
    with Http() as proxy:
        proxy.client().end()
        proxy.client().reset()
        proxy.elapse(100.0)
        assert proxy.access_log == []


def test_too_many_connections_of_a_client() -> None:
    with Http() as proxy:
        proxy.client(client_ip="10.9.9.9")
        proxy.go()
        listener = proxy.sessions[0].client.listener
        assert listener is not None
        listener.max_per_client = 1
        listener.refuser = lambda new: HttpProxy.refuse(new, proxy.service)
        refused = proxy.client(client_ip="10.9.9.9")
        proxy.go()
        assert " 429 " in status(refused)
        assert ends(proxy) == [(429, "PH")]


# -- servers -------------------------------------------------------------------------------------


def test_no_server_can_be_connected() -> None:
    with Http(servers=("a", "b"), refusing=("a", "b")) as proxy:
        proxy.send(GET)
        proxy.go()
        record = one(proxy)
    assert (record["status"], record["end"]) == (502, "SC")
    assert record["tried"] == ["tcp://a:1"]
    assert record["server"] == "tcp://b:1"
    assert record["answered_by"] == "vcproxy"
    assert "refused" in str(record["reason"])


def test_the_second_server_answers() -> None:
    with Http(servers=("a", "b"), refusing=("a",)) as proxy:
        proxy.send(GET)
        proxy.go()
        proxy.server("b").send(OK)
        proxy.go()
        record = one(proxy)
    assert (record["status"], record["end"], record["tried"]) == (200, "--", ["tcp://a:1"])
    assert record["server"] == "tcp://b:1"


def test_a_request_is_sent_again_on_another_connection() -> None:
    with Http() as proxy:
        client = proxy.client()
        for _ in range(2):
            client.send(GET)
            proxy.go()
            proxy.peers()[-1].send(OK)
            proxy.go()
        client.send(GET)
        proxy.go()
        proxy.peers()[-1].reset()
        proxy.go()
        proxy.peers()[-1].send(OK)
        proxy.go()
        record = proxy.access_log[-1]
    assert (record["status"], record["end"]) == (200, "--")
    assert record["tried"] == ["tcp://server:1"]
    assert record["time_connect"] == 0.0


def test_a_server_that_resets_before_a_response() -> None:
    with Http() as proxy:
        proxy.send(request("POST", body=b"x"))
        server = proxy.server()
        proxy.go()
        server.reset()
        proxy.go()
        record = one(proxy)
    assert (record["status"], record["end"], record["bytes_up"]) == (502, "SW", 1)


def test_a_server_that_does_not_answer() -> None:
    with Http() as proxy:
        proxy.send(GET)
        proxy.server()
        proxy.elapse(61.0)
        record = one(proxy)
    assert (record["status"], record["end"]) == (504, "sW")
    assert record["time_first_byte"] is None
    assert record["time_total"] == 60_000.0


def test_a_response_that_is_not_http() -> None:
    with Http() as proxy:
        proxy.send(GET)
        server = proxy.server()
        proxy.go()
        server.send(b"\0\1\2")
        proxy.go()
        assert ends(proxy) == [(502, "SW")]


@pytest.mark.parametrize("framed", [answer(b"x" * 70_000), answer(b"x" * 10_000)])
def test_a_server_that_resets_inside_the_body(framed: bytes) -> None:
    with Http() as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        proxy.go()
        head = framed.index(b"\r\n\r\n") + 4
        server.send(framed[: head + 5000])
        proxy.go()
        server.reset()
        proxy.go()
        assert client.reset_seen
        record = one(proxy)
    assert (record["status"], record["end"], record["bytes_down"]) == (200, "SD", 5000)


def test_the_queue_is_full_or_takes_too_long() -> None:
    terms = replace(POOLED, max_connections=1, queue=QueueSettings(size=1, timeout=2.0))
    with Http(terms=terms) as proxy:
        proxy.send(GET)
        proxy.go()
        proxy.send(GET)
        proxy.go()
        proxy.send(GET)
        proxy.go()
        proxy.elapse(3.0)
        records = proxy.access_log
        proxy.server().send(OK)
        proxy.go()
    assert [(each["status"], each["end"]) for each in records] == [(503, "RQ"), (503, "sQ")]
    assert [each["time_queue"] for each in records] == [0.0, 2000.0]
    assert records[0]["server"] is None


def test_the_time_in_the_queue() -> None:
    terms = replace(POOLED, max_connections=1, queue=QueueSettings(timeout=9.0))
    with Http(terms=terms) as proxy:
        proxy.send(GET)
        proxy.go()
        proxy.send(GET)
        proxy.elapse(0.999)
        server = proxy.server()
        for _ in range(2):
            server.send(OK)
            proxy.go()
        first, second = proxy.access_log
        proxy.elapse(9.0)
    assert (first["time_queue"], first["time_connect"]) == (0.0, 0.0)
    assert (second["time_queue"], second["time_connect"]) == (999.0, None)


# -- clients -------------------------------------------------------------------------------------


def test_a_client_that_leaves_before_the_response() -> None:
    with Http() as proxy:
        client = proxy.send(GET)
        proxy.server()
        proxy.go()
        client.reset()
        proxy.go()
        record = one(proxy)
    assert (record["status"], record["end"]) == (None, "CW")


def test_a_client_that_leaves_inside_the_response() -> None:
    with Http() as proxy:
        client = proxy.send(GET)
        server = proxy.server()
        proxy.go()
        server.send(answer(b"x" * 100_000)[:50_000])
        proxy.go()
        client.reset()
        proxy.go()
        record = one(proxy)
    assert (record["status"], record["end"]) == (200, "CD")
    assert isinstance(record["bytes_down"], int)
    assert 40_000 < record["bytes_down"] < 50_000


def test_a_client_that_sends_its_body_too_slowly() -> None:
    with Http() as proxy:
        proxy.send(request("POST", "/", "Content-Length: 9"), b"abc")
        proxy.server()
        proxy.elapse(40.0)
        record = one(proxy)
    assert (record["status"], record["end"], record["bytes_up"]) == (408, "cD", 3)


@pytest.mark.parametrize("size", [0, 5, 30_000, 300_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_bytes_of_both_bodies(size: int, chunked: bool) -> None:
    body = b"x" * size
    coded = chunks(*[body[at : at + 1000] for at in range(0, size, 1000)])
    with Http() as proxy:
        if chunked:
            sent = request("POST", "/", "Transfer-Encoding: chunked") + coded
            back = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + coded
        else:
            sent, back = request("POST", "/", body=body), answer(body)
        client = proxy.send(sent)
        server = proxy.server()
        proxy.elapse(1.0)
        server.send(back)
        proxy.elapse(1.0)
        client.send(GET)
        proxy.go()
        proxy.peers()[-1].send(OK)
        proxy.go()
        record, after = proxy.access_log
    wanted = len(coded) if chunked else size
    assert (record["bytes_up"], record["bytes_down"]) == (wanted, wanted)
    assert (after["bytes_up"], after["bytes_down"]) == (0, 3)


def test_the_body_of_a_response_to_head_is_not_counted() -> None:
    with Http() as proxy:
        proxy.send(request("HEAD"))
        server = proxy.server()
        proxy.go()
        server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n")
        proxy.go()
        assert one(proxy)["bytes_down"] == 0


# -- the proxy itself ----------------------------------------------------------------------------


def test_a_route_answers() -> None:
    options = replace(PLAIN, routes=(Route(host="a", path="/x", answer=Answer(200, "hi")),))
    with Http(options=options) as proxy:
        client = proxy.send(request("GET", "/x/y"))
        proxy.go()
        client.send(request("GET", "/z"))
        proxy.go()
        answered, unknown = proxy.access_log
    assert (answered["status"], answered["end"], answered["answered_by"]) == (200, "LR", "route")
    assert (answered["route"], answered["bytes_down"]) == ("a/x", 2)
    assert (answered["server"], answered["upstream"]) == (None, None)
    assert (unknown["status"], unknown["end"], unknown["route"]) == (404, "LR", None)


class Answering(Filter):
    """Answers some requests, and adds fields to the records of all."""

    def request_head(self, tx: Transaction) -> PhaseResult:
        tx.access_fields["user"] = "ann"
        tx.request.target = "/changed"
        if tx.request.fields.get("Deny"):
            return Response(403, {}, b"no")
        return Wait("2s") if tx.request.fields.get("Wait") else None

    def response_head(self, tx: Transaction) -> PhaseResult:
        return Response(418, {}, b"tea") if tx.response.status == 500 else None

    def error(self, tx: Transaction) -> Response | None:
        return Response(599, {}, b"sorry")


def test_a_filter_answers() -> None:
    with Http(filters=[Answering]) as proxy:
        client = proxy.send(request("GET", "/asked", "Deny: 1"))
        proxy.go()
        client.send(GET)
        proxy.go()
        proxy.peers()[-1].send(answer(b"", status="500 X"))
        proxy.go()
        client.send(GET)
        proxy.go()
        proxy.peers()[-1].send(b"nonsense\r\n\r\n")
        proxy.go()
        denied, tea, sorry = proxy.access_log
    assert (denied["status"], denied["end"], denied["answered_by"]) == (403, "LR", "Answering")
    assert (denied["target"], denied["bytes_down"]) == ("/asked", 2)
    assert denied["extra"] == {"user": "ann"}
    assert (tea["status"], tea["end"], tea["answered_by"]) == (418, "LD", "Answering")
    assert (sorry["status"], sorry["end"], sorry["answered_by"]) == (599, "SW", "Answering")


def test_a_filter_that_waits_and_a_filter_that_fails() -> None:
    class Failing(Filter):
        def request_head(self, tx: Transaction) -> PhaseResult:
            raise ZeroDivisionError

    with Http(filters=[Answering]) as proxy:
        client = proxy.send(request("GET", "/", "Wait: 1"))
        proxy.elapse(1.0)
        client.reset()
        proxy.go()
        assert ends(proxy) == [(None, "CR")]
    with Http(filters=[Failing]) as proxy:
        proxy.engine.log = quiet
        proxy.send(GET)
        proxy.go()
        assert ends(proxy) == [(500, "IR")]


def test_what_is_denied() -> None:
    with Http() as proxy:
        proxy.send(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n")
        proxy.go()
        assert ends(proxy) == [(403, "PR")]
    with Http(options=replace(PLAIN, limits=HttpLimits(body=3))) as proxy:
        proxy.send(request("POST", body=b"four"))
        proxy.go()
        assert ends(proxy) == [(413, "PR")]


def test_the_whole_request_takes_too_long() -> None:
    options = replace(PLAIN, timeouts=HttpTimeouts(active=3.0))
    with Http(options=options) as proxy:
        proxy.send(GET)
        proxy.server()
        proxy.elapse(4.0)
        assert ends(proxy) == [(504, "sW")]


def test_a_mistake_in_the_proxy() -> None:
    with Http() as proxy:
        proxy.engine.log = quiet
        client = proxy.send(GET)
        server = proxy.server()
        proxy.go()
        (session,) = proxy.sessions
        assert isinstance(session, HttpProxy)
        assert session.exchange is not None
        del session.exchange.server.wire  # a broken invariant
        server.send(OK)
        proxy.go()
        assert client.reset_seen
        record = one(proxy)
        proxy.elapse(100.0)
    assert (record["status"], record["end"]) == (None, "IW")


@pytest.mark.parametrize("direct", [False, True])
def test_too_many_requests(direct: bool) -> None:
    with limited(TWO, direct=direct) as proxy:
        assert len(answered(proxy, CLIENT, GET, GET, GET)) == 3
        *_, record = proxy.access_log
        assert ends(proxy) == [(200, "--"), (200, "--"), (429, "PR")]
    assert (record["answered_by"], record["server"]) == ("vcproxy", None)
    assert "too many requests" in str(record["reason"])


def test_an_address_that_is_not_admitted() -> None:
    with limited(deny=["192.0.2.0/24"], options=BEHIND) as proxy:
        answered(proxy, BALANCER, request("GET", "/", "X-Forwarded-For: 192.0.2.7"))
        record = one(proxy)
    assert (record["status"], record["end"]) == (403, "PR")
    assert record["forwarded_for"] == "192.0.2.7"


# -- tunnels -------------------------------------------------------------------------------------

ANYWHERE = AllowedDestinations((AccessEntry.parse("*:*"),))


@pytest.mark.parametrize(("how", "end"), [("end", "--"), ("reset", "CD")])
def test_a_tunnel_of_connect(how: str, end: str) -> None:
    with Http(options=replace(PLAIN, connect=ANYWHERE), inactivity_s=60.0) as proxy:
        client = proxy.send(b"CONNECT server:1 HTTP/1.1\r\nHost: server\r\n\r\nearly")
        server = proxy.server()
        proxy.go()
        assert bytes(server.received) == b"early"
        client.send(b"more")
        server.send(b"hello there")
        proxy.elapse(1.0)
        assert proxy.access_log == []
        getattr(client, how)()
        proxy.go()
        server.end()
        proxy.go()
        record = one(proxy)
    assert (record["method"], record["target"], record["status"]) == ("CONNECT", "server:1", 200)
    assert (record["bytes_up"], record["bytes_down"]) == (9, 11)
    assert record["end"] == end
    assert record["server"] == "tcp://server:1"


def test_a_tunnel_after_an_upgrade() -> None:
    with Http(inactivity_s=60.0) as proxy:
        client = proxy.send(request("GET", "/", "Connection: upgrade", "Upgrade: chat"))
        server = proxy.server()
        proxy.go()
        server.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\n\r\nhi")
        proxy.go()
        client.send(b"hello")
        proxy.elapse(61.0)
        record = one(proxy)
    assert (record["status"], record["bytes_up"], record["bytes_down"]) == (101, 5, 2)
    assert record["end"] == "cD"
    assert "timed out" in str(record["reason"])


@pytest.mark.parametrize("direct", [False, True])
def test_an_operator_ends_a_connection(direct: bool) -> None:
    with Http() as proxy:
        third_request(proxy, direct)
        proxy.go()
        vc = proxy.sessions[0].client
        proxy.engine.inbox.post(lambda: vc.fail(Killed("ended by an operator")))
        proxy.go()
        *_, record = proxy.access_log
        assert ends(proxy) == [(200, "--"), (200, "--"), (None, "KW")]
    assert record["reason"] == "client: ended by an operator"


@pytest.mark.parametrize("direct", [False, True])
def test_a_connection_that_is_closed_by_others_has_a_record(direct: bool) -> None:
    with Http() as proxy:
        third_request(proxy, direct)
        proxy.elapse(0.5)
        (session,) = proxy.sessions

        def kill() -> None:
            with session.mutex.hold(proxy.engine):
                proxy.engine.end_conversation(session.mutex, ConnectionAbortedError("by a test"))

        proxy.engine.inbox.post(kill)
        proxy.go()
        *_, record = proxy.access_log
        assert len(proxy.access_log) == 3
        proxy.elapse(100.0)
    assert (record["status"], record["end"]) == (None, "PW")
    assert (record["reason"], record["time_total"]) == ("by a test", 500.0)
    assert record["server"] == "tcp://server:1"


# -- formats -------------------------------------------------------------------------------------


def lines(proxy: Http, form: str, sample: float = 1.0) -> list[bytes]:
    """Have the proxy write its access log in another form, into the list that is returned."""
    written: list[bytes] = []
    settings = AccessLogSettings(target=None, form=form, sample=sample)
    log = AccessLog(proxy.engine, settings, written.append, lambda: 0.0)
    proxy.service = replace(proxy.service, access_log=log)
    return written


def talk(proxy: Http, requests: int, *more: str) -> None:
    client = proxy.client()
    for number in range(requests):
        client.send(request("GET", f"/{number}", *more))
        proxy.go()
        proxy.peers()[-1].send(answer(b"x", "Date: x"))
        proxy.go()


@pytest.mark.parametrize("direct", [False, True])
def test_a_template(direct: bool) -> None:
    with Http() as proxy:
        proxy.engine.direct = direct
        form = '100% {{}} {method} {target} "{user_agent}" {status} {bytes_down} {end} {extra.a}'
        written = lines(proxy, form)
        talk(proxy, 4, 'User-Agent: a"b\xff')
    assert written == [
        b'100%% {} GET /%d "a\\"b\xc3\xbf" 200 1 -- -\n' % number for number in range(4)
    ]


@pytest.mark.parametrize("direct", [False, True])
def test_a_template_without_fields(direct: bool) -> None:
    with Http() as proxy:
        proxy.engine.direct = direct
        written = lines(proxy, "a request")
        talk(proxy, 3)
    assert written == [b"a request\n"] * 3


@pytest.mark.parametrize("direct", [False, True])
def test_a_sample(direct: bool) -> None:
    with Http() as proxy:
        proxy.engine.direct = direct
        written = lines(proxy, "{target} {status}", 0.25)
        talk(proxy, 40)
        proxy.send(b"BAD\0")
        proxy.go()
    assert len(written) in (11, 12)
    assert written[-1] == b"- 400\n"


@pytest.mark.parametrize("direct", [False, True])
def test_fields_of_the_session_are_in_all_its_records(direct: bool) -> None:
    with Http() as proxy:
        proxy.engine.direct = direct
        talk(proxy, 2)
        (session,) = proxy.sessions
        session.access_fields["shift"] = "night"
        client = proxy._clients[-1]
        client.send(GET)
        proxy.go()
        proxy.peers()[-1].send(answer(b"x", "Date: x"))
        proxy.go()
        records = proxy.access_log
    assert [record.get("extra") for record in records] == [None, None, {"shift": "night"}]


def test_what_a_client_sends_cannot_break_a_line() -> None:
    with Http() as proxy:
        proxy.send(request("GET", '/"\\', 'User-Agent: "\\\xff{}%s%(a)b', "Referer: a\tb"))
        proxy.go()
        proxy.peers()[-1].send(OK)
        proxy.go()
        (raw,) = proxy._records
    record = json.loads(raw)
    assert raw.count(b"\n") == 1
    assert record["target"] == '/"\\'
    assert record["user_agent"] == '"\\\xff{}%s%(a)b'
    assert record["referer"] == "a\tb"


def test_the_address_behind_a_trusted_proxy() -> None:
    options = replace(PLAIN, trusted=(ip_network("10.0.0.0/8"),))
    with Http(options=options) as proxy:
        client = proxy.client(client_ip="10.0.0.1")
        client.send(request("GET", "/", "X-Forwarded-For: 192.0.2.7"))
        proxy.go()
        proxy.peers()[-1].send(OK)
        proxy.go()
        record = one(proxy)
    assert record["forwarded_for"] == "192.0.2.7"
    assert str(record["client"]).startswith("10.0.0.1:")


def test_the_record_is_of_the_request_as_it_was_received() -> None:
    class Renaming(Filter):
        def request_head(self, tx: Transaction) -> None:
            tx.request = Request("PUT", "/other", {"Host": "other", "User-Agent": "other"})

    with Http(filters=[Renaming]) as proxy:
        proxy.send(request("GET", "/mine", "User-Agent: mine"))
        proxy.go()
        proxy.peers()[-1].send(OK)
        proxy.go()
        record = one(proxy)
    assert (record["method"], record["target"], record["user_agent"]) == ("GET", "/mine", "mine")


# -- requests of the proxy's own -----------------------------------------------------------------


class Asking(Filter):
    """Mirrors each request, and asks two other servers about it."""

    def request_head(self, tx: Transaction) -> PhaseResult:
        tx.mirror(tx.upstreams["mirror"], b"copy")
        asked = (Request("GET", path, {"Host": "auth"}) for path in ("/allowed", "/quota"))
        return Subrequests(asked, then=self.decided, upstream=tx.upstreams["auth"], timeout="3s")

    def decided(self, tx: Transaction, responses: list[Response]) -> PhaseResult:
        return Response(403) if any(each.status != 200 for each in responses) else None


def test_subrequests_and_copies_have_records_of_their_own() -> None:
    with Http(filters=[Asking]) as proxy:
        proxy.upstream("auth", lambda peer, data: peer.send(OK))
        proxy.upstream("mirror", lambda peer, data: peer.send(OK))
        proxy.send(request("GET", "/a"))
        proxy.elapse(1.0)
        proxy.server().send(OK)
        proxy.go()
        records = proxy.access_log
    *own, record = records
    assert record["target"] == "/a"
    assert record["parent"] is None
    assert {each["parent"] for each in own} == {record["id"]}
    assert {each["id"] for each in own} == {f"{record['id']}.{number}" for number in (1, 2, 3)}
    found = {
        (each["target"], each["host"], each["upstream"], each["status"], each["end"])
        for each in own
    }
    assert found == {
        ("/a", "a", "mirror", 200, "--"),
        ("/allowed", "auth", "auth", 200, "--"),
        ("/quota", "auth", "auth", 200, "--"),
    }
    copy = next(each for each in own if each["upstream"] == "mirror")
    assert (copy["bytes_up"], copy["bytes_down"], copy["client"]) == (4, 3, None)
    assert copy["server"] == "tcp://mirror:1"


def test_subrequests_and_copies_that_fail() -> None:
    with Http(filters=[Asking]) as proxy:
        proxy.upstream("auth", lambda peer, data: peer.reset())
        proxy.upstream("mirror", lambda peer, data: None)
        proxy.send(request("GET", "/a"))
        proxy.elapse(31.0)
        *own, copy = proxy.access_log
        proxy.elapse(10.0)
    assert sorted((each["target"], each["status"], each["end"]) for each in own) == [
        ("/a", 403, "LR"),
        ("/allowed", 502, "SW"),
        ("/quota", 502, "SW"),
    ]
    assert (copy["target"], copy["status"], copy["end"]) == ("/a", 504, "MW")
    assert copy["time_total"] == 30_000.0
