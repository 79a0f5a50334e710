"""Tunnels under random faults and interleavings: what must hold, whatever happens.

VCPROXY_SEEDS sets how many seeds are run, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import pytest

import tunnels.two_way
from tests.sim.world import PROXY, SERVER, Proxy, Session, WatchedTunnel
from tunnels.done import Flow, Reason
from vcproxy.drivers.sim import Faults, Peer, Simulation, seeds
from vcproxy.engine.iobuffer import SLAB

SEEDS = list(seeds(500))
BATCHES = [SEEDS[n::10] for n in range(10) if SEEDS[n::10]]

KINDNESS = Faults(
    latency=(0.0, 0.02),
    short=0.1,
    one_byte=0.01,
    stall=0.02,
    partition=0.005,
    resolve_s=(0.0, 0.5),
    gone_s=(0.0, 0.1),
    lock_miss=0.1,
    no_pipe=0.2,
    pipe=(1000, 256 * 1024),
    socket=(1000, 256 * 1024),
)
"""Faults that delay and cut, but lose nothing."""


@pytest.fixture(autouse=True)
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnels.two_way, "OneWayTunnel", WatchedTunnel)


@dataclass(frozen=True)
class Part:
    """What a peer does: sends, stops reading for a while, and leaves in its way at its time."""

    data: bytes
    leaves: str  # end, close, reset
    after_s: float
    stalls_s: float

    @classmethod
    def draw(cls, random: Random, ways: Sequence[str]) -> Part:
        size = random.choice([0, 1, 100, 5_000, 70_000, 500_000])
        return cls(
            data=random.randbytes(size),
            leaves=random.choice(ways),
            after_s=random.choice([0.0, random.uniform(0.0, 2.0)]),
            stalls_s=random.choice([0.0, 0.0, random.uniform(0.0, 2.0)]),
        )

    def play(self, peer: Peer, sim: Simulation) -> None:
        peer.send(self.data)
        sim.timeline.after(self.after_s, getattr(peer, self.leaves))
        if self.stalls_s:
            peer.stall()
            sim.timeline.after(self.stalls_s, peer.resume)


@dataclass(frozen=True)
class Outcome:
    """What can be observed of a connection from outside, and by the tunnel's owner."""

    at_client: bytes
    at_server: bytes
    client_ended: bool
    server_ended: bool
    reason: Reason | None
    counts: tuple[tuple[int, int], ...]


class Script:
    """One seed: who does what, over which proxy."""

    def __init__(self, seed: int, *, kind: bool) -> None:
        random = Random(seed)
        self.seed = seed
        if kind:
            self.faults = replace(KINDNESS, one_byte=random.choice([0.0, KINDNESS.one_byte]))
            ways = ["end"]
        else:
            self.faults = Faults.some(random)
            ways = ["end", "end", "close", "reset"]
        self.two_way = random.random() < 0.7
        self.engines = random.choice([1, 2])
        self.water_mark = random.choice([None, None, 1, 5_000])
        self.nbytes = random.choice([None, 1, 3_000, 300_000])
        self.memory = 64 << 20 if kind else random.choice([64 << 20, 2 * SLAB])
        self.inactivity_s = 0.0 if kind else random.choice([0.0, 0.5])
        self.parts = [
            (Part.draw(random, ways), Part.draw(random, ways)) for _ in range(random.choice([1, 3]))
        ]

    def play(self, *, bridges: bool) -> list[tuple[Part, Part, Peer, Peer | None, Session | None]]:
        """Run it to its end, and hold it to what must hold for engines."""
        with Simulation(self.seed, self.faults) as sim:
            drivers = [
                sim.driver(f"engine {n}", memory=self.memory, bridges=bridges)
                for n in range(self.engines)
            ]
            proxy = Proxy(
                drivers[0],
                drivers[-1],
                two_way=self.two_way,
                nbytes=self.nbytes,
                water_mark=self.water_mark,
                inactivity_s=self.inactivity_s,
            )
            cast = []
            for client_part, server_part in self.parts:
                # One at a time: else the seed would deal clients to servers in any order.
                sessions, servers = len(proxy.sessions), []
                server = sim.server(SERVER.with_port(80 + len(cast)), servers.append)
            return cast
