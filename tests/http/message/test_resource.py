"""Resource: all spellings of a path have the same canonical form, which is used to compare them."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.messages import Request
from vcproxy.http.message.parsing import parse_request
from vcproxy.http.message.resource import canonical_host, canonical_path, under


def request_for(target: str, host: str = "a") -> Request:
    return parse_request(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), MessageLimits())


@pytest.mark.parametrize(
    "target",
    [
        "/private",
        "/private?x=1",
        "//private",
        "/%70rivate",
        "/x/../private",
        "/private;a=1",
        "/%2Fprivate",
        "/x/..;/private",
        "/x%2f..%2Fprivate?x=/../",
        "/./private",
        "http://a/private",
        "http://a//private?x",
    ],
)
def test_one_resource_has_one_path(target: str) -> None:
    request = request_for(target)
    assert request.path == "/private"
    assert request.target == target
    assert request.under("/private")


@pytest.mark.parametrize("target", ["/privates", "/x?/private", "/%2570rivate", "/Private"])
def test_another_resource_is_another(target: str) -> None:
    assert not request_for(target).under("/private")


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a?b", "/a", "b"),
        ("/a?b?c;d", "/a", "b?c;d"),
        ("/a?", "/a", ""),
        ("http://a?b", "/", "b"),
        ("http://a", "/", ""),
        ("/a/..;x/", "/", ""),
        ("/a/;x", "/a/", ""),
    ],
)
def test_the_path_and_the_query(target: str, path: str, query: str) -> None:
    assert (request_for(target).path, request_for(target).query) == (path, query)


def test_requests_without_a_path() -> None:
    assert Request("OPTIONS", "*", host="a").path == "*"
    assert Request("OPTIONS", "http://a").path == "*"
    assert Request("CONNECT", "a:443").path == ""


def test_a_target_that_a_filter_has_changed() -> None:
    request = request_for("/a?b")
    request.target = "/%63?d"
    assert (request.path, request.query) == ("/c", "d")


@given(st.lists(st.sampled_from(["a", "", ".", "..", "%2e", "%41", "%2F", "..."]), min_size=1))
def test_a_path_is_understood_as_a_file_system_would(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    plain = canonical_path(path)
    assert canonical_path(plain) == plain
    walked = PurePosixPath("/")
    for part in path.replace("%2e", ".").replace("%41", "A").replace("%2F", "/").split("/"):
        walked = walked.parent if part == ".." else walked / part
    assert plain.rstrip("/") == str(walked).rstrip("/")
    assert request_for(f"{path}?{path}").path == plain


@pytest.mark.parametrize(
    ("path", "prefix", "is_under"),
    [
        ("/a", "/a", True),
        ("/a/", "/a", True),
        ("/a/b", "/a", True),
        ("/ab", "/a", False),
        ("/a", "/a/", False),
        ("/a", "/", True),
    ],
)
def test_what_lies_under_a_path(path: str, prefix: str, is_under: bool) -> None:
    assert under(path, prefix) is is_under


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("a:80", "a"),
        ("a", "a"),
        ("A.:80", "a"),
        ("%41%2d%7e", "a-~"),
        ("[::1]:80", "::1"),
        ("[0:0::1]", "::1"),
        ("[::ffff:192.0.2.1]", "192.0.2.1"),
        ("", ""),
    ],
)
def test_the_host_of_an_authority(authority: str, host: str) -> None:
    assert canonical_host(authority) == host
