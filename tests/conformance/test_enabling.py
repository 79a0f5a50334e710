"""Priority, and enabling and disabling: the same for every kind of source and every driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from signal import SIGUSR1

import pytest

from tests.engine.world import EventRecorder
from vcproxy.engine.address import Address
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.sources.child_process import ChildProcess
from vcproxy.engine.sources.datagrams import Bound, Datagrams
from vcproxy.engine.sources.signals import Signals
from vcproxy.engine.sources.source import Source
from vcproxy.engine.sources.thread_messages import ThreadMessages
from vcproxy.engine.sources.ticks import Ticks
from vcproxy.engine.sources.unix_datagrams import UnixDatagrams

from .source_world import EXIT_3, SourceWorld, opened, script, world_of

LOCAL = "127.0.0.1"


@pytest.fixture(params=["epoll", "sim"])
def world(request: pytest.FixtureRequest) -> Iterator[SourceWorld]:
    with world_of(request.param) as made:
        yield made


@dataclass
class Open:
    """An open source, and how to make something happen there."""

    recorder: EventRecorder
    source: Source
    cause: Callable[[], object]

    def enable(self, enabled: bool) -> None:
        with self.recorder.mutex.hold(self.recorder.engine):
            (self.source.enable if enabled else self.source.disable)()


def datagrams(world: SourceWorld, folder: Path) -> Open:
    recorder, source = opened(world, lambda each: Datagrams(each, "a", (LOCAL, 0)))
    world.run(lambda: recorder.data)
    bound = recorder.data.pop()
    assert isinstance(bound, Bound)

    def send() -> None:
        with recorder.mutex.hold(world.engine):
            source.send(b"x", bound.address)

    return Open(recorder, source, send)


def unix_datagrams(world: SourceWorld, folder: Path) -> Open:
    path = str(folder / "a.sock")
    recorder, source = opened(
        world, lambda each: UnixDatagrams(each, "a", Address("unixgram", path=path))
    )
    world.run(lambda: recorder.data)
    recorder.data.clear()

    def send() -> None:
        with recorder.mutex.hold(world.engine):
            source.send(b"x", path)

    return Open(recorder, source, send)


def signals(world: SourceWorld, folder: Path) -> Open:
    recorder, source = opened(world, lambda each: Signals(each, (SIGUSR1,)))
    barrier(world)
    return Open(recorder, source, lambda: world.signal(SIGUSR1))


def thread_messages(world: SourceWorld, folder: Path) -> Open:
    recorder, source = opened(world, lambda each: ThreadMessages(each, "a"))
    return Open(recorder, source, lambda: source.post("x"))


def ticks(world: SourceWorld, folder: Path) -> Open:
    recorder, source = opened(world, lambda each: Ticks(each, "a", 0.01))
    return Open(recorder, source, lambda: elapse(world, 0.02))


def children(world: SourceWorld, folder: Path) -> Open:
    recorder, source = opened(world, lambda each: ChildProcess(each, "a", script(EXIT_3)))

    def ended() -> None:
        other, _ = opened(world, lambda each: ChildProcess(each, "b", script(EXIT_3)))
        world.run(lambda: len(other.data) == 2 and world.engine.sources == {})

    return Open(recorder, source, ended)


KINDS = [datagrams, unix_datagrams, signals, thread_messages, ticks, children]
"""With the last two it takes several turns until something has happened."""


def elapse(world: SourceWorld, seconds: float) -> None:
    """Let time pass."""
    recorder, _ = opened(world, lambda each: None)
    world.run(lambda: True)
    with recorder.mutex.hold(world.engine):
        world.engine.schedule_in(seconds, recorder, "later", None)
    world.run(lambda: recorder.events)


def barrier(world: SourceWorld) -> None:
    """Run until all commands so far are performed, and what came before has been delivered."""
    for _ in range(2):
        recorder, source = opened(world, lambda each: ThreadMessages(each, "barrier"))
        source.post("done")
        world.run(lambda recorder=recorder: recorder.data)  # type: ignore[misc]
        with recorder.mutex.hold(world.engine):
            source.close()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
class TestDisable:
    def test_nothing_comes_until_enable_and_then_what_happened(
        self, world: SourceWorld, kind: Callable[[SourceWorld, Path], Open], tmp_path: Path
    ) -> None:
        it = kind(world, tmp_path)
        it.enable(False)
        barrier(world)
        before = len(it.recorder.data)  # a tick may have come before
        it.cause()
        barrier(world)
        assert len(it.recorder.data) == before
        assert not it.source.enabled
        it.enable(True)
        world.run(lambda: len(it.recorder.data) > before)
        assert it.source.enabled

    def test_a_disabled_one_can_be_closed(
        self, world: SourceWorld, kind: Callable[[SourceWorld, Path], Open], tmp_path: Path
    ) -> None:
        it = kind(world, tmp_path)
        it.enable(False)
        barrier(world)
        with it.recorder.mutex.hold(world.engine):
            it.source.close()
        barrier(world)
        assert world.engine.sources == {}


@pytest.mark.parametrize("kind", KINDS[:4], ids=lambda kind: kind.__name__)
def test_what_was_passed_in_before_is_kept(
    world: SourceWorld, kind: Callable[[SourceWorld, Path], Open], tmp_path: Path
) -> None:
    it = kind(world, tmp_path)
    before = len(it.recorder.data)
    world.together(it.cause)
    it.enable(False)  # the driver has not seen the command yet
    barrier(world)
    assert len(it.recorder.data) == before
    it.enable(True)
    world.run(lambda: len(it.recorder.data) > before)


def test_priority_orders_what_comes_in_one_turn(world: SourceWorld) -> None:
    mutex = Mutex()
    recorder = EventRecorder(world.engine, mutex)
    with mutex.hold(world.engine):
        boxes = {
            name: Datagrams(recorder, name, (LOCAL, 0), priority=priority)
            for name, priority in (("low", 200), ("default", 100), ("high", 5), ("highest", 0))
        }
    world.run(lambda: len(recorder.data) == 4)
    addresses = {each.name: each.address for each in recorder.data if isinstance(each, Bound)}
    recorder.data.clear()

    def send() -> None:
        with mutex.hold(world.engine):
            for name in ("low", "default", "high", "highest"):
                boxes["low"].send(name.encode(), addresses[name])

    world.together(send)
    world.run(lambda: len(recorder.data) == 4)
    assert [each.name for each in recorder.data] == [  # type: ignore[attr-defined]
        *("highest", "high", "default", "low")
    ]
