"""Outgoing: resolved, tried in turn, established, or not."""

import pytest

from vcproxy.engine.address import Address
from vcproxy.engine.commands import Connect, Resolve
from vcproxy.engine.event import Event
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.outgoing import Resolved

from .world import TARGET, Ear, Wire, World, way

ADDRESSES = [Address.parse(f"tcp://192.0.2.{n}:1") for n in (1, 2)]


@pytest.fixture
def world() -> World:
    return World()


def test_it_is_made(world: World) -> None:
    ear = Ear(world.engine)
    vc = world.connecting(ear)
    assert world.commands == [Resolve(way(vc), TARGET)]
    way(vc).resolved(ADDRESSES)
    world.settle()
    assert world.commands[1:] == [Connect(way(vc), ADDRESSES[0])]
    world.plug(vc)
    assert ear.heard == [Event.CONNECTED]
    assert ear.data == [vc]
    assert (vc.local, vc.peer, vc.open) == ("here", "there", True)


def test_the_addresses_are_tried_in_turn_and_the_reasons_joined(world: World) -> None:
    ear = Ear(world.engine)
    vc = world.connecting(ear)
    way(vc).resolved([*ADDRESSES, ADDRESSES[0]])
    for reason in ("refused", "unreachable", "refused"):
        assert ear.heard == []
        way(vc).refused(ConnectionRefusedError(reason))
        world.settle()
    assert world.attempts() == [str(a) for a in (*ADDRESSES, ADDRESSES[0])]
    assert ear.heard == [Event.ERROR]
    assert str(vc.error) == "refused; unreachable"
    assert not vc.closed, "the opener owes the close"


@pytest.mark.parametrize("error", [OSError("no such name"), None])
def test_a_name_without_addresses(world: World, error: OSError | None) -> None:
    ear = Ear(world.engine)
    vc = world.connecting(ear)
    way(vc).resolved([], error)
    world.settle()
    assert ear.heard == [Event.ERROR]
    assert str(vc.error) == str(error or "it has no address")


def test_each_address_has_its_share_of_the_time(world: World) -> None:
    ear = Ear(world.engine)
    vc = world.connecting(ear, timeout=5)
    world.settle(3)
    way(vc).resolved(ADDRESSES)
    world.settle(0.9)
    assert world.attempts() == [str(ADDRESSES[0])]
    world.settle(0.2)
    assert world.attempts() == [str(address) for address in ADDRESSES]
    world.settle(0.8)
    assert ear.heard == []
    world.settle(0.2)
    assert ear.heard == [Event.ERROR]
    late = "tcp://192.0.2.1:1: connection timed out; tcp://192.0.2.2:1: connection timed out"
    assert str(vc.error) == late


def test_a_close_in_between(world: World) -> None:
    ear = Ear(world.engine)
    vc = world.connecting(ear, timeout=5)
    with ear.mutex.hold(world.engine):
        vc.do_io_close()
    way(vc).resolved(ADDRESSES)
    way(vc).refused(ConnectionRefusedError("late"))
    way(vc).connected(Wire(), "", "")
    world.settle(10)
    assert ear.heard == []
    assert world.attempts() == []
    assert not world.engine.vcs


def test_what_is_asked_before_it_is_connected_waits(world: World) -> None:
    ear = Ear(world.engine)
    vc = world.connecting(ear)
    ear.outward.write(b"early")
    with ear.mutex.hold(world.engine):
        vc.do_io_write(ear, 5, ear.outgoing)
    world.settle()
    wire = world.plug(vc)
    assert wire.outgoing == b"early"
    assert ear.heard == [Event.CONNECTED, Event.WRITE_COMPLETE]


def test_a_name_alone_may_be_looked_up(world: World) -> None:
    ear = Ear(world.engine)
    with ear.mutex.hold(world.engine):
        vc = world.engine.resolve(ear, TARGET, timeout=5)
    world.settle()
    way(vc).resolved(ADDRESSES)
    world.settle(10)
    assert ear.heard == [Resolved]
    assert ear.data == [Resolved(tuple(ADDRESSES))]
    assert world.attempts() == []


@pytest.mark.parametrize("fate", ["it is unknown", "there is no answer in time"])
def test_a_look_up_that_fails_is_told_as_a_connection_is(world: World, fate: str) -> None:
    ear = Ear(world.engine)
    with ear.mutex.hold(world.engine):
        vc = world.engine.resolve(ear, TARGET, timeout=5)
    world.settle()
    if fate == "it is unknown":
        way(vc).resolved([], OSError("no such name"))
    world.settle(5)
    way(vc).resolved(ADDRESSES)
    world.settle()
    assert ear.heard == [Event.ERROR]
    assert ear.data == [vc]


class Ledger:
    """A keeper, and what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def told(self, vc: NetVConnection, event: Event) -> None:
        self.lines.append(f"{vc.name}: {event!r}")

    def went(self, vc: NetVConnection) -> None:
        self.lines.append(f"{vc.name} went")


@pytest.mark.parametrize("refused", [False, True])
def test_its_keeper_hears_how_it_went_and_that_it_is_gone(world: World, refused: bool) -> None:
    ear, ledger = Ear(world.engine), Ledger()
    with ear.mutex.hold(world.engine):
        outgoing = world.engine.ask(ear, "waiting")
        outgoing.keeper = ledger
    world.settle(10)
    assert world.commands == []
    assert outgoing.vc.name == "waiting"
    outgoing.go(TARGET)
    world.settle()
    outgoing.resolved(ADDRESSES[:1])
    if refused:
        outgoing.refused(ConnectionRefusedError())
        world.settle()
    else:
        world.plug(outgoing.vc)
    with ear.mutex.hold(world.engine):
        outgoing.vc.do_io_close()
    world.settle()
    event = "ERROR" if refused else "CONNECTED"
    assert ledger.lines == [f"{TARGET}: {event}", f"{TARGET} went"]


def test_one_that_never_began_is_counted_out_too(world: World) -> None:
    ear, ledger = Ear(world.engine), Ledger()
    with ear.mutex.hold(world.engine):
        outgoing = world.engine.ask(ear, "waiting")
        outgoing.keeper = ledger
        outgoing.vc.do_io_close()
    world.settle()
    assert ledger.lines == ["waiting went"]
    assert not world.engine.vcs
