"""Mirrors under random faults: they never change what client and primary receive.

VCPROXY_SEEDS sets the number of seeds, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from vcproxy.config.options import read_options
from vcproxy.drivers.sim import NetworkFaults, Peer, seeds
from vcproxy.engine.address import Address
from vcproxy.plugins.mirror import Mirror
from vcproxy.testing.proxy import SimulatedProxy

SEEDS = list(seeds(500))
BATCHES = [SEEDS[n::10] for n in range(10) if SEEDS[n::10]]

LOSSLESS = NetworkFaults(
    latency=(0.0, 0.02),
    short=0.1,
    one_byte=0.01,
    stall=0.02,
    partition=0.005,
    resolve_s=(0.0, 0.5),
    close_s=(0.0, 0.1),
    lock_miss=0.1,
    no_pipe=0.2,
    pipe=(1000, 256 * 1024),
    socket=(1000, 256 * 1024),
)
"""Faults that delay and divide data, but lose nothing."""

PRIMARY = Address("tcp", "primary", 1)
MIRRORS = ["tcp://m1:1", "tcp://m2:1", "tcp://m3:1"]


def text(random: Random) -> bytes:
    """Return lines, sometimes more than all buffers hold; the last may be cut or too long."""
    count, size = random.choice([(0, 0), (1, 1), (50, 20), (400, 500), (20, 9000), (500, 5000)])
    line = random.randbytes(size // 2).hex().encode()
    lines = b"".join(b"%d %s\n" % (n, line) for n in range(count))
    return lines + random.choice([b"", b"", b"half", b"long" * 20_000])


def misbehave(peer: Peer, proxy: SimulatedProxy, random: Random, replies: bytes) -> None:
    """Schedule random actions of a mirror's server."""
    data = random.choice([replies, replies[:5000], replies.swapcase(), random.randbytes(3000), b""])
    peer.send(data)
    at = random.uniform(0.0, 3.0)
    action = random.choice(["stall", "reset", "close", "end", "truncate", "nothing"])
    if action == "stall":
        peer.stall()
        if random.random() < 0.5:
            proxy.sim.clock.after(at, peer.resume)
    elif action != "nothing":
        proxy.sim.clock.after(at, getattr(peer, action))


class Scenario:
    """A client and a primary that send their data in pieces, and mirrors."""

    def __init__(
        self, seed: int, faults: NetworkFaults, replies: Sequence[str] = ("primary",)
    ) -> None:
        random = self.random = Random(seed)
        table: dict[str, Any] = {
            "mirrors": random.sample(MIRRORS, random.randint(1, 3)),
            "max_lag": random.choice(["1B", "5KiB", "1MiB"]),
            "compare": random.random() < 0.8,
            "sample": random.choice([1.0, 0.5]),
            "reply": random.choice(replies),
        }
        self.alone = table["reply"] == "primary"
        if table["reply"] in ("all", "quorum") or random.random() < 0.6:
            table["framing"] = "lines"
            table["on_lag"] = random.choice(["disconnect", "drop_oldest", "drop_newest"])
        self.drops = table.get("on_lag", "").startswith("drop")
        options, _ = read_options(Mirror, table, Path())
        self.proxy = SimulatedProxy(
            Mirror,
            ("primary",),
            options=options,
            refusing=["primary", *MIRRORS],
            seed=seed,
            faults=faults,
            connect_s=5.0,
            inactivity_s=60.0,
        )
        sim = self.proxy.sim
        self.request, self.reply = text(random), text(random)
        self.primary = sim.server(PRIMARY, partial(self.exchange, data=self.reply))
        self.mirrors = [
            sim.server(Address.parse(uri), self.mirror)
            for uri in table["mirrors"]
            if random.random() < 0.8
        ]
        self.client = self.proxy.client()
        self.exchange(self.client, self.request)

    def exchange(self, peer: Peer, data: bytes) -> None:
        """Send data in two halves, and end."""
        half, at = len(data) // 2, self.random.uniform(0.0, 2.0)
        peer.send(data[:half])
        self.proxy.sim.clock.after(at, partial(peer.send, data[half:]))
        self.proxy.sim.clock.after(at + self.random.choice([0.0, 1.0]), peer.end)

    def mirror(self, peer: Peer) -> None:
        misbehave(peer, self.proxy, self.random, self.reply)

    def check(self) -> None:
        """Run to the end, and check the invariants."""
        self.proxy.run()
        at_primary = b"".join(bytes(peer.received) for peer in self.primary.peers)
        assert self.request.startswith(at_primary)
        if self.alone:
            assert self.reply.startswith(self.client.received)
        for mirror in self.mirrors:
            for peer in mirror.peers:
                self.check_mirror(bytes(peer.received))
        assert not [line for line in self.proxy.log if line.startswith("error")]
        assert not self.proxy.engine.vcs
        self.proxy.sessions.clear()
        assert self.proxy.engine.memory.used == 0

    def check_mirror(self, received: bytes) -> None:
        if not self.drops:
            assert self.request.startswith(received)
            return
        *complete, rest = received.split(b"\n")
        sent = iter(self.request.split(b"\n"))
        assert all(line in sent for line in complete), "complete messages in order"
        assert any(line.startswith(rest) for line in sent)


@pytest.mark.parametrize("batch", BATCHES)
def test_client_and_primary_receive_everything(batch: list[int]) -> None:
    for seed in batch:
        scenario = Scenario(seed, LOSSLESS.some(Random(seed)))
        with scenario.proxy:
            scenario.check()
            [primary] = scenario.primary.peers
            assert primary.received == scenario.request, f"seed {seed}"
            assert scenario.client.received == scenario.reply, f"seed {seed}"
            assert primary.ended
            assert scenario.client.ended


@pytest.mark.parametrize("batch", BATCHES)
def test_nothing_is_received_that_was_not_sent(batch: list[int]) -> None:
    for seed in batch:
        replies = "primary", "first", "all", "quorum"
        scenario = Scenario(seed, NetworkFaults.all().some(Random(seed)), replies)
        with scenario.proxy:
            scenario.check()
