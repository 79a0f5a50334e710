"""Upstream: balancing, the queue, the pool, ejection, slow start and retries."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from vcproxy.drivers.sim import NetworkFaults, Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.failures import Exhausted
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.vio import VIO
from vcproxy.upstream.queue import QueueFull, QueueTimeout
from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import EjectSettings, PoolSettings, QueueSettings, UpstreamSettings
from vcproxy.upstream.upstream import NoServer, Upstream


class Requester(Continuation):
    """Requests one connection."""

    def __init__(self, world: World) -> None:
        super().__init__(world.engine, Mutex())
        self.world = world
        self.vc: NetVConnection | None = None
        self.events: list[Event] = []

    def request(self, **arguments: object) -> Requester:
        """Request a connection."""
        with self.acting():
            self.vc = self.world.upstream.connect(self, **arguments)  # type: ignore[arg-type]
        return self

    def handle_event(self, key: Hashable, data: object) -> None:
        assert isinstance(key, Event)
        assert self.vc is not None
        if isinstance(data, VIO):  # the connection was taken from the pool
            data = data.vc
        assert data is self.vc
        self.events.append(key)
        if key is Event.CONNECTED and not self.vc.open and not self.vc.closed:
            waited, self.vc = self.vc, self.world.upstream.claim(self, self.vc)
            waited.do_io_close()
            if self.vc is None:
                self.events.clear()
                self.vc = self.world.upstream.connect(self, reuse=True)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Hold the mutex, at the current time, outside of the engine's turns."""
        with self.mutex.hold(self.engine):
            self.engine.tick(self.world.sim.now)
            yield

    @property
    def place(self) -> str:
        """The host of its server; empty: none."""
        assert self.vc is not None
        server = self.world.upstream.server_of(self.vc)
        return "" if server is None else server.address.host

    @property
    def error(self) -> Exception | None:
        assert self.vc is not None
        return self.vc.error

    def close(self) -> None:
        """Close the connection."""
        assert self.vc is not None
        with self.acting():
            self.vc.do_io_close()

    def give(self) -> None:
        """Give it back."""
        assert self.vc is not None
        with self.acting():
            self.world.upstream.give(self.vc)

    def answered(self) -> None:
        """Give it back with its operations in progress, after a request was answered."""
        vc = self.vc
        assert vc is not None
        with self.acting():
            if vc.write_vio is None and not vc.closed:
                vc.do_io_read(self, None, self.engine.buffer().reader().buffer)
                vc.do_io_write(self, None, self.engine.buffer().reader())
            self.world.upstream.answered(vc)

    def take(self, **arguments: object) -> NetVConnection | None:
        """Take an idle connection."""
        with self.acting():
            self.vc = self.world.upstream.take(self, **arguments)  # type: ignore[arg-type]
        return self.vc


class World:
    """An upstream of servers, some of which refuse connections."""

    def __init__(
        self,
        sim: Simulation,
        names: Sequence[str] = "abc",
        refusing: Sequence[str] = "",
        settings: UpstreamSettings | None = None,
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
        self.upstream = Upstream(self.engine, "app", map(Server, addresses), settings)

    @staticmethod
    def at(name: str) -> Address:
        """The address of a server."""
        return Address("tcp", name, 1)

    def request(self, **arguments: object) -> Requester:
        return Requester(self).request(**arguments)

    def connected(self, **arguments: object) -> Requester:
        """Request a connection and wait for it."""
        requester = self.request(**arguments)
        self.settle()
        assert requester.events == [Event.CONNECTED]
        return requester

    def serve(self, name: str) -> None:
        """Accept connections at a server that refused them."""
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


def test_each_server_in_turn_and_a_connection_counts_until_it_is_gone(sim: Simulation) -> None:
    world = World(sim)
    requesters = [world.connected() for _ in range(4)]
    assert [requester.place for requester in requesters] == ["a", "b", "c", "a"]
    assert world.counts() == [2, 1, 1]
    requesters[0].close()
    assert world.counts() == [2, 1, 1], "its descriptor is still open"
    world.settle()
    assert world.counts() == [1, 1, 1]


def test_a_server_that_was_tried_is_not_used_again(sim: Simulation) -> None:
    world = World(sim)
    a, b, c = world.upstream.servers
    assert world.request(tried=[a]).place == "b"
    assert world.request(tried=[a, b]).place == "c"
    requester = world.request(tried=[a, b, c])
    world.settle()
    assert requester.events == [Event.ERROR]
    assert isinstance(requester.error, NoServer)


def test_how_many_servers_are_tried(sim: Simulation) -> None:
    upstream = World(sim, settings=UpstreamSettings(retries=1)).upstream
    a, b, c = upstream.servers
    assert upstream.has_another([a])
    assert not upstream.has_another([a, b])
    upstream = World(Simulation(0)).upstream
    a, b, c = upstream.servers
    assert upstream.has_another([a, b])
    assert not upstream.has_another([a, b, c])


def test_a_key_has_its_server_and_the_client_is_the_default_key(sim: Simulation) -> None:
    world = World(sim, settings=UpstreamSettings(balance="hash"))
    assert len({world.request(client="192.0.2.1").place for _ in range(5)}) == 1
    assert len({world.request(client=f"192.0.2.{n}", key="cookie").place for n in range(5)}) == 1
    assert len({world.request(client=f"192.0.2.{n}").place for n in range(20)}) == 3


# -- the queue -------------------------------------------------------------------------------

ONE_EACH = UpstreamSettings(max_connections=1, queue=QueueSettings(size=2, timeout=5.0))


def test_a_request_without_room_waits(sim: Simulation) -> None:
    world = World(sim, "ab", settings=ONE_EACH)
    first, second = world.connected(), world.connected()
    third, fourth = world.request(), world.request()
    world.settle()
    assert world.counts() == [1, 1]
    assert third.events == fourth.events == []
    second.close()
    world.settle()
    assert (third.events, third.place) == ([Event.CONNECTED], "b")
    assert fourth.events == []
    first.close()
    world.settle()
    assert (fourth.events, fourth.place) == ([Event.CONNECTED], "a")


def test_a_full_queue_fails_a_request_at_once(sim: Simulation) -> None:
    world = World(sim, "a", settings=ONE_EACH)
    world.connected()
    world.request()
    world.request()
    late = world.request()
    world.settle()
    assert late.events == [Event.ERROR]
    assert isinstance(late.error, QueueFull)
    assert str(late.error) == "no server has room, and 2 connections wait already"


def test_a_request_times_out_in_the_queue(sim: Simulation) -> None:
    world = World(sim, "a", settings=ONE_EACH)
    busy = world.connected()
    early = world.request()
    world.settle(2.0)
    late = world.request()
    world.settle(3.01)
    assert isinstance(early.error, QueueTimeout)
    assert str(early.error) == "timed out: no server had room within 5s"
    assert late.error is None
    busy.close()
    world.settle()
    assert late.events == [Event.CONNECTED]
    assert early.events == [Event.ERROR]


def test_a_closed_request_does_not_block_the_queue(sim: Simulation) -> None:
    world = World(sim, "a", settings=ONE_EACH)
    busy, leaver, waiter = world.connected(), world.request(), world.request()
    leaver.close()
    busy.close()
    world.settle()
    assert leaver.events == []
    assert waiter.events == [Event.CONNECTED]
    assert world.counts() == [1]


def test_a_request_that_cannot_use_the_free_server_does_not_block_others(sim: Simulation) -> None:
    world = World(sim, "ab", settings=ONE_EACH)
    a, _b = world.upstream.servers
    at_a, _ = world.connected(), world.connected()
    picky, easy = world.request(tried=[a]), world.request()
    at_a.close()
    world.settle()
    assert picky.events == []
    assert (easy.events, easy.place) == ([Event.CONNECTED], "a")


def test_room_is_free_again_after_an_exception(sim: Simulation) -> None:
    world = World(sim, "a", settings=ONE_EACH)
    crashing, waiter = world.connected(), world.request()
    with crashing.acting():
        world.engine.end_conversation(crashing.mutex, RuntimeError("a mistake"))
    world.settle()
    assert waiter.events == [Event.CONNECTED]


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 16),
    names=st.sampled_from(["a", "abc"]),
    most=st.integers(0, 2),
    size=st.integers(0, 4),
    steps=st.lists(st.tuples(st.sampled_from(
        ["request"] * 2 + ["reuse"] * 2 + ["give"] * 2 + ["answered"] * 2
        + ["take", "take at once"] * 2 + ["wait"] * 4 + ["close", "crash", "end"]
    ), st.integers(0, 9)), min_size=20, max_size=60),
)  # fmt: skip
def test_no_request_is_lost_and_no_limit_exceeded(
    seed: int, names: str, most: int, size: int, steps: list[tuple[str, int]]
) -> None:
    with Simulation(seed, NetworkFaults(latency=(0.0, 0.02), lock_miss=0.2)) as sim:
        settings = UpstreamSettings(
            max_connections=most,
            queue=QueueSettings(size=size, timeout=1.0),
            pool=PoolSettings(idle=2, idle_time=3.0),
        )
        world = World(sim, names, refusing="c", settings=settings)
        requesters: list[Requester] = []
        for step, number in steps:
            requester = requesters[number % len(requesters)] if requesters else None
            if step == "request":
                requesters.append(world.request())
            elif step == "reuse":
                requesters.append(world.request(reuse=True))
            elif step == "end":
                for server in world.servers.values():
                    for peer in server.peers[number:]:
                        peer.reset()
            elif step in ("take", "take at once"):
                taker = Requester(world)
                if (taker.take() if step == "take" else at_once(world, taker)) is not None:
                    taker.events.append(Event.CONNECTED)
                    requesters.append(taker)
            elif step == "wait" or requester is None:
                world.settle(number / 10)
            elif requester.vc is not None:
                if step == "close":
                    requester.close()
                elif step == "give" and requester.events == [Event.CONNECTED]:
                    requester.give()
                    requesters.remove(requester)
                elif step == "answered" and requester.events == [Event.CONNECTED]:
                    requester.answered()
                    requesters.remove(requester)
                elif step == "crash":
                    with requester.acting():
                        world.engine.end_conversation(requester.mutex, RuntimeError())
            if most:
                assert max(world.counts()) <= most
            assert len(world.upstream.queue.waiting) <= size
            assert sum(world.counts()) <= len(world.engine.vcs)
        world.settle(2.0)
        for requester in requesters:
            assert requester.vc is not None
            assert requester.vc.closed or requester.events, "a waiter was lost"
            if not requester.vc.closed:
                requester.close()
        world.settle(10.0)
        assert not any(world.counts())
        assert not world.engine.vcs
        assert not world.upstream.pool.servers
        assert not world.upstream.queue.waiting
        assert not world.upstream._reserved
        assert world.engine.memory.used == 0


# -- the pool --------------------------------------------------------------------------------

POOLED = UpstreamSettings(pool=PoolSettings(idle=2, idle_time=30.0, age=100.0))


def test_the_last_returned_connection_is_taken_first(sim: Simulation) -> None:
    world = World(sim, "a", settings=POOLED)
    first, second = world.connected(), world.connected()
    vcs = [first.vc, second.vc]
    first.give()
    second.give()
    world.settle()
    assert Requester(world).take() is vcs[1]
    assert Requester(world).take() is vcs[0]
    assert Requester(world).take() is None
    assert len(world.servers["a"].peers) == 2


def test_a_taken_connection_counts_as_a_turn_and_a_failed_take_does_not(sim: Simulation) -> None:
    world = World(sim, "ab", settings=POOLED)
    assert Requester(world).take() is None
    at_a, at_b = world.connected(), world.connected()
    assert (at_a.place, at_b.place) == ("a", "b")
    at_b.give()
    assert Requester(world).take() is None, "it is the turn of a"
    assert world.connected().place == "a"
    taker = Requester(world)
    assert taker.take() is at_b.vc
    assert taker.place == "b"
    assert world.request().place == "a"


@pytest.mark.parametrize("event", ["a late byte", "the end", "a reset"])
def test_an_idle_connection_with_an_event_is_closed(sim: Simulation, event: str) -> None:
    world = World(sim, "a", settings=POOLED)
    world.connected().give()
    [peer] = world.servers["a"].peers
    world.settle()
    if event == "a late byte":
        peer.send(b"!")
    elif event == "the end":
        peer.end()
    else:
        peer.reset()
    world.settle()
    assert Requester(world).take() is None
    assert world.counts() == [0]
    assert world.engine.memory.used == 0


def test_data_from_before_it_was_given_back_closes_it_too(sim: Simulation) -> None:
    world = World(sim, "a", settings=POOLED)
    requester = world.connected()
    world.servers["a"].peers[0].send(b"!")
    requester.give()
    world.settle()
    assert Requester(world).take() is None
    assert world.counts() == [0]


def test_a_connection_that_may_have_unread_data_is_not_taken_in_the_same_turn(
    sim: Simulation,
) -> None:
    world = World(sim, "a", settings=POOLED)
    requester, taker = world.connected(), Requester(world)
    assert requester.vc is not None
    with taker.mutex.hold(world.engine), requester.acting():  # all calls in one turn
        requester.vc.do_io_read(requester, 1, world.engine.buffer())
        world.upstream.give(requester.vc)
        assert world.upstream.take(taker) is None, "it was read as far as was wanted"
    world.settle()
    assert taker.take() is requester.vc


def test_the_pool_has_a_limit(sim: Simulation) -> None:
    world = World(sim, "a", settings=POOLED)
    for requester in [world.connected() for _ in range(3)]:
        requester.give()
    world.settle()
    assert world.counts() == [2]


def test_a_connection_idle_for_too_long_is_closed_and_no_timer_remains(sim: Simulation) -> None:
    world = World(sim, "a", settings=POOLED)
    first, second = world.connected(), world.connected()
    first.give()
    world.settle(20.0)
    second.give()
    world.settle(11.0)
    assert world.counts() == [1]
    sim.run()
    assert world.counts() == [0]


def test_an_old_connection_is_not_kept(sim: Simulation) -> None:
    world = World(sim, "a", settings=POOLED)
    requester = world.connected()
    world.settle(100.0)
    requester.give()
    world.settle()
    assert world.counts() == [0]


def test_a_returned_connection_makes_room_for_the_queue(sim: Simulation) -> None:
    world = World(sim, "a", settings=UpstreamSettings(max_connections=1, pool=POOLED.pool))
    requester, waiter = world.connected(), world.request()
    requester.give()
    world.settle()
    assert waiter.events == [Event.CONNECTED]


def test_a_returned_connection_goes_to_a_waiting_request_that_can_reuse_it(sim: Simulation) -> None:
    world = World(sim, "a", settings=UpstreamSettings(max_connections=1, pool=POOLED.pool))
    requester, waiter = world.connected(), world.request(reuse=True)
    vc = requester.vc
    requester.give()
    assert Requester(world).take() is None, "it is reserved"
    world.settle()
    assert waiter.events == [Event.CONNECTED]
    assert waiter.vc is vc
    assert len(world.servers["a"].peers) == 1


def test_the_queue_keeps_its_order_whether_or_not_requests_reuse(sim: Simulation) -> None:
    world = World(sim, "a", settings=UpstreamSettings(max_connections=1, pool=POOLED.pool))
    requester, first, second = world.connected(), world.request(), world.request(reuse=True)
    requester.give()
    world.settle()
    assert (first.events, second.events) == ([Event.CONNECTED], [])
    assert len(world.servers["a"].peers) == 2
    first.give()
    world.settle()
    assert second.vc is first.vc


@pytest.mark.parametrize("then", ["reuse", "new", "none"])
def test_a_reserved_connection_survives_its_request(sim: Simulation, then: str) -> None:
    world = World(sim, "a", settings=UpstreamSettings(max_connections=1, pool=POOLED.pool))
    requester, leaver = world.connected(), world.request(reuse=True)
    vc = requester.vc
    waiter = None if then == "none" else world.request(reuse=then == "reuse")
    with leaver.acting(), requester.acting():  # in one turn: no event is delivered between
        world.upstream.give(vc)  # type: ignore[arg-type]
        leaver.vc.do_io_close()  # type: ignore[union-attr]
    world.settle()
    if waiter is None:
        assert Requester(world).take() is vc
    else:
        assert waiter.events == [Event.CONNECTED]
        assert (waiter.vc is vc) is (then == "reuse")


def test_a_reserved_connection_that_fails_is_replaced(sim: Simulation) -> None:
    world = World(sim, "a", settings=UpstreamSettings(max_connections=1, pool=POOLED.pool))
    requester, waiter = world.connected(), world.request(reuse=True)
    with waiter.mutex.hold(world.engine), requester.acting():
        assert requester.vc is not None
        world.upstream.give(requester.vc)
        with world.upstream.pool.mutex.hold(world.engine):
            requester.vc.fail(ConnectionResetError("reset"))
    world.settle()
    assert waiter.events == [Event.CONNECTED]
    assert waiter.vc is not requester.vc
    assert world.counts() == [1]


def test_a_connection_to_a_server_that_went_down_is_not_reused(sim: Simulation) -> None:
    world = World(sim, "ab", settings=UpstreamSettings(max_connections=1, pool=POOLED.pool))
    a, _ = world.upstream.servers
    at_a, _at_b = world.connected(), world.connected()
    waiter = world.request(reuse=True)
    a.healthy = False
    world.upstream._servers._refresh()
    at_a.give()
    world.settle()
    assert waiter.events == []


def test_drop_closes_all_or_the_longest_idle(sim: Simulation) -> None:
    world = World(sim, "ab", settings=UpstreamSettings(pool=PoolSettings(idle=9)))
    vcs = []
    for requester in [world.connected() for _ in range(6)]:
        vcs.append(requester.vc)
        requester.give()
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


def test_an_idle_connection_is_closed_for_a_new_request(sim: Simulation) -> None:
    world = World(sim, "a", settings=UpstreamSettings(max_connections=1, pool=POOLED.pool))
    world.connected().give()
    world.settle()
    assert world.connected().place == "a"
    assert world.counts() == [1]


def test_a_closed_upstream_keeps_no_idle_connection(sim: Simulation) -> None:
    world = World(sim, "a", settings=POOLED)
    idle, busy = world.connected(), world.connected()
    idle.give()
    world.engine.inbox.post(world.upstream.close)
    world.settle()
    assert world.counts() == [1]
    busy.give()
    world.settle()
    assert world.counts() == [0]
    assert world.connected().events, "its sessions may still connect"


def test_an_idle_connection_makes_room_where_descriptors_are_short(sim: Simulation) -> None:
    world = World(sim, "ab", settings=UpstreamSettings(pool=PoolSettings(idle=4)))
    for requester in [world.connected() for _ in range(4)]:
        requester.give()
    world.settle()
    driver = world.driver
    driver.connect_errors.extend(Exhausted("too many open files") for _ in range(2))
    requester = world.request()
    world.settle(0.1)
    assert requester.events == [Event.CONNECTED]
    assert world.counts() == [2, 1], "the two that were idle longest were closed"
    driver.connect_errors.extend(Exhausted("too many open files") for _ in range(3))
    requester = world.request()
    world.settle(0.1)
    assert requester.events == [Event.ERROR], "there are no more"
    assert isinstance(requester.error, Exhausted)


def test_a_closed_upstream_is_not_asked_to_free_descriptors(sim: Simulation) -> None:
    world = World(sim, "ab", settings=UpstreamSettings(pool=PoolSettings(idle=4)))
    assert list(world.engine.shortage.pools) == [world.upstream.pool]
    world.engine.inbox.post(world.upstream.close)
    world.settle()
    assert not world.engine.shortage.pools


# -- ejection --------------------------------------------------------------------------------

THREE = UpstreamSettings(eject=EjectSettings(failures=3, time=10.0))


def test_a_server_that_refuses_is_ejected_for_a_time(sim: Simulation) -> None:
    world = World(sim, "ab", refusing="a", settings=THREE)
    for _ in range(6):
        world.request()
        world.settle()
    assert world.log == [
        "warning: upstream app: tcp://a:1 is down: 3 connections in a row failed, the last: "
        "tcp://a:1: connection refused; it is tried again in 10s; 1 of 2 servers are up"
    ]
    assert [world.request().place for _ in range(4)] == ["b"] * 4
    world.settle(9.9)
    assert [world.request().place for _ in range(4)] == ["b"] * 4
    world.serve("a")
    world.settle(0.1)
    assert "a" in [world.connected().place for _ in range(2)]
    assert world.log[1:] == [
        "info: upstream app: tcp://a:1 is up: it was tried again and works; 2 of 2 servers are up"
    ]


def test_a_dead_server_costs_one_client_each_time_and_the_times_double(
    sim: Simulation,
) -> None:
    sim.network.unresponsive.add("a")
    world = World(sim, "ab", refusing="a", settings=THREE)
    at, slow = 0.0, []
    while at < 200.0:
        places = [world.request(timeout=0.5).place for _ in range(10)]
        slow += [round(at)] * places.count("a")
        world.settle(1.0)
        at += 1.0
    assert slow[:5] == [0] * 5, "three in a row, and those in between"
    assert slow[5:] == [11, 32, 73, 154], "10, 20, 40 and 80 seconds behind the end of each trial"
    assert "failed: connection timed out; it is tried again in 20s" in world.log[1]


def test_the_time_has_a_maximum(sim: Simulation) -> None:
    world = World(sim, "ab", refusing="a", settings=THREE)
    for _ in range(6):
        world.request()
        world.settle()
    a, _ = world.upstream.servers
    a.ejections = 20
    world.settle(10.0)
    while not a.ejected:
        world.request()
        world.settle()
    assert "it is tried again in 5m" in world.log[-1]


def test_during_a_trial_other_connections_avoid_the_server(sim: Simulation) -> None:
    world = World(sim, "ab", settings=THREE)
    requester = world.connected()
    assert requester.vc is not None
    for _ in range(3):
        world.upstream.failed(requester.vc, "it answered 500")
    requester.close()
    world.settle(10.0)
    trial = next(requester for requester in iter(world.connected, None) if requester.place == "a")
    assert [world.connected().place for _ in range(4)] == ["b"] * 4, "no request succeeded"
    trial.close()
    world.settle()
    trial = next(requester for requester in iter(world.connected, None) if requester.place == "a")
    assert trial.vc is not None, "the last one had no outcome"
    world.upstream.succeeded(trial.vc)
    assert {world.connected().place for _ in range(4)} == {"a", "b"}
    for _ in range(2):
        world.upstream.failed(trial.vc, "it answered 500")
    assert len(world.log) == 2, "failures before the trial do not count"


def test_a_trial_times_out(sim: Simulation) -> None:
    world = World(sim, "ab", settings=THREE)
    requester = world.connected()
    assert requester.vc is not None
    for _ in range(3):
        world.upstream.failed(requester.vc, "it answered 500")
    world.settle(10.0)
    assert {world.connected().place for _ in range(4)} == {"a", "b"}
    assert {world.connected().place for _ in range(4)} == {"b"}
    world.settle(10.0)
    assert {world.connected().place for _ in range(4)} == {"a", "b"}


def test_a_request_from_the_queue_may_be_a_trial(sim: Simulation) -> None:
    settings = UpstreamSettings(
        max_connections=1,
        eject=EjectSettings(failures=1, time=10.0),
        queue=QueueSettings(timeout=60.0),
    )
    world = World(sim, "ab", refusing="a", settings=settings)
    refused = world.request()
    world.connected()
    refused.close()
    world.settle()
    waiting = [world.request(), world.request()]
    world.serve("a")
    world.settle(10.0)
    assert [requester.events for requester in waiting] == [[Event.CONNECTED], []]
    assert waiting[0].place == "a"


def test_an_idle_connection_is_no_trial(sim: Simulation) -> None:
    settings = UpstreamSettings(
        eject=EjectSettings(failures=1, time=10.0), pool=PoolSettings(idle=2)
    )
    world = World(sim, "ab", settings=settings)
    first, second = world.connected(), world.connected()
    assert first.vc is not None
    world.upstream.failed(first.vc, "it answered 500")
    first.give()
    world.settle(10.0)
    assert (world.counts(), second.place) == ([0, 1], "b"), "it was closed, not kept"


def test_failed_requests_in_a_row_eject_a_server(sim: Simulation) -> None:
    world = World(sim, "ab", settings=THREE)
    requester = world.connected()
    assert requester.vc is not None
    for outcome in "ffsfff":
        assert world.log == []
        if outcome == "s":
            world.upstream.succeeded(requester.vc)
        else:
            world.upstream.failed(requester.vc, "it answered 500")
    [line] = world.log
    assert line.endswith(
        "tcp://a:1 is down: 3 requests in a row failed, the last: it answered 500; "
        "it is tried again in 10s; 1 of 2 servers are up"
    )


def test_the_last_server_that_is_up_is_never_ejected(sim: Simulation) -> None:
    world = World(sim, "ab", refusing="ab", settings=THREE)
    for _ in range(20):
        world.request()
        world.settle()
    assert len(world.log) == 1
    assert world.request().place == "b"


def test_ejected_servers_are_used_if_all_others_are_unhealthy(sim: Simulation) -> None:
    world = World(sim, "ab", refusing="a", settings=THREE)
    for _ in range(6):
        world.request()
        world.settle()
    _, b = world.upstream.servers
    b.healthy = False
    world.upstream._servers._refresh()
    assert world.request().place == "a"


# -- slow start ------------------------------------------------------------------------------


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("balance", ["round_robin", "weighted", "least_connections", "hash"])
def test_a_server_that_came_up_gets_its_share_gradually(
    sim: Simulation, balance: str, lasting: bool
) -> None:
    settings = UpstreamSettings(balance=balance, slow_start=100.0)
    world = World(sim, "abc", settings=settings)
    b, *_ = world.upstream.servers
    b.healthy = False
    world.upstream._servers._state_changed(b, "")
    b.healthy = True
    world.upstream._servers._state_changed(b, "")
    full = 100
    for warmth in (0.0, 0.25, 0.5, 0.75):
        requesters = [world.request(client=f"client {number}") for number in range(300)]
        got = sum(requester.place == "a" for requester in requesters)
        if not (lasting and balance == "least_connections"):
            assert got <= full * warmth * 1.3 + 5, f"{got} at {warmth}: more than its share"
            assert got >= full * warmth * 0.5 - 5, f"{got} at {warmth}: less than its share"
        if not lasting:
            for requester in requesters:
                requester.close()
        world.settle(25.0)
    places = [world.request(client=f"client {number}").place for number in range(300)]
    assert places.count("a") == pytest.approx(full, rel=0.05) or lasting


# -- retries ---------------------------------------------------------------------------------


@pytest.mark.parametrize("balance", ["round_robin", "weighted"])
@pytest.mark.parametrize("names", ["ab", "abcd"])
def test_retries_do_not_use_up_turns(sim: Simulation, balance: str, names: str) -> None:
    world = World(sim, names, refusing="a", settings=UpstreamSettings(balance=balance))
    first, second = [], []
    for _ in range(12 * len(names)):
        requester = world.request()
        first.append(requester.place)
        world.settle()
        if requester.error is not None:
            a, *_ = world.upstream.servers
            second.append(world.request(tried=[a]).place)
    assert {first.count(name) for name in names} == {12}, "each has its own turns"
    others = {second.count(name) for name in names[1:]}
    assert others == {12 // (len(names) - 1)}, "retries are spread as well"


# -- at once ---------------------------------------------------------------------------------


def in_use(world: World) -> Requester:
    """Return a requester whose connection is being read and written."""
    requester = world.connected()
    vc = requester.vc
    assert vc is not None
    with requester.acting():
        reader = world.engine.buffer().reader()
        vc.do_io_read(requester, None, reader.buffer)
        vc.do_io_write(requester, None, world.engine.buffer().reader())
    world.settle()
    requester.events.clear()
    return requester


def at_once(world: World, taker: Requester) -> NetVConnection | None:
    """Take an idle connection at once."""
    with taker.acting():
        taker.vc = world.upstream.take_at_once(taker, "")
    return taker.vc


@pytest.mark.parametrize("names", ["a", "ab"])
def test_a_connection_is_given_back_and_taken_at_once(sim: Simulation, names: str) -> None:
    world = World(sim, names, settings=UpstreamSettings(pool=PoolSettings(idle=2)))
    first = in_use(world)
    assert first.vc is not None
    server = world.upstream.server_of(first.vc)
    assert server is not None
    server.failures = 2
    with first.acting():
        world.upstream.answered(first.vc)
    assert (list(server.idle), server.failures) == ([first.vc], 0)
    assert first.vc.mutex is world.upstream.pool.mutex
    world.settle()
    if names == "ab":  # the next server is b, which has no idle connection
        assert at_once(world, Requester(world)) is None
        world.connected()
    taker = Requester(world)
    assert at_once(world, taker) is first.vc
    assert first.vc.mutex is taker.mutex
    assert (list(server.idle), dict(world.upstream.pool.servers)) == ([], {})
    assert at_once(world, Requester(world)) is None
    world.sim.run(until=lambda: bool(world.servers["a"].peers))
    world.servers["a"].peers[0].send(b"late")
    world.settle()
    assert taker.events == [Event.READ_READY]


def test_an_only_server_is_used_at_once_after_its_slow_start(sim: Simulation) -> None:
    settings = UpstreamSettings(
        balance="random_of_two", slow_start=1.0, pool=PoolSettings(idle=2, idle_time=5.0)
    )
    world = World(sim, "a", settings=settings)
    [server] = world.upstream.servers
    for healthy in (False, True):
        server.healthy = healthy
        world.upstream._servers._state_changed(server, "it was checked")
    first = in_use(world)
    first.answered()
    assert at_once(world, Requester(world)) is None
    world.settle(1.0)
    taker = Requester(world)
    assert taker.take() is first.vc
    taker.answered()
    assert at_once(world, Requester(world)) is first.vc


@pytest.mark.parametrize("change", ["data", "end", "age", "ejection"])
def test_a_changed_connection_is_not_taken_at_once(sim: Simulation, change: str) -> None:
    settings = UpstreamSettings(pool=PoolSettings(idle=2, idle_time=1.0, age=5.0))
    world = World(sim, "a", settings=settings)
    first = in_use(world)
    assert first.vc is not None
    if change == "age":
        world.settle(6.0)
    with first.acting():
        world.upstream.answered(first.vc)
    assert first.vc.closed is (change == "age")
    peer = world.servers["a"].peers[0]
    if change == "data":
        peer.send(b"early")
    elif change == "end":
        peer.end()
    elif change == "ejection":
        world.upstream.servers[0].ejections = 1
    world.settle()
    assert at_once(world, Requester(world)) is None
    world.settle(2.0)


def test_a_request_that_waits_gets_what_is_given_back_at_once(sim: Simulation) -> None:
    settings = UpstreamSettings(
        max_connections=1, queue=QueueSettings(size=2), pool=PoolSettings(idle=1)
    )
    world = World(sim, "a", settings=settings)
    first = in_use(world)
    waiting = world.request(reuse=True)
    assert first.vc is not None
    with first.acting():
        world.upstream.answered(first.vc)
    world.settle()
    assert waiting.events == [Event.CONNECTED]
    assert waiting.vc is first.vc
