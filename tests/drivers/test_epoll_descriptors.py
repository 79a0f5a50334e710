"""Descriptors: clients never take the descriptors that their server connections need."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.engine.world import engine
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.descriptors import MAX_DESCRIPTORS, Descriptors
from vcproxy.engine.address import Address
from vcproxy.engine.listener import Listener

ADDRESS = Address("tcp", "127.0.0.1", 0)


@pytest.fixture
def driver() -> Iterator[EpollDriver]:
    with closing(EpollDriver(engine(), descriptors=Descriptors(1064))) as driver:
        yield driver


def listening(driver: EpollDriver, address: Address = ADDRESS) -> Listener:
    listener = Listener("in", lambda vc: None, driver.engine)
    driver.listen(address, listener)
    return listener


def test_half_of_the_descriptors_are_for_clients(driver: EpollDriver) -> None:
    listener = listening(driver)
    descriptors = driver.descriptors
    assert descriptors.usable == 1064 - 64 - 1
    assert (descriptors.most_clients, descriptors.room) == (499, 499)
    for _ in range(499):
        listener.count_accepted()
    assert (descriptors.most_clients, descriptors.room) == (499, 0)
    assert not descriptors.room_for_pipe


def test_clients_of_closed_listeners_still_count(driver: EpollDriver) -> None:
    one, other = listening(driver), listening(driver)
    one.count_accepted()
    other.count_accepted()
    assert driver.descriptors.room == 499 - 2
    driver.unlisten(one)
    third = listening(driver)
    assert driver.descriptors.room == 498 - 2, "its client is still connected"
    one.count_closed(driver.engine)
    listening(driver)
    assert driver.descriptors.room == 498 - 1
    assert third.open == 0


def test_pipes_take_a_quarter_and_clients_the_rest(driver: EpollDriver) -> None:
    listening(driver)
    pipes = []
    while (pipe := driver._commands.pipes.borrow()) is not None:
        pipes.append(pipe)
    assert len(pipes) == 999 // 4 // 2
    assert driver.descriptors.room == (999 - 2 * len(pipes)) // 2
    for pipe in pipes:
        driver._commands.pipes.give_back(pipe)
    assert driver._commands.pipes.count == 32, "the size of the pool"
    driver._commands.pipes.close()
    assert driver.descriptors.room == 499


def test_datagram_sessions_take_one_each_and_at_most_half(driver: EpollDriver) -> None:
    listening(driver)
    listener = listening(driver, Address("udp", "127.0.0.1", 0))
    [sessions] = driver.descriptors._datagram_sockets
    most = driver.descriptors.most_clients
    for number in range(most):
        assert driver.descriptors.room_for_session
        listener.count_accepted()
        sessions.ports["127.0.0.1", number] = sessions.port(("127.0.0.1", number))
    assert not driver.descriptors.room_for_session
    assert driver.descriptors.room == (driver.descriptors.usable - most) // 2
    sessions.ports.clear()


@pytest.mark.parametrize("limit", [3, 16, 64, 128, 1024, 4096, MAX_DESCRIPTORS])
def test_any_limit_admits_at_least_one_client(limit: int) -> None:
    descriptors = Descriptors(limit)
    assert 1 <= descriptors.most_clients <= limit // 2


def test_no_more_clients_are_admitted_than_there_is_room_for(driver: EpollDriver) -> None:
    listener = listening(driver)
    while driver.descriptors.admits():
        listener.count_accepted()
    assert listener.open == driver.descriptors.most_clients
    assert not driver.descriptors.admits()
    listener.count_closed(driver.engine)
    assert driver.descriptors.admits()


def test_closed_standard_descriptors_are_opened_for_executed_programs_too(tmp_path: Path) -> None:
    output = tmp_path / "output"
    script = f"""
import os, pathlib
from vcproxy.drivers.epoll.descriptors import open_standard

open_standard()
show = 'readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2 >{output}'
os.execv("/bin/sh", ["sh", "-c", f"({{show.replace('$$', str(os.getpid()))}})"])
"""
    command = 'exec "$@" <&- >&- 2>&-'
    subprocess.run(["sh", "-c", command, "sh", sys.executable, "-c", script], check=True)
    assert output.read_text() == "/dev/null\n" * 3
