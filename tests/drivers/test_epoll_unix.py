"""Unix sockets of the epoll driver: the mode, owner and group of their files."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.engine.world import engine
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.epoll.accepting import bind
from vcproxy.drivers.epoll.unix_socket import bound_unix, owners, set_permissions
from vcproxy.engine.address import Address
from vcproxy.engine.listener import Listener

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to other users")


@pytest.fixture
def driver() -> Iterator[EpollDriver]:
    with closing(EpollDriver(engine())) as driver:
        yield driver


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("scheme", ["unix", "unixgram", "unixpacket"])
@pytest.mark.parametrize("wanted", ["600", "0660", "0666", "0777"])
def test_the_mode_does_not_depend_on_the_umask(scheme: str, wanted: str, tmp_path: Path) -> None:
    with bound_unix(Address.parse(f"{scheme}:{tmp_path}/socket?mode={wanted}")):
        assert mode(tmp_path / "socket") == int(wanted, 8)


def test_without_parameters_the_mode_is_that_of_the_umask(tmp_path: Path) -> None:
    with (
        bound_unix(Address.parse(f"unix:{tmp_path}/socket")),
        socket.socket(socket.AF_UNIX) as plain,
    ):
        plain.bind(f"{tmp_path}/plain")
        assert mode(tmp_path / "socket") == mode(tmp_path / "plain")


@root
def test_owner_and_group(tmp_path: Path) -> None:
    with (
        bound_unix(Address.parse(f"unix:{tmp_path}/socket?owner=daemon&group=adm")),
        bound_unix(Address.parse(f"unix:{tmp_path}/numbers?owner=1234&group=4321")),
        socket.socket(socket.AF_UNIX) as plain,
    ):
        plain.bind(f"{tmp_path}/plain")
        found, numbers = (tmp_path / "socket").stat(), (tmp_path / "numbers").stat()
        assert (found.st_uid, found.st_gid) == owners(
            Address.parse("unix:x?owner=daemon&group=adm")
        )
        assert (numbers.st_uid, numbers.st_gid) == (1234, 4321)
        assert mode(tmp_path / "socket") == mode(tmp_path / "plain")


@pytest.mark.parametrize("what", ["owner", "group"])
def test_a_name_that_does_not_exist(what: str, tmp_path: Path) -> None:
    kind = {"owner": "user", "group": "group"}[what]
    with pytest.raises(OSError, match=f'there is no {kind} "nemo-x"'):
        bind(Address.parse(f"unix:{tmp_path}/socket?{what}=nemo-x"))
    assert os.listdir(tmp_path) == []


def test_a_reload_sets_the_mode_of_the_open_socket(driver: EpollDriver, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    listener = Listener("main", lambda vc: None, driver.engine)
    driver.listen(Address.parse(f"unix:{path}?mode=0600"), listener)
    inode = path.stat().st_ino
    driver.renew(Address.parse(f"unix:{path}?mode=0660"), listener)
    assert (mode(path), path.stat().st_ino) == (0o660, inode)
    path.unlink()
    driver.renew(Address.parse(f"unix:{path}?mode=0640"), listener)
    assert mode(path) == 0o640
    driver.close()
    assert not path.exists()


@pytest.mark.parametrize("scheme", ["unixgram", "unixpacket", "fifo"])
def test_a_reload_sets_the_mode_of_other_kinds(
    driver: EpollDriver, scheme: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    listener = Listener("main", lambda vc: None, driver.engine)
    driver.listen(Address.parse(f"{scheme}:{path}?mode=0600"), listener)
    driver.renew(Address.parse(f"{scheme}:{path}?mode=0640"), listener)
    assert mode(path) == 0o640
    driver.close()
    assert not path.exists()


def test_permissions_of_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        set_permissions(Address.parse(f"unix:{tmp_path}/socket?mode=0600"))
