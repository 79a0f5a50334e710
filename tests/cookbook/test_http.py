"""What each recipe for HTTP does, with a scripted client and scripted servers."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cookbook.recipes import COOKBOOK, http_recipe
from vcproxy.app import cli
from vcproxy.config.loader import load
from vcproxy.drivers.sim import NetworkFaults, Peer
from vcproxy.engine.address import Address
from vcproxy.http.message.messages import Request, Response
from vcproxy.testing.configured import ConfiguredProxy

GET = Request("GET", "/", host="shop.example")


def post(path: str, content: bytes) -> Request:
    return Request("POST", path, host="shop.example", content=content)


def test_headers_are_set_and_removed() -> None:
    def answer(request: Request) -> Response:
        return Response(200, {"Server": "old/1.0", "ETag": "7"})

    table = {"request": {"X-From": "proxy"}, "response": {"Server": "", "X-Powered-By": ""}}
    with http_recipe("http_headers", table, answer=answer) as proxy:
        response = proxy.send(Request("GET", "/", {"X-From": "client"}, host="shop.example"))
        assert proxy.received()[0].fields.get_all("X-From") == ["proxy"]
        assert "Server" not in response.fields
        proxy.send(Request("GET", "/", {"X_From": "client"}, host="shop.example"))
        assert [*proxy.received()[1].fields.get_all("X_From")] == []
        assert response.fields["ETag"] == "7"


@pytest.fixture
def tokens(tmp_path: Path) -> str:
    """Return the path of a database with ann's token."""
    file = tmp_path / "tokens.sqlite"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE tokens (token TEXT, owner TEXT)")
        database.execute("INSERT INTO tokens VALUES ('sesame', 'ann')")
        database.commit()
    return str(file)


@pytest.mark.parametrize(
    ("authorization", "status", "owner"),
    [("Bearer sesame", 200, "ann"), ("bearer open", 401, ""), ("Basic sesame", 401, "")],
)
def test_auth_sends_the_owner_to_the_server(
    tokens: str, authorization: str, status: int, owner: str
) -> None:
    with http_recipe("http_auth", {"database": tokens}) as proxy:
        fields = {"Authorization": authorization, "X-User": "root"}
        assert proxy.send(Request("GET", "/", fields, host="shop.example")).status == status
        assert [each.fields["X-User"] for each in proxy.received()] == [owner][: bool(owner)]


def test_auth_asks_the_database_once_for_a_while(tokens: str) -> None:
    with http_recipe("http_auth", {"database": tokens, "known_for": "1m"}) as proxy:
        request = Request("GET", "/", {"Authorization": "Bearer sesame"}, host="shop.example")
        assert proxy.send(request).status == 200
        with closing(sqlite3.connect(tokens)) as db, db:
            db.execute("DELETE FROM tokens")
        assert proxy.send(request).status == 200
        proxy.elapse(60)
        assert proxy.send(request).status == 401


@pytest.mark.parametrize("trouble", ["late", "broken"])
def test_auth_fails_closed(tokens: str, trouble: str) -> None:
    database, seconds = (tokens, 3.0) if trouble == "late" else ("nowhere.sqlite", 0.0)
    with http_recipe(
        "http_auth", {"database": database}, faults=NetworkFaults(call_s=(seconds,) * 2)
    ) as proxy:
        request = Request("GET", "/", {"Authorization": "Bearer sesame"}, host="shop.example")
        assert proxy.send(request).status == 500
        assert not proxy.connections()


def test_json_is_checked_before_the_server_gets_it() -> None:
    with http_recipe("http_json") as proxy:
        wrong = [post("/", b"hello"), post("/", b'{"id": "a", "amount": 0}')]
        response = proxy.send_all(*wrong)
        assert [(each.status, each.content) for each in response] == [
            (400, b"the body is not JSON\n"),
            (400, b"an order has an id and an amount above 0\n"),
        ]
        assert proxy.send(post("/", b" " * 70_000)).status == 413
        assert not proxy.connections()
        assert proxy.send(Request("PUT", "/", host="shop.example", content=b"hello")).status == 400
        assert not proxy.connections()
        good = post("/", b'{"id": "a", "amount": 3}')
        assert [each.status for each in proxy.send_all(good, GET)] == [200, 200]
        assert [each.content for each in proxy.received()] == [good.content, b""]


@pytest.mark.parametrize(("percent", "upstream"), [(0, "server"), (100, "new")])
def test_canary_takes_the_upstream_that_is_named(percent: float, upstream: str) -> None:
    new = {"new": lambda request: Response(200)}
    with http_recipe(
        "http_canary", {"upstream": "new", "percent": percent}, upstreams=new
    ) as proxy:
        proxy.send_all(GET, GET)
        assert len(proxy.received(upstream)) == 2


def test_canary_gives_a_share_of_the_clients_and_always_the_same() -> None:
    def share() -> list[str]:
        new = {"new": lambda request: Response(200)}
        with http_recipe("http_canary", {"upstream": "new", "percent": 25}, upstreams=new) as proxy:
            for host in range(200):
                proxy.send(GET, client_ip=f"192.0.2.{host}")
            return [each.fields["X-Forwarded-For"] for each in proxy.received("new")]

    assert 20 < len(share()) < 80
    assert share() == share()


def test_batch_requests_each_item_and_merges() -> None:
    def answer(request: Request) -> Response:
        item = request.path.rpartition("/")[2]
        if item == "13":
            return Response(404)
        return Response(200, {}, json.dumps({"id": int(item)}).encode())

    with http_recipe("http_batch", answer=answer) as proxy:
        response = proxy.send(post("/items/batch", b"[7, 13, 8]"))
        assert json.loads(response.content) == [{"id": 7}, None, {"id": 8}]
        assert sorted(each.path for each in proxy.received()) == [
            "/items/13",
            "/items/7",
            "/items/8",
        ]
        assert proxy.send(Request("GET", "/items/9", host="shop.example")).content == b'{"id": 9}'


@pytest.mark.parametrize("body", [b"", b"[true]", b'["../admin"]', b"[1,]", b"%d" % 7])
def test_batch_refuses_all_but_lists_of_numbers(body: bytes) -> None:
    with http_recipe("http_batch") as proxy:
        assert proxy.send(post("/items/batch", body)).status == 400
        assert not proxy.connections()


def test_batch_has_null_for_an_item_that_is_not_json() -> None:
    with http_recipe("http_batch") as proxy:
        assert proxy.send(post("/items/batch", b"[1]")).content == b"[null]"


def test_batch_without_a_server() -> None:
    with http_recipe("http_batch", refusing=["server"]) as proxy:
        assert proxy.send(post("/items/batch", b"[1, 2]")).content == b"[null, null]"


def test_maintenance_serves_the_networks_of_the_bypass() -> None:
    with http_recipe("http_maintenance", {"bypass": ["192.0.2.0/24"]}) as proxy:
        response = proxy.send(GET, client_ip="198.51.100.1")
        assert (response.status, response.fields["Retry-After"]) == (503, "600")
        assert not proxy.connections()
        assert proxy.send(GET, client_ip="192.0.2.7").status == 200
        assert proxy.send(GET, client_ip="[::ffff:192.0.2.7]").status == 200
        assert proxy.send(GET, client_ip="[2001:db8::7]").status == 503


def test_mirror_gets_copies_of_get_and_head() -> None:
    silent = {"next": lambda request: None}
    with http_recipe("http_mirror", {"upstream": "next"}, upstreams=silent) as proxy:
        requests = [GET, post("/", b"order"), Request("HEAD", "/x", host="shop.example")]
        assert [each.status for each in proxy.send_all(*requests)] == [200] * 3
        proxy.run()
        copies = [(each.method, each.path, each.host) for each in proxy.received("next")]
        assert copies == [("GET", "/", "shop.example"), ("HEAD", "/x", "shop.example")]


def test_a_run_with_filters_replays_exactly(tmp_path: Path, tokens: str) -> None:
    filters = ["http_auth", "http_batch"]
    for name in filters:
        shutil.copy(COOKBOOK / f"{name}.py", tmp_path)
    (tmp_path / "proxy.toml").write_text(f"""
        [[listener]]
        name = "shop"
        bind = "tcp://127.0.0.1:0"
        plugin = "http_proxy"
        upstream = "shop"
        options.filters = [
            {{ plugin = "http_auth.py", options.database = "{tokens}" }},
            "http_batch.py",
        ]
        [upstream.shop]
        servers = ["tcp://server:1"]
    """)
    log = tmp_path / "log"

    def answers(peer: Peer) -> None:
        peer.on_data = lambda data: peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7")

    with ConfiguredProxy(load(tmp_path / "proxy.toml"), record=log) as proxy:
        proxy.sim.server(Address.parse("tcp://server:1"), answers)
        client = proxy.client("shop")
        head = (
            b"POST /items/batch HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nAuthorization: Bearer "
        )
        client.send(head + b"sesame\r\n\r\n[1,2]" + head + b"open\r\n\r\n[1,2]")
        proxy.sim.run()
        assert b"[7, 7]" in client.received
        assert b"unknown token" in client.received
    assert cli.main(["replay", str(log)]) == 0
