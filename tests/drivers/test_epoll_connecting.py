"""Connecting on real sockets: several addresses of a name at a time, one of them unresponsive."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.engine.world import EventRecorder, engine
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.connecting import Attempt
from vcproxy.drivers.epoll.resolver import Resolver
from vcproxy.engine.address import Address
from vcproxy.engine.event import Event
from vcproxy.engine.net import NetVConnection
from vcproxy.testing.running import PATIENCE_S

UNRESPONSIVE, OPEN = "127.0.0.2", "127.0.0.3"


class Driven:
    """A driver, and a name with two addresses: one does not reply, the other accepts."""

    def __init__(self, driver: EpollDriver, port: int) -> None:
        self.driver = driver
        self.port = port
        self.idle_watchers = len(driver._watchers)

    def connect(
        self, name: str, timeout: float = PATIENCE_S
    ) -> tuple[EventRecorder, NetVConnection]:
        """Connect, and wait for the result."""
        recorder = EventRecorder(self.driver.engine)
        with recorder.mutex.hold(self.driver.engine):
            target = Address("tcp", name, self.port)
            vc = self.driver.engine.connect(recorder, target, timeout=timeout)
        self.until(lambda: bool(recorder.events))
        return recorder, vc

    def until(self, condition: Callable[[], bool]) -> None:
        """Turn until a condition holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline
            self.driver.turn(0.01)

    def close(self, recorder: EventRecorder, vc: NetVConnection) -> None:
        """Close a connection, and check that no descriptor is left."""
        with recorder.mutex.hold(self.driver.engine):
            vc.do_io_close(ConnectionError())
        self.until(lambda: not self.driver.engine.vcs)
        assert len(self.driver._watchers) == self.idle_watchers


@pytest.fixture
def driven() -> Iterator[Driven]:
    with socket.socket() as unresponsive, socket.socket() as filler, socket.socket() as server:
        unresponsive.bind((UNRESPONSIVE, 0))
        unresponsive.listen(0)
        filler.connect(
            unresponsive.getsockname()
        )  # the backlog is full: the kernel drops further SYNs
        port = unresponsive.getsockname()[1]
        server.bind((OPEN, port))
        server.listen()
        with closing(EpollDriver(engine())) as driver:
            names = {"both": [UNRESPONSIVE, OPEN], "none": [UNRESPONSIVE]}
            driver.offload.resolver = Resolver(names.__getitem__)
            yield Driven(driver, port)


def test_a_second_attempt_starts_beside_an_unresponsive_one(driven: Driven) -> None:
    began = time.monotonic()
    recorder, vc = driven.connect("both")
    assert recorder.events == [Event.CONNECTED]
    assert vc.peer == f"tcp://{OPEN}:{driven.port}"
    assert 0.25 <= time.monotonic() - began < PATIENCE_S / 2
    driven.close(recorder, vc)
    unresponsive = Address("tcp", UNRESPONSIVE, driven.port)
    assert (
        driven.driver.engine.address_history.ordered([unresponsive, unresponsive.with_port(1)])[-1]
        == unresponsive
    )
    tried = []
    driven.driver._perform = dict(driven.driver._perform)
    for kind, perform in driven.driver._perform.items():

        def note(command: object, perform: Callable[..., None] = perform) -> None:
            tried.append(getattr(command, "address", None))
            perform(command)

        driven.driver._perform[kind] = note
    recorder, vc = driven.connect("both")
    assert recorder.events == [Event.CONNECTED]
    assert unresponsive not in tried, "the next connect tries the other address first"
    driven.close(recorder, vc)


def test_all_attempts_end_at_the_connect_timeout(driven: Driven) -> None:
    recorder, vc = driven.connect("none", timeout=0.3)
    assert recorder.events == [Event.ERROR]
    assert isinstance(vc.error, TimeoutError)
    driven.close(recorder, vc)


def test_a_close_cancels_the_look_up_or_the_attempts(driven: Driven) -> None:
    for turns in range(6):
        recorder = EventRecorder(driven.driver.engine)
        with recorder.mutex.hold(driven.driver.engine):
            vc = driven.driver.engine.connect(recorder, Address("tcp", "none", driven.port))
        for _ in range(turns):
            driven.driver.turn(0.01)
        driven.close(recorder, vc)
        assert recorder.events == []


def test_an_event_of_a_closed_socket_with_the_same_number_is_ignored(driven: Driven) -> None:
    """A child process that is being launched has copies of closed sockets, and so has epoll."""
    recorder = EventRecorder(driven.driver.engine)
    with recorder.mutex.hold(driven.driver.engine):
        target = Address("tcp", UNRESPONSIVE, driven.port)
        vc = driven.driver.engine.connect(recorder, target)
    driven.driver.turn(0)
    (attempt,) = [each for each in driven.driver._watchers.values() if isinstance(each, Attempt)]
    attempt.ready(select.EPOLLOUT)
    attempt.ready(select.EPOLLOUT | select.EPOLLHUP)
    driven.driver.turn(0)
    assert recorder.events == []
    driven.close(recorder, vc)


def test_a_socket_that_is_connected_to_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing listens at a port of ip_local_port_range, one connect in about 5,500 is to
    itself (Linux 6.18, even ports): the kernel has chosen that port as the own one. Here it is
    chosen on purpose."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        here = probe.getsockname()

    def bind(sock: socket.socket, *_: object, **__: object) -> None:
        sock.bind(here)

    monkeypatch.setattr("vcproxy.drivers.epoll.connecting.set_tcp", bind)
    with closing(EpollDriver(engine())) as driver:
        driven = Driven(driver, here[1])
        recorder, vc = driven.connect(here[0])
        assert recorder.events == [Event.ERROR]
        assert isinstance(vc.error, ConnectionRefusedError)
        driven.close(recorder, vc)
        with socket.create_server(here):  # the port is free for the server that comes back
            pass
