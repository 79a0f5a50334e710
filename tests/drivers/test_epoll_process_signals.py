"""Signals under epoll: handlers that were there before, and where signals cannot be taken."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.conformance.source_world import EpollWorld, opened, world_of
from vcproxy.drivers.epoll.sources.process_signals import PROCESS_SIGNALS
from vcproxy.engine.sources.signals import Signal, Signals


@pytest.fixture
def world() -> Iterator[EpollWorld]:
    with world_of("epoll") as made:
        assert isinstance(made, EpollWorld)
        yield made


def test_the_previous_handler_is_called_too_and_comes_back(world: EpollWorld) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    ours = signal.getsignal(signal.SIGUSR1)
    try:
        recorder, source = opened(world, lambda each: Signals(each, (signal.SIGUSR1,)))
        world.driver.turn(0)
        os.kill(os.getpid(), signal.SIGUSR1)
        world.run(lambda: recorder.data)
        assert seen == [signal.SIGUSR1]
        with recorder.mutex.hold(world.engine):
            source.close()
        world.driver.turn(0)
        assert signal.getsignal(signal.SIGUSR1) is ours
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_default_comes_back_with_the_end_of_the_driver(world: EpollWorld) -> None:
    before = signal.getsignal(signal.SIGINT)
    recorder, _ = opened(world, lambda each: Signals(each, (signal.SIGINT,)))
    world.driver.turn(0)
    os.kill(os.getpid(), signal.SIGINT)  # no KeyboardInterrupt
    world.run(lambda: recorder.data)
    world.close()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_that_was_installed_later_stays(world: EpollWorld) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    try:
        opened(world, lambda each: Signals(each, (signal.SIGUSR1,)))
        world.driver.turn(0)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        world.close()
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_sigkill_cannot_be_taken(world: EpollWorld) -> None:
    recorder, _ = opened(world, lambda each: Signals(each, (signal.SIGKILL, signal.SIGUSR1)))
    world.driver.turn(0)
    assert world.log == [
        "error: signals: SIGKILL is not taken: the system does not let a process take it"
    ]
    os.kill(os.getpid(), signal.SIGUSR1)
    world.run(lambda: recorder.data)


def test_only_the_main_thread_can_take_signals() -> None:
    log: list[str] = []

    def serve() -> None:
        world = EpollWorld()
        opened(world, lambda each: Signals(each, (signal.SIGUSR1,)))
        world.driver.turn(0)
        log.extend(world.log)
        world.close()

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert log == [
        "error: signals: SIGUSR1 is not taken: only programs and machines on the main thread can "
        "take signals"
    ]


def test_a_signal_that_was_seen_otherwise_is_reported(world: EpollWorld) -> None:
    recorder, _ = opened(world, lambda each: Signals(each, (signal.SIGTERM,)))
    world.driver.turn(0)
    PROCESS_SIGNALS.report(Signal(signal.SIGTERM, 77))
    PROCESS_SIGNALS.report(Signal(signal.SIGHUP, 77))
    world.run(lambda: recorder.data)
    assert recorder.data == [Signal(signal.SIGTERM, 77)]
