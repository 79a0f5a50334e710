"""sticky: a client stays with its server, by a cookie."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.http.proxy.harness import OK, Http, answer, received, request
from tests.http.proxy.test_options import read, refused
from vcproxy.drivers.sim import Peer

SECRET = "correct horse battery staple"
NAMES = ("one", "two", "three")
STICKY: Any = {"secret": SECRET}


class Site(Http):
    """A proxy with three servers, each of which answers with its name."""

    def __init__(self, sticky: Any = STICKY, reply: bytes = OK, **keywords: Any) -> None:
        options = read(sticky=sticky, forwarded="off")
        super().__init__(options=options, servers=NAMES, **keywords)
        self.reply = reply
        self.asked = ""

    def get(self, cookie: str = "", client: Peer | None = None) -> tuple[str, str]:
        """Send a request with a cookie; return the server that has got it, and the response."""
        peer = client or self.client()
        peer.send(request("GET", "/", *([f"Cookie: {cookie}"] if cookie else [])))
        self.go()
        used = ""
        for name in NAMES:
            for server in self.peers(name) if name in self._servers else ():
                if server.received:
                    used, self.asked = name, received(server)
                    server.send(self.reply)
        self.go()
        return used, received(peer)

    def set_server(self, name: str, state: Any) -> None:
        upstream = self.service.upstream
        assert upstream is not None
        self.engine.inbox.post(lambda: upstream.set_server(f"tcp://{name}:1", state=state))
        self.go()


def cookie_of(response: str) -> str:
    """The cookie that a response sets; empty: none."""
    found = re.search(r"\nSet-Cookie: ([^;\n]*)", response)
    return found[1] if found else ""


def test_a_client_stays_with_its_server() -> None:
    with Site() as site:
        servers = [site.get() for _ in range(3)]
        assert [name for name, _ in servers] == list(NAMES)
        cookies = {name: cookie_of(response) for name, response in servers}
        assert len(set(cookies.values())) == 3
        for _ in range(2):
            for name in NAMES:
                used, response = site.get(cookies[name])
                assert used == name
                assert "Set-Cookie" not in response, "it has the cookie"
                assert "Cache-Control" not in response


def test_the_cookie() -> None:
    with Site() as site:
        _, response = site.get()
    assert re.search(
        r"\nSet-Cookie: vcproxy_[\w-]{6}=[\w-]{16}; Path=/; HttpOnly; SameSite=Lax\n", response
    )
    assert "\nCache-Control: private\n" in response, "a shared cache must not keep it"


def test_the_keys_of_the_cookie() -> None:
    keys = {
        "cookie": "S", "path": "/app", "secure": True, "same_site": "None", "lifetime": "1h",
    }  # fmt: skip
    with Site({**STICKY, **keys}) as site:
        _, response = site.get()
    assert re.search(
        r"\nSet-Cookie: S=[\w-]{16}; Path=/app; Max-Age=3600; HttpOnly; SameSite=None; Secure\n",
        response,
    )


def test_the_value_depends_on_the_secret_and_the_server_only() -> None:
    def cookies(secret: str, seed: int) -> list[str]:
        with Site({"secret": secret}, seed=seed) as site:
            return [cookie_of(site.get()[1]) for _ in NAMES]

    first = cookies(SECRET, 1)
    assert cookies(SECRET, 2) == first, "so after a restart, and in each worker"
    assert not set(cookies("another " + SECRET, 1)) & set(first)


@pytest.mark.parametrize(
    ("cache", "sent"),
    [("no-store", ["no-store"]), ("private, max-age=5", ["private, max-age=5"]),
     ("max-age=5", ["max-age=5", "private"])],
)  # fmt: skip
def test_a_response_that_sets_it_is_private(cache: str, sent: list[str]) -> None:
    with Site(reply=answer(b"", f"Cache-Control: {cache}")) as site:
        _, response = site.get()
    assert re.findall(r"\nCache-Control: (.*)", response) == sent


def test_the_server_does_not_get_it() -> None:
    with Site() as site:
        _, response = site.get()
        cookie = cookie_of(response)
        site.get(f"a=1; {cookie}; b=2")
        assert re.findall(r"\nCookie: (.*)", site.asked) == ["a=1; b=2"]
        site.get(cookie)
        assert "Cookie" not in site.asked


@pytest.mark.parametrize("value", ["x", "", "A" * 16, '"', "a=b", "%00"])
def test_an_unknown_value_counts_as_none(value: str) -> None:
    with Site() as site:
        name = cookie_of(site.get()[1]).partition("=")[0]
        used, response = site.get(f"{name}={value}")
        assert used == "two", "the next in turn"
        assert cookie_of(response)


def test_a_drained_server_keeps_its_clients() -> None:
    with Site() as site:
        _, response = site.get()
        cookie = cookie_of(response)
        site.set_server("one", "drain")
        assert site.get(cookie)[0] == "one"
        assert "Set-Cookie" not in site.get(cookie)[1]
        assert "one" not in {site.get()[0] for _ in range(6)}


def test_a_server_in_maintenance_is_replaced() -> None:
    with Site() as site:
        cookie = cookie_of(site.get()[1])
        site.set_server("one", "maint")
        used, response = site.get(cookie)
        assert used == "two"
        assert cookie_of(response) not in ("", cookie)
        again, response = site.get(cookie_of(response))
        assert (again, "Set-Cookie" in response) == ("two", False)
        site.set_server("one", "ready")
        assert site.get(cookie)[0] == "one"


def test_a_server_that_refuses_is_replaced() -> None:
    with Site() as site:
        cookie = cookie_of(site.get()[1])
    with Site(refusing=["one"]) as site:
        used, response = site.get(cookie)
        assert used in ("two", "three")
        assert cookie_of(response) not in ("", cookie)


def test_on_a_kept_connection() -> None:
    with Site() as site:
        client = site.client()
        _, response = site.get(client=client)
        cookie = cookie_of(response)
        for _ in range(4):
            assert site.get(cookie, client)[0] == "one"
        assert site.get(client=client)[0] == "two"


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ({}, "sticky.secret: is missing: this key is required"),
        (
            {"secret": "short"},
            "sticky: the secret has fewer than 16 characters, and could be guessed: "
            "head -c 24 /dev/urandom | base64",
        ),
        (
            {"secret": SECRET, "same_site": "None"},
            'sticky: same_site = "None" needs secure = true: browsers drop it otherwise',
        ),
        (
            {"secret": SECRET, "path": "x"},
            'sticky.path: "x" is not a path of a cookie: it begins with "/" and has no ";"',
        ),
        (
            {"secret": SECRET, "path": "/;x"},
            'sticky.path: "/;x" is not a path of a cookie: it begins with "/" and has no ";"',
        ),
        (
            {"secret": SECRET, "cookie": "a b"},
            'sticky.cookie: "a b" is not a token: use letters, digits and marks such as "-"',
        ),
    ],
)
def test_what_is_refused(table: dict[str, object], error: str) -> None:
    assert refused(sticky=table) == [error]
