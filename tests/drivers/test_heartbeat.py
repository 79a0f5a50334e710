"""The heartbeat: a beat each time that every net thread has turned."""

from __future__ import annotations

from tests.engine.world import engine
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.heartbeat import Heartbeat


def test_it_beats_when_every_net_thread_has_turned() -> None:
    one, other = (EpollDriver(engine([], name=f"net-{number}")) for number in range(2))
    beats: list[str] = []
    Heartbeat([one, other], 0.0, lambda: beats.append("beat")).start()
    one.turn(0.0)
    assert not beats
    other.turn(0.0)
    assert len(beats) == 1
    for _ in range(3):
        one.turn(0.0)
    assert len(beats) == 1, "the other one does not turn"
    other.turn(0.0)
    assert len(beats) == 2
    for driver in (one, other):
        driver.close()


def test_a_driver_that_waits_for_events_wakes_up_for_it() -> None:
    driver = EpollDriver(engine([]))
    beats: list[str] = []
    Heartbeat([driver], 0.04, lambda: beats.append("beat")).start()
    while len(beats) < 3:
        driver.turn()
    driver.close()
