"""The watchdog: what it tells of a thread, while it is held up and after."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.e2e.running import eventually
from tests.engine.world import Ear, engine
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.watchdog import Watchdog


class Watched:
    """A driver on a thread, a watchdog, and a door that the thread can be held up at."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.driver = EpollDriver(engine(self.log, name="net-7"))
        self.door = threading.Event()
        self.dog = Watchdog([self.driver], 0.02, self.driver.engine.log)
        self.thread = threading.Thread(target=self.driver.run)
        self.thread.start()
        self.dog.start()

    def logged(self, *words: str) -> None:
        """Wait for a line with these words."""
        eventually(
            lambda: any(all(word in line for word in words) for line in self.log), f"{words} logged"
        )


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.door.set()
    watched.dog.stop()
    watched.driver.stop()
    watched.thread.join()


def test_a_callback_that_never_returns_is_shown(watched: Watched) -> None:
    ear = Ear(watched.driver.engine)
    ear.on["hold"] = watched.door.wait
    watched.driver.engine.schedule(ear, "hold", None)
    watched.logged("Ear <Ear> has blocked net-7 for 20ms", "in handle_event")
    assert not any("failed" in line for line in watched.log)
    watched.door.set()
    watched.logged("Ear <Ear> failed", "its callback blocked net-7")
    assert sum("has blocked" in line for line in watched.log) == 1, "it is shown once"


def test_how_late_a_thread_is_whatever_holds_it_up(watched: Watched) -> None:
    def hold() -> None:
        watched.door.wait()

    watched.driver.engine.inbox.post(hold)
    eventually(lambda: watched.dog.lags()["net-7"].longest_s > 0.5, "it lags")
    watched.logged("warning: net-7: lag: events were handled up to")
    assert not any("blocked" in line for line in watched.log), "it is nobody's callback"
    watched.door.set()
    eventually(lambda: watched.dog.lags()["net-7"].average_s < 0.5, "it has caught up")
