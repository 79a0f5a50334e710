"""Listening sockets: a Unix socket in use, and one whose folder was moved."""

import errno
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engine.world import engine
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.accepting import bind
from vcproxy.engine.address import Address
from vcproxy.engine.listener import Listener


def test_a_live_unix_socket_with_a_full_backlog_is_in_use(tmp_path: Path) -> None:
    path = str(tmp_path / "live")
    with socket.socket(socket.AF_UNIX) as live, socket.socket(socket.AF_UNIX) as waiting:
        live.bind(path)
        live.listen(0)
        waiting.connect(path)
        with pytest.raises(OSError, match="in use") as refused:
            bind(Address.parse(f"unix:{path}"))
        assert refused.value.errno == errno.EADDRINUSE


def test_a_batch_doubles_while_more_clients_are_waiting() -> None:
    driver = EpollDriver(engine())
    accepted: list[str] = []
    listener = Listener("in", lambda vc: accepted.append(vc.peer), driver.engine)
    real = driver.listen(Address.parse("tcp://127.0.0.1:0"), listener)
    with ExitStack() as open_sockets:
        for _ in range(12):
            client = socket.create_connection((real.host, real.port))
            open_sockets.enter_context(client)
        found = []
        while len(accepted) < 12:
            before = len(accepted)
            driver.turn(1.0)
            found.append(len(accepted) - before)
    assert found == [1, 2, 4, 5]
    driver.close()


def test_a_socket_whose_folder_was_replaced_by_a_file_is_closed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    driver = EpollDriver(engine())
    listener = Listener("in", lambda vc: None, driver.engine)
    driver.listen(Address.parse(f"unix:{tmp_path}/run/in"), listener)
    (tmp_path / "run").rename(tmp_path / "moved")
    (tmp_path / "run").touch()
    driver.unlisten(listener)
    with pytest.raises(ConnectionRefusedError), socket.socket(socket.AF_UNIX) as late:
        late.connect(str(tmp_path / "moved" / "in"))
    driver.close()
