"""Recipes in bad weather: whatever peers and networks do, none makes a mistake, and all is closed.

VCPROXY_SEEDS sets how many seeds are run, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.cookbook.kitchen import RECIPES, recipe
from vcproxy.drivers.sim import Faults, Peer, seeds

TABLES: dict[str, dict[str, Any]] = {
    "allow_list": {"networks": ["10.0.0.0/8"]},
    "canary": {"server": "tcp://server:1", "share": 0.5},
    "login": {"token": "a"},
    "lookup": {"database": "nowhere.sqlite"},
    "protocol_switch": {"servers": {"SSH-": "tcp://server:1", "": "tcp://server:1"}},
    "rate_limit": {"per_second": 3},
    "ticker": {"framing": "json-lines", "subscribers": "tcp://127.0.0.1:1", "symbols": ["ABC"]},
}

WORDS = [b"a\n", b"S", b"SH-", b'{"id": "a", "amount": 3}\n', b"[1]\n", b"\xff" * 1000]


def act(peer: Peer, random: Random) -> None:
    """Say or do something."""
    match random.choice(["send"] * 6 + ["end", "reset", "close"]):
        case "send":
            peer.send(random.choice(WORDS))
        case verb:
            getattr(peer, verb)()


@pytest.mark.parametrize("seed", list(seeds(10)))
@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_storm(file: Path, seed: int) -> None:
    random = Random(seed)
    table, faults = TABLES.get(file.stem), Faults.all().some(random)
    with recipe(file.stem, table, seed=seed, faults=faults, inactivity_s=30.0) as proxy:
        clients = [proxy.client() for _ in range(5)]
        for _ in range(10):
            for peer in (random.choice(clients), *proxy.peers()):
                act(peer, random)
            proxy.elapse(random.random())
        for client in clients:
            client.close()
        proxy.run()
        assert not proxy.engine.vcs
        assert proxy.engine.memory.used == 0
