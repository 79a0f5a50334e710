"""Tunnels under random faults and interleavings: what must hold, whatever happens.

VCPROXY_SEEDS sets how many seeds are run, VCPROXY_SEED repeats one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

import pytest

import tunnels.two_way
from vcproxy.drivers.sim import NetworkFaults, Peer, Simulation, seeds
from vcproxy.engine.address import Address
from vcproxy.engine.blocks import SLAB
from vcproxy.tunnels.done import Reason

from .world import Proxy, WatchedTunnel

SEEDS = list(seeds(500))
BATCHES = [SEEDS[n::10] for n in range(10) if SEEDS[n::10]]

SIZES = [0, 1, 100, 5_000, 70_000, 500_000]

PAUSE_S = 0.005

KINDNESS = NetworkFaults(
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
"""Faults that delay and cut, but lose nothing."""


@pytest.fixture(autouse=True)
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnels.two_way, "OneWayTunnel", WatchedTunnel)


@dataclass(frozen=True)
class Part:
    """What a peer does: sends, stops reading for a while, and leaves in its way at its time.

    It sends a half at once, and the other half in pieces.
    """

    data: bytes
    pieces: int
    leaves: str  # end, close, reset; content: ends when it has got all, whenever that is
    after_s: float
    stalls_s: float

    @classmethod
    def draw(cls, random: Random, sizes: Sequence[int], ways: Sequence[str]) -> Part:
        return cls(
            data=random.randbytes(random.choice(sizes)),
            pieces=random.choice([1, 40]),
            leaves=random.choice(ways),
            after_s=random.choice([0.0, random.uniform(0.0, 2.0)]),
            stalls_s=random.choice([0.0, 0.0, random.uniform(0.0, 2.0)]),
        )

    def play(self, peer: Peer, sim: Simulation, other: Part) -> None:
        """Give a peer this part, opposite the other."""

        half = len(self.data) // 2
        piece = half // self.pieces + 1
        peer.send(self.data[:half])
        for n, start in enumerate(range(half, len(self.data), piece)):
            sim.clock.after(n * PAUSE_S, partial(peer.send, self.data[start : start + piece]))
        said_all = sim.now + self.pieces * PAUSE_S

        def content(_: bytes = b"") -> None:
            if peer.received == other.data and sim.now >= said_all:
                peer.end()

        if self.leaves == "content":
            peer.on_data = content
            sim.clock.at(said_all, content)
        else:
            sim.clock.at(said_all + self.after_s, getattr(peer, self.leaves))
        if self.stalls_s:
            peer.stall()
            sim.clock.after(self.stalls_s, peer.resume)


class Conversation:
    """A client and a server with a tunnel of their own between them."""

    def __init__(self, sim: Simulation, script: Script, client: Part, server: Part) -> None:
        self.client_part, self.server_part = client, server
        self._answerer = sim.server(
            Address("tcp", "server"), lambda peer: server.play(peer, sim, client)
        )
        self.proxy = Proxy(
            sim.drivers[0],
            sim.drivers[-1],
            self._answerer.address,
            two_way=script.two_way,
            half_close=script.half_close,
            nbytes=script.nbytes,
            water_mark=script.water_mark,
            inactivity_s=script.inactivity_s,
        )
        self.client = sim.client(self.proxy.address)
        client.play(self.client, sim, server)

    @property
    def at_server(self) -> bytes:
        return b"".join(bytes(peer.received) for peer in self._answerer.peers)

    def check(self) -> None:
        """What holds whatever happens."""
        client, server = self.client_part, self.server_part
        assert client.data.startswith(self.at_server), "the server got what was never sent"
        assert server.data.startswith(self.client.received), "the client got what was never sent"
        for session in self.proxy.sessions:
            assert session.wrong == []
            assert len(session.done) == (session.tunnel is not None), "one TunnelDone for a tunnel"
            for done in session.done:
                up, *down = done.flows
                arrived = [(up, self.at_server)] + [(flow, self.client.received) for flow in down]
                for flow, data in arrived:
                    assert len(data) <= flow.sent <= flow.received
                whole = [flow.sent == flow.received for flow in done.flows]
                if done.reason.clean:
                    assert all(whole) if self.proxy.half_close else any(whole)

    def outcome(self) -> Outcome:
        [session], [server] = self.proxy.sessions, self._answerer.peers
        [done] = session.done
        return Outcome(
            at_server=self.at_server,
            at_client=bytes(self.client.received),
            ends=(server.ended, self.client.ended),
            reason=done.reason,
            flows=[(flow.received, flow.sent) for flow in done.flows],
        )


@dataclass(frozen=True)
class Outcome:
    """What can be observed of a conversation."""

    at_server: bytes
    at_client: bytes
    ends: tuple[bool, bool]
    reason: Reason
    flows: list[tuple[int, int]]


class Script:
    """What a seed stands for: who does what, over which proxy, in what a world."""

    def __init__(self, seed: int, *, kind: bool) -> None:
        random = Random(seed)
        self.seed = seed
        self.kind = kind
        self.faults = (KINDNESS if kind else NetworkFaults.all()).some(random)
        self.two_way = random.random() < 0.7
        self.half_close = kind or random.random() < 0.7
        self.engines = random.choice([1, 2])
        self.water_mark = random.choice([None, None, 1, 5_000])
        self.nbytes = random.choice([None, 1, 3_000, 300_000])
        self.memory = 64 << 20 if kind else random.choice([64 << 20, SLAB // 4])
        self.inactivity_s = 0.0 if kind else random.choice([0.0, 0.5])
        sizes = SIZES[:4] if self.water_mark == 1 else SIZES  # each byte is a turn then
        content = ["content"] if self.two_way else []
        ways = ["end", *content] if kind else ["end", "end", "close", "reset"]
        self.parts = [
            (Part.draw(random, sizes, ways), Part.draw(random, sizes, ways))
            for _ in range(random.choice([1, 3]))
        ]

    def play(self, *, bridges: bool = True) -> list[Conversation]:
        """Run it to its end, and hold the engines to what must hold."""
        with Simulation(self.seed, self.faults) as sim:
            for n in range(self.engines):
                sim.driver(f"engine {n}", memory=self.memory, bridges=bridges)
            conversations = [Conversation(sim, self, *parts) for parts in self.parts]

            bound = self.memory + 2 * len(conversations) * SLAB  # a slab for each active read
            while sim.step():
                assert all(driver.engine.memory.used <= bound for driver in sim.drivers)
            for driver in sim.drivers:
                assert not driver.engine.vcs
                assert driver.engine.memory.used == 0
            for conversation in conversations:
                conversation.check()
            return conversations


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}-{batch[-1]}")
def test_whatever_happens_bytes_are_conserved_and_a_tunnel_ends_once(batch: list[int]) -> None:
    for seed in batch:
        Script(seed, kind=False).play()


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}-{batch[-1]}")
def test_without_losses_all_arrives_bridged_or_not(batch: list[int]) -> None:
    for seed in batch[::2]:
        script = Script(seed, kind=True)
        bridged = script.play(bridges=True)
        copied = script.play(bridges=False)
        for conversation, other in zip(bridged, copied, strict=True):
            outcome, copying = conversation.outcome(), other.outcome()
            if Reason.SINK_ENDED not in (outcome.reason, copying.reason):  # else it is a race
                assert outcome == copying, f"seed={seed}"
            if script.two_way:
                assert outcome.at_server == conversation.client_part.data, f"seed={seed}"
                assert outcome.at_client == conversation.server_part.data, f"seed={seed}"
                assert outcome.reason is Reason.EOS, f"seed={seed}"
                assert outcome.ends == (True, True), f"seed={seed}"
