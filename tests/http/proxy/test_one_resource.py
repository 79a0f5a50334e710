"""Routes and filters compare the same canonical form: no spelling bypasses one of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.http.filters import Filter
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.messages import Response
from vcproxy.http.message.parsing import parse_request
from vcproxy.http.proxy.routing import NoRoute, Route, Routes
from vcproxy.http.proxy.transaction import Transaction

from .harness import OK, Http, received, request, status

WAYS = [
    "/private",
    "/private?x=1",
    "//private",
    "/%70rivate",
    "/x/../private",
    "/private;a=1",
    "/private/",
    "/%2Fprivate/more",
    "http://a//private",
]


@pytest.mark.parametrize("phase", ["request_head", "route", "server_chosen"])
@pytest.mark.parametrize("target", WAYS)
def test_no_spelling_bypasses_a_filter(phase: str, target: str) -> None:
    def guard(self: Filter, tx: Transaction) -> Response | None:
        return Response(403) if tx.request.under("/private") else None

    guarded = type("Guarded", (Filter,), {phase: guard})
    with Http(filters=[guarded]) as proxy:
        client = proxy.send(request("GET", target))
        proxy.elapse(1)
        assert status(client) == "HTTP/1.1 403 Forbidden"
        assert [received(peer) for peer in proxy.peers()] in ([], [""])


def test_the_target_is_forwarded_unchanged() -> None:
    with Http() as proxy:
        client = proxy.send(request("GET", "/x/../%70rivate;a=1?b"))
        proxy.elapse(1)
        (server,) = proxy.peers()
        assert received(server).startswith("GET /x/../%70rivate;a=1?b HTTP/1.1\n")
        server.send(OK)
        proxy.elapse(1)
        assert status(client) == "HTTP/1.1 200 OK"


def spelt(letters: list[tuple[str, bool]]) -> str:
    return "".join(f"%{ord(letter):02x}" if escaped else letter for letter, escaped in letters)


words = st.sampled_from(["a", "ab", "private"])
slashes = st.sampled_from(["/", "//", "/./", "/x/../", "/x/%2e%2E/", "/.;y/", "/x/..;y/", "%2F"])
parameters = st.sampled_from(["", ";", ";a=1", ";a;b"])
queries = st.sampled_from(["", "?", "?/../private", "?a;b"])


@st.composite
def resources(draw: st.DrawFn) -> tuple[str, str]:
    """A path, and a target that spells it in another way."""
    names = draw(st.lists(words, min_size=1, max_size=3))
    target = ""
    for name in names:
        letters = [(letter, draw(st.booleans())) for letter in name]
        target += draw(slashes) + spelt(letters) + draw(parameters)
    form = draw(st.sampled_from(["/.", "http://a/.", "HTTP://A:80/."]))
    return "/" + "/".join(names), form + target + draw(queries)


@given(resources(), st.lists(words, max_size=3).map("/".join).map("/{}".format))
def test_filters_and_routes_agree(resource: tuple[str, str], prefix: str) -> None:
    path, target = resource
    incoming = parse_request(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), MessageLimits())
    assert incoming.path == path
    taken = Routes([Route(path=prefix)]).find(incoming) is not NoRoute.NOT_FOUND
    assert incoming.under(prefix) is taken
    names, wanted = path.split("/"), prefix.rstrip("/").split("/")
    assert taken is (names[: len(wanted)] == wanted)
