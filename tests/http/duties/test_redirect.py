"""redirect: to https, to another host, to another place."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.proxy.test_options import read, refused
from vcproxy.http.message.messages import Request, Response
from vcproxy.testing.http import SimulatedHttp


def redirected(
    redirect: dict[str, object],
    target: str = "/a%20b?c=d",
    host: str = "A.example:8080",
    client_ip: str = "",
    fields: dict[str, str] | None = None,
    **options: Any,
) -> tuple[int, str | None]:
    """Return the status, and the Location."""
    with SimulatedHttp(options=read(redirect=redirect, **options)) as proxy:
        got = proxy.send(Request("GET", target, fields or {}, host=host), client_ip=client_ip)
    return got.status, got.fields.get("Location")


@pytest.mark.parametrize(
    ("redirect", "status", "location"),
    [
        ({"https": True}, 308, "https://a.example/a%20b?c=d"),
        ({"https": True, "port": 8443, "status": 301}, 301, "https://a.example:8443/a%20b?c=d"),
        ({"to": "https://b.example{uri}"}, 302, "https://b.example/a%20b?c=d"),
        ({"to": "/new{path}?old={query}", "status": 307}, 307, "/new/a%20b?old=c=d"),
        ({"to": "{scheme}://{host}/{method}"}, 302, "http://a.example/GET"),
    ],
)
def test_places(redirect: dict[str, object], status: int, location: str) -> None:
    assert redirected(redirect) == (status, location)


@pytest.mark.parametrize(
    ("host", "location"),
    [("[2001:DB8::1]:80", "https://[2001:db8::1]/"), ("a.example.", "https://a.example/")],
)
def test_hosts(host: str, location: str) -> None:
    assert redirected({"https": True}, target="/", host=host) == (308, location)


@pytest.mark.parametrize("target", ["//evil.example/x", "///evil.example/x", "/\\evil.example/x"])
def test_a_path_never_becomes_a_host(target: str) -> None:
    assert redirected({"to": "{uri}"}, target=target) == (302, "/evil.example/x")


def test_a_request_over_tls_goes_on() -> None:
    trusted: Any = {"trusted": ["192.0.2.0/24"], "client_ip": "192.0.2.1"}
    for fields, status in (
        ({"X-Forwarded-Proto": "https"}, 200),
        ({"X-Forwarded-Proto": "http"}, 308),
        ({"Forwarded": "proto=https"}, 308),
    ):
        assert redirected({"https": True}, fields=fields, **trusted)[0] == status, fields
    more: Any = {**trusted, "client_from": "forwarded"}
    fields = {"Forwarded": "for=1.2.3.4;proto=http, for=1.2.3.5;Proto=HTTPS"}
    assert redirected({"https": True}, fields=fields, **more)[0] == 200
    assert redirected({"https": True}, fields={"X-Forwarded-Proto": "https"})[0] == 308, (
        "a client that is not trusted"
    )


def test_no_server_is_needed() -> None:
    options = read(redirect={"to": "https://b.example{uri}"})
    assert not options.uses_servers
    assert not options.upstreams
    assert read(redirect={"https": True}).uses_servers


def test_of_a_route() -> None:
    routes = [{"path": "/old", "redirect": {"to": "/new{path}"}}, {}]
    with SimulatedHttp(options=read(routes=routes)) as proxy:
        old = proxy.send(Request("GET", "/old/x", host="a.example"))
        other = proxy.send(Request("GET", "/x", host="a.example"))
    assert (old.fields.get("Location"), other.status) == ("/new/old/x", 200)


def test_a_request_without_a_host_cannot_be_redirected_to_it() -> None:
    with SimulatedHttp(options=read(redirect={"https": True})) as proxy:
        client = proxy.client()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        proxy.elapse(1)
        assert client.received.startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_request_for_no_path_is_not_redirected() -> None:
    with SimulatedHttp(options=read(redirect={"https": True})) as proxy:
        got = proxy.send(Request("OPTIONS", "*", host="a.example"))
    assert got.status == 200


@pytest.mark.parametrize(
    ("redirect", "error"),
    [
        ({}, "redirect: a redirect needs either https = true or to"),
        ({"https": True, "to": "/"}, "redirect: a redirect needs either https = true or to"),
        ({"to": "/{user}"}, "redirect: to may have the variables {host}, "),
        ({"to": "/", "port": 8443}, "redirect: port is for https: write the port into to"),
        ({"to": "www.b{uri}"}, 'redirect: "www.b{uri}" is neither a URI nor a path'),
        ({"to": ""}, 'redirect: "" is neither a URI nor a path'),
        ({"to": "/", "status": 300}, "redirect.status: "),
    ],
)
def test_refused(redirect: dict[str, object], error: str) -> None:
    (problem,) = refused(redirect=redirect)
    assert problem.startswith(error)


def origin(request: Request) -> Response:
    raise AssertionError("no server gets a redirected request")


def test_the_body_of_a_redirected_request_is_not_forwarded() -> None:
    with SimulatedHttp(answer=origin, options=read(redirect={"to": "/x"})) as proxy:
        got = proxy.send(Request("POST", "/", host="a.example", content=b"body"))
    assert (got.status, got.content) == (302, b"")
