"""response_fields: set, added and removed on every response."""

from __future__ import annotations

import pytest

from tests.http.proxy.test_options import read, refused
from vcproxy.http.message.messages import Request, Response
from vcproxy.testing.http import SimulatedHttp

GET = Request("GET", "/a", host="a.example")


def origin(request: Request) -> Response:
    return Response(200, {"Server": "origin/1", "X-Powered-By": "x", "Vary": "A"}, b"hello")


def fields(response: Response, *names: str) -> list[list[str]]:
    return [response.fields.get_all(name) for name in names]


EDITS = {
    "set": {"Server": "p", "X-From": "{host}"},
    "add": {"Vary": "B"},
    "remove": ["X-Powered-By"],
}


def test_they_are_edited() -> None:
    with SimulatedHttp(answer=origin, options=read(response_fields=EDITS)) as proxy:
        got = proxy.send(GET)
    assert fields(got, "Server", "X-From", "Vary", "X-Powered-By") == [
        ["p"], ["a.example"], ["A", "B"], [],
    ]  # fmt: skip
    assert got.content == b"hello"


def test_responses_of_the_proxy_itself_have_them_too() -> None:
    routes = [{"path": "/answer", "answer": {"body": "hi"}}, {"path": "/b"}]
    options = read(response_fields=EDITS, routes=routes)
    with SimulatedHttp(answer=origin, options=options) as proxy:
        for target in ("/answer", "/none"):
            got = proxy.send(Request("GET", target, host="a.example"))
            assert fields(got, "Server", "X-From") == [["p"], ["a.example"]], target


def test_of_a_route() -> None:
    options = read(
        response_fields={"set": {"X-All": "1"}},
        routes=[{"path": "/a", "response_fields": {"set": {"X-A": "1"}}}, {}],
    )
    with SimulatedHttp(answer=origin, options=options) as proxy:
        there = proxy.send(GET)
        elsewhere = proxy.send(Request("GET", "/b", host="a.example"))
    assert fields(there, "X-A", "X-All") == [["1"], []]
    assert fields(elsewhere, "X-A", "X-All") == [[], ["1"]]


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        (
            {"remove": ["content-LENGTH"]},
            'response_fields: "content-LENGTH" is written by the proxy itself',
        ),
        ({"set": {"X": "a\nb"}}, "response_fields.set.X: 'a\\nb' is not a field value"),
        ({"set": {"X": "{cl}"}}, "response_fields.set.X: {cl} is not a variable: there are "),
    ],
)
def test_refused(edits: dict[str, object], error: str) -> None:
    (problem,) = refused(response_fields=edits)
    assert problem.startswith(error)
