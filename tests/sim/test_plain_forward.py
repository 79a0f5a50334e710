"""`forward` with plain directions is the same as with a machine for each direction.

Random conversations, on a network without faults, so that a run depends on nothing but its script:
everything that the peers, the operator and the plugin's service can observe is compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from tests.protocols.client_hellos import message, records, server_names
from tests.sessions.world import BACK, World
from vcproxy.drivers.sim import Peer, Simulation, seeds
from vcproxy.plugins.forward import Forward
from vcproxy.sessions.tls_router import TlsRouter
from vcproxy.sessions.tls_routes import TlsRoute, TlsRoutingOptions
from vcproxy.tunnels.done import Flow, Reason, TunnelDone
from vcproxy.tunnels.two_way import TwoWayTunnel

from .test_tunnels import SIZES, Behaviour

SEEDS = list(seeds(300))
BATCHES = [SEEDS[n::10] for n in range(10) if SEEDS[n::10]]

INACTIVITY_S = 0.5
ENDINGS = ["end", "end", "end", "complete", "close", "reset", "stay"]


class WithMachines(TwoWayTunnel):
    """A subclass: each direction has a machine from the beginning."""


@dataclass
class Outcome:
    """What can be observed of a conversation."""

    at_client: bytes
    at_server: bytes
    ends: tuple[bool, bool]
    resets: tuple[bool, bool]
    done: list[tuple[Reason, str, str, tuple[Flow, ...]]]
    logged: list[str]
    counts: dict[str, int]


def drawn(random: Random) -> Behaviour:
    """Return a behaviour that ends at its own moment, as the order of ends at one moment is
    random."""
    behaviour = Behaviour.draw(random, SIZES, ENDINGS)
    return replace(behaviour, after_s=random.uniform(0.001, 2.0))


HELLO = records(message(server_names(b"a.example")), [100])


def converse(seed: int, kind: type[TwoWayTunnel], *, routed: bool = False) -> Outcome:
    """Run the conversation of a seed. `routed`: the client begins with HELLO, which is read first,
    so that the tunnel begins with bytes that were read before."""
    random = Random(seed)
    done: list[tuple[Reason, str, str, tuple[Flow, ...]]] = []

    class Observed(TlsRouter if routed else Forward):  # type: ignore[misc]
        def lend(self, tunnel: type[TwoWayTunnel] = kind, **options: Any) -> None:
            super().lend(tunnel, **options)

        def relayed(self, ended: TunnelDone) -> None:
            done.append((ended.reason, ended.ended_by, str(ended.error), ended.flows))
            super().relayed(ended)

    with Simulation(seed) as sim:
        options = TlsRoutingOptions((TlsRoute(),)) if routed else None
        inactivity_s = random.choice([INACTIVITY_S, 60.0])
        world = World(sim, Observed, options=options, inactivity_s=inactivity_s)
        at_client, at_server = drawn(random), drawn(random)
        servers = sim.server(BACK, lambda peer: at_server.script(peer, sim, at_client))
        client = world.client(*[HELLO] if routed else [])
        at_client.script(client, sim, at_server)
        sim.elapse(70.0)
        server = servers.peers[0] if servers.peers else Peer()  # the hello may be cut by a reset
        return Outcome(
            at_client=bytes(client.received),
            at_server=bytes(server.received),
            ends=(client.ended, server.ended),
            resets=(client.reset_seen, server.reset_seen),
            done=done,
            logged=world.logged,
            counts=dict(world.service.counts),
        )


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}-{batch[-1]}")
def test_all_that_can_be_observed_is_the_same(batch: list[int]) -> None:
    for seed in batch:
        assert converse(seed, TwoWayTunnel) == converse(seed, WithMachines), f"seed={seed}"


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}-{batch[-1]}")
def test_also_of_a_tunnel_that_begins_with_bytes_read_before(batch: list[int]) -> None:
    for seed in batch:
        plain = converse(seed, TwoWayTunnel, routed=True)
        assert plain == converse(seed, WithMachines, routed=True), f"seed={seed}"
        assert plain.at_server[: len(HELLO)] == HELLO[: len(plain.at_server)], f"seed={seed}"
