"""MemoryPressure: which connections are closed, when, and which are still served."""

from __future__ import annotations

from tests.engine.world import EventRecorder, Wire, World
from vcproxy.engine.blocks import RESERVE
from vcproxy.engine.event import Event
from vcproxy.engine.held_memory import HeldMemory
from vcproxy.engine.iobuffer import WATER_MARK
from vcproxy.engine.lifecycle import TLS_SIZE
from vcproxy.engine.listener import Listener
from vcproxy.engine.memory_pressure import LOGGED, PAUSE_S, RESERVE_SHARE, TICK_S
from vcproxy.engine.net import NetVConnection

CLIENTS = 32
BUDGET = CLIENTS * WATER_MARK


class SlowClients:
    """Clients that read nothing, with a full buffer each: together they use up the budget."""

    def __init__(self) -> None:
        self.world = World(BUDGET)
        self.recorders: list[EventRecorder] = []
        self.wires: list[Wire] = []
        for _ in range(CLIENTS):
            self.join()

    def join(self, unread: int = WATER_MARK) -> tuple[EventRecorder, NetVConnection, Wire]:
        """Add a client."""
        recorder, vc, wire = self.world.writing()
        with recorder.mutex.hold(self.world.engine):
            vc.do_io_read(recorder, None, recorder.buffer)
        wire.window = 0
        recorder.outward.write(bytes(unread))

        def leave() -> None:
            vc.do_io_close()
            recorder.outgoing.close()

        recorder.on[Event.ERROR] = leave
        self.recorders.append(recorder)
        self.wires.append(wire)
        return recorder, vc, wire

    @property
    def closed(self) -> list[bool]:
        """Which clients were closed."""
        return [Event.ERROR in recorder.events for recorder in self.recorders]


def test_small_conversations_read_from_the_reserve() -> None:
    slow = SlowClients()
    world = slow.world
    small, _, wire = world.reading()
    slow.join(unread=1)
    world.engine.memory.used -= BUDGET // RESERVE  # not used yet by the slow client
    assert world.engine.memory.spent
    wire.arrive(b"." * (RESERVE_SHARE + 1))
    world.settle()
    assert small.incoming.avail == RESERVE_SHARE, "after one such read it may not use the reserve"
    small.incoming.read()
    slow.wires[0].arrive(b"a request")
    world.settle()
    assert slow.recorders[0].incoming.avail == 0, "it holds too much already"


def test_connections_that_do_not_move_are_closed_at_once_as_many_as_needed() -> None:
    slow = SlowClients()
    world = slow.world
    paused, _, wire = world.reading()
    wire.arrive(b"a request")
    for _ in range(round(PAUSE_S / TICK_S) - 1):
        world.settle(TICK_S)
    assert not any(slow.closed)
    for _ in range(3):
        world.settle(TICK_S)
    assert sum(slow.closed) == CLIENTS // 4, "down to three quarters, within a tick or two"
    assert paused.incoming.avail == len(b"a request")
    named = [
        line
        for line in world.log
        if "closed: the memory budget is used up, and it holds 64.0KiB" in line
    ]
    assert len(named) == LOGGED
    rest = CLIENTS // 4 - LOGGED
    assert world.log[-1] == (
        f"warning: the memory budget is used up: {rest} more connections are closed, "
        f"which hold {rest * 64}.0KiB"
    )


def test_the_largest_is_closed_first_whatever_it_holds() -> None:
    slow = SlowClients()
    world = slow.world
    hoarder, _, _ = world.writing()
    keep = HeldMemory(hoarder)
    keep.hold(BUDGET // 2)  # a body for a filter
    hoarder.on[Event.ERROR] = lambda: keep.hold(0)
    slow.recorders.append(hoarder)
    _, _, wire = world.reading()
    wire.arrive(b"." * (RESERVE_SHARE + 1))
    for _ in range(round(PAUSE_S / TICK_S) + 2):
        world.settle(TICK_S)
    assert slow.closed == [*[True] * 8, *[False] * (CLIENTS - 8), True]


def test_connections_that_move_are_closed_one_at_a_time_and_later() -> None:
    slow = SlowClients()
    world = slow.world
    _, _, wire = world.reading()
    wire.arrive(b"a request")

    def some_second(ticks: int) -> None:
        for _ in range(ticks):
            for recorder, wire in zip(slow.recorders, slow.wires, strict=True):
                if not any(slow.closed):
                    wire.window += 1  # slow, but each reads one byte at a time
                wire.vc.reenable(False)
                recorder.outward.write(b".")
            world.settle(TICK_S)

    some_second(round(2 * PAUSE_S / TICK_S) - 2)
    assert not any(slow.closed)
    some_second(8)
    assert sum(slow.closed) == 1


def test_held_memory_counts_until_its_owner_is_collected() -> None:
    world = World()
    recorder = EventRecorder(world.engine)
    keep = HeldMemory(recorder)
    keep.hold(1000)
    keep.hold(400)
    assert (world.engine.memory.used, recorder.mutex.held_bytes) == (400, 400)
    del keep
    assert (world.engine.memory.used, recorder.mutex.held_bytes) == (0, 0)
    keep = HeldMemory(recorder)
    keep.hold(1000)
    with recorder.mutex.hold(world.engine):
        world.engine.end_conversation(recorder.mutex, RuntimeError())
    assert world.engine.memory.used == 0
    keep.hold(2000)
    del keep
    assert world.engine.memory.used == 0


class Secure:
    """Clients with TLS that hold nothing else."""

    def __init__(self, memory: int) -> None:
        self.world = World(memory)
        self.recorders: list[EventRecorder] = []
        self.wires: list[Wire] = []
        self._listener = Listener("tls", self._take, self.world.engine)

    def _take(self, vc: NetVConnection) -> None:
        recorder = EventRecorder(vc.engine, vc.mutex)
        recorder.on[Event.ERROR] = vc.do_io_close
        vc.do_io_read(recorder, None, recorder.buffer)
        self.recorders.append(recorder)

    def join(self) -> tuple[EventRecorder, NetVConnection, Wire]:
        """Add a client."""
        vc, wire = self.world.accept(self._listener, secure=True)
        vc.established()
        self.world.settle()
        self.wires.append(wire)
        return self.recorders[-1], vc, wire

    @property
    def closed(self) -> list[bool]:
        """Which clients were closed."""
        return [Event.ERROR in recorder.events for recorder in self.recorders]


def wait(world: World) -> None:
    for _ in range(round(PAUSE_S / TICK_S) + 3):
        world.settle(TICK_S)


def test_tls_counts_from_accept_to_close_but_not_against_the_reserve() -> None:
    clients = Secure(TLS_SIZE + 2 * RESERVE_SHARE)
    world = clients.world
    recorder, vc, wire = clients.join()
    memory = world.engine.memory
    assert memory.used == TLS_SIZE
    memory.limit = TLS_SIZE
    wire.arrive(b"a request")
    world.settle()
    assert recorder.incoming.avail == len(b"a request"), "read from the reserve"
    recorder.incoming.read()
    with recorder.mutex.hold(world.engine):
        vc.do_io_close()
    assert memory.used == 0
    world.settle()
    assert (memory.used, len(world.engine.vcs)) == (0, 0)


def test_a_connection_that_fails_in_its_handshake_is_uncounted() -> None:
    clients = Secure(1 << 20)
    world = clients.world
    vc, _ = world.accept(Listener("tls", lambda _: None, world.engine), secure=True)
    assert world.engine.memory.used == TLS_SIZE
    vc.failed(ConnectionResetError())
    world.settle()
    assert world.engine.memory.used == 0


def test_clients_that_end_no_handshake_are_closed_too() -> None:
    """None of them reads, so no reading has to pause."""
    clients = Secure(16 * TLS_SIZE)
    world = clients.world
    listener = Listener("tls", lambda _: None, world.engine)
    for _ in range(24):
        world.accept(listener, secure=True)
        world.settle(0.3)
    assert world.engine.memory.used < 16 * TLS_SIZE
    assert world.log[0].startswith("warning: tls peer: closed: the memory budget is used up, and ")


def test_the_longest_idle_tls_clients_are_closed_as_many_as_needed() -> None:
    clients = Secure(16 * TLS_SIZE)
    world = clients.world
    for _ in range(14):
        clients.join()
        world.settle(1.0)
    clients.wires[0].arrive(b"again")  # the first client is no longer the longest idle one
    world.settle()
    clients.recorders[0].incoming.read()
    clients.join()  # that is the limit
    wait(world)
    assert clients.closed == [False, True, True, True, *[False] * 11], "down to three quarters"
    assert world.log[0] == (
        "warning: tls peer: closed: the memory budget is used up, and it holds 64.0KiB for TLS, "
        "idle for 13.5 s"
    )


def test_idle_tls_clients_stay_while_closing_stalled_ones_is_enough() -> None:
    clients = Secure(16 * TLS_SIZE)
    world = clients.world
    for _ in range(10):
        clients.join()
    world.settle(10.0)
    slow, vc, wire = world.writing()  # the most recent client
    wire.window = 0
    slow.outward.write(bytes(5 * TLS_SIZE))

    def leave() -> None:
        vc.do_io_close()
        slow.outgoing.close()

    slow.on[Event.ERROR] = leave
    clients.wires[3].arrive(b"a request")
    world.settle()
    wait(world)
    assert Event.ERROR in slow.events
    assert not any(clients.closed)
    assert world.engine.memory.used < world.engine.memory.resume_below
