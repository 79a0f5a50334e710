"""Spoofed fields: names that CGI and WSGI confuse with fields of proxies are not forwarded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.message.reading import LIMITS
from vcproxy.http.message.client_fields import ClientFields, Style
from vcproxy.http.message.fields import Fields
from vcproxy.http.message.forwarding import to_server
from vcproxy.http.message.messages import Request
from vcproxy.http.message.parsing import parse_request
from vcproxy.http.message.spoofed_fields import spoofed_fields
from vcproxy.http.message.trailers import read_trailers

CLIENT = ClientFields("192.0.2.1", secure=False)


def sent(*lines: str, sender: ClientFields = CLIENT) -> list[str]:
    """The fields that a server gets besides Host and Via."""
    head = "\r\n".join(["GET / HTTP/1.1", "Host: a.example", *lines, "", ""])
    data = to_server(parse_request(head.encode(), LIMITS), sender).decode().split("\r\n")
    return [line for line in data[1:-2] if not line.startswith(("Host:", "Via:"))]


def variables(lines: list[str]) -> dict[str, str]:
    """The fields as a WSGI application gets them (PEP 3333): names normalised, values joined."""
    seen: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        key = f"HTTP_{name.upper().replace('-', '_')}"
        seen[key] = f"{seen[key]},{value}" if key in seen else value
    return seen


@pytest.mark.parametrize("style", ["x-forwarded", "forwarded", "both", "off"])
@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize(
    "line",
    [
        "X_Forwarded_For: 127.0.0.1",
        "X_Forwarded_Proto: https",
        "x-forwarded_proto: https",
        "X_FORWARDED-HOST: evil",
        "X_Forwarded_Prefix: /admin",
        "X_Real_IP: 127.0.0.1",
        "Proxy_Authorization: Basic eA==",
        "Proxy_Connection: keep-alive",
        "Keep_Alive: timeout=99",
        "Transfer_Encoding: chunked",
        "Content_Length: 5",
        "Max_Forwards: 0",
        "Remote_User: root",
        "Proxy: http://evil.example:3128",
        "PROXY: http://evil.example:3128",
    ],
)
def test_fields_that_only_proxies_may_send(line: str, trusted: bool, style: Style) -> None:
    sender = ClientFields("192.0.2.1", secure=False, style=style, trusted=trusted)
    assert sent(line, "A: b", sender=sender) == sent("A: b", sender=sender)


def test_a_twin_of_another_field_of_the_request() -> None:
    lines = ["X_User: root", "X-User: ann", "access_token: 1", "X-Y_Z: 2"]
    assert sent(*lines, sender=ClientFields("", False, style="off")) == lines[1:]


def test_a_twin_of_what_a_filter_sets() -> None:
    incoming = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\nX_User: root\r\n\r\n", LIMITS)
    incoming.fields["X-User"] = "ann"
    assert b"root" not in to_server(incoming, CLIENT)


def test_twins_of_a_removed_field_are_removed() -> None:
    fields = Fields(b"x_user: 1\r\nA: 2\r\nX-User: 3\r\nX-Users: 4\r\n")
    fields.discard("X-User")
    assert fields.raw == b"A: 2\r\nX-Users: 4\r\n"
    fields.discard("X-User")
    assert fields.raw == b"A: 2\r\nX-Users: 4\r\n"


def test_trailers() -> None:
    forged = b"X_Forwarded_For: a\r\nX-Forwarded-Port: b\r\nset_cookie: c\r\nProxy: d\r\n"
    assert read_trailers(forged + b"X-Sum: 1\r\n", LIMITS, 400).raw == b"X-Sum: 1\r\n"


def test_a_value_with_an_underscore_is_no_name() -> None:
    assert spoofed_fields(Fields(b"A: X_Forwarded_For: b\r\n_: 1\r\n")) == []


names = st.sampled_from(["X-Forwarded-For", "X-Forwarded-Proto", "X-User", "Proxy", "A-B"])


@st.composite
def spellings(draw: st.DrawFn) -> str:
    name = draw(names)
    spelt = "".join(draw(st.sampled_from("-_")) if each == "-" else each for each in name)
    return spelt.upper() if draw(st.booleans()) else spelt


@given(st.lists(spellings(), max_size=5))
def test_an_application_sees_only_the_fields_of_the_proxy(data: list[str]) -> None:
    incoming = Request("GET", "/", [(name, "forged") for name in data], host="a")
    incoming.fields["X-User"] = "ann"
    lines = to_server(incoming, CLIENT).decode().split("\r\n")[1:-2]
    seen = variables(lines)
    assert seen["HTTP_X_FORWARDED_FOR"] == "192.0.2.1"
    assert seen["HTTP_X_FORWARDED_PROTO"] == "http"
    assert seen["HTTP_X_USER"] == "ann"
    assert "HTTP_PROXY" not in seen
