"""ConnectAttempts: tries each server once, then the next backend."""

from __future__ import annotations

from vcproxy.drivers.sim import Simulation
from vcproxy.engine.event import Event
from vcproxy.upstream.connect_attempts import Backend, ConnectAttempts
from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import UpstreamSettings

from .test_upstream import Requester, World


def backends_tried(world: World, *backends: Backend) -> list[str]:
    """Return the names of the tried connections, until one succeeds or none is left."""
    requester, attempts = (
        Requester(world),
        ConnectAttempts(backends, client="192.0.2.1", timeout=5.0),
    )
    names = []
    while True:
        with requester.acting():
            requester.vc = attempts.connect(requester)
        world.settle()
        names.append(requester.vc.name)
        if requester.events[-1] is Event.CONNECTED:
            return names
        with requester.acting():
            again = attempts.failed(requester.vc)
            requester.vc.do_io_close()
        if not again:
            return names


def test_no_server_is_tried_twice() -> None:
    with Simulation(0) as sim:
        world = World(sim, refusing="abc", settings=UpstreamSettings(balance="hash"))
        names = backends_tried(world, world.upstream)
        assert sorted(names) == ["tcp://a:1", "tcp://b:1", "tcp://c:1"]


def test_a_working_server_is_found_after_failing_ones() -> None:
    with Simulation(0) as sim:
        world = World(sim, refusing="ab", settings=UpstreamSettings(balance="hash"))
        assert backends_tried(world, world.upstream)[-1] == "tcp://c:1"


def test_the_next_backend_follows_when_all_servers_were_tried() -> None:
    with Simulation(0) as sim:
        world = World(sim, "ab", refusing="a")
        one, other = Server(World.at("a")), Server(World.at("b"))
        assert backends_tried(world, one, other) == ["tcp://a:1", "tcp://b:1"]


def test_a_backend_without_servers_is_skipped() -> None:
    with Simulation(0) as sim:
        world = World(sim, "a")
        [server] = world.upstream.servers
        server.healthy = False
        world.upstream._servers._refresh()
        other = Server(World.at("a"))
        assert backends_tried(world, world.upstream, other) == ["app", "tcp://a:1"]
