"""The dashboard on a simulated network: who gets in, what is sent, and who may change something."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import pytest

from tests.control.proxy_double import ProxyDouble
from vcproxy.bus.message import definitions
from vcproxy.control.dashboard.collector import MOST_PAGES
from vcproxy.control.dashboard.dashboard import CONNECTIONS, Dashboard
from vcproxy.control.http_door import HttpDoor
from vcproxy.control.questions.answer import Answer
from vcproxy.drivers.sim import Peer, Simulation
from vcproxy.engine.address import Address

UNIX = Address.parse("unix:/run/vcproxy/7.ctl.sock")
TCP = Address.parse("tcp://127.0.0.1:8421")
HERE = "Host: 127.0.0.1:8421"
ORIGIN = "Origin: http://127.0.0.1:8421"
JSON = "Content-Type: application/json"


class AskedProxy(ProxyDouble):
    """Notes what it is asked, and answers with one connection."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[tuple[str, Mapping[str, str]]] = []

    def ask(
        self, question: str, arguments: Mapping[str, str], then: Callable[[Answer], None]
    ) -> None:
        self.questions.append((question, arguments))
        row = {"id": "0-7", "client": "10.0.0.9:5", "server": "", "state": "ASKING", "age": 1.23456}
        rows = [{**row, "bytes_in": 5, "bytes_out": 6}] if question == "conns" else []
        then(Answer(rows, error="there is no column `nam`" if "nam" in arguments else ""))


class Site:
    """A dashboard at two addresses, and its browsers."""

    def __init__(self, *, tcp: bool = True) -> None:
        self.sim = Simulation(seed=5)
        self.proxy = AskedProxy()
        driver = self.sim.driver("control")
        door = HttpDoor(
            self.proxy,
            definitions.load(),
            driver.engine.log,
            token="a-token-of-32-characters-as-made",
        )
        sites = ["http://127.0.0.1:8421"] if tcp else []
        secrets = (f"secret-{number}" for number in count(1))
        self.dashboard = Dashboard(
            driver.engine, self.proxy, door.command, lambda: next(secrets), sites
        )
        for address in (UNIX, TCP):
            unix = address is UNIX
            pages = [] if unix else self.dashboard.routes()
            entrance = self.dashboard.entrance(door.allowed)
            driver.listen(address, door.server(driver.engine, entrance, *pages, unix=unix))
        self.sim.run()

    def send(self, line: str, *fields: str, body: str = "", to: Address = TCP) -> Peer:
        """Return a client that has sent a request."""
        client = self.sim.client(to)
        length = [f"Content-Length: {len(body)}"] if line.startswith("POST") else []
        client.send("\r\n".join([f"{line} HTTP/1.1", HERE, *fields, *length, "", body]).encode())
        self.sim.elapse(0.5)
        return client

    def address(self) -> str:
        """Return the path of a new address with a token, as `vcproxy ctl dashboard` gets it."""
        [value] = answer(self.send("POST /v1/dashboard", to=UNIX))["addresses"]
        return str(value).removeprefix("http://127.0.0.1:8421")

    def cookie(self) -> str:
        """Sign in; return the field that a browser sends from then on."""
        head = bytes(self.send(f"GET {self.address()}").received).decode()
        [value] = [each for each in head.split("\r\n") if each.startswith("Set-Cookie: ")]
        return "Cookie: other=1; " + value.removeprefix("Set-Cookie: ").partition(";")[0]


def status(client: Peer) -> int:
    """Return the status of the answer."""
    return int(client.received.split(b" ")[1])


def answer(client: Peer) -> dict[str, Any]:
    """Return the JSON of the answer."""
    value = json.loads(client.received.partition(b"\r\n\r\n")[2])
    assert isinstance(value, dict)
    return value


# -- signing in ------------------------------------------------------------------------------------


def test_an_address_with_a_token_lets_one_browser_in() -> None:
    site = Site()
    path = site.address()
    assert path == "/dashboard/enter?token=secret-1"
    preview = site.send(f"HEAD {path}")
    assert status(preview) == 200
    assert b"Set-Cookie" not in preview.received
    entered = site.send(f"GET {path}")
    assert status(entered) == 200
    head = bytes(entered.received).decode()
    assert (
        "Set-Cookie: vcproxy_dashboard_8421=secret-2; Path=/dashboard/; HttpOnly; SameSite=Strict"
    ) in head
    assert "Cache-Control: no-store" in head
    assert "Referrer-Policy: no-referrer" in head
    page = site.send("GET /dashboard/", "Cookie: vcproxy_dashboard_8421=secret-2")
    assert status(page) == 200
    assert b"<title>vcproxy</title>" in page.received
    again = site.send(f"GET {path}")
    assert status(again) == 401
    assert b"vcproxy ctl dashboard" in again.received


def test_a_token_is_given_to_who_may_command_only() -> None:
    site = Site()
    assert status(site.send("POST /v1/dashboard")) == 401
    bearer = "Authorization: Bearer a-token-of-32-characters-as-made"
    assert status(site.send("POST /v1/dashboard", bearer)) == 200
    assert status(site.send("POST /v1/dashboard", site.cookie())) == 401


def test_without_an_address_of_tcp_there_is_none_for_a_browser() -> None:
    refused = Site(tcp=False).send("POST /v1/dashboard", to=UNIX)
    assert status(refused) == 409
    assert 'http = ["unix", "tcp://127.0.0.1:8421"]' in answer(refused)["error"]


@pytest.mark.parametrize("what", ["", "main.js", "events", "session", "details", "connections?x=y"])
@pytest.mark.parametrize("cookie", [(), ("Cookie: vcproxy_dashboard_8421=guess",)])
def test_without_a_cookie_nothing_is_seen(what: str, cookie: tuple[str, ...]) -> None:
    site = Site()
    assert status(site.send(f"GET /dashboard/{what}", *cookie)) == 401
    assert site.proxy.questions == []


@pytest.mark.parametrize("path", ["/", "/dashboard"])
def test_who_leaves_out_the_path_is_led_to_it(path: str) -> None:
    got = Site().send(f"GET {path}")
    assert status(got) == 308
    assert b"\r\nLocation: /dashboard/\r\n" in got.received


def test_over_the_unix_socket_there_are_no_pages() -> None:
    assert status(Site().send("GET /dashboard/", to=UNIX)) == 404


def test_the_cookie_has_the_port_in_its_name() -> None:
    site = Site()
    cookie = site.cookie()
    other = site.sim.client(TCP)
    other.send(f"GET /dashboard/ HTTP/1.1\r\nHost: localhost:9999\r\n{cookie}\r\n\r\n".encode())
    site.sim.elapse(1.0)
    assert status(other) == 401


# -- what is sent ----------------------------------------------------------------------------------


def test_files_have_their_types_and_load_nothing_from_elsewhere() -> None:
    site = Site()
    cookie = site.cookie()
    for name, content_type in (
        ("", "text/html; charset=utf-8"),
        ("page.css", "text/css; charset=utf-8"),
        ("main.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ):
        got = bytes(site.send(f"GET /dashboard/{name}", cookie).received).decode()
        assert f"Content-Type: {content_type}" in got
        assert "Content-Security-Policy: default-src 'none'; script-src 'self'" in got
        assert "X-Frame-Options: DENY" in got
        assert "http://" not in got.replace("http://www.w3.org/", "")
        assert "https://" not in got
        assert " style=" not in got
        assert " onclick=" not in got


@pytest.mark.parametrize(
    "name", ["nothing.js", "../main.js", "..%2Fdashboard.py", "page", "a" * 999 + ".js"]
)
def test_other_files_are_not_sent(name: str) -> None:
    site = Site()
    assert status(site.send(f"GET /dashboard/{name}", site.cookie())) in (400, 404)


def test_events_come_until_the_browser_goes() -> None:
    site = Site()
    cookie = site.cookie()
    page = site.send("GET /dashboard/events", cookie)
    site.sim.elapse(3.0)
    assert b"Content-Type: text/event-stream" in page.received
    assert page.received.count(b"event: picture\n") in (3, 4)
    page.close()
    site.sim.elapse(2.0)
    asked = len(site.proxy.questions)
    site.sim.elapse(60.0)
    assert len(site.proxy.questions) == asked


def test_more_pages_than_there_is_room_for() -> None:
    site = Site()
    cookie = site.cookie()
    pages = [site.send("GET /dashboard/events", cookie) for _ in range(MOST_PAGES)]
    refused = site.send("GET /dashboard/events", cookie)
    assert (status(refused), answer(refused)["error"]) == (
        503,
        "enough pages of the dashboard are open",
    )
    pages[3].close()
    site.sim.elapse(1.0)
    assert status(site.send("GET /dashboard/events", cookie)) == 200


def test_a_page_that_does_not_read_is_closed() -> None:
    site = Site()
    cookie = site.cookie()
    page = site.send("GET /dashboard/events", cookie)
    page.stall()
    site.sim.elapse(3600.0)
    asked = len(site.proxy.questions)
    site.sim.elapse(60.0)
    assert len(site.proxy.questions) == asked


def test_the_details_of_a_node() -> None:
    site = Site()
    cookie = site.cookie()
    assert status(site.send("GET /dashboard/details?node=process", cookie)) == 404, "no picture yet"
    site.send("GET /dashboard/events", cookie)
    site.sim.elapse(1.0)
    node = answer(site.send("GET /dashboard/details?node=process", cookie))
    assert (node["kind"], node["connections"]) == ("proxy", None)
    assert status(site.send("GET /dashboard/details?node=listener+x", cookie)) == 404


def test_the_connections_of_a_listener() -> None:
    site = Site()
    cookie = site.cookie()
    got = site.send("GET /dashboard/connections?listener=web&limit=99999", cookie)
    assert site.proxy.questions == [("conns", {"listener": "web", "limit": str(CONNECTIONS)})]
    [row] = answer(got)["rows"]
    assert row == {
        "id": "0-7",
        "client": "10.0.0.9:5",
        "server": "",
        "state": "ASKING",
        "age": 1.235,
        "bytes": 11,
    }
    wrong = site.send("GET /dashboard/connections?nam=web", cookie)
    assert (status(wrong), answer(wrong)["error"]) == (400, "there is no column `nam`")


# -- changes ---------------------------------------------------------------------------------------


def change(site: Site, *fields: str, command: str = "RELOAD") -> int:
    """Return the status of a change that is sent with some fields of its head."""
    client = site.send(f"POST /dashboard/change/{command}", *fields, body="{}")
    if site.proxy.results:
        site.proxy.results.pop()("")
        site.sim.elapse(1.0)
    return status(client)


def test_the_page_itself_may_change_something() -> None:
    site = Site()
    assert change(site, site.cookie(), ORIGIN, JSON) == 200


def test_who_else_may_not() -> None:
    site = Site()
    cookie = site.cookie()
    assert change(site, ORIGIN, JSON) == 401, "no cookie"
    assert change(site, cookie, JSON) == 403, "no Origin"
    assert change(site, cookie, JSON, "Origin: http://evil.example") == 403
    assert change(site, cookie, JSON, "Origin: http://127.0.0.1:9999") == 403, "another port"
    assert change(site, cookie, JSON, "Origin: null") == 403
    assert change(site, cookie, ORIGIN, JSON, "Sec-Fetch-Site: same-site") == 403
    assert change(site, cookie, ORIGIN, "Content-Type: text/plain") == 415, "as a form sends it"
    assert change(site, cookie, ORIGIN, JSON, command="STOP") == 404, "the page has no button"
    assert site.proxy.told == []
    assert site.proxy.results == []


def test_another_host_is_refused() -> None:
    site = Site()
    client = site.sim.client(TCP)
    head = f"GET /dashboard/ HTTP/1.1\r\nHost: evil.example:8421\r\n{site.cookie()}\r\n\r\n"
    client.send(head.encode())
    site.sim.elapse(1.0)
    assert status(client) == 403


def test_a_page_at_another_port_cannot_use_the_cookie() -> None:
    site = Site()
    got = site.send("GET /dashboard/events", site.cookie(), "Sec-Fetch-Site: same-site")
    assert status(got) == 403
