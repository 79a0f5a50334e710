"""basic_auth: passwords are verified elsewhere, remembered when right, answered late when wrong."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.http.credentials.test_users_file import APR1, BCRYPT
from tests.http.proxy.test_options import read, refused
from vcproxy.http.duties.basic_auth import MOST_CHECKS
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.proxy.options import Options
from vcproxy.testing.http import SimulatedHttp

ONE, OTHER = "198.51.100.1", "203.0.113.9"
PASSWORD = "pässword"
STORED = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


@pytest.fixture
def users(tmp_path: Path) -> Path:
    file = tmp_path / "users"
    file.write_text(f"anna:{STORED}\nbén:{BCRYPT}\n")
    return file


def options(users: Path, **keys: Any) -> Options:
    return read(basic_auth={"users": str(users), **keys})


def get(user: str = "anna", password: str = PASSWORD, target: str = "/") -> Request:
    encoded = b64encode(f"{user}:{password}".encode()).decode()
    return Request("GET", target, {"Authorization": f"Basic {encoded}"}, host="a.example")


NONE = Request("GET", "/", host="a.example")


def test_a_right_password(users: Path) -> None:
    with SimulatedHttp(options=options(users)) as proxy:
        assert proxy.send(get()).status == 200
        [received] = proxy.received()
        assert "Authorization" not in received.fields
        assert proxy.access_log[0]["extra"] == {"user": "anna"}


def test_the_server_may_get_the_user_and_the_password(users: Path) -> None:
    request = get("bén", "pw")
    request.fields.add("X-User", "anna")
    request.fields.add("X_User", "anna")
    with SimulatedHttp(options=options(users, user_field="X-User", forward=True)) as proxy:
        proxy.send(request)
        [received] = proxy.received()
    assert received.fields["Authorization"] == request.fields["Authorization"]
    assert received.fields.get_all("X-User") == ["bén".encode().decode("latin-1")]
    assert "X_User" not in received.fields


def test_without_credentials_they_are_asked_for_at_once(users: Path) -> None:
    with SimulatedHttp(options=options(users, realm="the shop")) as proxy:
        began = proxy.engine.now
        got = proxy.send(NONE)
        assert (got.status, proxy.received()) == (401, [])
        assert got.fields["WWW-Authenticate"] == 'Basic realm="the shop", charset="UTF-8"'
        assert got.content == b"401 Unauthorized\na user name and a password are needed\n"
        assert proxy.engine.now - began < 0.5


@pytest.mark.parametrize(
    ("user", "password"),
    [("anna", "guessed"), ("anna", ""), ("nobody", PASSWORD), ("nobody", "pw"), ("ANNA", PASSWORD)],
)
def test_a_wrong_one_is_answered_late(users: Path, user: str, password: str) -> None:
    with SimulatedHttp(options=options(users, failure_delay="2s")) as proxy:
        began = proxy.engine.now
        got = proxy.send(get(user, password))
        assert (got.status, proxy.received()) == (401, [])
        assert 2.0 <= proxy.engine.now - began < 2.5, "whatever the verification takes"
        assert got.content == b"401 Unauthorized\nthe user name or the password is wrong\n"
        assert f"wrong password of '{user}' from" in proxy.log[-1]
        assert password not in proxy.log[-1] or not password
        assert proxy.send(get()).status == 200


@pytest.mark.parametrize("value", ["Basic", "Basic !", "Basic dTpw, Basic dTpw", "Bearer x"])
def test_malformed_credentials(users: Path, value: str) -> None:
    request = Request("GET", "/", {"Authorization": value}, host="a.example")
    with SimulatedHttp(options=options(users)) as proxy:
        got = proxy.send(request)
        assert (got.status, proxy.received()) == (401, [])
        assert got.fields["WWW-Authenticate"].startswith("Basic ")


def test_a_right_password_is_remembered(users: Path) -> None:
    # Each element is the result of one verification.
    verified: list[object] = [True, True, False]
    rules = options(users, remember="60s", failure_delay="0s")
    with SimulatedHttp(options=rules, answers=verified) as proxy:
        for _ in range(3):
            assert proxy.send(get()).status == 200
        assert proxy.send(get("bén", "pw")).status == 200, "another user is verified"
        proxy.elapse(61.0)
        assert proxy.send(get()).status == 401, "it is verified again"


def test_it_may_be_verified_each_time(users: Path) -> None:
    rules = options(users, remember="0s", failure_delay="0s")
    with SimulatedHttp(options=rules, answers=[True, False]) as proxy:
        assert [proxy.send(get()).status for _ in range(2)] == [200, 401]


def test_wrong_passwords_of_a_client_are_limited(users: Path) -> None:
    with SimulatedHttp(options=options(users, failures=3)) as proxy:
        assert proxy.send(get(), client_ip=ONE).status == 200
        found = [proxy.send(get(password=f"{n}"), client_ip=ONE).status for n in range(5)]
        assert found == [401, 401, 401, 429, 429]
        got = proxy.send(get("bén", "pw"), client_ip=ONE)
        assert got.status == 429, "also a right one, which is not known yet"
        assert 1 <= int(got.fields["Retry-After"]) <= 20
        assert proxy.send(get(), client_ip=ONE).status == 200, "one that is known"
        assert proxy.send(get("bén", "pw"), client_ip=OTHER).status == 200
        proxy.elapse(20.0)
        assert proxy.send(get("bén", "pw"), client_ip=ONE).status == 200


def test_wrong_passwords_at_the_same_time_are_limited_as_well(users: Path) -> None:
    with SimulatedHttp(options=options(users, failures=3)) as proxy:
        clients = [proxy.client(client_ip=ONE) for _ in range(9)]
        for number, client in enumerate(clients):
            authorization = get(password=f"{number}").fields["Authorization"]
            client.send(
                f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n".encode()
            )
        proxy.elapse(3.0)
        found = [bytes(client.received[9:12]) for client in clients]
        for client in clients:
            client.close()
    assert (found.count(b"401"), found.count(b"429")) == (3, 6)


def test_clients_of_many_addresses_do_not_fill_the_threads(users: Path) -> None:
    with SimulatedHttp(options=options(users)) as proxy:
        clients = [
            proxy.client(client_ip=f"192.0.2.{number}") for number in range(1, 3 * MOST_CHECKS)
        ]
        for number, client in enumerate(clients):
            request = get(password=f"{number}")
            lines = f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {request.fields['Authorization']}"
            client.send(f"{lines}\r\n\r\n".encode())
        most = 0
        for _ in range(500):
            proxy.elapse(0.01)
            most = max(most, len(proxy.engine.pending_calls))
        found = [bytes(client.received[9:12]) for client in clients]
        for client in clients:
            client.close()
    assert most <= MOST_CHECKS
    refused = found.count(b"503")
    assert refused > 0
    assert found.count(b"401") == len(found) - refused >= MOST_CHECKS


def test_equal_requests_at_the_same_time_are_verified_once(users: Path) -> None:
    with SimulatedHttp(options=options(users), answers=[True]) as proxy:
        clients = [proxy.client(client_ip=ONE) for _ in range(6)]
        for client in clients:
            authorization = get().fields["Authorization"]
            client.send(
                f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n".encode()
            )
        proxy.elapse(1.0)
        assert [bytes(client.received[9:12]) for client in clients] == [b"200"] * 6
        for client in clients:
            client.close()


def test_a_client_that_leaves_while_it_waits(users: Path) -> None:
    with SimulatedHttp(options=options(users)) as proxy:
        client = proxy.client()
        authorization = get(password="wrong").fields["Authorization"]
        client.send(f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n".encode())
        proxy.elapse(0.5)
        client.reset()
        proxy.elapse(2.0)
        assert proxy.received() == []
        assert not proxy.engine.vcs


@pytest.mark.parametrize("target", ["http://server.example/", "server.example:443"])
def test_a_forward_proxy_has_fields_of_its_own(users: Path, target: str) -> None:
    rules = read(
        basic_auth={"users": str(users)},
        forward={"allow": ["*:*"]},
        connect={"allow": ["*:*"]},
    )
    method = "GET" if "/" in target else "CONNECT"

    def ask(**fields: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        return proxy.send(Request(method, target, named, host=target.removeprefix("http://")[:14]))

    authorization = get().fields["Authorization"]
    with SimulatedHttp(options=rules, refusing=["server.example"]) as proxy:
        got = ask(Authorization=authorization)
        assert got.status == 407
        assert got.fields["Proxy-Authenticate"] == 'Basic realm="restricted", charset="UTF-8"'
        assert "WWW-Authenticate" not in got.fields
        assert ask(Proxy_Authorization=authorization).status == 502, "it is let through"


def test_an_unprotected_route(users: Path) -> None:
    keys = {"basic_auth": {"users": str(users)}}
    rules = read(**keys, routes=[{"path": "/open", "without": ["basic_auth"]}, {}])
    with SimulatedHttp(options=rules) as proxy:
        paths = {"/open": 200, "/": 401, "/open/../": 401, "/%6fpen": 200, "/openx": 401}
        found = {path: proxy.send(Request("GET", path, host="a")).status for path in paths}
    assert found == paths


def test_weak_hashes_are_warned_of(users: Path) -> None:
    users.write_text(f"a:{APR1}\nb:{APR1}\nc:{BCRYPT}\n")
    auth = options(users).basic_auth
    assert auth is not None
    [(path, text)] = auth.warnings()
    assert path == ("users",)
    assert text.startswith("the hash of 'a' and 1 more is apr1, 1000 rounds of MD5")
    users.write_text(f"c:{BCRYPT}\n")
    auth = options(users).basic_auth
    assert auth is not None
    assert list(auth.warnings()) == []


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"a:plain\n", "line 1: the password is not hashed: replace it with `htpasswd -B`"),
        (b"", "has no users: every request would be refused"),
    ],
)
def test_refused(tmp_path: Path, content: bytes, error: str) -> None:
    file = tmp_path / "users"
    file.write_bytes(content)
    [problem] = refused(basic_auth={"users": str(file)})
    assert problem == f"basic_auth.users: {file}: {error}"


def test_no_client_can_send_the_name_of_a_user_on_another_route(users: Path) -> None:
    basic = {"users": str(users), "user_field": "X-User"}
    other = {"users": str(users), "user_field": "X-Member"}
    rules = read(
        basic_auth=basic,
        routes=[
            {"path": "/open", "without": ["basic_auth"]},
            {"path": "/other", "basic_auth": other},
            {},
        ],
    )
    with SimulatedHttp(options=rules) as proxy:
        for request in (get(target="/open"), get(target="/other"), get()):
            for name in ("X-User", "X_User", "x-member"):
                request.fields.add(name, "root")
            assert proxy.send(request).status == 200
        received = [each.fields for each in proxy.received()]
    users_sent = [(each.get("X-User"), each.get("X-Member")) for each in received]
    assert users_sent == [(None, None), (None, "anna"), ("anna", None)]
    assert not any("X_User" in each for each in received)


@pytest.mark.parametrize("name", ["Transfer-Encoding", "Host", "X-Forwarded-User", "X_User"])
def test_the_field_for_the_user_is_one_of_its_own(users: Path, name: str) -> None:
    [problem] = refused(basic_auth={"users": str(users), "user_field": name})
    assert problem.startswith(f'basic_auth.user_field: "{name}"')
