"""Listener: which connections are admitted, and how they are established."""

from functools import partial

import pytest

from vcproxy.engine.commands import ResumeAccept
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.failures import Exhausted
from vcproxy.engine.listener import Listener
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.net import NetVConnection

from .world import EventRecorder, World, engine


@pytest.fixture
def world() -> World:
    return World()


def eared(recorders: list[EventRecorder], vc: NetVConnection) -> Continuation:
    """Accept with a recorder in the VC's own conversation."""
    recorders.append(EventRecorder(vc.engine, vc.mutex))
    return recorders[-1]


def listening(world: World, **options: object) -> tuple[Listener, list[EventRecorder]]:
    recorders: list[EventRecorder] = []
    return Listener("db", partial(eared, recorders), world.engine, **options), recorders  # type: ignore[arg-type]


def test_a_connection_is_passed_to_the_acceptor(world: World) -> None:
    listener, recorders = listening(world)
    vc, _ = world.accept(listener, "tcp://192.0.2.1:5")
    world.settle()
    assert recorders[0].events == [Event.ACCEPT]
    assert recorders[0].data == [vc]
    assert vc.name == "db tcp://192.0.2.1:5"


def test_a_handshake_comes_first(world: World) -> None:
    listener, recorders = listening(world)
    vc, _ = world.accept(listener, secure=True)
    world.settle()
    assert recorders == []
    vc.established("site.example", "h2", "CN=alice")
    world.settle(100)
    assert recorders[0].events == [Event.ACCEPT]
    assert (vc.sni, vc.alpn, vc.certificate) == ("site.example", "h2", "CN=alice")


def test_a_stalled_handshake_is_ended_and_logged(world: World) -> None:
    listener, recorders = listening(world, handshake_s=10)
    vc, _ = world.accept(listener, secure=True)
    world.settle(9.9)
    assert not vc.closed
    world.settle(0.2)
    assert vc.closed
    assert recorders == []
    assert world.log == ["info: db peer: connection timed out in the TLS handshake"]
    assert listener.open == 0


def test_a_failed_handshake_is_logged_and_not_passed_to_the_acceptor(world: World) -> None:
    listener, recorders = listening(world)
    vc, _ = world.accept(listener, secure=True)
    vc.failed(ConnectionError("plaintext on a TLS port"))
    world.settle()
    assert vc.closed
    assert recorders == []
    assert world.log == ["info: db peer: plaintext on a TLS port"]


def test_it_admits_max_connections_and_resumes_when_one_is_closed(world: World) -> None:
    listener, _ = listening(world, max_connections=2)
    vcs = []
    for _ in range(2):
        assert listener.admits()
        vcs.append(world.accept(listener)[0])
    assert not listener.admits()
    world.settle()
    assert world.commands == []
    for vc in vcs:
        with vc.mutex.hold(world.engine):
            vc.do_io_close()
    world.settle()
    assert world.commands == [ResumeAccept(listener)], "once"
    assert listener.admits()


def test_connections_beyond_max_per_client_are_refused(world: World) -> None:
    listener, recorders = listening(world, max_per_client=2)
    refused: list[NetVConnection] = []
    listener.refuser = refused.append
    here = [world.accept(listener, f"192.0.2.1:{port}")[0] for port in (1, 2, 3, 4)]
    there, _ = world.accept(listener, "[2001:db8::1]:1")
    nowhere = [world.accept(listener, "unix")[0] for _ in range(3)]
    world.settle()
    assert [recorder.data for recorder in recorders] == [
        [vc] for vc in (*here[:2], there, *nowhere)
    ]
    assert refused == here[2:]
    assert world.log == [
        "warning: db: 192.0.2.1 is refused: the client has 2 connections already; 1 refused so far"
    ]


def test_an_ipv4_client_has_one_address_on_any_socket(world: World) -> None:
    listener, recorders = listening(world, max_per_client=1)
    vc, _ = world.accept(listener, "[::ffff:192.0.2.1]:1")
    world.accept(listener, "192.0.2.1:2")
    world.settle()
    assert (vc.peer_address, vc.name) == ("192.0.2.1", "db 192.0.2.1:1")
    assert len(recorders) == 1


def test_a_refused_connection_is_not_counted(world: World) -> None:
    listener, recorders = listening(world, max_per_client=1)
    first, _ = world.accept(listener, "192.0.2.1:1")
    second, _ = world.accept(listener, "192.0.2.1:2")
    world.settle()
    assert second.closed
    assert len(recorders) == 1
    with first.mutex.hold(world.engine):
        first.do_io_close()
    world.settle()
    world.accept(listener, "192.0.2.1:3")
    world.settle()
    assert len(recorders) == 2
    assert listener.open == 1


def test_a_refused_connection_has_no_handshake(world: World) -> None:
    listener, recorders = listening(world, max_per_client=1)
    waiting, _ = world.accept(listener, "192.0.2.1:1", secure=True)
    refused, _ = world.accept(listener, "192.0.2.1:2", secure=True)
    assert (waiting.closed, refused.closed) == (False, True)
    waiting.established()
    world.settle()
    assert [recorder.data for recorder in recorders] == [[waiting]]


def test_connections_made_before_a_limit_was_set_count(world: World) -> None:
    listener, _ = listening(world)
    world.accept(listener, "192.0.2.1:1")
    listener.max_per_client = 1
    vc, _ = world.accept(listener, "192.0.2.1:2")
    world.settle()
    assert vc.closed


def test_a_connection_that_closes_while_they_are_counted_is_not_missed(world: World) -> None:
    class Meanwhile(int):
        """A limit that closes a connection of another net thread while it is compared."""

        def __le__(self, there: int) -> bool:
            listener.count_closed(world.engine)
            return int(self) <= there

    listener, _ = listening(world, max_connections=1)
    assert listener.admits()
    listener.count_accepted()
    listener.max_connections = Meanwhile(1)
    assert not listener.admits()
    listener.max_connections = 1
    world.settle()
    assert world.commands == [ResumeAccept(listener)]


def test_it_resumes_when_it_may_admit_more_than_before(world: World) -> None:
    listener, _ = listening(world, max_connections=1)
    listener.count_accepted()
    assert not listener.admits()
    listener.max_connections = 2
    with Mutex().hold(world.engine):
        listener.resume()
    assert world.engine.take_commands() == [ResumeAccept(listener)]


def test_a_failed_accept_pauses_100_ms_and_warns_at_most_once_a_second(world: World) -> None:
    listener, _ = listening(world)
    for _ in range(25):
        world.engine.accept_failed(listener, OSError("too many open files"))
        world.settle(0.09)
        assert world.commands == []
        world.settle(0.02)
        assert world.commands == [ResumeAccept(listener)]
        world.commands.clear()
    assert (
        world.log
        == [
            "warning: db: cannot accept: too many open files; pausing for 100ms",
        ]
        * 3
    )


def test_a_failing_acceptor_closes_its_connection_only(world: World) -> None:
    def fail(vc: NetVConnection) -> Continuation:
        raise KeyError("no such tenant")

    listener, _ = listening(world)
    kept, _ = world.accept(listener, "kept")
    listener.acceptor = fail
    lost, wire = world.accept(listener, "lost")
    world.settle()
    assert (kept.closed, lost.closed, wire.ended) == (False, True, "reset")
    assert world.log == [
        "error: db lost: the plugin could not take the connection ('no such tenant')"
    ]


@pytest.mark.parametrize("free", [True, False])
def test_an_acceptor_that_fails_after_joining_a_conversation_closes_that_one(
    world: World, free: bool
) -> None:
    other, elsewhere = engine(name="elsewhere"), Mutex()

    def fail(vc: NetVConnection) -> Continuation:
        vc.join(elsewhere)
        raise KeyError("no such room")

    listener, _ = listening(world)
    listener.acceptor = fail
    if not free:
        assert elsewhere.try_acquire(other)
    lost, wire = world.accept(listener, "lost")
    world.settle()
    assert lost.closed == free
    if not free:
        elsewhere.release(other)
        world.settle()
    assert (lost.closed, wire.ended) == (True, "reset")
    assert world.engine.vcs == {}
    assert world.log == [
        "error: db lost: the plugin could not take the connection ('no such room')"
    ]


def test_a_full_listener_is_logged_once_a_minute(world: World) -> None:
    listener, _ = listening(world, max_connections=1)
    listener.count_accepted()
    for _ in range(3):
        listener.warn_full()
        world.settle(1)
    lines = ["warning: db: 1 connections are open: more wait until some have closed"]
    assert world.log == lines
    world.settle(60)
    listener.warn_full()
    assert world.log == lines * 2


def test_an_accept_without_a_descriptor_closes_an_idle_connection(
    world: World,
) -> None:
    class Idle:
        left = 1

        def close_idle(self) -> bool:
            self.left -= 1
            return self.left >= 0

    listener, _ = listening(world)
    world.engine.shortage.pools[Idle()] = None
    world.engine.accept_failed(listener, Exhausted("too many open files"))
    world.settle(0.02)
    assert world.commands == [ResumeAccept(listener)]
    assert world.log == []
    world.engine.accept_failed(listener, Exhausted("too many open files"))
    assert world.log == ["warning: db: cannot accept: too many open files; pausing for 100ms"]
