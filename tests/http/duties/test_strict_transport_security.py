"""strict_transport_security: over TLS only (RFC 6797)."""

from __future__ import annotations

import pytest

from tests.http.proxy.test_options import read, refused
from vcproxy.http.message.messages import Request, Response
from vcproxy.testing.http import SimulatedHttp

NAME = "Strict-Transport-Security"
TLS = {"X-Forwarded-Proto": "https"}


def origin(request: Request) -> Response:
    return Response(200, {NAME: "max-age=1"}, b"hi")


def received(table: dict[str, object], fields: dict[str, str], target: str = "/a") -> list[str]:
    options = read(strict_transport_security=table, trusted=["192.0.2.1"], routes=[{"path": "/a"}])
    with SimulatedHttp(answer=origin, options=options) as proxy:
        request = Request("GET", target, fields, host="a.example")
        return proxy.send(request, client_ip="192.0.2.1").fields.get_all(NAME)


@pytest.mark.parametrize(
    ("table", "value"),
    [
        ({}, "max-age=31536000"),
        ({"max_age": "1d", "include_subdomains": True}, "max-age=86400; includeSubDomains"),
        (
            {"include_subdomains": True, "preload": True},
            "max-age=31536000; includeSubDomains; preload",
        ),
        ({"max_age": "0s"}, "max-age=0"),
    ],
)
def test_values(table: dict[str, object], value: str) -> None:
    assert received(table, TLS) == [value]


def test_not_without_tls() -> None:
    assert received({}, {}) == []


def test_in_errors_too() -> None:
    assert received({}, TLS, "/none") == ["max-age=31536000"]


def test_refused() -> None:
    (problem,) = refused(strict_transport_security={"preload": True})
    assert problem.startswith("strict_transport_security: preload needs include_subdomains = true")
