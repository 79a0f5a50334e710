"""Streams in one host, simulated: FIFOs, serial lines, terminals, standard input and output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.conformance.meeting import meet
from tests.conformance.test_sim import ROUGH
from tests.drivers.stream_world import Talker
from vcproxy.drivers.sim import NetworkFaults, Peer, Simulation, seeds
from vcproxy.engine.address import Address
from vcproxy.engine.event import Event
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.vconnection import Shutdown
from vcproxy.testing.conformance import Crash, Law, Pair, Trait, laws

FIFO = Address.parse("fifo:/run/app.fifo")
LINE = Address.parse("serial:/dev/ttyUSB0?baud=9600")
TERMINAL = Address.parse("terminal:")
STDIO = Address.parse("stdio:")


class World:
    """A simulation with one engine."""

    def __init__(self, seed: int = 0) -> None:
        self.sim = Simulation(seed)
        self.driver = self.sim.driver()
        self.engine = self.driver.engine

    def run(self, until: Callable[[], object]) -> None:
        self.sim.run(lambda: bool(until()))

    def opened(self, address: Address, *, subscribe: bool = False) -> Talker:
        talker = Talker(self.engine)
        with talker.mutex.hold(self.engine):
            verb = self.engine.subscribe if subscribe else self.engine.connect
            talker.vc = verb(talker, address)
        self.run(lambda: talker.events)
        if talker.events == [Event.CONNECTED]:
            with talker.mutex.hold(self.engine):
                talker.start(talker.vc)
        return talker


def text(peer: Peer) -> bytes:
    return bytes(peer.received)


class TestFifo:
    def test_writing_to_a_process(self) -> None:
        world = World()
        reader = world.sim.server(FIFO)
        talker = world.opened(FIFO)
        talker.write(b"hello")
        world.run(lambda: text(reader.peers[0]) == b"hello")

    def test_without_a_reader_it_is_refused(self) -> None:
        talker = World().opened(FIFO)
        assert talker.error == "no process has the FIFO open for reading"
        assert isinstance(talker.vc.error, ConnectionRefusedError)

    def test_a_reader_that_goes_away(self) -> None:
        world = World()
        reader = world.sim.server(FIFO)
        talker = world.opened(FIFO)
        reader.peers[0].close()
        world.run(lambda: talker.error)
        assert talker.error == "its reader has closed it"

    def test_reading_goes_on_after_a_writer(self) -> None:
        world = World()
        talker = world.opened(FIFO, subscribe=True)
        for word in (b"one ", b"two"):
            writer = world.sim.client(FIFO)
            writer.send(word)
            writer.close()
            world.run(lambda word=word: talker.received.endswith(word))  # type: ignore[misc]
        assert talker.received == b"one two"
        assert Event.EOS not in talker.events
        talker.write(b"answer")
        world.run(lambda: talker.error)
        assert talker.error == "it can only be read, and something was written"

    def test_a_subscriber_that_closes_leaves_no_reader(self) -> None:
        world = World()
        talker = world.opened(FIFO, subscribe=True)
        talker.close()
        world.run(lambda: not world.engine.vcs)
        assert world.opened(FIFO).error == "no process has the FIFO open for reading"

    def test_listening(self) -> None:
        world = World()
        talkers: list[Talker] = []

        def accept(vc: NetVConnection) -> None:
            talkers.append(Talker(world.engine, vc.mutex))
            talkers[-1].start(vc)

        world.driver.listen(FIFO, Listener("main", accept, world.engine))
        writer = world.sim.client(FIFO)
        writer.send(b"hello")
        writer.end()
        world.run(lambda: talkers and Event.EOS in talkers[0].events)
        assert talkers[0].received == b"hello"


class TestSerial:
    def test_bytes_go_both_ways(self) -> None:
        world = World()
        device = world.sim.server(LINE)
        talker = world.opened(LINE)
        talker.write(b"AT\r")
        world.run(lambda: text(device.peers[0]) == b"AT\r")
        device.peers[0].send(b"OK\r")
        world.run(lambda: talker.received == b"OK\r")

    @pytest.mark.parametrize("vanish", [Peer.reset, Peer.end])
    def test_a_line_that_vanishes(self, vanish: Callable[[Peer], None]) -> None:
        world = World()
        device = world.sim.server(LINE)
        talker = world.opened(LINE)
        vanish(device.peers[0])
        world.run(lambda: talker.error)
        assert talker.error == (
            "the serial line has gone: its device was unplugged, or has hung up"
        )
        assert isinstance(talker.vc.error, ConnectionResetError)
        assert Event.EOS not in talker.events

    def test_a_device_that_is_not_there(self) -> None:
        assert World().opened(LINE).error == "no such file or directory"

    def test_one_connection_at_a_time(self) -> None:
        world = World()
        world.sim.server(LINE)
        first = world.opened(LINE)
        assert world.opened(LINE).error == (
            "the serial line is in use by another connection or process"
        )
        first.close()
        world.run(lambda: not first.vc.port)
        assert world.opened(LINE).error == ""


class TestTerminal:
    def test_a_user_types_and_ends(self) -> None:
        world = World()
        user = world.sim.server(TERMINAL)
        talker = world.opened(TERMINAL)
        user.peers[0].send(b"hello\n")
        user.peers[0].end()  # ^D
        world.run(lambda: Event.EOS in talker.events)
        assert talker.received == b"hello\n"

    def test_a_hangup(self) -> None:
        world = World()
        user = world.sim.server(TERMINAL)
        talker = world.opened(TERMINAL)
        user.peers[0].reset()
        world.run(lambda: talker.error)
        assert talker.error == "the terminal has hung up"

    def test_a_process_without_one(self) -> None:
        assert World().opened(TERMINAL).error.startswith("this process has no terminal")

    def test_standard_input_is_another_thing(self) -> None:
        world = World()
        world.sim.server(TERMINAL)
        pipes = world.sim.server(STDIO)
        talker = world.opened(STDIO)
        pipes.peers[0].send(b"hello")
        pipes.peers[0].end()
        world.run(lambda: Event.EOS in talker.events)
        talker.write(b"answer")
        world.run(lambda: text(pipes.peers[0]) == b"answer")
        assert world.opened(STDIO).error == (
            "standard input and output are in use already by this process"
        )


# -- the laws --------------------------------------------------------------------------------


@contextmanager
def met(address: Address, faults: NetworkFaults) -> Iterator[Pair]:
    """A VC that connects to an address at which another engine listens."""
    with Simulation(1, faults) as simulation:
        home, away = simulation.driver("home"), simulation.driver("away")

        def run(until: Callable[[], bool]) -> None:
            try:
                simulation.run(until)
            except Crash:  # made on purpose: the simulation raises what an engine only logs
                simulation.run(until)

        yield meet(lambda listener: home.listen(address, listener), home.engine, away.engine, run)
        simulation.run()
        assert not home.engine.vcs
        assert not away.engine.vcs
        assert (home.engine.memory.used, away.engine.memory.used) == (0, 0)


FAULTS = pytest.mark.parametrize("faults", [NetworkFaults(), ROUGH], ids=["smooth", "rough"])


@FAULTS
@pytest.mark.parametrize("law", laws(lacking=(Trait.RESET, Trait.BOTH_WAYS)), ids=str)
def test_the_laws_of_fifos(law: Law, faults: NetworkFaults) -> None:
    with met(FIFO, faults) as pair:
        law(pair)


@FAULTS
@pytest.mark.parametrize("law", laws(lacking=(Trait.RESET, Trait.HALF_CLOSE, Trait.END)), ids=str)
def test_the_laws_of_serial_lines(law: Law, faults: NetworkFaults) -> None:
    with met(LINE, faults) as pair:
        law(pair)


@FAULTS
@pytest.mark.parametrize("law", laws(), ids=str)
def test_the_laws_of_standard_input(law: Law, faults: NetworkFaults) -> None:
    with met(STDIO, faults) as pair:
        law(pair)


@pytest.mark.parametrize("seed", [*seeds(20)])
def test_nothing_is_left_of_any_stream(seed: int) -> None:
    """With all faults, many connections: each ends, and nothing is held."""
    with Simulation(seed, NetworkFaults.all()) as simulation:
        home, away = simulation.driver("home"), simulation.driver("away")
        talkers: list[Talker] = []

        def accept(vc: NetVConnection) -> None:
            talker = Talker(home.engine, vc.mutex)
            talkers.append(talker)
            talker.start(vc)
            talker.on[Event.EOS] = talker.on[Event.ERROR] = vc.do_io_close

        for address in (FIFO, STDIO, Address.parse("unixpacket:/run/app.sock")):
            home.listen(address, Listener("main", accept, home.engine))
            for _ in range(5):
                client = Talker(away.engine)
                with client.mutex.hold(away.engine):
                    client.vc = away.engine.connect(client, address)
                client.on["close"] = client.vc.do_io_close
                when = simulation.random.random()
                away.engine.schedule_in(when, client, "close", None)
        simulation.run()
        for talker in talkers:
            with talker.mutex.hold(home.engine):
                talker.vc.do_io_close()
        simulation.run()
        assert not home.engine.vcs
        assert not away.engine.vcs
        assert (home.engine.memory.used, away.engine.memory.used) == (0, 0)


@pytest.mark.parametrize("address", [LINE, TERMINAL])
def test_the_end_of_writing_ends_a_device(address: Address) -> None:
    """There is no end in one direction, and waiting for one could last for ever."""
    world = World()
    device = world.sim.server(address)
    talker = world.opened(address)
    with talker.mutex.hold(world.engine):
        talker.vc.do_io_shutdown(Shutdown.WRITE)
    world.run(lambda: Event.EOS in talker.events)
    talker.close()
    world.run(lambda: device.peers[0].ended)
