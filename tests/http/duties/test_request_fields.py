"""request_fields: set, added and removed before a server gets a request."""

from __future__ import annotations

import pytest

from tests.http.proxy.test_options import read, refused
from vcproxy.http.message.messages import Request
from vcproxy.testing.http import SimulatedHttp


def test_they_are_edited() -> None:
    edits = {
        "set": {"Host": "inside.example", "X-Real-IP": "{client}", "X-Uri": "{uri}"},
        "add": {"X-Tag": "b"},
        "remove": ["Cookie"],
    }
    fields = {"X-Real-IP": "spoofed", "X_Real_IP": "spoofed", "X-Tag": "a", "Cookie": "c=1"}
    with SimulatedHttp(options=read(request_fields=edits)) as proxy:
        proxy.send(Request("GET", "/a?b", fields, host="a.example"), client_ip="192.0.2.9")
        (got,) = proxy.received()
    names = ("Host", "X-Real-IP", "X_Real_IP", "X-Uri", "X-Tag", "Cookie", "X-Forwarded-Host")
    assert [got.fields.get_all(name) for name in names] == [
        ["inside.example"], ["192.0.2.9"], [], ["/a?b"], ["a", "b"], [], ["a.example"],
    ]  # fmt: skip


def test_before_the_path_is_rewritten() -> None:
    options = read(request_fields={"set": {"X-Path": "{path}"}}, rewrite={"prefix": "/a"})
    with SimulatedHttp(options=options) as proxy:
        proxy.send(Request("GET", "/a/b", host="a.example"))
        (got,) = proxy.received()
    assert (got.target, got.fields.get("X-Path")) == ("/b", "/a/b")


def test_once_if_the_request_is_sent_again() -> None:
    """The connection that was kept is closed as the second request arrives."""
    options = read(request_fields={"add": {"X-Tag": "b"}})
    with SimulatedHttp(options=options) as proxy:
        for _ in range(2):
            proxy.send(Request("GET", "/", {"X-Tag": "a"}, host="a.example"))
        assert [each.fields.get_all("X-Tag") for each in proxy.received()] == [["a", "b"]] * 2


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        ({"set": {"Via": "a"}}, '"Via" is written by the proxy itself'),
        ({"remove": ["transfer-encoding"]}, '"transfer-encoding" is written by the proxy itself'),
        ({"set": {"X-Forwarded-For": "a"}}, '"X-Forwarded-For": such fields are written as `forw'),
        ({"set": {"X_Real": "a"}}, '"X_Real": servers may take it for "X-Real", so fields with'),
        ({"add": {"Host": "a"}}, "Host can only be set: a request has exactly one"),
        ({"set": {"Host": "a b"}}, '"a b" is not a host: write a name, with a port if needed'),
    ],
)
def test_refused(edits: dict[str, object], error: str) -> None:
    (problem,) = refused(request_fields=edits)
    assert problem.startswith(f"request_fields: {error}")


@pytest.mark.parametrize(
    ("query", "status"),
    [("b.example", 200), ("b.example:81", 200), ("", 400), ("b/c@d", 400), ("b%20c:x", 400)],
)
def test_a_host_of_the_request_is_valid_or_refused(query: str, status: int) -> None:
    options = read(request_fields={"set": {"Host": "{query}"}})
    with SimulatedHttp(options=options) as proxy:
        got = proxy.send(Request("GET", f"/?{query}", host="a.example"))
        assert got.status == status
        hosts = [each.fields["Host"] for each in proxy.received()]
    assert hosts == ([query] if status == 200 else [])


def test_a_field_is_set_once() -> None:
    [problem] = refused(request_fields={"set": {"X-A": "1", "x-a": "2"}})
    assert problem.startswith('request_fields: "X-A" is there twice')
