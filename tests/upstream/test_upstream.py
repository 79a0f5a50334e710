"""Upstream: who gets a connection, what is kept, who waits; and how servers fare."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcproxy.drivers.sim import NetworkFaults, Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.failures import Exhausted
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.net import NetVConnection
from vcproxy.upstream.queue import QueueFull, QueueTimeout
from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import Ejecting, Pooling, Queueing, UpstreamSettings
from vcproxy.upstream.upstream import NoServer, Upstream


class Asker(Continuation):
    """Wants one connection."""

    def __init__(self, world: World) -> None:
        super().__init__(world.engine, Mutex())
        self.world = world
        self.vc: NetVConnection | None = None
        self.heard: list[Event] = []

    def ask(self, **wishes: object) -> Asker:
        """Ask for a connection."""
        with self.acting():
            self.vc = self.world.upstream.connect(self, **wishes)  # type: ignore[arg-type]
        return self

    def handle_event(self, key: Hashable, data: object) -> None:
        assert isinstance(key, Event)
        assert data is self.vc
        assert self.vc is not None
        self.heard.append(key)
        if key is Event.CONNECTED and not self.vc.open and not self.vc.closed:
            asked, self.vc = self.vc, self.world.upstream.claim(self, self.vc)
            asked.do_io_close()
            if self.vc is None:
                self.heard.clear()
                self.vc = self.world.upstream.connect(self, kept=True)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Do something at the time that it is, from outside of all turns."""
        with self.mutex.hold(self.engine):
            self.engine.tick(self.world.sim.now)
            yield

    @property
    def place(self) -> str:
        """The server's name; empty: none."""
        assert self.vc is not None
        server = self.world.upstream.server_of(self.vc)
        return "" if server is None else server.address.host

    @property
    def error(self) -> Exception | None:
        assert self.vc is not None
        return self.vc.error

    def close(self) -> None:
        """Want it no more."""
        assert self.vc is not None
        with self.acting():
            self.vc.do_io_close()

    def give(self) -> None:
        """Give it back."""
        assert self.vc is not None
        with self.acting():
            self.world.upstream.give(self.vc)

    def take(self, **wishes: object) -> NetVConnection | None:
        """Take an idle one."""
        with self.acting():
            self.vc = self.world.upstream.take(self, **wishes)  # type: ignore[arg-type]
        return self.vc


class World:
    """An upstream of servers, of which some refuse."""

    def __init__(
        self,
        sim: Simulation,
        names: Sequence[str] = "abc",
        refusing: Sequence[str] = "",
        terms: UpstreamSettings | None = None,
    ) -> None:
        self.sim = sim
        self.driver = sim.driver()
        self.engine = self.driver.engine
        addresses = list(map(self.at, names))
        self.servers = {
            address.host: sim.server(address)
            for address in addresses
            if address.host not in refusing
        }
        self.upstream = Upstream(self.engine, "app", map(Server, addresses), terms)

    @staticmethod
    def at(name: str) -> Address:
        """Where a server is."""
        return Address("tcp", name, 1)

    def ask(self, **wishes: object) -> Asker:
        return Asker(self).ask(**wishes)

    def connected(self, **wishes: object) -> Asker:
        """Ask, and wait for it."""
        asker = self.ask(**wishes)
        self.settle()
        assert asker.heard == [Event.CONNECTED]
        return asker

    def serve(self, name: str) -> None:
        """A server that refused does not any more."""
        self.servers[name] = self.sim.server(self.at(name))

    def settle(self, seconds: float = 0.01) -> None:
        self.sim.elapse(seconds)

    def counts(self) -> list[int]:
        return [server.connections for server in self.upstream.servers]

    @property
    def log(self) -> list[str]:
        return [f"{level}: {text}" for _, level, text in self.sim.log]


@pytest.fixture
def sim() -> Iterator[Simulation]:
    with Simulation(0) as sim:
        yield sim


# -- connections and counts ------------------------------------------------------------------


def test_each_server_in_its_turn_and_counted_until_it_is_gone(sim: Simulation) -> None:
    world = World(sim)
    askers = [world.connected() for _ in range(4)]
    assert [asker.place for asker in askers] == ["a", "b", "c", "a"]
    assert world.counts() == [2, 1, 1]
    askers[0].close()
    assert world.counts() == [2, 1, 1], "its descriptor is still open"
    world.settle()
    assert world.counts() == [1, 1, 1]


def test_one_that_was_tried_is_passed_over(sim: Simulation) -> None:
    world = World(sim)
    a, b, c = world.upstream.servers
    assert world.ask(tried=[a]).place == "b"
    assert world.ask(tried=[a, b]).place == "c"
    asker = world.ask(tried=[a, b, c])
    world.settle()
    assert asker.heard == [Event.ERROR]
    assert isinstance(asker.error, NoServer)


def test_how_often_another_is_tried(sim: Simulation) -> None:
    upstream = World(sim, terms=UpstreamSettings(retries=1)).upstream
    a, b, c = upstream.servers
    assert upstream.another([a])
    assert not upstream.another([a, b])
    upstream = World(Simulation(0)).upstream
    a, b, c = upstream.servers
    assert upstream.another([a, b])
    assert not upstream.another([a, b, c])


def test_a_key_has_its_server_and_a_client_is_one(sim: Simulation) -> None:
    world = World(sim, terms=UpstreamSettings(balance="hash"))
    assert len({world.ask(client="192.0.2.1").place for _ in range(5)}) == 1
    assert len({world.ask(client=f"192.0.2.{n}", key="cookie").place for n in range(5)}) == 1
    assert len({world.ask(client=f"192.0.2.{n}").place for n in range(20)}) == 3


# -- the queue -------------------------------------------------------------------------------

ONE_EACH = UpstreamSettings(max_connections=1, queue=Queueing(size=2, timeout=5.0))


def test_who_finds_no_room_waits_for_it(sim: Simulation) -> None:
    world = World(sim, "ab", terms=ONE_EACH)
    first, second = world.connected(), world.connected()
    third, fourth = world.ask(), world.ask()
    world.settle()
    assert world.counts() == [1, 1]
    assert third.heard == fourth.heard == []
    second.close()
    world.settle()
    assert (third.heard, third.place) == ([Event.CONNECTED], "b")
    assert fourth.heard == []
    first.close()
    world.settle()
    assert (fourth.heard, fourth.place) == ([Event.CONNECTED], "a")


def test_one_too_many_is_told_at_once(sim: Simulation) -> None:
    world = World(sim, "a", terms=ONE_EACH)
    world.connected()
    world.ask()
    world.ask()
    late = world.ask()
    world.settle()
    assert late.heard == [Event.ERROR]
    assert isinstance(late.error, QueueFull)
    assert str(late.error) == "no server has room, and 2 wait already"


def test_who_has_waited_too_long_is_told(sim: Simulation) -> None:
    world = World(sim, "a", terms=ONE_EACH)
    busy = world.connected()
    early = world.ask()
    world.settle(2.0)
    late = world.ask()
    world.settle(3.01)
    assert isinstance(early.error, QueueTimeout)
    assert str(early.error) == "timed out: no server has had room for 5s"
    assert late.error is None
    busy.close()
    world.settle()
    assert late.heard == [Event.CONNECTED]
    assert early.heard == [Event.ERROR]


def test_who_leaves_the_queue_keeps_nobody_waiting(sim: Simulation) -> None:
    world = World(sim, "a", terms=ONE_EACH)
    busy, leaver, waiter = world.connected(), world.ask(), world.ask()
    leaver.close()
    busy.close()
    world.settle()
    assert leaver.heard == []
    assert waiter.heard == [Event.CONNECTED]
    assert world.counts() == [1]


def test_one_who_may_not_have_that_server_does_not_block_the_others(sim: Simulation) -> None:
    world = World(sim, "ab", terms=ONE_EACH)
    a, _b = world.upstream.servers
    at_a, _ = world.connected(), world.connected()
    picky, easy = world.ask(tried=[a]), world.ask()
    at_a.close()
    world.settle()
    assert picky.heard == []
    assert (easy.heard, easy.place) == ([Event.CONNECTED], "a")


def test_room_comes_back_when_a_conversation_crashes(sim: Simulation) -> None:
    world = World(sim, "a", terms=ONE_EACH)
    crashing, waiter = world.connected(), world.ask()
    with crashing.acting():
        world.engine.end_conversation(crashing.mutex, RuntimeError("a mistake"))
    world.settle()
    assert waiter.heard == [Event.CONNECTED]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 16),
    most=st.integers(0, 2),
    size=st.integers(0, 4),
    steps=st.lists(st.tuples(st.sampled_from(
        ["ask", "ask", "wish", "wish", "close", "give", "give", "take", "crash", "wait", "end"]
    ), st.integers(0, 9)), max_size=40),
)  # fmt: skip
def test_nobody_is_lost_and_no_server_has_too_many(
    seed: int, most: int, size: int, steps: list[tuple[str, int]]
) -> None:
    with Simulation(seed, NetworkFaults(latency=(0.0, 0.02), lock_miss=0.2)) as sim:
        terms = UpstreamSettings(
            max_connections=most,
            queue=Queueing(size=size, timeout=1.0),
            pool=Pooling(idle=2, idle_time=3.0),
        )
        world = World(sim, "abc", refusing="c", terms=terms)
        askers: list[Asker] = []
        for step, number in steps:
            asker = askers[number % len(askers)] if askers else None
            if step == "ask":
                askers.append(world.ask())
            elif step == "wish":
                askers.append(world.ask(kept=True))
            elif step == "end":
                for server in world.servers.values():
                    for peer in server.peers[number:]:
                        peer.reset()
            elif step == "take":
                taker = Asker(world)
                if taker.take() is not None:
                    taker.heard.append(Event.CONNECTED)
                    askers.append(taker)
            elif step == "wait" or asker is None:
                world.settle(number / 10)
            elif asker.vc is not None:
                if step == "close":
                    asker.close()
                elif step == "give" and asker.heard == [Event.CONNECTED]:
                    asker.give()
                    askers.remove(asker)
                elif step == "crash":
                    with asker.acting():
                        world.engine.end_conversation(asker.mutex, RuntimeError())
            if most:
                assert max(world.counts()) <= most
            assert len(world.upstream.queue.waiting) <= size
            assert sum(world.counts()) <= len(world.engine.vcs)
        world.settle(2.0)
        for asker in askers:
            assert asker.vc is not None
            assert asker.vc.closed or asker.heard, "a waiter was lost"
            if not asker.vc.closed:
                asker.close()
        world.settle(10.0)
        assert world.counts() == [0, 0, 0]
        assert not world.engine.vcs
        assert not world.upstream.pool.servers
        assert not world.upstream.queue.waiting
        assert not world.upstream._promised
        assert world.engine.memory.used == 0


# -- the pool --------------------------------------------------------------------------------

KEPT = UpstreamSettings(pool=Pooling(idle=2, idle_time=30.0, age=100.0))


def test_what_is_given_back_is_taken_again_the_last_first(sim: Simulation) -> None:
    world = World(sim, "a", terms=KEPT)
    first, second = world.connected(), world.connected()
    vcs = [first.vc, second.vc]
    first.give()
    second.give()
    world.settle()
    assert Asker(world).take() is vcs[1]
    assert Asker(world).take() is vcs[0]
    assert Asker(world).take() is None
    assert len(world.servers["a"].peers) == 2


def test_taking_is_a_turn_and_asking_in_vain_is_none(sim: Simulation) -> None:
    world = World(sim, "ab", terms=KEPT)
    assert Asker(world).take() is None
    at_a, at_b = world.connected(), world.connected()
    assert (at_a.place, at_b.place) == ("a", "b")
    at_b.give()
    assert Asker(world).take() is None, "it is the turn of a"
    assert world.connected().place == "a"
    taker = Asker(world)
    assert taker.take() is at_b.vc
    assert taker.place == "b"
    assert world.ask().place == "a"


@pytest.mark.parametrize("fate", ["a late byte", "the end", "a reset"])
def test_a_server_that_does_anything_to_an_idle_one_loses_it(sim: Simulation, fate: str) -> None:
    world = World(sim, "a", terms=KEPT)
    world.connected().give()
    [peer] = world.servers["a"].peers
    world.settle()
    if fate == "a late byte":
        peer.send(b"!")
    elif fate == "the end":
        peer.end()
    else:
        peer.reset()
    world.settle()
    assert Asker(world).take() is None
    assert world.counts() == [0]
    assert world.engine.memory.used == 0


def test_what_came_before_it_was_given_back_counts_too(sim: Simulation) -> None:
    world = World(sim, "a", terms=KEPT)
    asker = world.connected()
    world.servers["a"].peers[0].send(b"!")
    asker.give()
    world.settle()
    assert Asker(world).take() is None
    assert world.counts() == [0]


def test_one_that_may_have_said_more_is_not_taken_before_somebody_has_looked(
    sim: Simulation,
) -> None:
    world = World(sim, "a", terms=KEPT)
    asker, taker = world.connected(), Asker(world)
    assert asker.vc is not None
    with taker.mutex.hold(world.engine), asker.acting():  # all of it in one turn
        asker.vc.do_io_read(asker, 1, world.engine.buffer())
        world.upstream.give(asker.vc)
        assert world.upstream.take(taker) is None, "it was read as far as was wanted"
    world.settle()
    assert taker.take() is asker.vc


def test_no_more_are_kept_than_said(sim: Simulation) -> None:
    world = World(sim, "a", terms=KEPT)
    for asker in [world.connected() for _ in range(3)]:
        asker.give()
    world.settle()
    assert world.counts() == [2]


def test_one_that_is_idle_for_too_long_is_closed_and_no_timer_stays(sim: Simulation) -> None:
    world = World(sim, "a", terms=KEPT)
    first, second = world.connected(), world.connected()
    first.give()
    world.settle(20.0)
    second.give()
    world.settle(11.0)
    assert world.counts() == [1]
    sim.run()
    assert world.counts() == [0]


def test_an_old_one_is_not_kept(sim: Simulation) -> None:
    world = World(sim, "a", terms=KEPT)
    asker = world.connected()
    world.settle(100.0)
    asker.give()
    world.settle()
    assert world.counts() == [0]


def test_one_that_is_given_back_makes_room_for_who_waits(sim: Simulation) -> None:
    world = World(sim, "a", terms=UpstreamSettings(max_connections=1, pool=KEPT.pool))
    asker, waiter = world.connected(), world.ask()
    asker.give()
    world.settle()
    assert waiter.heard == [Event.CONNECTED]


def test_or_is_given_to_who_waits_where_one_that_has_served_will_do(sim: Simulation) -> None:
    world = World(sim, "a", terms=UpstreamSettings(max_connections=1, pool=KEPT.pool))
    asker, waiter = world.connected(), world.ask(kept=True)
    vc = asker.vc
    asker.give()
    assert Asker(world).take() is None, "it is not for who comes later"
    world.settle()
    assert waiter.heard == [Event.CONNECTED]
    assert waiter.vc is vc
    assert len(world.servers["a"].peers) == 1


def test_the_queue_keeps_its_order_whatever_each_wants(sim: Simulation) -> None:
    world = World(sim, "a", terms=UpstreamSettings(max_connections=1, pool=KEPT.pool))
    asker, first, second = world.connected(), world.ask(), world.ask(kept=True)
    asker.give()
    world.settle()
    assert (first.heard, second.heard) == ([Event.CONNECTED], [])
    assert len(world.servers["a"].peers) == 2
    first.give()
    world.settle()
    assert second.vc is first.vc


@pytest.mark.parametrize("then", ["the next", "one who wants another", "nobody"])
def test_what_was_promised_to_one_who_leaves_is_not_lost(sim: Simulation, then: str) -> None:
    world = World(sim, "a", terms=UpstreamSettings(max_connections=1, pool=KEPT.pool))
    asker, leaver = world.connected(), world.ask(kept=True)
    vc = asker.vc
    waiter = None if then == "nobody" else world.ask(kept=then == "the next")
    with leaver.acting(), asker.acting():  # in one turn: nobody has heard of anything yet
        world.upstream.give(vc)  # type: ignore[arg-type]
        leaver.vc.do_io_close()  # type: ignore[union-attr]
    world.settle()
    if waiter is None:
        assert Asker(world).take() is vc
    else:
        assert waiter.heard == [Event.CONNECTED]
        assert (waiter.vc is vc) is (then == "the next")


def test_a_server_that_ends_what_was_promised_is_connected_to_anew(sim: Simulation) -> None:
    world = World(sim, "a", terms=UpstreamSettings(max_connections=1, pool=KEPT.pool))
    asker, waiter = world.connected(), world.ask(kept=True)
    with waiter.mutex.hold(world.engine), asker.acting():
        assert asker.vc is not None
        world.upstream.give(asker.vc)
        with world.upstream.pool.mutex.hold(world.engine):
            asker.vc.fail(ConnectionResetError("reset"))
    world.settle()
    assert waiter.heard == [Event.CONNECTED]
    assert waiter.vc is not asker.vc
    assert world.counts() == [1]


def test_a_server_that_went_down_meanwhile_is_not_given(sim: Simulation) -> None:
    world = World(sim, "ab", terms=UpstreamSettings(max_connections=1, pool=KEPT.pool))
    a, _ = world.upstream.servers
    at_a, _at_b = world.connected(), world.connected()
    waiter = world.ask(kept=True)
    a.healthy = False
    world.upstream._roster._refresh()
    at_a.give()
    world.settle()
    assert waiter.heard == []


def test_all_or_the_longest_idle_are_dropped(sim: Simulation) -> None:
    world = World(sim, "ab", terms=UpstreamSettings(pool=Pooling(idle=9)))
    vcs = []
    for asker in [world.connected() for _ in range(6)]:
        vcs.append(asker.vc)
        asker.give()
    world.settle()
    pool, (a, b) = world.upstream.pool, world.upstream.servers
    post = world.engine.inbox.post
    post(lambda: pool.drop(a, 1))
    world.settle()
    assert list(a.idle) == [vcs[2], vcs[4]]
    assert len(b.idle) == 3
    with pool.mutex.hold(sim.driver("another").engine):
        post(lambda: pool.drop(a))
        world.settle()
        assert len(a.idle) == 2
    world.settle()
    assert (len(a.idle), len(b.idle)) == (0, 3)
    post(pool.drain)
    world.settle()
    assert world.counts() == [0, 0]


def test_an_idle_one_makes_room_for_who_asks(sim: Simulation) -> None:
    world = World(sim, "a", terms=UpstreamSettings(max_connections=1, pool=KEPT.pool))
    world.connected().give()
    world.settle()
    assert world.connected().place == "a"
    assert world.counts() == [1]


def test_a_closed_upstream_keeps_nothing(sim: Simulation) -> None:
    world = World(sim, "a", terms=KEPT)
    idle, busy = world.connected(), world.connected()
    idle.give()
    world.engine.inbox.post(world.upstream.close)
    world.settle()
    assert world.counts() == [1]
    busy.give()
    world.settle()
    assert world.counts() == [0]
    assert world.connected().heard, "who still needs it may connect"


def test_an_idle_connection_makes_room_where_descriptors_are_short(sim: Simulation) -> None:
    world = World(sim, "ab", terms=UpstreamSettings(pool=Pooling(idle=4)))
    for asker in [world.connected() for _ in range(4)]:
        asker.give()
    world.settle()
    driver = world.driver
    driver.connect_errors.extend(Exhausted("too many open files") for _ in range(2))
    asker = world.ask()
    world.settle(0.1)
    assert asker.heard == [Event.CONNECTED]
    assert world.counts() == [2, 1], "the two that were idle longest were closed"
    driver.connect_errors.extend(Exhausted("too many open files") for _ in range(3))
    asker = world.ask()
    world.settle(0.1)
    assert asker.heard == [Event.ERROR], "there are no more"
    assert isinstance(asker.error, Exhausted)


def test_an_upstream_that_was_closed_is_asked_for_room_no_more(sim: Simulation) -> None:
    world = World(sim, "ab", terms=UpstreamSettings(pool=Pooling(idle=4)))
    assert list(world.engine.shortage.pools) == [world.upstream.pool]
    world.engine.inbox.post(world.upstream.close)
    world.settle()
    assert not world.engine.shortage.pools


# -- ejection --------------------------------------------------------------------------------

THREE = UpstreamSettings(eject=Ejecting(failures=3, time=10.0))


def test_a_server_that_refuses_is_left_alone_for_a_while(sim: Simulation) -> None:
    world = World(sim, "ab", refusing="a", terms=THREE)
    for _ in range(6):
        world.ask()
        world.settle()
    assert world.log == [
        "warning: upstream app: tcp://a:1 is down: 3 connections in a row have failed, the last: "
        "tcp://a:1: connection refused; it is tried again in 10s; 1 of 2 are up"
    ]
    assert [world.ask().place for _ in range(4)] == ["b"] * 4
    world.settle(9.9)
    assert [world.ask().place for _ in range(4)] == ["b"] * 4
    world.serve("a")
    world.settle(0.1)
    assert "a" in [world.connected().place for _ in range(2)]
    assert world.log[1:] == [
        "info: upstream app: tcp://a:1 is up: it was tried again and works; 2 of 2 are up"
    ]


def test_one_that_stays_dead_costs_one_client_each_time_and_the_times_double(
    sim: Simulation,
) -> None:
    sim.network.unresponsive.add("a")
    world = World(sim, "ab", refusing="a", terms=THREE)
    at, slow = 0.0, []
    while at < 200.0:
        places = [world.ask(timeout=0.5).place for _ in range(10)]
        slow += [round(at)] * places.count("a")
        world.settle(1.0)
        at += 1.0
    assert slow[:5] == [0] * 5, "three in a row: those who come meanwhile cannot know"
    assert slow[5:] == [11, 32, 73, 154], "10, 20, 40 and 80 seconds behind the end of each trial"
    assert "failed: connection timed out; it is tried again in 20s" in world.log[1]


def test_the_longest_time_has_an_end(sim: Simulation) -> None:
    world = World(sim, "ab", refusing="a", terms=THREE)
    for _ in range(6):
        world.ask()
        world.settle()
    a, _ = world.upstream.servers
    a.ejections = 20
    world.settle(10.0)
    while not a.ejected:
        world.ask()
        world.settle()
    assert "it is tried again in 5m" in world.log[-1]


def test_while_a_trial_has_no_outcome_all_others_pass_over(sim: Simulation) -> None:
    world = World(sim, "ab", terms=THREE)
    asker = world.connected()
    assert asker.vc is not None
    for _ in range(3):
        world.upstream.failed(asker.vc, "it answered 500")
    asker.close()
    world.settle(10.0)
    trial = next(asker for asker in iter(world.connected, None) if asker.place == "a")
    assert [world.connected().place for _ in range(4)] == ["b"] * 4, "to connect is no answer"
    trial.close()
    world.settle()
    trial = next(asker for asker in iter(world.connected, None) if asker.place == "a")
    assert trial.vc is not None, "the last one has shown nothing"
    world.upstream.succeeded(trial.vc)
    assert {world.connected().place for _ in range(4)} == {"a", "b"}
    for _ in range(2):
        world.upstream.failed(trial.vc, "it answered 500")
    assert len(world.log) == 2, "what it did before its trial does not count any more"


def test_a_trial_that_takes_too_long_is_waited_for_no_more(sim: Simulation) -> None:
    world = World(sim, "ab", terms=THREE)
    asker = world.connected()
    assert asker.vc is not None
    for _ in range(3):
        world.upstream.failed(asker.vc, "it answered 500")
    world.settle(10.0)
    assert {world.connected().place for _ in range(4)} == {"a", "b"}
    assert {world.connected().place for _ in range(4)} == {"b"}
    world.settle(10.0)
    assert {world.connected().place for _ in range(4)} == {"a", "b"}


def test_who_waits_in_the_queue_tries_a_server_too(sim: Simulation) -> None:
    terms = UpstreamSettings(
        max_connections=1, eject=Ejecting(failures=1, time=10.0), queue=Queueing(timeout=60.0)
    )
    world = World(sim, "ab", refusing="a", terms=terms)
    refused = world.ask()
    world.connected()
    refused.close()
    world.settle()
    waiting = [world.ask(), world.ask()]
    world.serve("a")
    world.settle(10.0)
    assert [asker.heard for asker in waiting] == [[Event.CONNECTED], []]
    assert waiting[0].place == "a"


def test_an_idle_connection_is_no_trial(sim: Simulation) -> None:
    terms = UpstreamSettings(eject=Ejecting(failures=1, time=10.0), pool=Pooling(idle=2))
    world = World(sim, "ab", terms=terms)
    first, second = world.connected(), world.connected()
    assert first.vc is not None
    world.upstream.failed(first.vc, "it answered 500")
    first.give()
    world.settle(10.0)
    assert (world.counts(), second.place) == ([0, 1], "b"), "it was closed, not kept"


def test_so_is_one_whose_requests_fail_in_a_row(sim: Simulation) -> None:
    world = World(sim, "ab", terms=THREE)
    asker = world.connected()
    assert asker.vc is not None
    for outcome in "ffsfff":
        assert world.log == []
        if outcome == "s":
            world.upstream.succeeded(asker.vc)
        else:
            world.upstream.failed(asker.vc, "it answered 500")
    [line] = world.log
    assert line.endswith(
        "tcp://a:1 is down: 3 requests in a row have failed, the last: it answered 500; "
        "it is tried again in 10s; 1 of 2 are up"
    )


def test_the_last_one_that_is_up_is_never_ejected(sim: Simulation) -> None:
    world = World(sim, "ab", refusing="ab", terms=THREE)
    for _ in range(20):
        world.ask()
        world.settle()
    assert len(world.log) == 1
    assert world.ask().place == "b"


def test_an_ejected_server_is_better_than_none(sim: Simulation) -> None:
    world = World(sim, "ab", refusing="a", terms=THREE)
    for _ in range(6):
        world.ask()
        world.settle()
    _, b = world.upstream.servers
    b.healthy = False
    world.upstream._roster._refresh()
    assert world.ask().place == "a"


# -- slow start ------------------------------------------------------------------------------


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("balance", ["round_robin", "weighted", "least_connections", "hash"])
def test_a_server_that_came_up_gets_its_share_by_and_by(
    sim: Simulation, balance: str, lasting: bool
) -> None:
    terms = UpstreamSettings(balance=balance, slow_start=100.0)
    world = World(sim, "abc", terms=terms)
    b, *_ = world.upstream.servers
    b.healthy = False
    world.upstream._roster._turned(b, "")
    b.healthy = True
    world.upstream._roster._turned(b, "")
    full = 100
    for warmth in (0.0, 0.25, 0.5, 0.75):
        askers = [world.ask(client=f"client {number}") for number in range(300)]
        got = sum(asker.place == "a" for asker in askers)
        if not (lasting and balance == "least_connections"):
            assert got <= full * warmth * 1.3 + 5, f"{got} at {warmth}: more than its share"
            assert got >= full * warmth * 0.5 - 5, f"{got} at {warmth}: less than its share"
        if not lasting:
            for asker in askers:
                asker.close()
        world.settle(25.0)
    places = [world.ask(client=f"client {number}").place for number in range(300)]
    assert places.count("a") == pytest.approx(full, rel=0.05) or lasting


# -- retries ---------------------------------------------------------------------------------


@pytest.mark.parametrize("balance", ["round_robin", "weighted"])
@pytest.mark.parametrize("names", ["ab", "abcd"])
def test_a_retry_does_not_use_up_the_turn_of_another(
    sim: Simulation, balance: str, names: str
) -> None:
    world = World(sim, names, refusing="a", terms=UpstreamSettings(balance=balance))
    first, second = [], []
    for _ in range(12 * len(names)):
        asker = world.ask()
        first.append(asker.place)
        world.settle()
        if asker.error is not None:
            a, *_ = world.upstream.servers
            second.append(world.ask(tried=[a]).place)
    assert {first.count(name) for name in names} == {12}, "each has its own turns"
    others = {second.count(name) for name in names[1:]}
    assert others == {12 // (len(names) - 1)}, "retries are spread as well"
