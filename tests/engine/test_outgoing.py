"""Outgoing: look-up, attempts, success and failure."""

import pytest

from vcproxy.engine.address import Address
from vcproxy.engine.commands import Connect, Resolve
from vcproxy.engine.event import Event
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.outgoing import Resolved

from .world import TARGET, EventRecorder, Wire, World, outgoing_of

ADDRESSES = [Address.parse(f"tcp://192.0.2.{n}:1") for n in (1, 2)]


@pytest.fixture
def world() -> World:
    return World()


def test_a_connection_is_made(world: World) -> None:
    recorder = EventRecorder(world.engine)
    vc = world.connecting(recorder)
    assert world.commands == [Resolve(outgoing_of(vc), TARGET)]
    outgoing_of(vc).resolved(ADDRESSES)
    world.settle()
    assert world.commands[1:] == [Connect(outgoing_of(vc), ADDRESSES[0])]
    world.plug(vc)
    assert recorder.events == [Event.CONNECTED]
    assert recorder.data == [vc]
    assert (vc.peer, vc.open) == ("there", True)


def test_a_numeric_target_needs_no_look_up(world: World) -> None:
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        vc = world.engine.connect(recorder, ADDRESSES[0])
    world.settle()
    assert world.commands == [Connect(outgoing_of(vc), ADDRESSES[0])]
    outgoing_of(vc).connected(ADDRESSES[0], Wire(), not_read, "there")


def not_read() -> str:
    """Return the local address: only a recording needs it."""
    raise AssertionError("the local address was read")


def test_the_addresses_are_tried_in_turn_and_the_reasons_joined(world: World) -> None:
    recorder = EventRecorder(world.engine)
    vc = world.connecting(recorder)
    third = Address.parse("tcp://192.0.2.3:1")
    outgoing_of(vc).resolved([*ADDRESSES, third, ADDRESSES[0]])
    world.settle()
    for address, reason in zip(
        (*ADDRESSES, third), ("refused", "unreachable", "refused"), strict=True
    ):
        assert recorder.events == []
        assert world.attempts()[-1] == str(address), "as soon as the last attempt has failed"
        outgoing_of(vc).refused(address, ConnectionRefusedError(reason))
        world.settle()
    assert world.attempts() == [str(a) for a in (*ADDRESSES, third)], "each once"
    assert recorder.events == [Event.ERROR]
    assert str(vc.error) == "refused; unreachable"
    assert not vc.closed, "the opener must close it"


@pytest.mark.parametrize("error", [OSError("no such name"), None])
def test_a_name_without_addresses(world: World, error: OSError | None) -> None:
    recorder = EventRecorder(world.engine)
    vc = world.connecting(recorder)
    outgoing_of(vc).resolved([], error)
    world.settle()
    assert recorder.events == [Event.ERROR]
    assert str(vc.error) == str(error or "the name has no address")


@pytest.mark.parametrize("timeout", [0.0, 5.0])
def test_the_addresses_are_tried_side_by_side(world: World, timeout: float) -> None:
    recorder = EventRecorder(world.engine)
    vc = world.connecting(recorder, timeout=timeout)
    world.settle(3)
    outgoing_of(vc).resolved(ADDRESSES)
    world.settle(0.24)
    assert world.attempts() == [str(ADDRESSES[0])]
    world.settle(0.02)
    assert world.attempts() == [str(address) for address in ADDRESSES]
    outgoing_of(vc).refused(ADDRESSES[1], ConnectionRefusedError("refused"))
    world.settle(1.7)
    assert recorder.events == [], "the first one may still answer"
    world.plug(vc, ADDRESSES[0])
    world.settle(10)
    assert recorder.events == [Event.CONNECTED]


def test_all_attempts_have_one_time_limit(world: World) -> None:
    recorder = EventRecorder(world.engine)
    vc = world.connecting(recorder, timeout=5)
    outgoing_of(vc).resolved(ADDRESSES)
    for passed in (0.25, 4.7):
        world.settle(passed)
        assert recorder.events == []
    world.settle(0.1)
    assert recorder.events == [Event.ERROR]
    late = "tcp://192.0.2.1:1: connection timed out; tcp://192.0.2.2:1: connection timed out"
    assert str(vc.error) == late


def test_the_handshake_has_the_rest_of_the_time_and_no_other_address_is_tried(
    world: World,
) -> None:
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        vc = world.engine.connect(recorder, TARGET, tls=object(), timeout=5)
    outgoing_of(vc).resolved(ADDRESSES)
    world.settle(0.1)
    world.plug(vc, ADDRESSES[0])
    world.settle(4.8)
    assert (world.attempts(), recorder.events) == ([str(ADDRESSES[0])], [])
    world.settle(0.2)
    assert recorder.events == [Event.ERROR]


V4, V6 = ([f"tcp://{host}:1" for host in hosts] for hosts in (
    ("192.0.2.1", "192.0.2.2", "192.0.2.3"), ("[2001:db8::1]", "[2001:db8::2]"),
))  # fmt: skip


def order(world: World, *addresses: str) -> list[str]:
    """Return the order in which the addresses of a name are tried."""
    return list(map(str, world.engine.address_history.ordered(map(Address.parse, addresses))))


def test_the_families_alternate(world: World) -> None:
    assert order(world, *V6, *V4) == [V6[0], V4[0], V6[1], V4[1], V4[2]]
    assert order(world, *V4, *V6) == [V4[0], V6[0], V4[1], V6[1], V4[2]]
    assert order(world, *V4) == V4


def test_a_silent_address_is_tried_last_for_a_while(world: World) -> None:
    a, b = ADDRESSES
    first = world.connecting(EventRecorder(world.engine), timeout=5)
    outgoing_of(first).resolved(ADDRESSES)
    world.settle(0.25)
    world.plug(first, b)
    second = world.connecting(EventRecorder(world.engine), timeout=5)
    outgoing_of(second).resolved(ADDRESSES)
    world.settle()
    assert world.attempts() == [str(a), str(b), str(b)]
    assert order(world, str(a), str(b)) == [str(b), str(a)]
    world.settle(60.0)
    assert order(world, str(a), str(b)) == [str(a), str(b)]


@pytest.mark.parametrize("late", [0.0, 0.24, 0.25])
def test_a_refusal_is_an_answer(world: World, late: float) -> None:
    a, b = ADDRESSES
    vc = world.connecting(EventRecorder(world.engine))
    outgoing_of(vc).resolved([a])
    world.settle(late)
    outgoing_of(vc).refused(a, ConnectionRefusedError("refused"))
    expected = [str(b), str(a)] if late >= 0.25 else [str(a), str(b)]
    assert order(world, str(a), str(b)) == expected


def test_an_address_that_answers_is_not_last_and_their_number_is_limited(
    world: World,
) -> None:
    reach = world.engine.address_history
    for number in range(2000):
        reach.silent(Address("tcp", f"192.0.2.{number}", 1))
    assert len(reach._silent) == 1024
    last = Address("tcp", "192.0.2.1999", 1)
    other = Address("tcp", "192.0.2.5000", 1)
    assert reach.ordered([last, other]) == [other, last]
    reach.answered(last)
    assert reach.ordered([last, other]) == [last, other]


def test_a_close_while_connecting(world: World) -> None:
    recorder = EventRecorder(world.engine)
    vc = world.connecting(recorder, timeout=5)
    with recorder.mutex.hold(world.engine):
        vc.do_io_close()
    outgoing_of(vc).resolved(ADDRESSES)
    outgoing_of(vc).refused(ADDRESSES[0], ConnectionRefusedError("late"))
    outgoing_of(vc).connected(ADDRESSES[1], Wire(), str, "")
    world.settle(10)
    assert recorder.events == []
    assert world.attempts() == []
    assert not world.engine.vcs


@pytest.mark.parametrize("connects", [True, False])
def test_a_close_when_the_outcome_is_queued_already(world: World, connects: bool) -> None:
    recorder = EventRecorder(world.engine)
    vc = world.connecting(recorder)
    outgoing_of(vc).resolved(ADDRESSES[:1])
    world.settle()
    if connects:
        wire = Wire()
        wire.vc = vc
        outgoing_of(vc).connected(ADDRESSES[0], wire, str, "")
    else:
        outgoing_of(vc).refused(ADDRESSES[0], ConnectionRefusedError("refused"))
    with recorder.mutex.hold(world.engine):
        vc.do_io_close()
    world.settle()
    assert recorder.events == []


def test_operations_begun_before_it_is_connected_wait(world: World) -> None:
    recorder = EventRecorder(world.engine)
    vc = world.connecting(recorder)
    recorder.outward.write(b"early")
    with recorder.mutex.hold(world.engine):
        vc.do_io_write(recorder, 5, recorder.outgoing)
    world.settle()
    wire = world.plug(vc)
    assert wire.outgoing == b"early"
    assert recorder.events == [Event.CONNECTED, Event.WRITE_COMPLETE]


def test_a_name_alone_may_be_looked_up(world: World) -> None:
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        vc = world.engine.resolve(recorder, TARGET, timeout=5)
    world.settle()
    outgoing_of(vc).resolved(ADDRESSES)
    world.settle(10)
    assert recorder.events == [Resolved]
    assert recorder.data == [Resolved(tuple(ADDRESSES))]
    assert world.attempts() == []


@pytest.mark.parametrize("fate", ["it is unknown", "there is no answer in time"])
def test_a_failed_look_up_is_reported_as_a_failed_connect(world: World, fate: str) -> None:
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        vc = world.engine.resolve(recorder, TARGET, timeout=5)
    world.settle()
    if fate == "it is unknown":
        outgoing_of(vc).resolved([], OSError("no such name"))
    world.settle(5)
    outgoing_of(vc).resolved(ADDRESSES)
    world.settle()
    assert recorder.events == [Event.ERROR]
    assert recorder.data == [vc]


class Ledger:
    """An observer that records its calls."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def connect_finished(self, vc: NetVConnection, event: Event) -> None:
        self.lines.append(f"{vc.name}: {event!r}")

    def vc_gone(self, vc: NetVConnection) -> None:
        self.lines.append(f"{vc.name} went")


@pytest.mark.parametrize("refused", [False, True])
def test_its_observer_is_notified_of_the_result_and_the_end(world: World, refused: bool) -> None:
    recorder, ledger = EventRecorder(world.engine), Ledger()
    with recorder.mutex.hold(world.engine):
        outgoing = world.engine.outgoing(recorder, "waiting")
        outgoing.observer = ledger
    world.settle(10)
    assert world.commands == []
    assert outgoing.vc.name == "waiting"
    outgoing.start(TARGET)
    world.settle()
    outgoing.resolved(ADDRESSES[:1])
    if refused:
        outgoing.refused(ADDRESSES[0], ConnectionRefusedError())
        world.settle()
    else:
        world.plug(outgoing.vc)
    with recorder.mutex.hold(world.engine):
        outgoing.vc.do_io_close()
    world.settle()
    event = "ERROR" if refused else "CONNECTED"
    assert ledger.lines == [f"{TARGET}: {event}", f"{TARGET} went"]


def test_a_vc_that_was_never_started_is_removed_too(world: World) -> None:
    recorder, ledger = EventRecorder(world.engine), Ledger()
    with recorder.mutex.hold(world.engine):
        outgoing = world.engine.outgoing(recorder, "waiting")
        outgoing.observer = ledger
        outgoing.vc.do_io_close()
    world.settle()
    assert ledger.lines == ["waiting went"]
    assert not world.engine.vcs
