"""BusExchange: sources of several engines, one exchange, and doors on other threads."""

from __future__ import annotations

from threading import Thread

from tests.engine.world import EventRecorder, engine
from vcproxy.drivers.bus_exchange import BusExchange
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.engine.sources.bus_messages import BusMessages, BusReceived


def source(driver: EpollDriver, name: str, *commands: str) -> EventRecorder:
    """The recorder of a source that is open."""
    recorder = EventRecorder(driver.engine)
    with recorder.mutex.hold(driver.engine):
        BusMessages(recorder, name, commands)
    driver.turn(0)
    return recorder


def test_engines_of_one_process_share_it() -> None:
    bus = BusExchange()
    one, two = (EpollDriver(engine(name=name), bus=bus) for name in ("one", "two"))
    try:
        first, second = source(one, "db", "OPEN"), source(two, "web", "OPEN", "CLOSE")
        assert bus.names() == ["db", "web"]
        assert bus.commands() == ["CLOSE", "OPEN"]
        assert bus.commands("db") == ["OPEN"]
        assert bus.takes("CLOSE")
        assert not bus.takes("CLOSE", "db")
        assert bus.describe("CLOSE") == "CLOSE"
        assert bus.describe("CLOSE", "db") == ""
        assert bus.usages() == ["CLOSE", "OPEN"]
        assert bus.usages("db") == ["OPEN"]
        assert bus.deliver("OPEN", "OPEN") == 2
        one.turn(0)
        assert first.data == [BusReceived("db", "OPEN")]
        assert second.data == []
        two.turn(0)
        assert second.data == [BusReceived("web", "OPEN")]
    finally:
        one.close()
        two.close()
    assert bus.names() == []


def test_several_threads_deliver() -> None:
    bus = BusExchange()
    driver = EpollDriver(engine(), bus=bus)
    try:
        recorder = source(driver, "db", "OPEN")
        threads = [
            Thread(target=lambda: [bus.deliver("OPEN", "OPEN") for _ in range(100)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        driver.turn(0)
        assert recorder.data == [BusReceived("db", "OPEN")] * 400
    finally:
        driver.close()


def test_what_waits_for_a_busy_engine_is_bounded() -> None:
    bus = BusExchange()
    driver = EpollDriver(engine(), bus=bus)
    try:
        recorder = source(driver, "db", "OPEN")
        text = f"OPEN door={'x' * 60_000}"
        assert [bus.deliver("OPEN", text) for _ in range(20)] == [1] * 17 + [0] * 3
        driver.turn(0)
        assert [bus.deliver("OPEN", "OPEN") for _ in range(1001)] == [1] * 1000 + [0]
        driver.turn(0)
        assert len(recorder.data) == 1017
    finally:
        driver.close()


def test_a_reply_without_a_door_is_dropped() -> None:
    bus = BusExchange()
    driver = EpollDriver(engine(), bus=bus)
    try:
        recorder = EventRecorder(driver.engine)
        with recorder.mutex.hold(driver.engine):
            BusMessages(recorder, "db", ("OPEN",)).reply(7, "OPENED")
        driver.turn(0)
    finally:
        driver.close()
