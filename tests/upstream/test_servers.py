"""Servers: whose turn it is."""

from __future__ import annotations

from vcproxy.engine.address import Address
from vcproxy.upstream.servers import RoundRobin, Server


def servers(*names: str) -> list[Server]:
    return [Server(Address("tcp", name, 1)) for name in names]


def names(order: list[Server]) -> str:
    return "".join(server.address.host for server in order)


def test_each_connection_begins_one_further_and_tries_all_once() -> None:
    upstream = RoundRobin(servers("a", "b", "c"))
    assert [names(upstream.order()) for _ in range(4)] == ["abc", "bca", "cab", "abc"]


def test_one_server_is_always_first() -> None:
    upstream = RoundRobin(servers("a"))
    assert [names(upstream.order()) for _ in range(2)] == ["a", "a"]


def test_what_a_connection_does_with_its_order_is_its_own_affair() -> None:
    upstream = RoundRobin(servers("a", "b"))
    upstream.order().clear()
    assert names(upstream.order()) == "ba"
