"""KeepAlive: how long idle connections are kept, as announced and observed."""

from __future__ import annotations

import pytest

from vcproxy.drivers.sim import Simulation
from vcproxy.upstream.keep_alive import KeepAlive
from vcproxy.upstream.settings import PoolSettings, UpstreamSettings

from .test_upstream import Requester, World, sim

__all__ = ["sim"]

POOLED = UpstreamSettings(pool=PoolSettings(idle=9))


@pytest.mark.parametrize(
    ("announced", "kept"),
    [(5, 4), (60, 59), (2, 1), (1, 0.5), (0, 0), (10_000, 600), (999_999_999, 600)],
)
def test_an_announced_time_is_used_with_a_margin(announced: float, kept: float) -> None:
    keep_alive = KeepAlive()
    assert keep_alive.limit_s is None
    keep_alive.announced(announced)
    assert keep_alive.limit_s == kept


def test_an_observation_counts_for_a_time_and_only_shortens() -> None:
    keep_alive = KeepAlive()
    keep_alive.closed_after(2.0, now=100.0)
    assert keep_alive.limit_s == pytest.approx(1.6)
    keep_alive.announced(60.0)
    keep_alive.forget(699.0)
    assert keep_alive.limit_s == pytest.approx(1.6)
    keep_alive.announced(2.0)
    assert keep_alive.limit_s == 1.0
    keep_alive.announced(60.0)
    keep_alive.forget(700.0)
    assert keep_alive.limit_s == 59.0
    keep_alive.closed_after(590.0, now=800.0)
    assert keep_alive.limit_s == 59.0
    fresh = KeepAlive()
    fresh.closed_after(2.0, now=100.0)
    fresh.forget(700.0)
    assert fresh.limit_s is None


def test_a_connection_closed_at_once_is_no_observation() -> None:
    keep_alive = KeepAlive()
    keep_alive.closed_after(0.9, now=0.0)
    assert keep_alive.limit_s is None


def test_the_default_is_less_than_that_of_common_servers(sim: Simulation) -> None:
    world = World(sim, "a", settings=POOLED)
    world.connected().give()
    world.settle(3.9)
    assert world.counts() == [1]
    world.settle(0.2)
    assert world.counts() == [0]
    sim.run()


def test_each_server_has_its_own_time(sim: Simulation) -> None:
    world = World(sim, "abc", settings=POOLED)
    requesters = [world.connected() for _ in range(6)]
    for requester, announced in zip(requesters, (60.0, 3.0), strict=False):
        assert requester.vc is not None
        world.upstream.keep_alive_announced(requester.vc, announced)
    for requester in requesters:
        requester.give()
    world.settle(2.1)
    assert world.counts() == [2, 0, 2]
    world.settle(2.0)
    assert world.counts() == [2, 0, 0]
    world.settle(54.0)
    assert world.counts() == [2, 0, 0]
    sim.run()
    assert world.counts() == [0, 0, 0]


def test_a_server_that_announces_0_has_no_idle_connections(sim: Simulation) -> None:
    world = World(sim, "a", settings=POOLED)
    requester = world.connected()
    assert requester.vc is not None
    world.upstream.keep_alive_announced(requester.vc, 0.0)
    requester.give()
    assert Requester(world).take() is None
    world.settle()
    assert world.counts() == [0]


@pytest.mark.parametrize("way", ["end", "reset"])
def test_after_an_early_close_other_connections_are_kept_for_less(
    sim: Simulation, way: str
) -> None:
    world = World(sim, "a", settings=POOLED)
    first, second, third = [world.connected() for _ in range(3)]
    first.give()
    world.settle(1.5)
    second.give()
    world.settle(0.5)
    # after 2 s: from now on connections are kept for 1.6 s
    getattr(world.servers["a"].peers[0], way)()
    world.settle()
    third.give()
    world.settle(1.0)
    assert world.counts() == [2]
    world.settle(0.15)
    assert world.counts() == [1]
    world.settle(0.4)
    assert world.counts() == [1]
    world.settle(0.15)
    assert world.counts() == [0]


def test_a_late_byte_is_no_observation(sim: Simulation) -> None:
    world = World(sim, "a", settings=POOLED)
    first, second = world.connected(), world.connected()
    first.give()
    world.settle(2.0)
    world.servers["a"].peers[0].send(b"!")
    world.settle()
    second.give()
    world.settle(3.9)
    assert world.counts() == [1]


def test_a_connection_whose_timer_is_late_is_not_taken(sim: Simulation) -> None:
    """A process that was stopped for a while handles timers before closed connections."""
    world = World(sim, "a", settings=POOLED)
    world.connected().give()
    world.settle()
    taker = Requester(world)
    with taker.acting():
        world.engine.tick(sim.now + 4.0)
        assert world.upstream.take(taker) is None
    world.settle(0.1)
    assert world.counts() == [0]
