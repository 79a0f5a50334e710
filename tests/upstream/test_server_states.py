"""Server states: weight 0, drain, maint, backup servers; in the configuration and at run time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.upstream.test_upstream import Requester, World
from vcproxy.drivers.sim import Peer, Simulation
from vcproxy.engine.event import Event
from vcproxy.upstream.balance import BALANCES
from vcproxy.upstream.server import STATES, Server, ServerState
from vcproxy.upstream.settings import (
    CheckSettings,
    EjectSettings,
    PoolSettings,
    QueueSettings,
    UpstreamSettings,
)
from vcproxy.upstream.upstream import NoServer, Upstream

EJECTING = EjectSettings(failures=2, time=10.0)


@pytest.fixture
def sim() -> Iterator[Simulation]:
    with Simulation(0) as sim:
        yield sim


def world_of(
    sim: Simulation,
    servers: Sequence[Server],
    settings: UpstreamSettings | None = None,
    refusing: Sequence[str] = "",
) -> World:
    """An upstream of these servers."""
    world = World(sim, [server.address.host for server in servers], refusing)
    world.upstream = Upstream(world.engine, "app", servers, settings)
    return world


def at(name: str, weight: int = 1, *, backup: bool = False, state: ServerState = "ready") -> Server:
    return Server(World.at(name), weight=weight, backup=backup, state=state)


def set_server(world: World, name: str, **arguments: object) -> None:
    """Change a server, on the engine's thread."""
    with Requester(world).acting():
        world.upstream.set_server(name, **arguments)  # type: ignore[arg-type]


def places(world: World, count: int = 6) -> str:
    """The servers of the next connections."""
    return "".join(world.request(client=f"192.0.2.{n}").place for n in range(count))


# -- drain, maint, weight 0 ------------------------------------------------------------------


@pytest.mark.parametrize("balance", BALANCES)
def test_a_server_without_new_connections(sim: Simulation, balance: str) -> None:
    servers = [at("a", weight=0), at("b"), at("c", state="drain"), at("d", state="maint")]
    world = world_of(sim, servers, UpstreamSettings(balance=balance))
    assert places(world) == "bbbbbb"


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("change", [{"state": "drain"}, {"state": "maint"}, {"weight": 0}])
def test_a_server_is_taken_out_and_returns(
    sim: Simulation, balance: str, change: dict[str, str | int]
) -> None:
    world = World(sim, "ab", settings=UpstreamSettings(balance=balance))
    assert set(places(world, 20)) == {"a", "b"}
    set_server(world, "tcp://a:1", **change)
    assert places(world) == "bbbbbb"
    set_server(world, "tcp://a:1", state="ready", weight=1)
    assert set(places(world, 20)) == {"a", "b"}
    first = f"{change.get('state', 'ready')}, weight {change.get('weight', 1)}"
    assert world.log == [
        f"info: upstream app: tcp://a:1 is set to {first}; 1 of 2 servers are up",
        "info: upstream app: tcp://a:1 is set to ready, weight 1; 2 of 2 servers are up",
    ]


def test_open_connections_of_a_drained_server_continue_and_are_not_kept(sim: Simulation) -> None:
    world = World(sim, "a", settings=UpstreamSettings(pool=PoolSettings(idle=4)))
    busy, idle, tunnel = (world.connected() for _ in range(3))
    idle.give()
    set_server(world, "tcp://a:1", state="drain")
    world.settle()
    assert [each.vc.closed for each in (busy, idle, tunnel) if each.vc] == [False, True, False]
    assert Requester(world).take() is None
    busy.answered()
    assert busy.vc is not None
    assert busy.vc.closed, "it would wait for a request that never comes"
    world.settle()
    assert world.counts() == [1], "the tunnel"


def test_keys_of_a_drained_server_move_and_return(sim: Simulation) -> None:
    world = World(sim, "abc", settings=UpstreamSettings(balance="hash"))
    before = places(world, 60)
    set_server(world, "tcp://b:1", state="drain")
    during = places(world, 60)
    assert "b" not in during
    moved = [(old, new) for old, new in zip(before, during, strict=True) if old != new]
    assert {old for old, _ in moved} == {"b"}
    set_server(world, "tcp://b:1", state="ready")
    assert places(world, 60) == before


def test_weights_are_shares_from_now_on(sim: Simulation) -> None:
    world = World(sim, "ab", settings=UpstreamSettings(balance="weighted"))
    assert sorted(places(world, 8)) == list("aaaabbbb")
    set_server(world, "tcp://a:1", weight=3)
    assert sorted(places(world, 8)) == list("aaaaaabb")
    world = World(sim, "cd", settings=UpstreamSettings(balance="hash"))
    set_server(world, "tcp://c:1", weight=9)
    assert places(world, 100).count("c") > 75


def test_no_server_is_left_for_new_connections(sim: Simulation) -> None:
    world = World(sim, "ab")
    for name in ("tcp://a:1", "tcp://b:1"):
        set_server(world, name, state="drain")
    requester = world.request()
    world.settle()
    assert requester.events == [Event.ERROR]
    assert isinstance(requester.error, NoServer)
    assert str(requester.error) == "all its servers are drained or in maintenance"


def test_what_waits_gets_a_server_that_returns(sim: Simulation) -> None:
    settings = UpstreamSettings(max_connections=1, queue=QueueSettings(timeout=60.0))
    world = World(sim, "ab", settings=settings)
    set_server(world, "tcp://b:1", state="maint")
    world.connected()
    waiting = world.request()
    assert waiting.place == ""
    set_server(world, "tcp://b:1", state="ready")
    assert waiting.place == "b"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"name": "tcp://c:1"}, 'upstream app has no server "tcp://c:1"; it has tcp://a:1, '
         "tcp://b:1"),
        ({"name": "tcp://a:1", "state": "up"}, 'there is no state "up": write "ready", "drain" or '
         '"maint"'),
        ({"name": "tcp://a:1", "weight": 257}, "the weight must be 0 to 256, not 257"),
        ({"name": "tcp://a:1", "weight": -1}, "the weight must be 0 to 256, not -1"),
        ({"name": "tcp://a:1", "weight": 2}, "weight 2 has no effect: upstream app has balance = "
         '"round_robin", where a weight is 0 or 1'),
    ],
)  # fmt: skip
def test_what_cannot_be_set_changes_nothing(
    sim: Simulation, arguments: dict[str, str], text: str
) -> None:
    world = World(sim, "ab")
    with pytest.raises((LookupError, ValueError)) as raised:
        set_server(world, **arguments)
    assert raised.value.args == (text,)
    assert places(world) == "ababab"
    assert not world.log


# -- health checks, ejection, slow start -----------------------------------------------------


def checked(sim: Simulation, **settings: float) -> tuple[World, list[Peer]]:
    """An upstream with one checked server, and the connections of its checks."""
    check = CheckSettings(interval=1.0, rise=2, fall=3)
    world = World(sim, "ab", "a", UpstreamSettings(check=check, **settings))  # type: ignore[arg-type]
    peers: list[Peer] = []
    sim.server(World.at("a"), peers.append)
    return world, peers


def test_a_drained_server_is_checked_and_one_in_maintenance_is_not(sim: Simulation) -> None:
    world, checks = checked(sim)
    set_server(world, "tcp://a:1", state="drain")
    world.settle(10.0)
    assert len(checks) >= 9
    set_server(world, "tcp://a:1", state="maint")
    world.settle(0.5)
    count = len(checks)
    world.settle(10.0)
    assert len(checks) == count
    set_server(world, "tcp://a:1", state="drain")
    world.settle(10.0)
    assert len(checks) >= count + 9


def test_a_server_that_returns_is_up_until_one_check_fails(sim: Simulation) -> None:
    world = World(sim, "ab", refusing="a", settings=UpstreamSettings(check=CheckSettings()))
    server = world.upstream.servers[0]
    world.settle(20.0)
    assert (server.up, server.last_check) == (False, "tcp://a:1: connection refused")
    set_server(world, "tcp://a:1", state="maint")
    world.settle(20.0)
    set_server(world, "tcp://a:1", state="ready")
    assert server.up
    world.settle(1.0)
    assert not server.up
    assert world.log[-1].startswith("warning: upstream app: tcp://a:1 is down: health check failed")


def test_a_server_that_returns_starts_slowly(sim: Simulation) -> None:
    world, _ = checked(sim, slow_start=100.0)
    set_server(world, "tcp://a:1", state="maint")
    world.settle(1.0)
    set_server(world, "tcp://a:1", state="ready")
    world.settle(10.0)
    assert 2 <= places(world, 100).count("a") <= 25
    world.settle(100.0)
    assert places(world, 100).count("a") == 50


def test_ready_ends_an_ejection(sim: Simulation) -> None:
    world = World(sim, "ab", "a", UpstreamSettings(eject=EJECTING))
    for _ in range(4):
        world.request()
        world.settle()
    server = world.upstream.servers[0]
    assert (server.up, server.ejected_until > sim.now + 9) == (False, True)
    world.serve("a")
    set_server(world, "tcp://a:1", state="ready")
    assert "a" in places(world, 2)
    world.settle(30.0)
    assert server.up


def test_the_end_of_an_ended_ejection_does_not_shorten_the_next(sim: Simulation) -> None:
    world = World(sim, "ab", "a", UpstreamSettings(eject=EJECTING))
    server = world.upstream.servers[0]

    def eject() -> None:
        while not server.ejected:
            world.request()
            world.settle()

    eject()
    world.settle(8.0)
    set_server(world, "tcp://a:1", state="ready")
    eject()
    world.settle(5.0)
    assert server.ejected, "the timer of the first ejection has run"
    world.settle(5.0)
    assert not server.ejected


# -- backup servers --------------------------------------------------------------------------


def test_backups_are_used_while_no_other_server_is_up(sim: Simulation) -> None:
    servers = [at("a"), at("b", backup=True), at("c", backup=True)]
    world = world_of(sim, servers, UpstreamSettings(eject=EJECTING), refusing="a")
    assert places(world, 3) == "aaa"
    world.settle()
    assert places(world) == "bbbbbb", "only the first, as in HAProxy"
    set_server(world, "tcp://b:1", state="drain")
    assert places(world) == "cccccc"
    set_server(world, "tcp://b:1", state="ready")
    world.serve("a")
    world.settle(10.0)
    world.connected()
    assert places(world, 4) == "aaaa"
    assert [line for line in world.log if "backup" in line] == [
        "warning: upstream app: no other server is up: backup servers are used: tcp://b:1",
        "info: upstream app: backup servers are not used any more",
        "warning: upstream app: no other server is up: backup servers are used: tcp://b:1",
        "info: upstream app: backup servers are not used any more",
    ], "the second time during the trial of a"


def test_all_backups(sim: Simulation) -> None:
    servers = [at("a", state="drain"), at("b", backup=True), at("c", backup=True)]
    world = world_of(sim, servers, UpstreamSettings(all_backups=True))
    assert places(world) == "bcbcbc"


def test_the_last_server_but_a_backup_is_ejected_and_the_last_backup_is_not(
    sim: Simulation,
) -> None:
    servers = [at("a"), at("b", backup=True)]
    world = world_of(sim, servers, UpstreamSettings(eject=EJECTING), refusing="ab")
    for _ in range(8):
        world.request()
        world.settle()
    assert [server.ejected for server in servers] == [True, False]


def test_a_connection_that_all_others_failed_goes_to_a_backup(sim: Simulation) -> None:
    servers = [at("a"), at("b"), at("c", backup=True)]
    upstream = world_of(sim, servers).upstream
    a, b, c = servers
    assert upstream.has_another([a, b])
    assert not upstream.has_another([a, b, c])
    world = world_of(sim, [at("d"), at("e", backup=True)])
    assert world.request(tried=[world.upstream.servers[0]]).place == "e"


def test_with_only_backups_each_one_stands_in_for_those_before_it(sim: Simulation) -> None:
    servers = [at(name, backup=True) for name in "abc"]
    world = world_of(sim, servers, UpstreamSettings(balance="least_connections"))
    assert places(world) == "aaaaaa"
    set_server(world, "tcp://a:1", state="maint")
    assert places(world) == "bbbbbb"
    assert not [line for line in world.log if "backup" in line]


# -- names -----------------------------------------------------------------------------------


def test_a_name_is_set_for_all_its_addresses_and_an_address_alone(sim: Simulation) -> None:
    for host in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        sim.server(World.at(host))
    sim.network.names["app"] = ["10.0.0.1", "10.0.0.2"]
    settings = UpstreamSettings(resolve=30.0, pool=PoolSettings(idle=2))
    world = World(sim, ["app"], refusing=["app"], settings=settings)
    world.settle()
    set_server(world, "app at tcp://10.0.0.1:1", state="drain")
    assert {world.request().place for _ in range(4)} == {"10.0.0.2"}
    set_server(world, "tcp://app:1", state="maint")
    assert {world.request().place for _ in range(4)} == {""}
    sim.network.names["app"] = ["10.0.0.3"]
    world.settle(30.0)
    assert {world.request().place for _ in range(4)} == {""}, "a new address has the name's state"
    set_server(world, "tcp://app:1", state="ready")
    assert {world.request().place for _ in range(4)} == {"10.0.0.3"}


def test_a_connection_to_a_name_whose_addresses_replaced_it_is_not_kept(sim: Simulation) -> None:
    sim.network.names["app"] = ["10.0.0.1"]
    sim.server(World.at("10.0.0.1"))
    settings = UpstreamSettings(resolve=30.0, pool=PoolSettings(idle=2))
    world = World(sim, ["app"], refusing=["app"], settings=settings)
    busy = world.request()
    assert busy.place == "app"
    world.settle()
    assert busy.events == [Event.CONNECTED]
    set_server(world, "tcp://app:1", state="drain")
    set_server(world, "tcp://app:1", state="ready")
    busy.give()
    assert busy.vc is not None
    assert busy.vc.closed


# -- any order -------------------------------------------------------------------------------

CHANGE = st.tuples(st.sampled_from("abc"), st.sampled_from(STATES), st.integers(0, 3))


@hypothesis_settings(max_examples=60)
@given(
    st.sampled_from(sorted(BALANCES.keys() - {"round_robin"})),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.lists(CHANGE, max_size=12),
)
def test_connections_go_to_the_servers_that_serve(
    balance: str, backups: list[bool], changes: list[tuple[str, ServerState, int]]
) -> None:
    with Simulation(0) as sim:
        servers = [at(name, backup=backup) for name, backup in zip("abc", backups, strict=True)]
        settings = UpstreamSettings(balance=balance, slow_start=5.0, all_backups=True)
        world = world_of(sim, servers, settings)
        for name, state, weight in changes:
            set_server(world, f"tcp://{name}:1", state=state, weight=weight)
            serving = [each for each in servers if each.state == "ready" and each.weight]
            used = [each for each in serving if not each.backup] or serving
            allowed = {each.address.host for each in used} or {""}
            assert set(places(world, 8)) <= allowed
            world.settle(1.0)
