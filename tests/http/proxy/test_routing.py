"""Routing: the first matching route of the file is used, and found fast."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.http.duties.answer import Answer
from vcproxy.http.message.messages import Request
from vcproxy.http.proxy.routing import EVERYTHING, NoRoute, Route, Routes


def found(
    routes: Routes, host: str, target: str = "/", method: str = "GET", **fields: str
) -> Route | NoRoute:
    version = 11 if host else 10
    return routes.find(Request(method, target, fields, host=host, version=version))


def test_without_routes_all_requests_go_to_one_upstream() -> None:
    routes = Routes([EVERYTHING])
    assert found(routes, "a.example") is EVERYTHING
    assert found(Routes([Route("a")]), "a", "*", "OPTIONS") is not NoRoute.NOT_FOUND
    assert found(routes, "", "*", "OPTIONS") is EVERYTHING


def test_hosts() -> None:
    one, below, deeper = (Route(host) for host in ("a.example", "*.example", "*.b.example"))
    routes = Routes([one, deeper, below])
    for host, route in {
        "a.example": one,
        "a.example:8080": one,
        "a.example.": one,
        "c.example": below,
        "a.a.example": below,
        "x.b.example:80": deeper,
        "b.example": below,
        "example": NoRoute.MISDIRECTED,
        ".example": NoRoute.MISDIRECTED,
        "aexample": NoRoute.MISDIRECTED,
        "": NoRoute.MISDIRECTED,
        "a.example.evil": NoRoute.MISDIRECTED,
    }.items():
        assert found(routes, host) is route, host


def test_hosts_that_are_addresses() -> None:
    four, six = Route("192.0.2.1"), Route("2001:db8::1")
    routes = Routes([four, six])
    assert found(routes, "192.0.2.1:80") is four
    assert found(routes, "[2001:db8::1]:80") is six
    assert found(routes, "[2001:db8::1]") is six
    assert found(routes, "[2001:db8:0:0:0::1]") is six
    assert found(routes, "[2001:db8::2]") is NoRoute.MISDIRECTED


@pytest.mark.parametrize(
    ("prefix", "path", "fits"),
    [
        ("/api", "/api", True),
        ("/api", "/api/x", True),
        ("/api", "/api?x", True),
        ("/api", "/apis", False),
        ("/api", "/API", False),
        ("/api/", "/api", False),
        ("/api/", "/api/x", True),
        ("/api", "/x/../api/x", True),
        ("/api", "/%61pi", True),
        ("/api", "/x?/../api", False),
        ("/api", "/api/%2e%2E/x", False),
        ("/api", "/a%2Fpi", False),
        ("/api", "//api", True),
        ("/api", "/%2Fapi", True),
        ("/api", "/x%2f..%2Fapi", True),
        ("/api", "/api//../x", False),
        ("/api/", "/api//", True),
        ("/api", "/x?//api", False),
        ("/api", "/api;a=1", True),
        ("/api", "/x/..;a=1/api;b", True),
        ("/api", "/api;a=1/x", True),
        ("/api", "/;a/api", True),
        ("/api", "/x;/api", False),
        ("/api", "http://a/%61pi?x", True),
    ],
)
def test_paths(prefix: str, path: str, fits: bool) -> None:
    route = Route(path=prefix)
    assert found(Routes([route]), "a", path) is (route if fits else NoRoute.NOT_FOUND)


def test_methods_and_fields() -> None:
    post = Route(methods=("POST", "PUT"))
    beta = Route(headers={"X-Stage": "beta"})
    routes = Routes([post, beta])
    assert found(routes, "a", method="PUT") is post
    assert found(routes, "a", **{"X-Stage": "beta"}) is beta
    assert found(routes, "a", method="put", **{"X-Stage": "beta, beta"}) is NoRoute.NOT_FOUND


def test_the_first_that_fits_is_taken_wherever_it_stands() -> None:
    down = Route(path="/down", answer=Answer(503))
    routes = Routes([down, Route("a.example"), Route("a.example", "/down"), EVERYTHING])
    assert found(routes, "a.example", "/down") is down


def test_404_or_421_depends_on_the_host() -> None:
    routes = Routes([Route("a.example", "/api")])
    assert found(routes, "a.example", "/") is NoRoute.NOT_FOUND
    assert found(routes, "b.example", "/api") is NoRoute.MISDIRECTED
    assert [*map(int, NoRoute)] == [404, 421]


labels = st.sampled_from(["a", "b", "example"])
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
patterns = st.none() | names | names.map("*.{}".format)
segments = st.lists(st.sampled_from(["a", "ab", ""]), max_size=3).map("/".join)
methods = st.sampled_from(["GET", "POST"])
tables = st.lists(
    st.builds(
        Route,
        patterns,
        segments.map("/{}".format),
        st.lists(methods, max_size=1).map(tuple),
        st.dictionaries(st.just("x"), st.sampled_from(["1", "2"])),
    ),
    max_size=6,
)


def serves(route: Route, name: str) -> bool:
    """Whether a route's host matches a name, compared label by label."""
    if route.host is None or not route.host.startswith("*."):
        return route.host in (None, name)
    below, own = route.host.split(".")[1:], name.split(".")
    return len(own) > len(below) and own[-len(below) :] == below


def begins(path: str, prefix: str) -> bool:
    """Whether a path begins with a prefix, compared segment by segment."""
    own, wanted = re.sub("/+", "/", path).split("/"), prefix.split("/")
    if wanted[-1] == "":
        wanted.pop()
        return len(own) > len(wanted) and own[: len(wanted)] == wanted
    return own[: len(wanted)] == wanted


@given(tables, names, segments.map("/{}".format), methods, st.sampled_from([{}, {"x": "1"}]))
def test_it_finds_what_looking_at_each_in_turn_finds(
    table: list[Route], name: str, path: str, method: str, fields: dict[str, str]
) -> None:
    serving = [route for route in table if serves(route, name)]
    fit = [
        route
        for route in serving
        if begins(path, route.path)
        and (not route.methods or method in route.methods)
        and route.headers.items() <= fields.items()
    ]
    none = NoRoute.NOT_FOUND if serving else NoRoute.MISDIRECTED
    assert found(Routes(table), f"{name}:80", path, method, **fields) is (fit[0] if fit else none)
