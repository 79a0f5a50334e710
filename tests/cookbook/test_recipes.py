"""What each recipe does, with scripted clients and servers."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cookbook.recipes import recipe
from vcproxy.config.errors import OptionsError
from vcproxy.drivers.sim import NetworkFaults
from vcproxy.engine.address import Address


def test_orders_are_checked_before_the_server_gets_them() -> None:
    with recipe("orders") as proxy:
        client = proxy.client()
        client.send(b'hello\n{"id": "a"}\n{"id": "a", "amount": 0}\n')
        proxy.run()
        assert client.received.splitlines() == [
            b"the message is not JSON",
            b"an order has an id and an amount above 0",
            b"an order has an id and an amount above 0",
        ]
        assert not proxy.connections()
        client.send(b'{"id": "a", "amount": 3}\n')
        server = proxy.server()
        proxy.run()
        assert server.received == b'{"id": "a", "amount": 3}\n'


def test_batch_sends_each_client_its_parts() -> None:
    with recipe("batch") as proxy:
        alice, bob = proxy.client(), proxy.client()
        alice.send(b'{"id": "a"}\n')
        bob.send(b'{}\n{"id": "b"}\n')
        server = proxy.server()
        proxy.elapse(0.1)
        assert sorted(server.received.splitlines()) == [b'{"id": "a"}', b'{"id": "b"}']
        assert bob.received == b'{"error": "a request is JSON and has an id"}\n'
        parts = [
            {"id": "b", "done": False},
            {"id": "a", "done": True},
            {"id": "b", "done": True},
        ]
        server.send(json.dumps(parts).encode() + b"\n")
        proxy.elapse(0.1)
        assert [json.loads(line) for line in alice.received.splitlines()] == [parts[1]]
        assert [json.loads(line) for line in bob.received.splitlines()[1:]] == [parts[0], parts[2]]
        assert proxy.connections() == 1


def test_batch_drops_invalid_replies() -> None:
    with recipe("batch") as proxy:
        client = proxy.client()
        client.send(b'{"id": "a"}\n')
        server = proxy.server()
        server.send(b'hm\n7\n[7, {"id": "a"}]\n[{"id": "a", "done": true}]\n')
        proxy.elapse(0.1)
        assert client.received == b'{"id": "a", "done": true}\n'
        assert proxy.service.counts["orphan"] == 3


def test_batch_answers_when_the_server_closes() -> None:
    with recipe("batch") as proxy:
        client = proxy.client()
        client.send(b'{"id": "a"}\n')
        proxy.server().close()
        proxy.run()
        assert client.received == b'{"error": "the connection to the server was lost"}\n'


def test_please_wait_comes_before_the_reply() -> None:
    with recipe("please_wait") as proxy:
        client = proxy.client()
        client.send(b"compute\n")
        server = proxy.server()
        proxy.run()
        assert client.received == b"please wait\n"
        server.send(b"42\n")
        proxy.run()
        assert client.received == b"please wait\n42\n"


@pytest.fixture
def customers(tmp_path: Path) -> str:
    """Return the path of a database with the customer ann."""
    file = tmp_path / "customers.sqlite"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE customers (name TEXT)")
        database.execute("INSERT INTO customers VALUES ('ann')")
        database.commit()
    return str(file)


def test_lookup_uses_the_database(customers: str) -> None:
    with recipe("lookup", {"database": customers}) as proxy:
        client = proxy.client()
        client.send(b"bob buys\nann buys\n")
        server = proxy.server()
        proxy.run()
        assert client.received == b"unknown customer\n"
        assert server.received == b"ann buys\n"


@pytest.mark.parametrize("trouble", ["late", "broken"])
def test_lookup_fails_closed(customers: str, trouble: str) -> None:
    database, seconds = (customers, 3.0) if trouble == "late" else ("nowhere.sqlite", 0.0)
    faults = NetworkFaults(call_s=(seconds, seconds))
    with recipe("lookup", {"database": database}, faults=faults) as proxy:
        client = proxy.client()
        client.send(b"ann buys\n")
        proxy.run()
        assert client.reset_seen
        assert not proxy.connections()
        assert "the deferred check of a message failed" in proxy.log[0]


def test_rewriter_adds_the_address_of_the_client() -> None:
    with recipe("rewriter") as proxy:
        client, other = proxy.client(), proxy.client()
        client.send(b'{"op": "get", "from": "another"}\n[]\n')
        other.send(b"get\n")
        server = proxy.server()
        proxy.run()
        assert json.loads(server.received) == {"op": "get", "from": "10.0.0.1"}
        assert client.received == b'{"error": "not an object"}\n'
        assert other.received == b'{"error": "not JSON"}\n'


def test_audit_logs_no_secrets() -> None:
    with recipe("audit") as proxy:
        request = b'{"user": {"name": "ann", "pass\\u0077ord": "123"}}\n'
        client = proxy.client()
        client.send(request + b'{"token": "456"\n')
        server = proxy.server()
        proxy.run()
        assert server.received == request
        assert client.received == b'{"error": "not JSON"}\n'
        assert proxy.log[0].endswith('{"user": {"name": "ann", "password": "***"}}')
        assert not any("123" in line or "456" in line for line in proxy.log)


def test_rate_limit_counts_an_address_in_each_second() -> None:
    with recipe("rate_limit", {"per_second": 3}) as proxy:
        one, other = proxy.client(), proxy.client()
        one.send(b"1\n2\n")
        server = proxy.server()
        proxy.elapse(0.1)
        other.send(b"3\n4\n")
        another = proxy.server()
        proxy.elapse(0.1)
        assert server.received == b"1\n2\n"
        assert another.received == b"3\n"
        another.send(b"yes\n")
        proxy.elapse(0.1)
        assert other.received == b"yes\ntoo fast\n"
        proxy.elapse(1.0)
        other.send(b"5\n")
        proxy.elapse(0.1)
        assert another.received == b"3\n5\n"


def test_shout_changes_what_the_server_sends() -> None:
    with recipe("shout") as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"quiet")
        server.send(b"loud")
        proxy.run()
        assert server.received == b"quiet"
        assert client.received == b"LOUD"


def test_message_sizes_are_logged_and_nothing_is_changed() -> None:
    with recipe("message_sizes", {"framing": "length-prefix", "width": 2}) as proxy:
        client, server = proxy.client(), proxy.server()
        client.send(b"\0\3abc\0\1")
        client.end()
        proxy.run()
        server.send(b"\0\0")
        server.end()
        proxy.run()
        assert server.received == b"\0\3abc\0\1"
        assert client.received == b"\0\0"
        assert [line.split(": ", 2)[2] for line in proxy.log] == [
            "request: 3 bytes",
            "request: stream ended inside a message",
            "reply: 0 bytes",
        ]


def test_ticker_forwards_changed_quotes() -> None:
    here = ["tcp://127.0.0.1:1"]
    table = {"framing": "json-lines", "subscribers": here, "symbols": ["ABC", "XYZ"]}
    with recipe("ticker", table) as proxy:
        subscribers = [proxy.client("subscribers") for _ in range(3)]
        proxy.run()
        news = [b'{"symbol": "ABC", "price": 7}\n', b'{"symbol": "XYZ", "price": 7}\n']
        other = [
            b'{"symbol": "abc", "price": 7}\n',
            b"[]\n",
            b"hm\n",
            b'{"symbol": [], "price": 7}\n',
        ]
        producer = proxy.client()
        producer.send(b"".join([*news, *other, *news]))
        proxy.run()
        assert [each.received for each in subscribers] == [b"".join(news)] * 3
        assert proxy.service.counts["invalid"] == 2


@pytest.mark.parametrize(("networks", "served"), [(["10.0.0.0/8"], True), (["::1/128"], False)])
def test_allow_list_serves_only_its_networks(networks: list[str], served: bool) -> None:
    with recipe("allow_list", {"networks": networks}) as proxy:
        client = proxy.client()
        proxy.run()
        assert proxy.connections() == served
        assert client.ended is not served


def test_allow_list_matches_an_ipv4_client_of_an_ipv6_socket() -> None:
    with recipe("allow_list", {"networks": ["192.0.2.0/24"]}) as proxy:
        proxy.client(client_ip="[::ffff:192.0.2.7]")
        proxy.run()
        assert proxy.connections() == 1


def test_allow_list_needs_networks() -> None:
    with pytest.raises(OptionsError):
        recipe("allow_list", {"networks": ["10.0.0.1/8"]})


@pytest.mark.parametrize("up", [True, False])
def test_canary_gets_its_share_and_is_replaced_when_it_fails(up: bool) -> None:
    with recipe("canary", {"server": "tcp://new:1", "share": 0.25}, seed=1) as proxy:
        new = proxy.sim.server(Address("tcp", "new", 1)).peers if up else []
        for _ in range(100):
            proxy.client()
        proxy.run()
        chosen = proxy.service.counts["canary"]
        assert 10 < chosen < 40
        assert len(new) == (chosen if up else 0)
        assert proxy.connections() == (100 - chosen if up else 100)


def test_circuit_breaker_does_not_try_a_server_that_is_down() -> None:
    with recipe("circuit_breaker", {"failures": 2}, refusing=["server"]) as proxy:

        def tries() -> int:
            client = proxy.client()
            proxy.elapse(1.0)
            assert client.received == b"try again later\n"
            return len(proxy.log)

        assert [tries(), tries(), tries(), tries()] == [1, 2, 2, 2]
        proxy.elapse(10.0)
        assert [tries(), tries()] == [3, 3], "one client is connected as a trial"
        proxy.elapse(10.0)
        server = proxy.sim.server(Address("tcp", "server", 1))
        for _ in range(3):
            proxy.client()
            proxy.elapse(1.0)
        assert len(server.peers) == 3


def test_login_requires_the_token_before_the_server() -> None:
    with recipe("login", {"token": "sesame"}) as proxy:
        client = proxy.client()
        client.send(b"ses")
        proxy.elapse(1.0)
        assert client.received == b"token: "
        assert not proxy.connections()
        client.send(b"ame\nhello")
        client.end()
        server = proxy.server()
        server.send(b"welcome")
        server.end()
        proxy.run()
        assert server.received == b"hello"
        assert server.ended
        assert client.received == b"token: welcome"
        assert client.ended
        assert not proxy.engine.vcs


@pytest.mark.parametrize(
    ("sent", "answer"), [(b"wrong\n", b"no\n"), (bytes(1000), b""), (b"", b"")]
)
def test_login_without_the_token_connects_to_no_server(sent: bytes, answer: bytes) -> None:
    with recipe("login", {"token": "sesame"}) as proxy:
        client = proxy.client()
        client.send(sent)
        proxy.run()
        assert client.received == b"token: " + answer
        assert client.ended
        assert not proxy.connections()
        assert not proxy.engine.vcs


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ([b"SSH-2.0-x\r\n"], "ssh"),
        ([b"S", b"SH-2.0-x\r\n"], "ssh"),
        ([b"\x16\x03\x01\x02"], "tls"),
        ([b"GET / HTTP/1.1\r\n"], "other"),
        ([b"SSL?"], "other"),
        ([b"SS"], "other"),
        ([], "other"),
    ],
)
@pytest.mark.parametrize("ends", [True, False])
def test_protocol_switch(sent: list[bytes], name: str, ends: bool) -> None:
    starts = {"SSH-": "ssh", "\x16\x03": "tls", "": "other"}
    table = {"servers": {start: f"tcp://{host}:1" for start, host in starts.items()}}
    with recipe("protocol_switch", table, servers=()) as proxy:
        servers = {host: proxy.sim.server(Address("tcp", host, 1)) for host in starts.values()}
        client = proxy.client()
        for piece in sent:
            client.send(piece)
            proxy.elapse(0.1)
        if ends:
            client.end()
        proxy.run()
        [server] = servers.pop(name).peers
        assert server.received == b"".join(sent)
        assert server.ended is ends
        assert not any(other.peers for other in servers.values())


def test_protocol_switch_needs_a_server_for_the_others() -> None:
    with pytest.raises(OptionsError):
        recipe("protocol_switch", {"servers": {"SSH-": "tcp://ssh:1"}})
