"""Requests that are not admitted: 429 with Retry-After for a rate, 403 for an address."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from ipaddress import ip_network

import pytest

from tests.http.proxy.harness import GET, OK, PLAIN, Http, received, request, status
from vcproxy.admission.admission import Admission
from vcproxy.admission.networks import AdmittedAddresses
from vcproxy.admission.rate import Rate, RateLimits
from vcproxy.admission.refusal import Refusal
from vcproxy.http.filters import Filter
from vcproxy.http.message.messages import Response
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.options import Options
from vcproxy.http.proxy.transaction import Transaction

CLIENT, OTHER, BALANCER = "198.51.100.1", "203.0.113.9", "10.0.0.1"
BEHIND = replace(PLAIN, trusted=(ip_network("10.0.0.0/8"),))
TWO = Rate(32, 2, 10.0, 2, "2 per 10s for each client")
PATHS = pytest.mark.parametrize("direct", [False, True], ids=["ordinary", "direct"])


def _same(each: Filter) -> Filter:
    return each


@contextmanager
def limited(
    *rates: Rate,
    deny: Sequence[str] = (),
    options: Options = PLAIN,
    direct: bool = True,
    filters: Sequence[Filter] = (),
) -> Iterator[Http]:
    """A proxy with these rules; its server answers everything at once."""
    admission = Admission(AdmittedAddresses(None, map(ip_network, deny)) if deny else None)
    admission.requests = RateLimits(rates) if rates else None
    admission.forwards = HttpProxy.forwards(options)
    with Http(options=options, filters=[partial(_same, each) for each in filters]) as proxy:
        proxy.engine.direct = direct
        proxy.service = replace(proxy.service, admission=admission)
        for listener in proxy.listeners:
            listener.admission = admission
        yield proxy


def answered(proxy: Http, client_ip: str, *requests: bytes) -> list[str]:
    """The statuses of a client's requests, which the server answers at once."""
    client = proxy.client(client_ip=client_ip)
    found = []
    for each in requests:
        client.send(each)
        proxy.go()
        for server in proxy.peers("server"):
            if server.received:
                server.received.clear()
                server.send(OK)
        proxy.go()
        found.append(status(client))
    return found


@PATHS
def test_requests_of_each_client_are_limited(direct: bool) -> None:
    with limited(TWO, direct=direct) as proxy:
        assert answered(proxy, CLIENT, *[GET] * 4) == [
            "HTTP/1.1 200 OK",
            "HTTP/1.1 200 OK",
            "HTTP/1.1 429 Too Many Requests",
            "HTTP/1.1 429 Too Many Requests",
        ], "on one connection, which is kept"
        assert answered(proxy, CLIENT, GET) == ["HTTP/1.1 429 Too Many Requests"]
        assert answered(proxy, OTHER, GET) == ["HTTP/1.1 200 OK"]
        proxy.elapse(5.0)
        assert answered(proxy, CLIENT, GET, GET)[-1] == "HTTP/1.1 429 Too Many Requests"
        assert proxy.service.counts["429"] == 4
        assert proxy.log == [
            f"warning: proxy: {CLIENT} is refused: more than 2 per 10s for each client; 1 refused "
            "so far"
        ]


def test_the_response_says_when_to_try_again() -> None:
    with limited(TWO) as proxy:
        client = proxy.send(GET, GET, GET)
        for _ in range(3):
            proxy.go()
            for server in proxy.peers("server"):
                if server.received:
                    server.received.clear()
                    server.send(OK)
        proxy.go()
        last = received(client).rpartition("HTTP/1.1 ")[2]
        assert last.startswith("429 Too Many Requests\nContent-Type: text/plain; charset=utf-8\n")
        assert "\nRetry-After: 5\n" in last
        assert last.endswith("429 Too Many Requests\nclient: too many requests from this client\n")


def test_a_refused_request_with_a_body_leaves_the_next_one_readable() -> None:
    with limited(replace(TWO, requests=1, burst=1)) as proxy:
        post = request("POST", "/", body=b"some")
        assert answered(proxy, CLIENT, GET, post)[1] == "HTTP/1.1 429 Too Many Requests"


def test_a_filter_may_change_the_response() -> None:
    class Page(Filter):
        def error(self, tx: Transaction) -> Response:
            assert tx.failure is not None
            return Response(tx.failure.status, {"X-Page": "own"}, b"slower, please")

    with limited(replace(TWO, requests=1, burst=1), filters=[Page()]) as proxy:
        client = proxy.client(client_ip=CLIENT)
        client.send(GET)
        proxy.server().send(OK)
        proxy.go()
        received(client)
        client.send(GET)
        proxy.go()
        assert "X-Page: own" in received(client)


@PATHS
def test_a_refused_request_has_a_record(direct: bool) -> None:
    with limited(replace(TWO, requests=1, burst=1), direct=direct) as proxy:
        answered(proxy, CLIENT, GET, GET)
        served, refused = proxy.access_log
        assert (served["status"], served["end"]) == (200, "--")
        assert (refused["status"], refused["end"]) == (429, "PR")
        assert refused["reason"] == "client: too many requests from this client"
        assert str(refused["client"]).startswith(f"{CLIENT}:")


# -- addresses -------------------------------------------------------------------------------


def test_a_denied_client_gets_403_and_is_closed() -> None:
    with limited(deny=["203.0.113.0/24"]) as proxy:
        client = proxy.client(client_ip=OTHER)
        client.send(GET)
        proxy.go()
        assert client.ended
        text = received(client)
        assert text.startswith("HTTP/1.1 403 Forbidden\n")
        assert text.endswith("403 Forbidden\nclient: this address is not admitted\n")
        assert "Connection: close" in text
        assert answered(proxy, CLIENT, GET) == ["HTTP/1.1 200 OK"]
        denied = proxy.access_log[0]
        assert (denied["status"], denied["end"]) == (403, "PH")
        assert str(denied["client"]).startswith(f"{OTHER}:")


@PATHS
def test_behind_a_trusted_proxy_the_clients_that_it_names_count(direct: bool) -> None:
    def via(client: str) -> bytes:
        return request("GET", "/", f"X-Forwarded-For: {client}")

    with limited(TWO, deny=["203.0.113.0/24"], options=BEHIND, direct=direct) as proxy:
        assert answered(
            proxy, BALANCER, via(CLIENT), via(CLIENT), via(CLIENT), via("192.0.2.1")
        ) == [
            "HTTP/1.1 200 OK",
            "HTTP/1.1 200 OK",
            "HTTP/1.1 429 Too Many Requests",
            "HTTP/1.1 200 OK",
        ]
        assert answered(proxy, BALANCER, via(OTHER)) == ["HTTP/1.1 403 Forbidden"]
        [listener] = proxy.listeners
        assert listener.counts_of(proxy.engine).refusals == {Refusal.RATE: 1, Refusal.DENIED: 1}


@PATHS
def test_a_denied_proxy_may_forward_clients_that_are_not(direct: bool) -> None:
    with limited(deny=["10.0.0.0/8"], options=BEHIND, direct=direct) as proxy:
        named = request("GET", "/", f"X-Forwarded-For: {CLIENT}")
        assert answered(proxy, BALANCER, named, named) == ["HTTP/1.1 200 OK"] * 2
        assert answered(proxy, BALANCER, GET) == ["HTTP/1.1 403 Forbidden"]


def test_fields_of_a_client_that_is_no_trusted_proxy_are_not_believed() -> None:
    with limited(TWO, deny=["203.0.113.0/24"], options=BEHIND) as proxy:
        named = request("GET", "/", f"X-Forwarded-For: {CLIENT}")
        assert answered(proxy, OTHER, named) == ["HTTP/1.1 403 Forbidden"]
        several = [request("GET", "/", f"X-Forwarded-For: 192.0.2.{n}") for n in range(3)]
        assert answered(proxy, CLIENT, *several)[2] == "HTTP/1.1 429 Too Many Requests"
