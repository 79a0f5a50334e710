r"""LineConnection: lines in and out, and their limits, on a simulated network."""

from __future__ import annotations

from random import Random

import pytest

from vcproxy.bus.connections.line_connection import (
    FINISH_S,
    LINE_LIMIT,
    LINE_S,
    LINES_PER_TURN,
    OUTPUT_LIMIT,
    LineConnection,
)
from vcproxy.drivers.sim import NetworkFaults, Peer, Simulation, seeds
from vcproxy.engine.address import Address
from vcproxy.engine.listener import Listener
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.net import NetVConnection

SERVICE = Address.parse("tcp://service:1")


class Lines(LineConnection):
    """Keeps its lines and its end; answers `again` by the same line, and `bye` by an end."""

    def __init__(self, vc: NetVConnection, half_close_s: float = 0.0) -> None:
        self.lines: list[bytes] = []
        self.turns: list[int] = []
        self.ends: list[tuple[str, Exception | None]] = []
        self.refusals: list[str] = []
        super().__init__(None, vc, half_close_s=half_close_s)

    def received_line(self, line: bytes) -> None:
        self.lines.append(line)
        self.turns.append(self.engine.turns)
        if line.startswith(b"again"):
            self.send_line(line)
        elif line == b"bye":
            self.finish()
        elif line == b"begone":
            self.close()

    def refused_line(self, reason: str) -> None:
        self.refusals.append(reason)
        self.send_line(b"refused: " + reason.encode())

    def ended(self, reason: str, error: Exception | None) -> None:
        self.ends.append((reason, error))


class World:
    """A service on a simulated network; `connect` returns a client and its connection."""

    def __init__(
        self,
        seed: int = 1,
        faults: NetworkFaults | None = None,
        *,
        direct: bool = True,
        half_close_s: float = 0.0,
    ) -> None:
        self.sim = Simulation(seed, faults)
        self.driver = self.sim.driver("service", direct=direct)
        self.connections: list[Lines] = []
        self.listener = Listener(
            "service",
            lambda vc: self.connections.append(Lines(vc, half_close_s)),
            self.driver.engine,
        )
        self.address = self.driver.listen(SERVICE, self.listener)

    def connect(self) -> tuple[Peer, Lines]:
        before = len(self.connections)
        client = self.sim.client(self.address)
        self.sim.run(until=lambda: len(self.connections) > before)
        return client, self.connections[-1]

    def check_closed(self) -> None:
        """Nothing is left of any connection."""
        assert not self.driver.engine.vcs
        assert self.driver.engine.memory.used == 0


@pytest.fixture(params=[True, False], ids=["direct", "queued"])
def world(request: pytest.FixtureRequest) -> World:
    return World(direct=request.param)


def test_lines_come_and_go(world: World) -> None:
    client, lines = world.connect()
    client.send(b"one\ntwo\r\n\nagain and ")
    world.sim.elapse(1)
    assert lines.lines == [b"one", b"two\r", b""]
    client.send(b"again\n")
    world.sim.elapse(1)
    assert lines.lines[3:] == [b"again and again"]
    assert client.received == b"again and again\n"
    assert lines.ends == []
    client.close()
    world.sim.run()
    assert lines.ends == [("the peer has ended it", None)]
    assert not lines.open
    world.check_closed()


def test_the_split_of_the_input_makes_no_difference(world: World) -> None:
    client, lines = world.connect()
    for byte in b"again 1\nagain 2\n\nlast\n":
        client.send(bytes((byte,)))
        world.sim.elapse(0.1)
    assert lines.lines == [b"again 1", b"again 2", b"", b"last"]
    assert client.received == b"again 1\nagain 2\n"


def test_a_line_of_64_kib_is_delivered_and_one_more_byte_refused(world: World) -> None:
    client, lines = world.connect()
    longest = bytes(LINE_LIMIT)
    client.send(longest + b"\n" + b"again\n" + longest + b"x\nnever\n")
    world.sim.run()
    assert lines.lines == [longest, b"again"]
    assert lines.refusals == ["a line is longer than 64KiB"]
    assert lines.ends == [("a line is longer than 64KiB", None)]
    assert client.received == b"again\nrefused: a line is longer than 64KiB\n"
    assert client.ended
    world.check_closed()


def test_a_peer_that_never_ends_its_line_is_refused_at_the_limit(world: World) -> None:
    client, lines = world.connect()
    client.send(bytes(1 << 20))
    world.sim.run()
    assert lines.lines == []
    assert lines.ends == [("a line is longer than 64KiB", None)]
    assert client.sent < 1 << 20  # it was not read to its end
    world.check_closed()


def test_a_line_must_end_in_time(world: World) -> None:
    client, lines = world.connect()
    client.send(b"again\nSTO")
    world.sim.elapse(LINE_S - 1)
    client.send(b"P")
    world.sim.elapse(0.9)
    assert lines.open
    world.sim.elapse(0.2)
    assert lines.ends == [("a line has not ended within 30s", None)]
    assert client.reset_seen
    world.sim.run()
    world.check_closed()


def test_a_peer_may_be_silent_between_its_lines(world: World) -> None:
    client, lines = world.connect()
    client.send(b"half")
    world.sim.elapse(LINE_S - 1)
    client.send(b" a line\nhalf")
    world.sim.elapse(LINE_S - 1)
    client.send(b" a line\n")
    world.sim.elapse(3600)
    assert lines.lines == [b"half a line"] * 2
    assert lines.open


def test_an_end_inside_a_line_is_told_apart(world: World) -> None:
    client, lines = world.connect()
    client.send(b"again\nSTO")
    client.end()
    world.sim.run()
    assert lines.lines == [b"again"]
    assert lines.ends == [("the peer has ended it inside a line", None)]
    assert client.received == b"again\n"
    world.check_closed()


def test_what_came_before_a_reset_is_delivered_first(world: World) -> None:
    client, lines = world.connect()
    client.send(b"line\n" * 12)
    client.close()  # as the kernel does with unread input: a reset after the data
    lines.send_line(b"unread")
    world.sim.run()
    assert lines.lines == [b"line"] * 12
    assert len(lines.ends) == 1
    world.check_closed()


def test_five_lines_of_a_connection_are_delivered_in_a_turn(world: World) -> None:
    client, lines = world.connect()
    client.send(b"x\n" * 23)
    world.sim.run()
    assert len(lines.lines) == 23
    assert max(map(lines.turns.count, lines.turns)) == LINES_PER_TURN


def test_a_peer_that_does_not_read_is_not_read_any_more(world: World) -> None:
    client, lines = world.connect()
    client.stall()
    line = b"again" + bytes(1000)
    client.send((line + b"\n") * 5000)
    world.sim.elapse(10)
    assert len(lines.lines) < 1000
    assert world.driver.engine.memory.used < 512 * 1024
    client.resume()
    world.sim.elapse(60)
    assert len(lines.lines) == 5000
    assert client.received == (line + b"\n") * 5000


def test_nor_is_one_that_sends_one_line_after_the_other(world: World) -> None:
    client, lines = world.connect()
    client.stall()
    line = b"again" + bytes(3000)
    for _ in range(400):
        client.send(line + b"\n")
        world.sim.elapse(0.01)
    assert len(lines.lines) < 200
    assert lines.open
    client.resume()
    world.sim.elapse(60)
    assert lines.lines == [line] * 400


def test_what_was_not_read_before_a_reset_is_delivered_too(world: World) -> None:
    client, lines = world.connect()
    client.stall()
    with lines.mutex.hold(lines.engine):
        for _ in range(15):
            lines.send_line(bytes(LINE_LIMIT))
    line = bytes(3000)
    client.send((line + b"\n") * 100)
    world.sim.elapse(1)
    assert not lines.lines
    client.close()  # it has not read the answers: the kernel sends a reset after the data
    world.sim.run()
    assert lines.lines == [line] * 100
    ((reason, error),) = lines.ends
    assert isinstance(error, ConnectionError)
    assert reason == f"it is broken: {error}"
    world.check_closed()


def test_one_that_ends_without_reading_its_answers_is_closed(world: World) -> None:
    client, lines = world.connect()
    client.stall()
    while not lines._output.avail:  # until the network takes no more
        with lines.mutex.hold(lines.engine):
            lines.send_line(bytes(10_000))
        world.sim.elapse(0.1)
    line = b"again" + bytes(LINE_LIMIT - 5)
    client.send(line + b"\n")
    world.sim.elapse(1)
    assert lines.lines == [line]  # its answer fills the output
    client.end()
    world.sim.elapse(1)
    assert lines.ends == [("the peer has ended it", None)]
    world.sim.elapse(FINISH_S)
    assert lines.vc.closed
    client.reset()
    world.sim.run()
    world.check_closed()


def test_a_peer_that_does_not_read_is_closed_when_too_much_output_waits(world: World) -> None:
    client, lines = world.connect()
    client.stall()
    with lines.mutex.hold(lines.engine):
        while lines.send_line(bytes(10_000)):
            assert world.driver.engine.memory.used < 2 * OUTPUT_LIMIT
        assert not lines.ends  # nothing is called back inline
    world.sim.run()
    assert lines.ends == [("1MiB of output wait: the peer does not read", None)]
    world.check_closed()


def test_finish_sends_what_waits(world: World) -> None:
    client, lines = world.connect()
    client.stall()
    with lines.mutex.hold(lines.engine):
        for number in range(100):
            assert lines.send_line(b"%d" % number * 1000)
        lines.finish()
        lines.finish()
        assert not lines.send_line(b"too late")
    world.sim.elapse(FINISH_S / 2)
    client.resume()
    client.send(b"also too late\n")
    world.sim.run()
    assert client.received.count(b"\n") == 100
    assert client.ended
    assert not lines.lines
    assert not lines.ends
    world.check_closed()


def test_finish_does_not_wait_for_ever(world: World) -> None:
    client, lines = world.connect()
    client.stall()
    with lines.mutex.hold(lines.engine):
        for _ in range(15):
            lines.send_line(bytes(LINE_LIMIT))
        lines.finish()
    world.sim.elapse(FINISH_S + 1)
    assert lines.vc.closed


def test_finish_does_not_wait_for_a_peer_that_only_sends(world: World) -> None:
    client, lines = world.connect()
    client.stall()
    with lines.mutex.hold(lines.engine):
        for _ in range(15):
            lines.send_line(bytes(LINE_LIMIT))
        lines.finish()
    for _ in range(round(FINISH_S) + 1):
        client.send(b"again\n")
        world.sim.elapse(1)
    assert lines.vc.closed


def test_an_end_is_not_delivered_after_close(world: World) -> None:
    client, lines = world.connect()
    client.stall()
    with lines.mutex.hold(lines.engine):
        while lines.send_line(bytes(10_000)):
            pass
        lines.close()
        lines.finish()
    world.sim.run()
    assert not lines.ends
    world.check_closed()


def test_the_callback_may_end_the_connection(world: World) -> None:
    client, lines = world.connect()
    client.send(b"again\nbye\nmore\n")
    other, others = world.connect()
    other.send(b"begone\nmore\n")
    world.sim.run()
    assert client.received == b"again\n"
    assert client.ended
    assert lines.lines == [b"again", b"bye"]
    assert others.lines == [b"begone"]
    assert lines.ends == others.ends == []
    world.check_closed()


@pytest.mark.parametrize("direct", [True, False])
def test_answers_may_follow_the_end_of_the_peer(direct: bool) -> None:
    world = World(direct=direct, half_close_s=5.0)
    client, lines = world.connect()
    client.send(b"again\n")
    client.end()
    world.sim.elapse(1)
    assert client.received == b"again\n"
    assert not client.ended
    assert lines.open
    with lines.mutex.hold(lines.engine):
        assert lines.send_line(b"later")
    world.sim.elapse(3)
    assert client.received == b"again\nlater\n"
    world.sim.elapse(2)
    assert client.ended
    assert lines.ends == [("the peer has ended it", None)]
    world.check_closed()


def test_one_that_waits_for_answers_is_closed_when_it_breaks() -> None:
    world = World(half_close_s=60.0)
    client, lines = world.connect()
    client.end()
    world.sim.elapse(1)
    assert lines.open
    client.reset()
    world.sim.elapse(1)
    assert lines.vc.closed
    assert len(lines.ends) == 1


def test_lines_are_sent_from_other_conversations(world: World) -> None:
    client, lines = world.connect()
    with Mutex().hold(world.driver.engine):
        assert lines.send_line(b"from elsewhere")
        lines.finish()
        assert lines.vc.moved == 0  # it does not hold the mutex of the connection
    world.sim.run()
    assert client.received == b"from elsewhere\n"
    assert client.ended
    assert not lines.send_line(b"too late")
    world.check_closed()


def test_a_line_over_the_limit_is_not_sent(world: World) -> None:
    _, lines = world.connect()
    with pytest.raises(ValueError, match="a line of 65537 bytes: at most 65536 can be sent"):
        lines.send_line(bytes(LINE_LIMIT + 1))


@pytest.mark.parametrize("seed", list(seeds(60)))
def test_with_random_faults_all_lines_arrive_in_order(seed: int) -> None:
    random = Random(seed)
    world = World(seed, NetworkFaults.all().some(random), direct=random.random() < 0.5)
    with world.sim:
        client = world.sim.client(world.address)
        sent = [b"again %d " % number + bytes(random.randint(0, 3000)) for number in range(50)]
        for line in sent:
            client.send(line + b"\n")
            if random.random() < 0.3:
                world.sim.elapse(random.uniform(0, 0.5))
        client.end()
        world.sim.run()
        for lines in world.connections:
            assert lines.lines == sent[: len(lines.lines)]
            assert len(lines.ends) <= 1
            if client.error is None and lines.ends and lines.ends[0][1] is None:
                assert lines.lines == sent
                assert client.received.split(b"\n")[:-1] == sent
        world.check_closed()


def converse(seed: int, direct: bool) -> tuple[list[bytes], bytes, list[str], list[str], int]:
    """Have a random conversation; return all that can be observed of it."""
    random = Random(seed)
    world = World(seed, direct=direct, half_close_s=random.choice((0.0, 1.0)))
    client, lines = world.connect()
    for number in range(random.randint(1, 30)):
        match random.randrange(12):
            case 0:
                client.stall()
            case 1:
                client.resume()
            case 2:
                world.sim.elapse(random.choice((0.001, 1.0, LINE_S)))
            case 3 if number > 5:
                random.choice((client.end, client.close, client.reset))()
            case 4:
                client.send(random.choice((b"bye\n", bytes(LINE_LIMIT), b"\n")))
            case _:
                text = b"again %d" % number + bytes(random.choice((0, 1, 100, 30_000)))
                text *= random.choice((1, 1, 7))
                client.send(text + random.choice((b"", b"\n", b"\n\n")))
        if random.random() < 0.7:
            world.sim.elapse(0.01)
    client.resume()
    world.sim.run()
    logged = [text for _, _, text in world.sim.log]
    ends = [reason for reason, _ in lines.ends]
    return lines.lines, bytes(client.received), ends, logged, world.driver.engine.memory.used


@pytest.mark.parametrize("seed", list(seeds(100)))
def test_what_is_passed_on_at_once_is_passed_on_as_from_the_queue(seed: int) -> None:
    assert converse(seed, direct=True) == converse(seed, direct=False)
