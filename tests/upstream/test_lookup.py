"""NameLookup: each address of a name is a server, as long as the name resolves to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.upstream.test_upstream import Requester, World
from vcproxy.drivers.sim import Simulation
from vcproxy.testing.machines import check_machine
from vcproxy.upstream.lookup import NameLookup
from vcproxy.upstream.settings import CheckSettings, PoolSettings, UpstreamSettings

OFTEN = UpstreamSettings(resolve=30.0, pool=PoolSettings(idle=2, idle_time=1000.0), slow_start=0.0)


@pytest.fixture
def sim() -> Iterator[Simulation]:
    with Simulation(0) as sim:
        for host in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
            sim.server(World.at(host))
        yield sim


def hosts(world: World) -> list[str]:
    return [server.address.host for server in world.upstream.servers]


def test_each_address_is_a_server(sim: Simulation) -> None:
    sim.network.names["app"] = ["10.0.0.2", "10.0.0.1"]
    world = World(sim, ["app"], refusing=["app"], settings=OFTEN)
    assert hosts(world) == ["app"], "the name itself is used until it is resolved"
    world.settle()
    assert hosts(world) == ["10.0.0.1", "10.0.0.2"]
    assert world.log == ["info: upstream app: tcp://app:1 resolves to 10.0.0.1, 10.0.0.2"]
    assert [world.connected().place for _ in range(3)] == ["10.0.0.1", "10.0.0.2", "10.0.0.1"]
    assert {server.host for server in world.upstream.servers} == {"app"}, "for TLS"


def test_added_and_removed_addresses(sim: Simulation) -> None:
    sim.network.names["app"] = ["10.0.0.1", "10.0.0.2"]
    world = World(sim, ["app"], refusing=["app"], settings=OFTEN)
    world.settle()
    [gone, stays] = world.upstream.servers
    idle, busy = world.connected(), world.connected()
    idle.give()
    sim.network.names["app"] = ["10.0.0.3", "10.0.0.2"]
    world.settle(30.0)
    assert hosts(world) == ["10.0.0.2", "10.0.0.3"]
    assert world.upstream.servers[0] is stays
    assert idle.vc is not None
    assert idle.vc.closed
    assert gone.connections == 0
    assert busy.place == "10.0.0.2"
    assert {world.connected().place for _ in range(4)} == {"10.0.0.2", "10.0.0.3"}
    assert Requester(world).take() is None


def test_a_connection_to_a_removed_server_continues_and_is_not_kept(sim: Simulation) -> None:
    sim.network.names["app"] = ["10.0.0.1"]
    world = World(sim, ["app"], refusing=["app"], settings=OFTEN)
    world.settle()
    busy = world.connected()
    sim.network.names["app"] = ["10.0.0.2"]
    world.settle(30.0)
    assert busy.vc is not None
    assert not busy.vc.closed
    busy.give()
    assert busy.vc.closed


def test_a_failed_lookup_changes_nothing(sim: Simulation) -> None:
    sim.network.names["app"] = ["10.0.0.1"]
    world = World(sim, ["app"], refusing=["app"], settings=OFTEN)
    world.settle()
    sim.network.names["app"] = []
    world.settle(90.0)
    assert hosts(world) == ["10.0.0.1"]
    assert world.log[1:] == [
        "warning: lookup tcp://app:1 failed: app: name or service not known; its servers stay"
    ]
    sim.network.names["app"] = ["10.0.0.2"]
    world.settle(30.0)
    assert hosts(world) == ["10.0.0.2"]


def test_added_servers_are_checked_and_removed_ones_are_not(sim: Simulation) -> None:
    sim.network.names["app"] = ["10.0.0.1", "10.0.0.9"]
    settings = UpstreamSettings(resolve=30.0, check=CheckSettings(fall=1))
    world = World(sim, ["app"], refusing=["app"], settings=settings)
    world.settle()
    assert [server.up for server in world.upstream.servers] == [True, False]
    sim.network.names["app"] = ["10.0.0.1"]
    world.settle(31.0)
    lines = len(world.log)
    world.settle(30.0)
    assert len(world.log) == lines
    world.engine.inbox.post(world.upstream.close)
    sim.run()
    assert not world.engine.vcs


def test_the_machine_handles_every_event() -> None:
    assert check_machine(NameLookup) == {
        "LOOKING_UP NEXT", "LOOKING_UP Resolved", "LOOKING_UP ERROR", "RESOLVING NEXT",
    }  # fmt: skip
