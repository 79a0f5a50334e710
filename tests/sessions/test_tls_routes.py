"""TlsRoutes: the first route that matches; and which routes are refused by `-t`."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from vcproxy.config.errors import OptionsError
from vcproxy.config.options import read_options
from vcproxy.sessions.tls_router import TlsRouter
from vcproxy.sessions.tls_routes import TlsRoute, TlsRoutes, TlsRoutingOptions

ROUTE = TypeAdapter(TlsRoute)


def route(**keys: object) -> TlsRoute:
    return ROUTE.validate_python(keys)


A = route(sni=["a.example"], upstream="a")
BELOW = route(sni=["*.b.example", "b.example"], upstream="b")
ACME = route(alpn="acme-tls/1", upstream="acme")
H2 = route(sni="*.example", alpn=["h2"], upstream="h2")
REST = route(upstream="rest")
PLAIN = route(tls=False, upstream="plain")

ROUTES = TlsRoutes([ACME, A, BELOW, H2, PLAIN, REST])


def found(name: str, *alpn: str) -> TlsRoute | None:
    return ROUTES.find(name or None, alpn)


def problem(*routes: dict[str, object]) -> str:
    """Return the text of the only problem in the option `routes`."""
    with pytest.raises(OptionsError) as caught:
        options(*routes)
    [found] = caught.value.problems
    assert found.path[:1] == ("routes",) or not found.path
    return found.message


def options(*routes: dict[str, object]) -> TlsRoutingOptions:
    read, _ = read_options(TlsRouter, {"routes": list(routes)}, Path())
    assert isinstance(read, TlsRoutingOptions)
    return read


# -- which route ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.example", "A.EXAMPLE", "a.example.", "A.Example."])
def test_case_and_a_final_dot_do_not_matter(name: str) -> None:
    assert found(name) is A


def test_a_pattern_is_for_all_names_below_it() -> None:
    assert found("x.b.example") is BELOW
    assert found("x.y.b.example") is BELOW
    assert found("b.example") is BELOW, "named on its own"
    assert found("xb.example") is REST
    assert found("x.a.example") is REST


def test_one_protocol_of_the_route_must_be_offered() -> None:
    assert found("c.example", "http/1.1", "h2") is H2
    assert found("c.example", "http/1.1") is REST
    assert found("a.example", "h2") is A, "the first route that matches"
    assert found("a.example", "acme-tls/1") is ACME


def test_without_a_name_only_routes_without_sni_match() -> None:
    assert found("") is REST
    assert found("", "acme-tls/1") is ACME
    assert TlsRoutes([A, H2]).find(None, ("h2",)) is None


def test_without_a_default_other_names_match_nothing() -> None:
    assert TlsRoutes([A, BELOW]).find("c.example", ()) is None


def test_clients_without_tls_have_a_route_of_their_own() -> None:
    assert ROUTES.plain is PLAIN
    assert TlsRoutes([REST]).plain is None


def test_a_label_is_what_has_matched() -> None:
    assert A.label("a.example", ()) == "a.example"
    assert BELOW.label("x.b.example", ("h2",)) == "*.b.example"
    assert H2.label("C.example.", ("http/1.1", "h2")) == "*.example h2"
    assert REST.label(None, ()) == "*"
    assert PLAIN.label(None, ()) == "no TLS"


NAMES = ["a", "b", "a.b", "c.a.b", "x.c.a.b", "b.b"]
patterns = st.sampled_from([*NAMES, *(f"*.{name}" for name in NAMES)])
routes = st.builds(
    TlsRoute,
    sni=st.lists(patterns, max_size=3).map(tuple),
    alpn=st.lists(st.sampled_from(["h2", "x"]), max_size=1).map(tuple),
)


@given(st.lists(routes, max_size=6), st.sampled_from(["", *NAMES]), st.sampled_from([(), ("h2",)]))
def test_the_route_is_that_of_a_search_one_by_one(
    among: list[TlsRoute], name: str, alpn: tuple[str, ...]
) -> None:
    def matches(each: TlsRoute) -> bool:
        named = not each.sni or any(
            name == pattern or (pattern.startswith("*.") and name.endswith(pattern[1:]))
            for pattern in each.sni
        )
        return named and (not each.alpn or any(protocol in alpn for protocol in each.alpn))

    expected = next((each for each in among if matches(each)), None)
    assert TlsRoutes(among).find(name or None, alpn) is expected


# -- what `-t` says ------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "hint"), [
    ("bücher.example", 'write "xn--bcher-kva.example"'),
    ("straße.example", "write it in ASCII, as xn--..."),
    ("*.straße.example", "write it in ASCII, as xn--..."),
])  # fmt: skip
def test_an_international_name_is_written_as_clients_send_it(name: str, hint: str) -> None:
    assert problem({"sni": [name]}) == f'"{name}" is not in ASCII, as clients send it: {hint}'


@pytest.mark.parametrize(
    "name", ["", "*", "*.", "a..b", "*a.example", "a.*.b", "a b", "-a", "a:443"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    assert problem({"sni": name}).startswith(f'"{name}" is not a server name: write a name, or "*.')


@pytest.mark.parametrize("name", ["10.0.0.1", "127.1", "0x7f000001"])
def test_clients_send_no_ip_addresses(name: str) -> None:
    assert problem({"sni": [name]}).startswith(f'"{name}" is an IP address, for which clients send')


def test_names_are_kept_in_the_form_in_which_they_are_compared() -> None:
    assert route(sni=["*.B.Example."]).sni == ("*.b.example",)


@pytest.mark.parametrize(("first", "second", "why"), [
    ({}, {"sni": "a.example"}, "no client gets here past routes[0]"),
    ({}, {}, "no client gets here past routes[0]"),
    ({"sni": "*.example"}, {"sni": ["b.net", "a.example"]},
     'no client for "a.example" gets here past "*.example" of routes[0]'),
    ({"sni": "*.example"}, {"sni": "*.a.example", "alpn": "h2"},
     'no client for "*.a.example" gets here past "*.example" of routes[0]'),
    ({"alpn": ["h2", "x"]}, {"alpn": "h2", "sni": "a.example"},
     "no client gets here past routes[0]"),
    ({"tls": False}, {"tls": False}, "no client gets here past routes[0]"),
])  # fmt: skip
def test_a_route_that_no_client_reaches_is_refused(
    first: dict[str, object], second: dict[str, object], why: str
) -> None:
    assert problem(first, second) == (
        f"routes[1]: {why}, which stands before it: change their order, or remove one"
    )


@pytest.mark.parametrize(("first", "second"), [
    ({"sni": "a.example", "alpn": "h2"}, {"sni": "a.example"}),
    ({"sni": "a.example"}, {"sni": "*.example"}),
    ({"sni": "*.a.example"}, {"sni": "a.example"}),
    ({"alpn": "h2"}, {"alpn": ["h2", "x"]}),
    ({"tls": False}, {}),
    ({}, {"tls": False}),
])  # fmt: skip
def test_routes_that_overlap_are_no_mistake(
    first: dict[str, object], second: dict[str, object]
) -> None:
    options(first, second)


def test_a_route_without_tls_has_no_names() -> None:
    assert problem({"tls": False, "sni": "a.example"}) == (
        "sni and alpn are of TLS: remove them, or tls = false"
    )


def test_no_route_at_all_is_a_mistake() -> None:
    assert problem() == "routes is empty: write a route, or leave out the options"


def test_without_a_default_route_there_is_a_note() -> None:
    note = options({"sni": ["a.example"]}).notes["routes"]
    assert note.startswith("clients without a server name are refused")
    assert options({"sni": ["a.example"]}, {}).notes == {}
