"""rewrite: other first segments of the path for the server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.proxy.test_options import read, refused
from vcproxy.http.duties.rewrite import Rewrite
from vcproxy.http.message.messages import Request
from vcproxy.http.message.resource import canonical_path, under
from vcproxy.testing.http import SimulatedHttp


@pytest.mark.parametrize(
    ("target", "stripped", "replaced"),
    [
        ("/api", "/", "/v2"),
        ("/api/", "/", "/v2/"),
        ("/api?x=1", "/?x=1", "/v2?x=1"),
        ("/api/a/b?x=/api", "/a/b?x=/api", "/v2/a/b?x=/api"),
        ("/apis/a", "/apis/a", "/apis/a"),
        ("/other", "/other", "/other"),
        ("/api/group%2Fname;v=1", "/group%2Fname;v=1", "/v2/group%2Fname;v=1"),
        ("/%61pi/a%20b", "/a%20b", "/v2/a%20b"),
        ("/x/../api/a", "/a", "/v2/a"),
        ("/api/../api/a", "/a", "/v2/a"),
        ("/api/../admin", "/api/../admin", "/api/../admin"),
        ("/api//evil.example", "/evil.example", "/v2//evil.example"),
        ("/api/a/../b", "/a/../b", "/v2/a/../b"),
        ("/api;v=1/a", "/a", "/v2/a"),
    ],
)
def test_targets(target: str, stripped: str, replaced: str) -> None:
    assert Rewrite("/api").target(target) == stripped
    assert Rewrite("/api", "/v2").target(target) == replaced


def test_all_paths_may_get_a_prefix() -> None:
    rewrite = Rewrite("/", "/app")
    assert [rewrite.target(each) for each in ("/", "/a?b", "//a", "/../a")] == [
        "/app/", "/app/a?b", "/app//a", "/app/a",
    ]  # fmt: skip


SEGMENTS = st.lists(
    st.sampled_from(["api", "%61pi", "", ".", "..", "%2e%2E", "a", "a;b=1", "a%2Fb", "..;x"]),
    max_size=6,
)


@given(SEGMENTS, st.sampled_from(["/", "/api", "/api/a"]), st.sampled_from(["/", "/v2", "/v2/b"]))
def test_a_server_reads_the_same_rest(segments: list[str], prefix: str, to: str) -> None:
    path = "/" + "/".join(segments)
    plain = canonical_path(path)
    made = Rewrite(prefix, to).target(path)
    if not under(plain, prefix):
        assert made == path
        return
    rest = plain[len(prefix.rstrip("/")) :]
    assert canonical_path(made) == (to.rstrip("/") + rest or "/")
    assert not made.startswith("//")


def test_a_server_gets_the_other_target() -> None:
    routes = [{"path": "/api", "rewrite": {"prefix": "/api"}}, {}]
    with SimulatedHttp(options=read(routes=routes)) as proxy:
        for target in ("/api/x?y", "/x"):
            assert proxy.send(Request("GET", target, host="a.example")).status == 200
        proxy.send(Request("GET", "http://a.example/api/z", host="a.example"))
        assert [each.target for each in proxy.received()] == ["/x?y", "/x", "/z"]


def test_refused() -> None:
    assert refused(rewrite={"prefix": "api"})[0].startswith('rewrite.prefix: "api" is not a path')
    assert refused(rewrite={"prefix": "/a", "to": "/b/../c"})[0].startswith("rewrite.to: ")
