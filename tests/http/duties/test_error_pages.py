"""error_pages: own pages for errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.http.proxy.test_options import read, refused
from vcproxy.http.duties.error_pages import has_own_text
from vcproxy.http.duties.refusal import refusal
from vcproxy.http.filters import Filter
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.proxy.failure import Failure
from vcproxy.http.proxy.own_responses import error_response
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.testing.http import SimulatedHttp

MISSING, SORRY = b"<h1>nothing here</h1>", b"sorry"


@pytest.fixture
def pages(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "404.html").write_bytes(MISSING)
    (tmp_path / "sorry.txt").write_bytes(SORRY)
    return {"404": str(tmp_path / "404.html"), "5xx": str(tmp_path / "sorry.txt")}


def get(target: str = "/", method: str = "GET", **fields: str) -> Request:
    return Request(method, target, fields, host="a.example")


def failing(status: int, **fields: str) -> Callable[[Request], Response]:
    return lambda request: Response(status, fields, b"of the server")


def shown(response: Response) -> tuple[int, str | None, bytes]:
    return response.status, response.fields.get("Content-Type"), response.content


HTML, TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"


def test_errors_of_the_proxy_itself(pages: dict[str, str]) -> None:
    options = read(error_pages={"pages": pages}, routes=[{"path": "/a"}])
    with SimulatedHttp(options=options, refusing=["server"]) as proxy:
        got = proxy.send(get("/other"))
        assert shown(got) == (404, HTML, MISSING)
        assert got.fields["Content-Length"] == str(len(MISSING))
        assert "Proxy-Status" in got.fields
        got = proxy.send(get("/a"))
        assert shown(got) == (502, TEXT, SORRY)
        assert shown(proxy.send(get("/other", "HEAD"))) == (404, HTML, b"")


def test_others_have_their_text(pages: dict[str, str]) -> None:
    rate = [{"requests": 1, "per": "1h", "for_each": "client"}]
    options = read(error_pages={"pages": pages}, rate=rate)
    with SimulatedHttp(options=options) as proxy:
        proxy.send(get(), client_ip="198.51.100.1")
        got = proxy.send(get(), client_ip="198.51.100.1")
        assert (got.status, has_own_text(got)) == (429, True)


def test_refusals_of_duties_and_of_a_folder(pages: dict[str, str], tmp_path: Path) -> None:
    options = read(
        error_pages={"pages": pages},
        routes=[
            {"path": "/files", "folder": {"root": "/srv"}},
            {"path": "/off", "maintenance": {"on": True}},
        ],
    )
    with SimulatedHttp(options=options) as proxy:
        assert shown(proxy.send(get("/files/x"))) == (404, HTML, MISSING)
        got = proxy.send(get("/off"))
        assert shown(got) == (503, TEXT, SORRY)
        assert got.fields["Retry-After"] == "300"


def test_what_has_a_body_of_its_own_is_left_alone(pages: dict[str, str], tmp_path: Path) -> None:
    class Own(Filter):
        def request_head(self, tx: Transaction) -> Response | None:
            return Response(404, {}, b"mine") if tx.request.path == "/filter" else None

    own = {"on": True, "page": pages["404"]}
    options = read(
        error_pages={"pages": pages},
        routes=[
            {"path": "/answer", "answer": {"status": 404, "body": "gone"}},
            {"path": "/off", "maintenance": own},
            {"path": "/server"},
            {"path": "/filter"},
        ],
    )
    with SimulatedHttp(Own(), answer=failing(500), options=options) as proxy:
        assert proxy.send(get("/answer")).content == b"gone"
        assert proxy.send(get("/filter")).content == b"mine"
        assert proxy.send(get("/off")).content == MISSING
        assert proxy.send(get("/server")).content == b"of the server"


def test_errors_of_servers_where_that_is_wished(pages: dict[str, str]) -> None:
    options = read(error_pages={"pages": pages, "of_servers": True})
    fields = {"Set-Cookie": "a=1", "X-Powered-By": "x", "Retry-After": "7"}
    with SimulatedHttp(answer=failing(503, **fields), options=options) as proxy:
        got = proxy.send(get())
        assert shown(got) == (503, TEXT, SORRY)
        assert (got.fields["Set-Cookie"], got.fields["Retry-After"]) == ("a=1", "7")
        assert "X-Powered-By" not in got.fields
    with SimulatedHttp(answer=failing(403), options=options) as proxy:
        assert proxy.send(get()).content == b"of the server"  # there is no page for it
    with SimulatedHttp(options=options) as proxy:
        assert proxy.send(get()).content == b"ok\n"


def test_problem_details(pages: dict[str, str]) -> None:
    options = read(error_pages={"pages": pages, "json": True}, routes=[{"path": "/a"}])
    with SimulatedHttp(options=options) as proxy:
        got = proxy.send(get(Accept="application/json"))
        assert (got.status, got.fields["Content-Type"]) == (404, "application/problem+json")
        assert json.loads(got.content) == {
            "title": "Not Found",
            "status": 404,
            "detail": "client: no route matches",
        }
        assert got.fields["Vary"] == "Accept"
        for accept in ("text/html,application/json;q=0.9", "*/*", ""):
            got = proxy.send(get(Accept=accept))
            assert (got.content, got.fields["Vary"]) == (MISSING, "Accept"), accept


def test_of_a_route(pages: dict[str, str]) -> None:
    options = read(
        error_pages={"pages": pages},
        routes=[{"path": "/api", "error_pages": {"json": True}, "answer": {}}, {"path": "/b"}],
    )
    with SimulatedHttp(options=options, refusing=["server"]) as proxy:
        assert proxy.send(get("/b")).content == SORRY


def test_all_own_texts_can_be_recognised() -> None:
    for status in (400, 403, 404, 413, 429, 500, 502, 503, 504):
        failure = Failure(status, "proxy", "why", "destination_not_found")
        assert has_own_text(error_response(failure, "p"))
        assert has_own_text(refusal(status, "why"))
    assert not has_own_text(Response(404, {}, b"404"))
    assert not has_own_text(Response(404))


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ({}, "error_pages: error_pages has no effect without pages or json = true"),
        ({"json": True, "of_servers": True}, "error_pages: of_servers has no effect without pages"),
        ({"pages": {"404": "/nowhere/404.html"}}, "error_pages.pages.404: cannot read /nowhere/"),
        ({"pages": {"200": "x"}}, 'error_pages.pages.200: "200" is no status of an error'),
        ({"pages": {"6xx": "x"}}, 'error_pages.pages.6xx: "6xx" is no status of an error'),
    ],
)
def test_refused(table: dict[str, Any], error: str) -> None:
    problems = refused(error_pages=table)
    assert any(each.startswith(error) for each in problems), problems


def test_a_cookie_of_a_server_is_kept_for_one_client(pages: dict[str, str]) -> None:
    sticky = {"secret": "long enough to be kept"}
    options = read(error_pages={"pages": pages, "of_servers": True}, sticky=sticky)
    with SimulatedHttp(answer=failing(404), options=options) as proxy:
        got = proxy.send(get())
    assert shown(got) == (404, HTML, MISSING)
    assert ("Set-Cookie" in got.fields, got.fields.get("Cache-Control")) == (True, "private")
