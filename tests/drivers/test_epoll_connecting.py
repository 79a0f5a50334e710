"""Connecting on real sockets: the addresses of a name side by side, one of them a black hole."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.engine.world import Ear, engine
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.resolver import Resolver
from vcproxy.engine.address import Address
from vcproxy.engine.event import Event
from vcproxy.engine.net import NetVConnection
from vcproxy.testing.running import PATIENCE_S

HOLE, OPEN = "127.0.0.2", "127.0.0.3"


class Driven:
    """A driver for which a name has two addresses: one answers nothing, the other accepts."""

    def __init__(self, driver: EpollDriver, port: int) -> None:
        self.driver = driver
        self.port = port
        self.at_rest = len(driver._watchers)

    def connect(self, name: str, timeout: float = PATIENCE_S) -> tuple[Ear, NetVConnection]:
        """Ask for a connection, and wait for what comes of it."""
        ear = Ear(self.driver.engine)
        with ear.mutex.hold(self.driver.engine):
            target = Address("tcp", name, self.port)
            vc = self.driver.engine.connect(ear, target, timeout=timeout)
        self.until(lambda: bool(ear.heard))
        return ear, vc

    def until(self, condition: Callable[[], bool]) -> None:
        """Turn until it is so."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline
            self.driver.turn(0.01)

    def close(self, ear: Ear, vc: NetVConnection) -> None:
        """Close a connection: nothing is left of it."""
        with ear.mutex.hold(self.driver.engine):
            vc.do_io_close(ConnectionError())
        self.until(lambda: not self.driver.engine.vcs)
        assert len(self.driver._watchers) == self.at_rest


@pytest.fixture
def driven() -> Iterator[Driven]:
    with socket.socket() as hole, socket.socket() as filler, socket.socket() as server:
        hole.bind((HOLE, 0))
        hole.listen(0)
        filler.connect(hole.getsockname())  # from here on the kernel drops who knocks
        port = hole.getsockname()[1]
        server.bind((OPEN, port))
        server.listen()
        with closing(EpollDriver(engine())) as driver:
            names = {"both": [HOLE, OPEN], "none": [HOLE]}
            driver.offload.resolver = Resolver(names.__getitem__)
            yield Driven(driver, port)


def test_the_next_address_is_tried_beside_one_that_does_not_answer(driven: Driven) -> None:
    began = time.monotonic()
    ear, vc = driven.connect("both")
    assert ear.heard == [Event.CONNECTED]
    assert vc.peer == f"tcp://{OPEN}:{driven.port}"
    assert 0.25 <= time.monotonic() - began < PATIENCE_S / 2
    driven.close(ear, vc)
    hole = Address("tcp", HOLE, driven.port)
    assert driven.driver.engine.address_history.ordered([hole, hole.with_port(1)])[-1] == hole
    tried = []
    driven.driver._perform = dict(driven.driver._perform)
    for kind, perform in driven.driver._perform.items():

        def note(command: object, perform: Callable[..., None] = perform) -> None:
            tried.append(getattr(command, "address", None))
            perform(command)

        driven.driver._perform[kind] = note
    ear, vc = driven.connect("both")
    assert ear.heard == [Event.CONNECTED]
    assert hole not in tried, "it is remembered"
    driven.close(ear, vc)


def test_all_attempts_are_given_up_in_time(driven: Driven) -> None:
    ear, vc = driven.connect("none", timeout=0.3)
    assert ear.heard == [Event.ERROR]
    assert isinstance(vc.error, TimeoutError)
    driven.close(ear, vc)


def test_one_that_is_closed_gives_up_its_name_or_its_attempts(driven: Driven) -> None:
    for turns in range(6):
        ear = Ear(driven.driver.engine)
        with ear.mutex.hold(driven.driver.engine):
            vc = driven.driver.engine.connect(ear, Address("tcp", "none", driven.port))
        for _ in range(turns):
            driven.driver.turn(0.01)
        driven.close(ear, vc)
        assert ear.heard == []
