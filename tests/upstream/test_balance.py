"""Balance: the shares of each policy, and that its choices repeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

from vcproxy.engine.address import Address
from vcproxy.upstream.balance import (
    BALANCES,
    Balance,
    ConsistentHash,
    LeastConnections,
    RandomOfTwo,
    RoundRobin,
    Weighted,
)
from vcproxy.upstream.server import Server


def servers(names: str, weights: Sequence[int] | None = None) -> list[Server]:
    all_of_them = [
        Server(Address("tcp", name, 1), weight=weight)
        for name, weight in zip(names, weights or [1] * len(names), strict=True)
    ]
    for position, server in enumerate(all_of_them):
        server.position = position
    return all_of_them


def turns(balance: Balance, among: Sequence[Server], count: int) -> str:
    """Return the servers of `count` connections, which all stay open."""
    picked = []
    for number in range(count):
        server = balance.pick(among, f"client {number}")
        balance.picked(server, among)
        server.connections += 1
        picked.append(server.address.host)
    return "".join(picked)


def test_round_robin_takes_turns() -> None:
    assert turns(RoundRobin(), servers("abc"), 7) == "abcabca"


def test_round_robin_continues_after_the_last_server_if_some_are_down() -> None:
    balance, [a, b, c, d] = RoundRobin(), servers("abcd")
    assert turns(balance, [a, b, c, d], 2) == "ab"
    assert turns(balance, [a, b, d], 2) == "da"
    assert turns(balance, [c, d], 3) == "cdc"
    assert turns(balance, [a, b, c, d], 2) == "da"


def test_weights_are_shares_evenly_spread() -> None:
    balance, among = Weighted(), servers("abc", [5, 1, 1])
    assert turns(balance, among, 14) == "aabacaa" * 2


def test_least_connections_evens_out_existing_connections() -> None:
    a, b, c = among = servers("abc")
    a.connections, b.connections = 3, 1
    assert turns(LeastConnections(), among, 8) == "cbcbcabc"
    assert a.connections == b.connections == c.connections == 4


def test_least_connections_regards_weights() -> None:
    among = servers("ab", [3, 1])
    assert Counter(turns(LeastConnections(), among, 40)) == {"a": 30, "b": 10}


def test_equally_loaded_servers_take_turns() -> None:
    balance, among = LeastConnections(), servers("abc")
    for expected in "abcab":
        server = balance.pick(among, "")
        balance.picked(server, among)
        assert server.address.host == expected, "no connection lasts here"


def test_the_less_loaded_of_two_random_servers_is_picked() -> None:
    among = servers("abcdefgh")
    counts = Counter(turns(RandomOfTwo(Random(3)), among, 800))
    assert max(counts.values()) - min(counts.values()) <= 4, "one random server would be 60 apart"
    assert turns(RandomOfTwo(Random(3)), servers("a"), 2) == "aa"


def test_a_key_has_its_server() -> None:
    balance, among = ConsistentHash(), servers("abcde")
    balance.arrange(among)
    owners = {f"client {n}": balance.pick(among, f"client {n}") for n in range(2000)}
    counts = Counter(server.address.host for server in owners.values())
    assert max(counts.values()) < 1.35 * min(counts.values())
    gone, left = among[2], [*among[:2], *among[3:]]
    moved = {key for key, owner in owners.items() if balance.pick(left, key) is not owner}
    assert moved == {key for key, owner in owners.items() if owner is gone}
    fewer = ConsistentHash()
    fewer.arrange(left)
    for key in owners:
        assert fewer.pick(left, key) is balance.pick(left, key), (
            "a removed server and one that is down have the same effect"
        )


def test_a_heavy_server_has_more_of_the_circle() -> None:
    balance, among = ConsistentHash(), servers("ab", [3, 1])
    balance.arrange(among)
    counts = Counter(turns(balance, among, 2000))
    assert 2.5 < counts["a"] / counts["b"] < 3.6


def test_the_circle_is_the_same_in_every_process() -> None:
    balance, among = ConsistentHash(), servers("abcde")
    balance.arrange(among)
    assert turns(balance, among, 20) == "eceeabdedcdeeadacaaa"


@pytest.mark.parametrize("name", BALANCES)
def test_choices_repeat(name: str) -> None:
    runs = []
    for _ in range(2):
        balance, among = BALANCES[name](Random(7)), servers("abcd", [1, 2, 3, 4])
        balance.arrange(among)
        runs.append(turns(balance, among, 50))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("name", [name for name in BALANCES if name != "random_of_two"])
def test_pick_alone_is_no_turn(name: str) -> None:  # a random choice has no turns
    balance, among = BALANCES[name](Random(7)), servers("abcd")
    balance.arrange(among)
    first = balance.pick(among, "x")
    assert all(balance.pick(among, "x") is first for _ in range(10))
