"""SimulatedHttp: a test of a filter takes a few lines."""

from __future__ import annotations

import pytest

from vcproxy.drivers.sim import NetworkFaults, seeds
from vcproxy.http.filters import Filter, Subrequests
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.options import HttpLimits, Options
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.testing.http import SimulatedHttp

GET = Request("GET", "/", host="a.example")


class Stamp(Filter):
    """Adds a field to requests and responses."""

    def __init__(self, colour: str = "red") -> None:
        super().__init__()
        self.colour = colour

    def request_head(self, tx: Transaction) -> None:
        tx.request.fields.add("X-Stamp", self.colour)

    def response_head(self, tx: Transaction) -> None:
        assert tx.response is not None
        tx.response.fields.add("X-Stamp", self.colour)


class Both(Filter):
    """Sends a request to each of two upstreams."""

    def route(self, tx: Transaction) -> Subrequests:
        return Subrequests([GET], then=self.first)

    def first(self, tx: Transaction, answers: list[Response]) -> Subrequests:
        tx.notes["first"] = answers[0].content
        return Subrequests([GET], upstream=tx.upstreams["other"], then=self.second)

    def second(self, tx: Transaction, answers: list[Response]) -> Response:
        first = tx.notes["first"]
        assert isinstance(first, bytes)
        return Response(200, {}, first + answers[0].content)


def test_a_test_in_three_lines() -> None:
    with SimulatedHttp(Stamp()) as proxy:
        assert proxy.send(GET).fields["X-Stamp"] == "red"
        assert proxy.received()[0].fields["X-Stamp"] == "red"


def test_filters_get_requests_in_order_and_responses_in_reverse_order() -> None:
    with SimulatedHttp(Stamp("red"), Stamp("blue")) as proxy:
        assert proxy.send(GET).fields.get_all("X-Stamp") == ["blue", "red"]
        assert proxy.received()[0].fields.get_all("X-Stamp") == ["red", "blue"]


def test_a_subclass_gets_requests_before_the_filters() -> None:
    class Own(HttpProxy):
        def request_head(self, tx: Transaction) -> None:
            tx.request.fields.add("X-Stamp", "own")

    with SimulatedHttp(Stamp(), plugin=Own) as proxy:
        proxy.send(GET)
        assert proxy.received()[0].fields.get_all("X-Stamp") == ["own", "red"]


def test_each_origin_has_its_own_handler() -> None:
    def other(request: Request) -> Response:
        return Response(200, {}, b"other\n")

    with SimulatedHttp(Both(), upstreams={"other": other}) as proxy:
        assert proxy.send(GET).content == b"ok\nother\n"
        assert len(proxy.received()) == len(proxy.received("other")) == 1


@pytest.mark.parametrize("seed", list(seeds(20)))
def test_bodies_are_complete_in_all_divisions(seed: int) -> None:
    def mirror(request: Request) -> Response:
        return Response(201, {}, request.content[::-1])

    requests = [Request("POST", "/", host="a.example", content=b"abc" * n) for n in (0, 1, 3000)]
    faults = NetworkFaults(short=0.5, one_byte=0.1, latency=(0.0, 0.1))
    with SimulatedHttp(answer=mirror, seed=seed, faults=faults) as proxy:
        answers = proxy.send_all(*requests)
        assert [each.content for each in answers] == [each.content[::-1] for each in requests]
        assert [each.content for each in proxy.received()] == [each.content for each in requests]


def test_head_has_no_body_and_limits_apply() -> None:
    with SimulatedHttp(options=Options(limits=HttpLimits(body=2))) as proxy:
        assert proxy.send(Request("HEAD", "/", host="a.example")).content == b""
        assert proxy.send(Request("POST", "/", host="a.example", content=b"abc")).status == 413


def test_an_origin_without_a_response_times_out() -> None:
    with SimulatedHttp(answer=lambda request: None) as proxy:
        assert proxy.send(GET).status == 504


def test_a_missing_response_fails() -> None:
    once = Options(limits=HttpLimits(requests=1))
    with SimulatedHttp(options=once) as proxy, pytest.raises(AssertionError, match="no response"):
        proxy.send_all(GET, GET)


def test_a_server_that_refuses_connections() -> None:
    with SimulatedHttp(refusing=["server"]) as proxy:
        assert proxy.send(GET).status == 502
        assert proxy.received() == []
