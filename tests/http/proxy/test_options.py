"""The options of an HTTP proxy, and the errors for invalid ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vcproxy.config.errors import OptionsError
from vcproxy.config.options import read_options
from vcproxy.http.message.messages import Request
from vcproxy.http.proxy.access_list import AccessEntry
from vcproxy.http.proxy.options import Options
from vcproxy.http.proxy.routing import EVERYTHING, NoRoute, Route


class Proxy:
    """A plugin with these options."""

    Options = Options


def read(**table: Any) -> Options:
    options, _ = read_options(Proxy, table, Path("/etc"))
    assert isinstance(options, Options)
    return options


def refused(**table: Any) -> list[str]:
    """Return the errors of options, each as "key: message"."""
    with pytest.raises(OptionsError) as caught:
        read_options(Proxy, table, Path())
    return [f"{'.'.join(map(str, each.path))}: {each.message}" for each in caught.value.problems]


def test_defaults() -> None:
    options = read()
    assert options == Options()
    assert options.table.find(Request("GET", "/", host="any.example")) is EVERYTHING
    assert (options.forward, options.connect, options.filters) == (None, None, ())
    assert (options.limits.head, options.limits.fields, options.limits.requests) == (
        32 << 10,
        100,
        1000,
    )
    assert (options.timeouts.head, options.timeouts.first_byte) == (10.0, 60.0)


def test_routes() -> None:
    options = read(
        limits={"body": "1MiB"},
        routes=[
            {"host": "A.Example.", "path": "/api", "methods": ["POST"], "max_body": "0B"},
            {"host": "a.example", "answer": {"status": 301, "location": "https://a.example/"}},
        ],
    )
    first, second = options.routes
    assert first == Route("a.example", "/api", ("POST",), max_body=0)
    assert options.table.find(Request("GET", "/", host="a.example")) is second
    assert options.table.find(Request("GET", "/", host="b.example")) is NoRoute.MISDIRECTED
    assert [options.max_body(route) for route in options.routes] == [0, 1 << 20]


def test_the_upstreams_that_are_named() -> None:
    assert read().upstreams == {("routes",): None}
    assert read(connect={"allow": []}).upstreams == {}
    routes = [{"upstream": "a"}, {"path": "/b"}, {"answer": {}}]
    assert read(routes=routes).upstreams == {
        ("routes", 0, "upstream"): "a",
        ("routes", 1, "upstream"): None,
    }


def test_allowed_destinations() -> None:
    options = read(forward={"allow": ["*:80"], "deny": ["*.internal:*"]})
    assert options.forward is not None
    assert options.forward.allow == (AccessEntry("*", 80),)
    assert options.forward.permits("www.example", 80)
    assert not options.forward.permits("www.internal", 80)


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("::1", True),
        ("11.0.0.1", False),
        ("", False),
    ],
)
def test_trusted_addresses(address: str, trusted: bool) -> None:
    assert read(trusted=["10.0.0.0/8", "::1"]).trusts(address) is trusted
    assert not read().trusts(address)


def test_a_filter_may_be_its_place_alone() -> None:
    options = read(filters=["own.py:One", {"plugin": "own.py:Two", "options": {"a": 1}}])
    assert [each.plugin for each in options.filters] == ["/etc/own.py:One", "/etc/own.py:Two"]
    assert [each.options for each in options.filters] == [{}, {"a": 1}]


@pytest.mark.parametrize(
    ("table", "data"),
    [
        ({"host": "a:80"}, 'host: "a:80" is not a host: write a name, "*.NAME" or an IP address'),
        ({"host": "*"}, 'host: "*" is not a host'),
        ({"path": "api"}, 'path: "api" is not a path'),
        ({"path": "/a?b"}, 'path: "/a?b" is not a path'),
        (
            {"path": "/a/../b"},
            'path: "/a/../b" never matches, as paths are compared in canonical form: write "/b"',
        ),
        (
            {"methods": ["get"]},
            'methods.0: "get" is not in upper case, as methods are: write "GET"',
        ),
        (
            {"path": "/%61"},
            'path: "/%61" never matches, as paths are compared in canonical form: write "/a"',
        ),
        ({"methods": ["G T"]}, 'methods.0: "G T" is not a token'),
        ({"headers": {"a:": "b"}}, 'headers.a:: "a:" is not a token'),
        ({"headers": {"a": "\u20ac"}}, "headers.a: '\u20ac' is not a field value"),
        ({"path": "/\u20ac"}, 'path: "/\u20ac" is not a path'),
        ({"headers": {"a": "b\r"}}, r"headers.a: 'b\r' is not a field value"),
        ({"upstream": "a", "answer": {}}, " a route has an upstream or an answer, not both"),
        ({"answer": {"status": 204, "body": "x"}}, "answer: an answer with the status 204 has no"),
        ({"answer": {"status": 302}}, "answer: an answer with the status 302 needs a location"),
        ({"answer": {"location": " /"}}, "answer.location: ' /' is not a field value"),
        ({"hots": "a"}, 'hots: unknown key; did you mean "host"?'),
    ],
)
def test_invalid_routes(table: dict[str, object], data: str) -> None:
    [fault] = refused(routes=[table])
    assert fault.removeprefix("routes.0").removeprefix(".").removeprefix(":").startswith(data)


@pytest.mark.parametrize(
    ("table", "data"),
    [
        ({"forward": {}}, "forward.allow: is missing: this key is required"),
        ({"connect": {"allow": ["a"]}}, 'connect.allow.0: "a" has no port'),
        ({"connect": {"allow": [1]}}, 'connect.allow.0: must be a text such as "www.example:443"'),
        ({"trusted": ["10.0.0.1/8"]}, "trusted.0: 10.0.0.1/8 has host bits set"),
        ({"via": "a b"}, 'via: "a b" is not a token'),
        ({"limits": {"fields": 0}}, "limits.fields: must be 1 or more, not 0"),
        ({"limits": {"heads": "1B"}}, 'limits.heads: unknown key; did you mean "head"?'),
        ({"forwarded": "on"}, 'forwarded: must be "x-forwarded", "forwarded", "both" or "off"'),
    ],
)
def test_invalid_options(table: dict[str, object], data: str) -> None:
    [fault] = refused(**table)
    assert fault.startswith(data)
