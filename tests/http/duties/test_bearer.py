"""bearer: requests need a token of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.http.credentials.test_tokens_file import HASHED, OTHER, TOKEN
from tests.http.proxy.test_options import read, refused
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.proxy.options import Options
from vcproxy.testing.http import SimulatedHttp


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text(f"ci:{TOKEN}\ndeploy:sha256:{HASHED}\n")
    return file


def get(*values: str, target: str = "/") -> Request:
    fields = [("Authorization", value) for value in values]
    return Request("GET", target, fields, host="a.example")


def ask(options: Options, request: Request) -> tuple[Response, list[Request]]:
    with SimulatedHttp(options=options) as proxy:
        return proxy.send(request), proxy.received()


@pytest.mark.parametrize(("token", "name"), [(TOKEN, "ci"), (OTHER, "deploy")])
def test_a_known_token(tokens: Path, token: str, name: str) -> None:
    options = read(bearer={"tokens": str(tokens), "user_field": "X-User"})
    request = get(f"bearer {token}")
    request.fields.add("X_User", "root")
    got, [received] = ask(options, request)
    assert got.status == 200
    assert "Authorization" not in received.fields
    assert received.fields.get_all("X-User") == [name]
    assert "X_User" not in received.fields


def test_the_server_may_get_the_token(tokens: Path) -> None:
    options = read(bearer={"tokens": str(tokens), "forward": True})
    _, [received] = ask(options, get(f"Bearer {TOKEN}"))
    assert received.fields["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("sent", "status", "challenge"),
    [
        ((), 401, 'Bearer realm="re\\"alm"'),
        (("Basic dTpw",), 401, 'Bearer realm="re\\"alm"'),
        ((f"Bearer {TOKEN}x",), 401, 'Bearer realm="re\\"alm", error="invalid_token"'),
        ((f"Bearer {HASHED}",), 401, 'Bearer realm="re\\"alm", error="invalid_token"'),
        (
            (f"Bearer {TOKEN} x",),
            400,
            'Bearer realm="re\\"alm", error="invalid_request", '
            'error_description="Authorization is not of the form of bearer"',
        ),
        (
            (f"Bearer {TOKEN}", f"Bearer {TOKEN}"),
            400,
            'Bearer realm="re\\"alm", error="invalid_request", '
            'error_description="there are several Authorization fields"',
        ),
    ],
)
def test_other_requests(tokens: Path, sent: tuple[str, ...], status: int, challenge: str) -> None:
    options = read(bearer={"tokens": str(tokens), "realm": 're"alm'})
    got, received = ask(options, get(*sent))
    assert (got.status, received) == (status, [])
    assert got.fields["WWW-Authenticate"] == challenge
    assert got.fields["Cache-Control"] == "no-store"
    assert TOKEN.encode() not in got.content


def test_of_a_route(tokens: Path) -> None:
    options = read(routes=[{"path": "/api", "bearer": {"tokens": str(tokens)}}, {}])
    assert ask(options, get(target="/api/%2e/x"))[0].status == 401
    assert ask(options, get(target="/open"))[0].status == 200


def test_the_name_is_in_the_access_log(tokens: Path) -> None:
    with SimulatedHttp(options=read(bearer={"tokens": str(tokens)})) as proxy:
        proxy.send(get(f"Bearer {TOKEN}"))
        proxy.send(get())
        first, second = proxy.access_log
    assert (first["status"], first["extra"]) == (200, {"user": "ci"})
    assert (second["status"], second.get("extra")) == (401, None)


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ({}, "bearer.tokens: "),
        ({"tokens": "/absent"}, "bearer.tokens: cannot read /absent: No such file or directory"),
        ({"tokens": "/dev/null"}, "bearer.tokens: /dev/null: has no tokens"),
    ],
)
def test_refused(table: dict[str, Any], error: str) -> None:
    (problem,) = refused(bearer=table)
    assert problem.startswith(error)


def test_two_ways_on_one_route(tokens: Path, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(f"u:$2b$04${'.' * 53}\n")
    both = {"bearer": {"tokens": str(tokens)}, "basic_auth": {"users": str(users)}}
    why = "basic_auth and bearer both apply on the route *"
    assert refused(**both)[0].startswith(f": {why}/, but a request has one Authorization")
    [problem] = refused(basic_auth=both["basic_auth"], routes=[{"path": "/a", **both}])
    assert problem.startswith(f": {why}/a")
    route = {"path": "/api", "bearer": both["bearer"], "without": ["basic_auth"]}
    assert read(basic_auth=both["basic_auth"], routes=[route, {}]).late_duties == {"basic_auth"}
