"""cors: preflights are answered, and responses have the fields that browsers need."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.proxy.test_options import read, refused
from vcproxy.http.duties.cors import Cors
from vcproxy.http.message.messages import Request, Response
from vcproxy.testing.http import SimulatedHttp

APP, EVIL = "https://app.example", "https://evil.example"


def origin(request: Request) -> Response:
    fields = [("Vary", "Accept"), ("Access-Control-Allow-Origin", "*"), ("X-Total", "3")]
    return Response(200, fields, b"data")


def sent(rules: dict[str, Any], request: Request) -> tuple[Response, int]:
    """Return the response, and how many requests the server got."""
    with SimulatedHttp(answer=origin, options=read(cors=rules)) as proxy:
        return proxy.send(request), len(proxy.received())


def cors_fields(response: Response) -> dict[str, str]:
    prefix = "Access-Control-"
    return {
        name.removeprefix(prefix): value
        for name, value in response.fields.items()
        if name.startswith(prefix) or name == "Vary"
    }


def preflight(origin: str = APP, method: str = "PUT", headers: str = "", **more: str) -> Request:
    fields = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers:
        fields["Access-Control-Request-Headers"] = headers
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    return Request("OPTIONS", "/x", fields, host="api.example")


def simple(origin: str | None = APP) -> Request:
    return Request("GET", "/x", {} if origin is None else {"Origin": origin}, host="api.example")


RULES = {
    "origins": [APP, "https://*.dev.example", "http://localhost:3000"],
    "methods": ["PUT", "DELETE"],
    "headers": ["Content-Type", "X-Token"],
    "expose": ["X-Total"],
    "credentials": True,
}


def test_a_preflight_is_answered_without_a_server() -> None:
    got, requests = sent(RULES, preflight(headers="content-type,x-token"))
    assert (got.status, got.content, requests) == (204, b"", 0)
    assert cors_fields(got) == {
        "Allow-Origin": APP,
        "Allow-Credentials": "true",
        "Allow-Methods": "GET, HEAD, POST, PUT, DELETE",
        "Allow-Headers": "content-type, x-token",
        "Max-Age": "600",
        "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    }


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (preflight(EVIL), b"this origin is not allowed"),
        (preflight("null"), b"this origin is not allowed"),
        (preflight(f"{APP}, {APP}"), b"this origin is not allowed"),
        (preflight("https://dev.example"), b"this origin is not allowed"),
        (preflight("https://evildev.example"), b"this origin is not allowed"),
        (preflight("http://a.dev.example"), b"this origin is not allowed"),
        (preflight("https://.dev.example"), b"this origin is not allowed"),
        (preflight(f"{APP}:8443"), b"this origin is not allowed"),
        (preflight(method="PATCH"), b"this method is not allowed for other origins"),
        (preflight(method="put"), b"this method is not allowed for other origins"),
        (preflight(headers="x-token, x-other"), b"a field is not allowed in requests"),
    ],
)
def test_a_preflight_that_is_refused(request_: Request, why: bytes) -> None:
    got, requests = sent(RULES, request_)
    assert (got.status, requests) == (403, 0)
    assert why in got.content
    assert "Origin" in got.fields["Vary"]


@pytest.mark.parametrize("allowed", [APP, "https://a.b.dev.example", "http://localhost:3000"])
def test_a_response_may_be_read_by_scripts_of_allowed_origins(allowed: str) -> None:
    got, requests = sent(RULES, simple(allowed))
    assert (got.content, requests) == (b"data", 1)
    assert cors_fields(got) == {
        "Allow-Origin": allowed,
        "Allow-Credentials": "true",
        "Expose-Headers": "X-Total",
        "Vary": "Accept, Origin",
    }


@pytest.mark.parametrize("other", [EVIL, "null", None])
def test_others_get_the_response_without_the_fields(other: str | None) -> None:
    got, requests = sent(RULES, simple(other))
    assert (got.content, requests) == (b"data", 1)
    assert cors_fields(got) == {"Vary": "Accept, Origin"}, "a cache must not mix them up"


def test_all_origins() -> None:
    rules = {"origins": ["*"], "headers": ["*"], "methods": ["*"]}
    got, _ = sent(rules, preflight(EVIL, "PATCH", "X-Any"))
    assert got.status == 204
    fields = cors_fields(got)
    assert (fields["Allow-Origin"], fields["Allow-Methods"]) == ("*", "*")
    assert fields["Allow-Headers"] == "x-any"
    got, _ = sent(rules, simple(EVIL))
    assert cors_fields(got) == {"Allow-Origin": "*", "Vary": "Accept"}


def test_private_networks() -> None:
    asked = preflight(method="GET", Access_Control_Request_Private_Network="true")
    allowed, _ = sent(RULES | {"private_network": True}, asked)
    assert allowed.fields["Access-Control-Allow-Private-Network"] == "true"
    plain, _ = sent(RULES | {"private_network": True}, preflight())
    assert "Access-Control-Allow-Private-Network" not in plain.fields
    without, _ = sent(RULES, asked)
    assert "Access-Control-Allow-Private-Network" not in without.fields


@pytest.mark.parametrize(
    "request_",
    [
        Request("OPTIONS", "/x", {"Origin": APP}, host="api.example"),
        Request("OPTIONS", "/x", {"Access-Control-Request-Method": "PUT"}, host="api.example"),
        Request("OPTIONS", "*", host="api.example"),
    ],
)
def test_other_requests_with_OPTIONS_reach_the_server(request_: Request) -> None:  # noqa: N802
    got, requests = sent(RULES, request_)
    assert (got.status, requests) == (200, 1)


def test_an_error_of_the_proxy_can_be_read_too() -> None:
    options = read(cors=RULES, routes=[{"path": "/y"}])
    with SimulatedHttp(options=options) as proxy:
        got = proxy.send(simple())
    assert got.status == 404
    assert got.fields["Access-Control-Allow-Origin"] == APP


def test_a_preflight_of_a_route() -> None:
    options = read(routes=[{"path": "/x", "cors": RULES}, {}])
    with SimulatedHttp(options=options) as proxy:
        assert proxy.send(preflight()).status == 204
        elsewhere = preflight()
        elsewhere.target = "/elsewhere"
        assert proxy.send(elsewhere).status == 200, "the server answers"


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ({"origins": []}, "cors: cors needs an origin"),
        ({"origins": ["app.example"]}, 'cors.origins.0: "app.example" is not an origin'),
        ({"origins": ["https://app.example/"]}, "cors.origins.0: "),
        ({"origins": ["https://App.example"]}, "cors.origins.0: "),
        (
            {"origins": ["https://app.example:443"]},
            'cors.origins.0: "https://app.example:443" never matches, as browsers leave out the '
            'usual port: write "https://app.example"',
        ),
        (
            {"origins": ["*"], "credentials": True},
            'cors: credentials cannot be allowed for the origin "*"',
        ),
        (
            {"origins": [APP, "null"], "credentials": True},
            'cors: credentials cannot be allowed for the origin "null"',
        ),
        (
            {"origins": [APP], "methods": ["*"], "credentials": True},
            'cors: with credentials, browsers do not take "*" for all',
        ),
        ({"origins": [APP], "methods": ["put"]}, "cors.methods.0: "),
    ],
)
def test_refused(rules: dict[str, Any], error: str) -> None:
    (problem,) = refused(cors=rules)
    assert problem.startswith(error)


def test_null_may_be_allowed_without_credentials() -> None:
    assert Cors(origins=("null",)).allows("null")


@given(st.text())
def test_only_hosts_below_a_name_match_its_pattern(origin: str) -> None:
    rules = Cors(origins=("https://*.dev.example", "https://app.example"))
    below = origin.startswith("https://") and origin.endswith(".dev.example")
    assert not rules.allows(origin) or below or origin == APP
    assert rules.allows(f"https://{origin or 'a'}.dev.example")
    assert not rules.allows(f"http://{origin}.dev.example")
    assert not rules.allows(f"https://app.example{origin or '.'}")
