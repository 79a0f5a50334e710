"""SimulatedHttp: what a filter does can be told in a few lines."""

from __future__ import annotations

import pytest

from vcproxy.drivers.sim import NetworkFaults, seeds
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.filters import Filter, Subrequests
from vcproxy.http.proxy.options import HttpLimits, Options
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.testing.http import SimulatedHttp

GET = Request("GET", "/", host="a.example")


class Stamp(Filter):
    """Stamps requests and answers."""

    def __init__(self, colour: str = "red") -> None:
        super().__init__()
        self.colour = colour

    def request_head(self, tx: Transaction) -> None:
        tx.request.fields.add("X-Stamp", self.colour)

    def response_head(self, tx: Transaction) -> None:
        assert tx.response is not None
        tx.response.fields.add("X-Stamp", self.colour)


class Both(Filter):
    """Has two upstreams say who they are."""

    def route(self, tx: Transaction) -> Subrequests:
        return Subrequests([GET], then=self.first)

    def first(self, tx: Transaction, answers: list[Response]) -> Subrequests:
        tx.notes["first"] = answers[0].content
        return Subrequests([GET], upstream=tx.upstreams["other"], then=self.second)

    def second(self, tx: Transaction, answers: list[Response]) -> Response:
        first = tx.notes["first"]
        assert isinstance(first, bytes)
        return Response(200, {}, first + answers[0].content)


def test_a_story_in_three_lines() -> None:
    with SimulatedHttp(Stamp()) as proxy:
        assert proxy.send(GET).fields["X-Stamp"] == "red"
        assert proxy.received()[0].fields["X-Stamp"] == "red"


def test_filters_see_a_request_in_their_order_and_its_answer_the_other_way_round() -> None:
    with SimulatedHttp(Stamp("red"), Stamp("blue")) as proxy:
        assert proxy.send(GET).fields.get_all("X-Stamp") == ["blue", "red"]
        assert proxy.received()[0].fields.get_all("X-Stamp") == ["red", "blue"]


def test_a_subclass_comes_before_the_filters() -> None:
    class Own(HttpProxy):
        def request_head(self, tx: Transaction) -> None:
            tx.request.fields.add("X-Stamp", "own")

    with SimulatedHttp(Stamp(), plugin=Own) as proxy:
        proxy.send(GET)
        assert proxy.received()[0].fields.get_all("X-Stamp") == ["own", "red"]


def test_each_origin_has_an_answer_of_its_own() -> None:
    def other(request: Request) -> Response:
        return Response(200, {}, b"other\n")

    with SimulatedHttp(Both(), upstreams={"other": other}) as proxy:
        assert proxy.send(GET).content == b"ok\nother\n"
        assert len(proxy.received()) == len(proxy.received("other")) == 1


@pytest.mark.parametrize("seed", list(seeds(20)))
def test_bodies_come_whole_however_they_are_cut(seed: int) -> None:
    def mirror(request: Request) -> Response:
        return Response(201, {}, request.content[::-1])

    requests = [Request("POST", "/", host="a.example", content=b"abc" * n) for n in (0, 1, 3000)]
    faults = NetworkFaults(short=0.5, one_byte=0.1, latency=(0.0, 0.1))
    with SimulatedHttp(answer=mirror, seed=seed, faults=faults) as proxy:
        answers = proxy.send_all(*requests)
        assert [each.content for each in answers] == [each.content[::-1] for each in requests]
        assert [each.content for each in proxy.received()] == [each.content for each in requests]


def test_head_has_no_body_and_options_hold() -> None:
    with SimulatedHttp(options=Options(limits=HttpLimits(body=2))) as proxy:
        assert proxy.send(Request("HEAD", "/", host="a.example")).content == b""
        assert proxy.send(Request("POST", "/", host="a.example", content=b"abc")).status == 413


def test_an_origin_that_says_nothing_is_given_up() -> None:
    with SimulatedHttp(answer=lambda request: None) as proxy:
        assert proxy.send(GET).status == 504


def test_who_asks_too_much_is_told_so() -> None:
    once = Options(limits=HttpLimits(requests=1))
    with SimulatedHttp(options=once) as proxy, pytest.raises(AssertionError, match="no answer"):
        proxy.send_all(GET, GET)


def test_a_server_that_refuses() -> None:
    with SimulatedHttp(refusing=["server"]) as proxy:
        assert proxy.send(GET).status == 502
        assert proxy.received() == []
