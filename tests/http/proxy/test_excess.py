"""HttpProxy: the excess of one client costs no other client."""

from __future__ import annotations

import pytest

from vcproxy.drivers.sim import Peer
from vcproxy.engine.iobuffer import WATER_MARK
from vcproxy.http.filters import Filter, Wait
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.http.proxy.wire import PIPELINED, UNREAD
from vcproxy.tunnels.one_way import CHUNK

from .harness import GET, OK, Http, answer, chunks, received, request

MIB = 1 << 20
ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n%b\r\n" % bytes(4096)


def unread(proxy: Http, count: int) -> list[Peer]:
    """Clients that request an endless response and do not read it."""
    crowd = [proxy.send(GET) for _ in range(count)]
    for client in crowd:
        client.stall()
    proxy.go()
    for server in proxy.peers():
        server.send(ENDLESS + b"1000\r\n%b\r\n" % bytes(4096) * 255)
    proxy.go()
    return crowd


def used(proxy: Http) -> int:
    """Bytes that count in the budget."""
    return proxy.engine.memory.used


def test_a_client_that_does_not_read_holds_at_most_two_buffers() -> None:
    with Http() as proxy:
        unread(proxy, 1)
        assert WATER_MARK < used(proxy) <= 2 * WATER_MARK + CHUNK


def test_pipelined_requests_wait_while_the_client_does_not_read() -> None:
    with Http() as proxy:
        client = proxy.send(GET * (MIB // len(GET)))
        client.stall()
        server = proxy.server()
        server.on_data = lambda data: server.send(answer(bytes(1000)) * data.count(b"GET "))
        proxy.elapse(1)
        assert UNREAD < used(proxy) <= UNREAD + 2 * PIPELINED + 2048
        assert client.sent < MIB // 2, "it is read no more"
        client.resume()
        proxy.elapse(5)
        assert received(client).count("HTTP/1.1 200 OK") == 1000, "as many as a connection may ask"


def test_small_requests_of_others_are_answered_while_memory_is_spent() -> None:
    with Http() as proxy:
        proxy.engine.memory.set_budget(4 * MIB)
        crowd = unread(proxy, 30)
        assert proxy.engine.memory.spent
        for _ in range(10):
            other = proxy.send(GET)
            proxy.go()
            proxy.peers()[-1].send(OK)
            proxy.go()
            assert received(other).startswith("HTTP/1.1 200 OK\n")
            assert proxy.engine.memory.spent, "no connection had to be closed"
        assert not any(client.reset_seen for client in crowd)


def test_clients_that_do_not_read_are_closed_quickly_as_many_as_needed() -> None:
    with Http() as proxy:
        memory = proxy.engine.memory
        memory.set_budget(4 * MIB)
        crowd = unread(proxy, 60)
        assert memory.spent
        proxy.elapse(3)
        assert not memory.spent, "not one a second"
        for client in crowd:
            client.resume()
        proxy.go()
        closed = [client.reset_seen for client in crowd]
        assert 20 < sum(closed) < 40, "as many as it took"
        assert "closed: the memory budget is used up, and it holds" in "\n".join(proxy.log)


class Whole(Filter):
    """Buffers whole bodies, and is slow."""

    def request_body(self, tx: Transaction, body: bytes) -> Wait:
        return Wait("5s")

    def response_body(self, tx: Transaction, body: bytes) -> Wait:
        return Wait("5s")


HALF = bytes(MIB // 2)


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_buffered_for_a_filter_counts(framing: str) -> None:
    with Http(filters=[Whole]) as proxy:
        if framing == "length":
            text = request("POST", "/", body=HALF)
        else:
            text = request("POST", "/", "Transfer-Encoding: chunked") + chunks(HALF)
        client = proxy.send(text[:-10])
        proxy.go()
        assert used(proxy) >= len(HALF) - 10, "as it comes"
        client.send(text[-10:])
        proxy.go()
        assert used(proxy) >= len(HALF), "while the filter takes its time"
        proxy.elapse(5)
        server = proxy.server()
        assert server.received.endswith(HALF)
        server.send(answer(HALF))
        proxy.go()
        assert used(proxy) >= len(HALF), "the answer's too"
        proxy.elapse(5)
        assert received(client).endswith("\0\0")
        assert used(proxy) == 0


def test_pipelined_requests_that_wait_count() -> None:
    with Http() as proxy:
        proxy.send(GET + GET * 100)
        server = proxy.server()
        proxy.go()
        assert used(proxy) >= len(GET) * 100
        server.on_data = lambda data: server.send(OK)
        server.send(OK)
        proxy.elapse(1)
        assert used(proxy) == 0
