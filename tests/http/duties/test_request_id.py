"""request_id: made, or kept from a trusted proxy."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.http.proxy.harness import OK, PLAIN, Http, received, request
from tests.http.proxy.test_options import read
from vcproxy.http.duties.request_id import RequestId
from vcproxy.http.message.messages import Request
from vcproxy.testing.http import SimulatedHttp

NEW = re.compile("[0-9a-f]{32}").fullmatch


def identified(
    table: dict[str, object],
    given: str = "",
    client_ip: str = "192.0.2.1",
    field: str = "X-Request-ID",
) -> tuple[str | None, str | None]:
    """Return the identifiers that the server and the client get."""
    options = read(request_id=table, trusted=["192.0.2.1"])
    with SimulatedHttp(options=options) as proxy:
        fields = {field: given} if given else {}
        got = proxy.send(Request("GET", "/", fields, host="a.example"), client_ip=client_ip)
        (request,) = proxy.received()
    return request.fields.get(field), got.fields.get(field)


def test_a_new_one() -> None:
    there, back = identified({})
    assert there is not None
    assert NEW(there)
    assert there == back


def test_each_request_has_another() -> None:
    with SimulatedHttp(options=read(request_id={})) as proxy:
        request = Request("GET", "/", host="a.example")
        got = proxy.send_all(request, request)
    assert len({each.fields.get("X-Request-ID") for each in got}) == 2


@pytest.mark.parametrize(
    ("table", "given", "client_ip", "kept"),
    [
        ({}, "a-1", "192.0.2.1", True),
        ({}, "a-1", "192.0.2.2", False),
        ({"keep": "always"}, "a-1", "192.0.2.2", True),
        ({"keep": "never"}, "a-1", "192.0.2.1", False),
        ({"keep": "always"}, 'a" b', "192.0.2.1", False),
        ({"keep": "always"}, "a" * 129, "192.0.2.1", False),
    ],
)
def test_kept(table: dict[str, object], given: str, client_ip: str, kept: bool) -> None:
    there, back = identified(table, given, client_ip)
    assert there == back
    assert (there == given) is kept
    assert kept or NEW(there or "")


def test_where_it_is_sent() -> None:
    assert identified({"to_server": False, "field": "X-Id"}, "mine", "192.0.2.2", "X-Id")[0] is None
    assert identified({"to_client": False})[1] is None


def test_in_the_other_fields_and_in_refusals() -> None:
    options = read(
        request_id={}, response_fields={"set": {"X-Same": "{request_id}"}}, routes=[{"path": "/a"}]
    )
    with SimulatedHttp(options=options) as proxy:
        got = proxy.send(Request("GET", "/none", host="a.example"))
    assert got.status == 404
    assert got.fields.get("X-Same") == got.fields.get("X-Request-ID")
    assert NEW(got.fields.get("X-Same") or "")


def test_in_the_access_log() -> None:
    with Http(options=replace(PLAIN, request_id=RequestId(keep="always"))) as proxy:
        for fields in (("X-Request-ID: mine",), ()):
            client = proxy.send(request("GET", "/", *fields))
            proxy.go()
            proxy.peers()[-1].send(OK)
            proxy.go()
        kept, made = proxy.access_log
        assert f"X-Request-ID: {made['request_id']}\n" in received(client)
    assert kept["request_id"] == "mine"
    assert NEW(str(made["request_id"]))
