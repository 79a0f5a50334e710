"""maintenance: 503 for all but some, switched by a key or by a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.http.proxy.test_options import read, refused
from vcproxy.http.duties.maintenance import CHECK_S, exists
from vcproxy.http.message.messages import Request, Response
from vcproxy.testing.http import SimulatedHttp

OPERATOR, CLIENT = "10.1.2.3", "198.51.100.1"
BYPASS = {"bypass_field": "X-Bypass", "bypass_cookie": "bypass", "secret": "open sesame"}


def get(**fields: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return Request("GET", "/", named, host="a.example")


def test_all_requests_are_answered() -> None:
    with SimulatedHttp(options=read(maintenance={"on": True})) as proxy:
        got = proxy.send(get())
        assert (got.status, got.content) == (503, b"503 Service Unavailable\nmaintenance\n")
        assert got.fields["Retry-After"] == "300"
        assert got.fields["Cache-Control"] == "no-store"
        assert proxy.received() == []


def test_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_bytes(b"<p>back soon")
    rules = {"on": True, "page": str(page), "retry_after": "0s"}
    with SimulatedHttp(options=read(maintenance=rules)) as proxy:
        got = proxy.send(get())
        assert got.content == b"<p>back soon"
        assert got.fields["Content-Type"] == "text/html; charset=utf-8"
        assert got.fields["Content-Length"] == "12"
        assert "Retry-After" not in got.fields
        head = proxy.send(Request("HEAD", "/", host="a.example"))
        assert (head.status, head.content) == (503, b"")


@pytest.mark.parametrize(
    ("request_", "client_ip", "status"),
    [
        (get(), CLIENT, 503),
        (get(), OPERATOR, 200),
        (get(), "2001:db8::7", 200),
        (get(), "2001:db9::7", 503),
        (get(X_Bypass="open sesame"), CLIENT, 200),
        (get(X_Bypass="open sesame!"), CLIENT, 503),
        (get(X_Bypass=""), CLIENT, 503),
        (get(X_Forwarded_For=OPERATOR), CLIENT, 503),
        (get(Cookie="a=b; bypass=open sesame"), CLIENT, 200),
        (get(Cookie="bypass=open"), CLIENT, 503),
        (get(Cookie="a=open sesame"), CLIENT, 503),
    ],
)
def test_some_requests_pass(request_: Request, client_ip: str, status: int) -> None:
    rules = {"on": True, "allow": ["10.0.0.0/8", "2001:db8::/32"], **BYPASS}
    with SimulatedHttp(options=read(maintenance=rules)) as proxy:
        assert proxy.send(request_, client_ip=client_ip).status == status


def test_the_server_does_not_get_the_secret() -> None:
    sent = get(X_Bypass="open sesame", x_bypass2="1", Cookie="a=b; bypass=open sesame; c=d")
    sent.fields.add("X_Bypass", "open sesame")
    with SimulatedHttp(options=read(maintenance={"on": True, **BYPASS})) as proxy:
        assert proxy.send(sent).status == 200
        [received] = proxy.received()
        assert b"sesame" not in received.fields.raw
        assert received.fields["Cookie"] == "a=b; c=d"
        assert received.fields["x-bypass2"] == "1"


def test_it_is_switched_by_a_file(tmp_path: Path) -> None:
    file = tmp_path / "maintenance.on"
    with SimulatedHttp(options=read(maintenance={"file": str(file)})) as proxy:
        assert proxy.send(get()).status == 200
        file.touch()
        assert proxy.send(get()).status == 200, "the answer is younger than a second"
        proxy.elapse(CHECK_S)
        assert proxy.send(get()).status == 503
        file.unlink()
        proxy.elapse(CHECK_S)
        assert proxy.send(get()).status == 200
        lines = [line for line in proxy.log if "maintenance" in line]
        assert lines == [
            f"info: proxy: maintenance: {file} exists: requests are answered by 503",
            f"info: proxy: maintenance: {file} is gone: requests pass",
        ]


def test_the_file_is_looked_at_once_a_second() -> None:
    answers: list[object] = [False, True]  # of two calls; a third would be an error
    with SimulatedHttp(options=read(maintenance={"file": "/x"}), answers=answers) as proxy:
        assert [each.status for each in proxy.send_all(get(), get(), get())] == [200] * 3
        proxy.elapse(CHECK_S)
        assert [each.status for each in proxy.send_all(get(), get(), get())] == [503] * 3


def test_a_file_that_cannot_be_looked_at_is_not_there(tmp_path: Path) -> None:
    assert exists(tmp_path)
    assert not exists(tmp_path / "absent")
    assert not exists(tmp_path / ("x" * 300)), "ENAMETOOLONG"


def test_a_route_of_its_own() -> None:
    options = read(routes=[{"path": "/shop", "maintenance": {"on": True}}, {}])

    def status(path: str) -> int:
        response: Response = proxy.send(Request("GET", path, host="a.example"))
        return response.status

    with SimulatedHttp(options=options) as proxy:
        assert (status("/shop/x"), status("/")) == (503, 200)


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ({}, "maintenance: maintenance has no effect without on = true or a file"),
        ({"on": True, "bypass_cookie": "b"}, "maintenance: a bypass_field or a bypass_cookie "),
        ({"on": True, "secret": "s"}, "maintenance: the secret has no effect without"),
        ({"on": True, "allow": ["10.0.0.1/8"]}, "maintenance.allow.0: must be a network"),
        ({"on": True, "page": "/absent.html"}, "maintenance.page: cannot read /absent.html: No "),
    ],
)
def test_refused(rules: dict[str, Any], error: str) -> None:
    (problem,) = refused(maintenance=rules)
    assert problem.startswith(error)
