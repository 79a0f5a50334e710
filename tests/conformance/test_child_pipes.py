"""Pipes of child processes: the same tests with epoll and in a simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.drivers.stream_world import Talker
from tests.engine.world import EventRecorder
from vcproxy.drivers.sim.process import SimProcess
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.sources.child_process import PIPE, ChildExited, ChildProcess, Launch, Launched
from vcproxy.testing.conformance import Law, Pair, Trait, laws

from .source_world import SCRIPTS, SourceWorld, world_of

CAT = "exec cat"
SPLIT = "echo to stdout; echo to stderr >&2; exit 4"
COUNT = "wc -c"
DEAF = "exec sleep 60"


def cat(process: SimProcess) -> None:
    process.stdin.on_data = process.stdout.send
    process.stdin.on_end = process.exit


def split(process: SimProcess) -> None:
    process.stdout.send(b"to stdout\n")
    process.stderr.send(b"to stderr\n")
    process.exit(4)


def count(process: SimProcess) -> None:
    def end() -> None:
        process.stdout.send(b"%d\n" % len(process.stdin.received))
        process.exit()

    process.stdin.on_end = end


def deaf(process: SimProcess) -> None:
    process.stdin.stall()


@pytest.fixture(params=["epoll", "sim"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[SourceWorld]:
    simulated = {CAT: cat, SPLIT: split, COUNT: count, DEAF: deaf}
    for text, program in simulated.items():
        monkeypatch.setitem(SCRIPTS, text, program)
    with world_of(request.param) as made:
        yield made


class Piped(EventRecorder):
    """A child with pipes, and a Talker for each."""

    def __init__(self, world: SourceWorld, script: str, **streams: str) -> None:
        super().__init__(world.engine)
        self.world = world
        launch = Launch("/bin/sh", ("sh", "-c", script), **streams)  # type: ignore[arg-type]
        with self.mutex.hold(world.engine):
            self.child = ChildProcess(self, "alice", launch)
            self.stdin = self._talker(self.child.stdin, reads=False)
            self.stdout = self._talker(self.child.stdout)
            self.stderr = self._talker(self.child.stderr)

    def _talker(self, vc: NetVConnection | None, *, reads: bool = True) -> Talker:
        talker = Talker(self.engine, self.mutex)
        if vc is not None:
            talker.start(vc, reads=reads)
        return talker

    def shut_stdin(self) -> None:
        """Close the standard input of the child."""
        self.stdin.close()

    def close_all(self) -> None:
        """Close the child and its VCs."""
        with self.mutex.hold(self.engine):
            self.child.close()
            for vc in list(self.mutex.vcs):
                vc.do_io_close()
        self.world.run(lambda: not self.engine.vcs)


def test_what_is_written_comes_back(world: SourceWorld) -> None:
    piped = Piped(world, CAT, stdin=PIPE, stdout=PIPE)
    piped.stdin.write(b"hello")  # before it is launched
    world.run(lambda: piped.stdout.received == b"hello")
    piped.stdin.write(b" again")
    world.run(lambda: piped.stdout.received == b"hello again")
    assert isinstance(piped.data[0], Launched)
    connected = [each for key, each in zip(piped.events, piped.data, strict=True)
                 if key is Event.CONNECTED]  # fmt: skip
    assert connected == [piped.child.stdin, piped.child.stdout]
    assert piped.child.stderr is None
    piped.shut_stdin()
    world.run(lambda: Event.EOS in piped.stdout.events)
    world.run(lambda: ChildExited in piped.events)
    piped.close_all()


def test_output_and_errors_are_apart_and_can_be_read_after_the_end(world: SourceWorld) -> None:
    piped = Piped(world, SPLIT, stdout=PIPE, stderr=PIPE)
    world.run(lambda: ChildExited in piped.events)
    world.run(lambda: Event.EOS in piped.stdout.events and Event.EOS in piped.stderr.events)
    assert piped.stdout.received == b"to stdout\n"
    assert piped.stderr.received == b"to stderr\n"
    assert piped.data[-1] == ChildExited("alice", 4)
    piped.close_all()


def test_an_empty_input_ends_at_once(world: SourceWorld) -> None:
    piped = Piped(world, COUNT, stdin=PIPE, stdout=PIPE)
    piped.shut_stdin()  # before the launch
    world.run(lambda: piped.stdout.received.strip() == b"0")
    piped.close_all()


def test_much_input_waits_for_the_child(world: SourceWorld) -> None:
    piped = Piped(world, COUNT, stdin=PIPE, stdout=PIPE)
    piped.stdin.write(bytes(1_000_000))
    world.run(lambda: not piped.stdin.outgoing.avail)
    piped.shut_stdin()
    world.run(lambda: piped.stdout.received.strip() == b"1000000")
    piped.close_all()


def test_a_child_that_ends_without_reading(world: SourceWorld) -> None:
    piped = Piped(world, SPLIT, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    world.run(lambda: piped.stdin.error)
    assert piped.stdin.error == "its reader has closed it"
    piped.close_all()


def test_a_program_that_cannot_be_launched(world: SourceWorld) -> None:
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        launch = Launch("/nowhere/program", ("program",), stdin=PIPE, stderr=PIPE)
        child = ChildProcess(recorder, "alice", launch)
    world.run(lambda: len(recorder.events) == 3)
    assert recorder.events[1:] == [Event.ERROR, Event.ERROR]
    assert child.stdin is not None
    assert str(child.stdin.error).startswith("cannot be started: /nowhere/program: no such file")
    with recorder.mutex.hold(world.engine):
        for vc in (child.stdin, child.stderr):
            assert vc is not None
            vc.do_io_close()
    world.run(lambda: not world.engine.vcs)


def test_close_kills_the_child_and_ends_its_pipes(world: SourceWorld) -> None:
    piped = Piped(world, DEAF, stdin=PIPE, stdout=PIPE)
    world.run(lambda: piped.events.count(Event.CONNECTED) == 2)
    with piped.mutex.hold(world.engine):
        piped.child.close()
    world.run(lambda: Event.EOS in piped.stdout.events and piped.stdin.error)
    piped.close_all()


def test_close_before_the_launch(world: SourceWorld) -> None:
    piped = Piped(world, CAT, stdin=PIPE, stdout=PIPE)
    piped.close_all()
    other = Piped(world, SPLIT, stdout=PIPE)  # it is launched after the first one
    world.run(lambda: ChildExited in other.events)
    other.close_all()


def test_the_end_of_the_driver_closes_them(world: SourceWorld) -> None:
    piped = Piped(world, CAT, stdin=PIPE, stdout=PIPE)
    world.run(lambda: Event.CONNECTED in piped.events)
    Piped(world, CAT, stdin=PIPE, stdout=PIPE, stderr=PIPE)  # it is being launched
    world.driver.turn()  # type: ignore[attr-defined]


def test_what_a_launch_refuses() -> None:
    with pytest.raises(ValueError, match='stdin must be PIPE or ""'):
        Launch("/bin/sh", ("sh",), stdin="/dev/null")
    with pytest.raises(ValueError, match="nothing is written to output=/tmp/log"):
        Launch("/bin/sh", ("sh",), output="/tmp/log", stdout=PIPE, stderr=PIPE)


@contextmanager
def through_cat(world: SourceWorld) -> Iterator[Pair]:
    """The input of cat and its output."""
    recorder = EventRecorder(world.engine)
    with recorder.mutex.hold(world.engine):
        launch = Launch("/bin/sh", ("sh", "-c", CAT), stdin=PIPE, stdout=PIPE)
        child = ChildProcess(recorder, "cat", launch)
    world.run(lambda: recorder.events.count(Event.CONNECTED) == 2)
    assert child.stdin is not None
    assert child.stdout is not None
    with recorder.mutex.hold(world.engine), (other := Mutex()).hold(world.engine):
        child.stdout.join(other)  # each end is a conversation of its own

    def run(until: Callable[[], bool]) -> None:
        world.run(until)

    yield Pair(child.stdin, child.stdout, run)
    with recorder.mutex.hold(world.engine):
        child.close()
    world.run(lambda: not world.engine.vcs)


ONE_WAY = laws(lacking=(Trait.RESET, Trait.BOTH_WAYS))
THROUGH = {
    # cat notices that its output is closed when it writes next.
    "epoll": {"a_crash_closes_the_connection"},
    # The simulated cat holds any number of bytes, and goes on when its output is closed.
    "sim": {
        "a_crash_closes_the_connection",
        "closing_in_a_callback",
        "a_peer_that_never_reads_blocks_the_writer",
    },
}
"""The laws that do not hold for both ends of cat, because it is in between."""


@pytest.mark.parametrize(
    ("world", "law"),
    [
        pytest.param(kind, law, id=f"{kind}-{law}")
        for kind, others in THROUGH.items()
        for law in ONE_WAY
        if str(law) not in others
    ],
    indirect=["world"],
)
def test_the_laws(world: SourceWorld, law: Law) -> None:
    with through_cat(world) as pair:
        law(pair)
