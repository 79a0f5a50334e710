"""A request with a preferred server: it gets that one while it keeps its clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.upstream.test_server_states import at, set_server, world_of
from tests.upstream.test_upstream import ONE_EACH, POOLED, Requester, World
from vcproxy.drivers.sim import Simulation
from vcproxy.engine.event import Event
from vcproxy.upstream.balance import BALANCES
from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import EjectSettings, QueueSettings, UpstreamSettings


@pytest.fixture
def sim() -> Iterator[Simulation]:
    with Simulation(0) as sim:
        yield sim


def server(world: World, name: str) -> Server:
    return next(each for each in world.upstream.servers if each.address.host == name)


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("weight", [1, 0])
def test_it_gets_its_server_whatever_the_policy(sim: Simulation, balance: str, weight: int) -> None:
    servers = [at("a"), at("b"), at("c", weight)]
    world = world_of(sim, servers, UpstreamSettings(balance=balance))
    for _ in range(5):
        assert world.request(preferred=servers[2]).place == "c"


@pytest.mark.parametrize("balance", ["round_robin", "weighted"])
def test_it_takes_no_other_clients_turn(sim: Simulation, balance: str) -> None:
    world = World(sim, "abc", settings=UpstreamSettings(balance=balance))
    places = ""
    for _ in range(6):
        places += world.request().place
        assert world.request(preferred=server(world, "a")).place == "a"
    assert places == "abcabc"


def test_a_drained_server_keeps_its_clients(sim: Simulation) -> None:
    world = World(sim, "ab")
    a = server(world, "a")
    set_server(world, "tcp://a:1", state="drain")
    assert world.request(preferred=a).place == "a"
    assert world.request().place == "b"
    set_server(world, "tcp://a:1", state="maint")
    assert world.request(preferred=a).place == "b"
    set_server(world, "tcp://a:1", state="ready")
    assert world.request(preferred=a).place == "a"


def test_another_server_after_it_was_tried_or_is_ejected(sim: Simulation) -> None:
    settings = UpstreamSettings(eject=EjectSettings(failures=1, time=10.0))
    world = World(sim, "ab", refusing="a", settings=settings)
    a = server(world, "a")
    assert world.request(preferred=a, tried=[a]).place == "b"
    assert world.request(preferred=a).place == "a"
    world.settle()
    assert a.ejected
    assert world.request(preferred=a).place == "b"


def test_a_backup_server_keeps_its_clients(sim: Simulation) -> None:
    servers = [at("a"), at("b", backup=True)]
    world = world_of(sim, servers)
    assert world.request(preferred=servers[1]).place == "b"
    assert world.request().place == "a"


def test_it_waits_for_its_server(sim: Simulation) -> None:
    world = World(sim, "ab", settings=ONE_EACH)
    a, b = world.connected(), world.connected()
    waiter, other = world.request(preferred=server(world, "b")), world.request()
    a.close()
    world.settle()
    assert (waiter.events, other.place) == ([], "a"), "others pass it"
    b.close()
    world.settle()
    assert (waiter.events, waiter.place) == ([Event.CONNECTED], "b")


@pytest.mark.parametrize("state", ["ready", "drain"])
def test_the_room_of_a_drained_server_is_for_its_clients(sim: Simulation, state: str) -> None:
    world = World(sim, "ab", settings=ONE_EACH)
    _a, b = world.connected(), world.connected()
    set_server(world, "tcp://b:1", state=state)
    own, other = world.request(preferred=server(world, "b")), world.request()
    b.close()
    world.settle()
    assert (own.place, other.place) == ("b", "")


def test_a_server_that_goes_into_maintenance_is_not_waited_for(sim: Simulation) -> None:
    world = World(sim, "ab", settings=ONE_EACH)
    a, _b = world.connected(), world.connected()
    waiter = world.request(preferred=server(world, "b"))
    set_server(world, "tcp://b:1", state="maint")
    a.close()
    world.settle()
    assert waiter.place == "a"


def test_an_idle_connection_to_it_is_taken(sim: Simulation) -> None:
    world = World(sim, "ab", settings=POOLED)
    at_a, at_b = world.connected(), world.connected()
    at_a.give()
    at_b.give()
    world.settle()
    b = server(world, "b")
    assert Requester(world).take(preferred=b) is at_b.vc
    assert Requester(world).take(preferred=b) is None, "not one of another server"
    assert Requester(world).take() is at_a.vc


def test_a_returned_connection_goes_to_a_waiting_request_only_if_it_is_to_its_server(
    sim: Simulation,
) -> None:
    settings = UpstreamSettings(
        max_connections=1, pool=POOLED.pool, queue=QueueSettings(size=9, timeout=5.0)
    )
    world = World(sim, "ab", settings=settings)
    at_a, at_b = world.connected(), world.connected()
    waiter = world.request(preferred=server(world, "b"), reuse=True)
    at_a.give()
    world.settle()
    assert waiter.events == []
    at_b.give()
    world.settle()
    assert (waiter.events, waiter.vc) == ([Event.CONNECTED], at_b.vc)


def test_a_server_of_another_upstream_is_not_used(sim: Simulation) -> None:
    world = World(sim, "ab")
    assert world.request(preferred=at("b")).place == "a"
