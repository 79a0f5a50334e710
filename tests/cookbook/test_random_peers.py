"""Recipes with random peers and networks: no recipe fails, and all connections are closed.

VCPROXY_SEEDS sets how many seeds are run, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.cookbook.recipes import HTTP, OTHERS, http_recipe, recipe
from vcproxy.drivers.sim import NetworkFaults, Peer, seeds
from vcproxy.http.message.messages import Response
from vcproxy.testing.proxy import SimulatedProxy

TABLES: dict[str, dict[str, Any]] = {
    "allow_list": {"networks": ["10.0.0.0/8"]},
    "canary": {"server": "tcp://server:1", "share": 0.5},
    "dns_names": {"hidden": ["ads.example"]},
    "fix_gate": {"sender": "a", "types": ["0"]},
    "login": {"token": "a"},
    "lookup": {"database": "nowhere.sqlite"},
    "protocol_switch": {"servers": {"SSH-": "tcp://server:1", "": "tcp://server:1"}},
    "rate_limit": {"per_second": 3},
    "redis_commands": {"allowed": ["GET"]},
    "ticker": {"framing": "json-lines", "subscribers": "tcp://127.0.0.1:1", "symbols": ["ABC"]},
}

HTTP_TABLES: dict[str, dict[str, Any]] = {
    "http_auth": {"database": "nowhere.sqlite"},
    "http_canary": {"upstream": "other", "percent": 100},
    "http_maintenance": {"bypass": ["10.0.0.0/8"]},
    "http_mirror": {"upstream": "other"},
}

PIECES = [b"a\n", b"S", b"SH-", b'{"id": "a", "amount": 3}\n', b"[1]\n", b"\xff" * 1000]

WHOLE = [
    b"*1\r\n$3\r\nGET\r\n",
    b"\0\x13ID\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1",
    b"\0\0\0\x09\0\3\0\0\0",
    b"Q\0\0\0\5\0",
]
"""Messages of protocols: of Redis, DNS, PostgreSQL."""


REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n[]",
    b"POST /items/batch HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1]",
    b"\r\n0\r\n\r\n",
]


def act(peer: Peer, random: Random, pieces: Sequence[bytes]) -> None:
    """Send, end, reset or close, at random."""
    match random.choice(["send"] * 6 + ["end", "reset", "close"]):
        case "send":
            peer.send(random.choice(pieces))
        case verb:
            getattr(peer, verb)()


def run_random_peers(proxy: SimulatedProxy, random: Random, pieces: Sequence[bytes]) -> None:
    """Have clients and servers act at random, then close all clients."""
    clients = [proxy.client() for _ in range(5)]
    for _ in range(10):
        for peer in (random.choice(clients), *proxy.peers()):
            act(peer, random, pieces)
        proxy.elapse(random.random())
    for client in clients:
        client.close()
    proxy.run()
    assert not proxy.engine.vcs
    assert proxy.engine.memory.used == 0


@pytest.mark.parametrize("seed", list(seeds(10)))
@pytest.mark.parametrize("file", OTHERS, ids=lambda file: file.stem)
def test_a_recipe_with_random_peers(file: Path, seed: int) -> None:
    random = Random(seed)
    table, faults = TABLES.get(file.stem), NetworkFaults.all().some(random)
    with recipe(file.stem, table, seed=seed, faults=faults, inactivity_s=30.0) as proxy:
        run_random_peers(proxy, random, PIECES + WHOLE)


@pytest.mark.parametrize("seed", list(seeds(10)))
@pytest.mark.parametrize("file", HTTP, ids=lambda file: file.stem)
def test_a_filter_with_random_peers(file: Path, seed: int) -> None:
    random = Random(seed)
    table, faults = HTTP_TABLES.get(file.stem), NetworkFaults.all().some(random)
    other = {"other": lambda request: Response(200, {}, b"[]")}
    with http_recipe(file.stem, table, upstreams=other, seed=seed, faults=faults) as proxy:
        run_random_peers(proxy, random, REQUESTS * 3 + PIECES)
