"""Attempts: each server once, and then the next place."""

from __future__ import annotations

from vcproxy.drivers.sim import Simulation
from vcproxy.engine.event import Event
from vcproxy.upstream.attempts import Attempts, Place
from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import UpstreamSettings

from .test_upstream import Asker, World


def places_tried(world: World, *places: Place) -> list[str]:
    """Where attempts go, one after the other, until one is made or none is left."""
    asker, attempts = Asker(world), Attempts(places, client="192.0.2.1", timeout=5.0)
    went = []
    while True:
        with asker.acting():
            asker.vc = attempts.connect(asker)
        world.settle()
        went.append(asker.vc.name)
        if asker.heard[-1] is Event.CONNECTED:
            return went
        with asker.acting():
            again = attempts.failed(asker.vc)
            asker.vc.do_io_close()
        if not again:
            return went


def test_no_server_is_tried_twice_whatever_the_balance() -> None:
    with Simulation(0) as sim:
        world = World(sim, refusing="abc", terms=UpstreamSettings(balance="hash"))
        went = places_tried(world, world.upstream)
        assert sorted(went) == ["tcp://a:1", "tcp://b:1", "tcp://c:1"]


def test_the_one_that_works_is_found_behind_those_that_fail() -> None:
    with Simulation(0) as sim:
        world = World(sim, refusing="ab", terms=UpstreamSettings(balance="hash"))
        assert places_tried(world, world.upstream)[-1] == "tcp://c:1"


def test_a_place_is_left_when_all_its_servers_were_tried() -> None:
    with Simulation(0) as sim:
        world = World(sim, "ab", refusing="a")
        one, other = Server(World.at("a")), Server(World.at("b"))
        assert places_tried(world, one, other) == ["tcp://a:1", "tcp://b:1"]


def test_a_place_that_cannot_even_choose_is_left() -> None:
    with Simulation(0) as sim:
        world = World(sim, "a")
        [server] = world.upstream.servers
        server.healthy = False
        world.upstream._roster._refresh()
        other = Server(World.at("a"))
        assert places_tried(world, world.upstream, other) == ["app", "tcp://a:1"]
