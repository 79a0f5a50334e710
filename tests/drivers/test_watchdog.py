"""The watchdog: its reports of a blocked thread, during the block and after it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.e2e.running import eventually
from tests.engine.world import EventRecorder, engine
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.watchdog import Watchdog


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
