"""The watchdog: its reports of a blocked thread, during the block and after it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.e2e.running import eventually
from tests.engine.world import EventRecorder, engine
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.watchdog import CpuWaits, Watchdog


class Watched:
    """A driver on a thread, a watchdog, and an event that the thread can wait for."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.driver = EpollDriver(engine(self.log, name="net-7"))
        self.gate = threading.Event()
        self.watchdog = Watchdog([self.driver], 0.02, self.driver.engine.log)
        self.thread = threading.Thread(target=self.driver.run)
        self.thread.start()
        self.watchdog.start()

    def logged(self, *words: str) -> None:
        """Wait for a log line with these words."""
        eventually(
            lambda: any(all(word in line for word in words) for line in self.log), f"{words} logged"
        )


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.gate.set()
    watched.watchdog.stop()
    watched.driver.stop()
    watched.thread.join()


def test_a_blocking_callback_is_logged_once_with_its_stack(watched: Watched) -> None:
    recorder = EventRecorder(watched.driver.engine)
    recorder.on["hold"] = watched.gate.wait
    watched.driver.engine.schedule(recorder, "hold", None)
    watched.logged("EventRecorder <EventRecorder> has blocked net-7 for 20ms", "in handle_event")
    assert not any("failed" in line for line in watched.log)
    watched.gate.set()
    watched.logged("EventRecorder <EventRecorder> failed", "its callback blocked net-7")
    assert sum("has blocked" in line for line in watched.log) == 1, "it is logged once"


def test_the_lag_of_a_thread_is_measured_without_a_callback(watched: Watched) -> None:
    def hold() -> None:
        watched.gate.wait()

    watched.driver.engine.inbox.post(hold)
    eventually(lambda: watched.watchdog.lags()["net-7"].longest_s > 0.5, "the lag is measured")
    watched.logged("warning: net-7: lag: events were handled up to")
    assert not any("blocked" in line for line in watched.log), "no callback is running"
    watched.gate.set()
    eventually(lambda: watched.watchdog.lags()["net-7"].average_s < 0.5, "the lag has ended")


class Starved(CpuWaits):
    """A thread that always waits for a CPU, or runs in a quarter of the time."""

    checks = 0
    share = 0.0

    def without(self, now: float) -> float:
        self.checks += 1
        return self.share * 0.01


def test_a_callback_that_waits_for_a_cpu_is_not_at_fault(watched: Watched) -> None:
    thread = watched.watchdog._threads[0]
    thread._cpu_waits = starved = Starved(watched.driver)
    recorder = EventRecorder(watched.driver.engine)
    recorder.on["hold"] = watched.gate.wait
    watched.driver.engine.schedule(recorder, "hold", None)
    eventually(lambda: starved.checks > 20, "checked often")
    assert not any("blocked" in line for line in watched.log)
    starved.share = 0.25
    watched.logged("has blocked net-7 for 20ms")


def test_how_long_a_thread_waits_for_a_cpu() -> None:
    driver = EpollDriver(engine([]))
    driver.native_thread = threading.get_native_id()
    waits = CpuWaits(driver)

    def own_share(busy: bool) -> float:
        """Run, or sleep, for a while; return the part of the time without waits for a CPU."""
        begun = time.monotonic()
        waits.without(begun)
        while time.monotonic() < begun + 0.1:
            if not busy:
                time.sleep(0.1)
        ended = time.monotonic()
        return waits.without(ended) / (ended - begun)

    eventually(lambda: own_share(busy=False) > 0.8, "a thread that sleeps does not wait for a CPU")
    cpus = os.sched_getaffinity(0)
    rivals = []
    try:
        os.sched_setaffinity(0, {min(cpus)})  # of this thread, and of what it starts
        rivals = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
        eventually(lambda: own_share(busy=True) < 0.5, "one of five on a CPU waits for it")
    finally:
        os.sched_setaffinity(0, cpus)
        for rival in rivals:
            rival.kill()
            rival.wait()
    driver.native_thread = 0  # not measured
    waits.without(time.monotonic())
    assert own_share(busy=False) == 1.0
    driver.close()
