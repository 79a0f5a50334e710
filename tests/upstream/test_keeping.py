"""Keeping: how long idle connections are kept, as servers say and show."""

from __future__ import annotations

import pytest

from vcproxy.drivers.sim import Simulation
from vcproxy.upstream.keeping import Keeping
from vcproxy.upstream.settings import Pooling, UpstreamSettings

from .test_upstream import Asker, World, sim

__all__ = ["sim"]

POOLED = UpstreamSettings(pool=Pooling(idle=9))


@pytest.mark.parametrize(
    ("said", "kept"),
    [(5, 4), (60, 59), (2, 1), (1, 0.5), (0, 0), (10_000, 600), (999_999_999, 600)],
)
def test_what_a_server_says_is_kept_with_a_margin(said: float, kept: float) -> None:
    keeping = Keeping()
    assert keeping.limit_s is None
    keeping.says(said)
    assert keeping.limit_s == kept


def test_an_early_end_counts_for_a_time_and_never_for_more_than_was_known() -> None:
    keeping = Keeping()
    keeping.ended(2.0, now=100.0)
    assert keeping.limit_s == pytest.approx(1.6)
    keeping.says(60.0)
    keeping.forget(699.0)
    assert keeping.limit_s == pytest.approx(1.6)
    keeping.says(2.0)
    assert keeping.limit_s == 1.0
    keeping.says(60.0)
    keeping.forget(700.0)
    assert keeping.limit_s == 59.0
    keeping.ended(590.0, now=800.0)
    assert keeping.limit_s == 59.0
    fresh = Keeping()
    fresh.ended(2.0, now=100.0)
    fresh.forget(700.0)
    assert fresh.limit_s is None


def test_who_ends_at_once_has_another_reason() -> None:
    keeping = Keeping()
    keeping.ended(0.9, now=0.0)
    assert keeping.limit_s is None


def test_by_default_it_is_less_than_the_servers_that_close_soonest(sim: Simulation) -> None:
    world = World(sim, "a", terms=POOLED)
    world.connected().give()
    world.settle(3.9)
    assert world.counts() == [1]
    world.settle(0.2)
    assert world.counts() == [0]
    sim.run()


def test_those_of_each_server_are_kept_as_long_as_it_says(sim: Simulation) -> None:
    world = World(sim, "abc", terms=POOLED)
    askers = [world.connected() for _ in range(6)]
    for asker, said in zip(askers, (60.0, 3.0), strict=False):
        assert asker.vc is not None
        world.upstream.keeps(asker.vc, said)
    for asker in askers:
        asker.give()
    world.settle(2.1)
    assert world.counts() == [2, 0, 2]
    world.settle(2.0)
    assert world.counts() == [2, 0, 0]
    world.settle(54.0)
    assert world.counts() == [2, 0, 0]
    sim.run()
    assert world.counts() == [0, 0, 0]


def test_who_keeps_none_has_none_kept(sim: Simulation) -> None:
    world = World(sim, "a", terms=POOLED)
    asker = world.connected()
    assert asker.vc is not None
    world.upstream.keeps(asker.vc, 0.0)
    asker.give()
    assert Asker(world).take() is None
    world.settle()
    assert world.counts() == [0]


@pytest.mark.parametrize("way", ["end", "reset"])
def test_a_server_that_ends_one_early_has_the_others_closed_before_it_does(
    sim: Simulation, way: str
) -> None:
    world = World(sim, "a", terms=POOLED)
    first, second, third = [world.connected() for _ in range(3)]
    first.give()
    world.settle(1.5)
    second.give()
    world.settle(0.5)
    getattr(world.servers["a"].peers[0], way)()  # after 2 s: others are kept for 1.6
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


def test_a_late_byte_says_nothing_of_how_long_connections_are_kept(sim: Simulation) -> None:
    world = World(sim, "a", terms=POOLED)
    first, second = world.connected(), world.connected()
    first.give()
    world.settle(2.0)
    world.servers["a"].peers[0].send(b"!")
    world.settle()
    second.give()
    world.settle(3.9)
    assert world.counts() == [1]


def test_one_whose_timer_is_late_is_not_given_out(sim: Simulation) -> None:
    """A process that was stopped for a while looks at its timers before it hears of ends."""
    world = World(sim, "a", terms=POOLED)
    world.connected().give()
    world.settle()
    taker = Asker(world)
    with taker.acting():
        world.engine.tick(sim.now + 4.0)
        assert world.upstream.take(taker) is None
    world.settle(0.1)
    assert world.counts() == [0]
