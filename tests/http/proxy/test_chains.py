"""Chains: in which order duties and filters are called, for each route."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from vcproxy.http.duties.answer import Answer
from vcproxy.http.duties.duty import Duty, DutyPhases
from vcproxy.http.duties.rewrite import Rewrite
from vcproxy.http.filters import Filter
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.options import Options
from vcproxy.http.proxy.routing import Route
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.testing.http import SimulatedHttp

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def _no_calls() -> Iterator[None]:
    CALLS.clear()
    yield
    CALLS.clear()


@dataclass(frozen=True)
class Noted(Duty):
    """Notes its calls, and refuses the request whose query is its name."""

    name: str

    def phases(self) -> NotedPhases:
        return NotedPhases(self)


class NotedPhases(DutyPhases):
    options: Noted

    def request_head(self, tx: Transaction) -> Response | None:
        CALLS.append(f"{self.options.name} request")
        return Response(403) if tx.request.query == self.options.name else None

    def response_head(self, tx: Transaction) -> None:
        CALLS.append(f"{self.options.name} response")

    def every_response(self, tx: Transaction, response: Response) -> None:
        CALLS.append(f"{self.options.name} every {response.status}")

    def done(self, tx: Transaction) -> None:
        assert self.key in ("response_fields", "rewrite")


class Noting(Filter):
    """An author's filter."""

    def request_head(self, tx: Transaction) -> None:
        CALLS.append("filter request")
        if tx.request.target == "/moved":
            tx.request.target = "/b"

    def response_head(self, tx: Transaction) -> None:
        CALLS.append("filter response")

    def every_response(self, tx: Transaction, response: Response) -> None:
        CALLS.append("filter every")


def duty(name: str) -> Any:
    """Return a duty that notes its calls. Its place is that of the key it is given for."""
    return Noted(name)


def calls(options: Options, target: str = "/", **keywords: Any) -> list[str]:
    """Return what is called for a request."""
    CALLS.clear()
    with SimulatedHttp(Noting(), options=options, **keywords) as proxy:
        proxy.send(Request("GET", target, host="a.example"))
    return list(CALLS)


def test_duties_of_a_listener_come_first_there_and_last_back() -> None:
    assert calls(Options(response_fields=duty("all"))) == [
        "all request", "filter request",
        "filter response", "all response", "filter every", "all every 200",
    ]  # fmt: skip


def test_a_duty_of_a_route_gets_the_request_when_the_route_is_found() -> None:
    options = Options(routes=(Route(path="/b", response_fields=duty("b")), Route()))
    assert calls(options, "/b") == [
        "filter request", "b request",
        "filter response", "b response", "filter every", "b every 200",
    ]  # fmt: skip
    assert calls(options, "/a") == ["filter request", "filter response", "filter every"]
    assert calls(options, "/moved") == calls(options, "/b"), "the route is that of the new target"


def test_a_duty_that_a_route_replaces_waits_for_the_route() -> None:
    options = Options(
        response_fields=duty("all"),
        routes=(
            Route(path="/b", response_fields=duty("b")),
            Route(path="/without", without=("response_fields",)),
            Route(path="/a"),
        ),
    )
    assert calls(options, "/b")[:2] == ["filter request", "b request"]
    assert calls(options, "/a")[:2] == ["filter request", "all request"]
    assert not any("all" in each for each in calls(options, "/without"))
    assert calls(options, "/none") == ["filter request", "filter every", "all every 404"]


def test_what_routes_depend_on_is_changed_when_the_route_is_found() -> None:
    assert calls(Options(rewrite=duty("all")))[:2] == ["filter request", "all request"]
    options = Options(rewrite=Rewrite("/b", "/c"), routes=(Route(path="/b"),))
    with SimulatedHttp(options=options) as proxy:
        assert proxy.send(Request("GET", "/b/x", host="a.example")).status == 200
        assert proxy.received()[0].target == "/c/x"


def test_a_refusal_is_sent_with_what_every_response_has() -> None:
    options = Options(response_fields=duty("all"))
    assert calls(options, "/?all") == ["all request", "filter every", "all every 403"]


def test_an_answer_comes_after_the_duties_of_its_route() -> None:
    options = Options(routes=(Route(response_fields=duty("b"), answer=Answer(status=204)),))
    assert calls(options) == ["filter request", "b request", "filter every", "b every 204"]
    assert calls(options, "/?b")[-1] == "b every 403"


def test_a_session_with_phases_is_the_first_filter() -> None:
    class Own(HttpProxy):
        def request_head(self, tx: Transaction) -> None:
            CALLS.append("session request")

    options = Options(
        response_fields=duty("all"), routes=(Route(path="/b", response_fields=duty("b")), Route())
    )
    seen = calls(options, "/b", plugin=Own)
    assert seen[:3] == ["session request", "filter request", "b request"]
    assert calls(Options(response_fields=duty("all")), plugin=Own)[:2] == [
        "all request", "session request",
    ]  # fmt: skip


def test_a_duty_that_answers_needs_no_server() -> None:
    @dataclass(frozen=True)
    class Answering(Noted):
        @property
        def answers(self) -> bool:
            return True

    answering: Any = Answering("all")
    assert not Options(response_fields=answering).uses_servers
    assert not Options(response_fields=answering).upstreams
    options = Options(response_fields=answering, routes=(Route(without=("response_fields",)),))
    assert options.uses_servers
