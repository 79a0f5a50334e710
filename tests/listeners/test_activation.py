"""Sockets of a service manager: matched by address, closed if no listener has it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from vcproxy.config.loader import Configuration, load
from vcproxy.engine.address import Address
from vcproxy.listeners.activation import activated


def configured(folder: Path, *addresses: str) -> Configuration:
    """Return a configuration that listens at some addresses."""
    file = folder / "proxy.toml"
    file.write_text(
        "".join(
            f'[[listener]]\nname = "l{number}"\nbind = "{address}"\nplugin = "echo"\n'
            for number, address in enumerate(addresses)
        )
    )
    return load(file)


def passed(*sockets: socket.socket) -> tuple[dict[str, str], int]:
    """Give the sockets consecutive descriptors; return the environment, and the first
    descriptor."""
    first = max(int(fd) for fd in os.listdir("/proc/self/fd")) + 1  # later ones are free
    for number, sock in enumerate(sockets):
        os.dup2(sock.fileno(), first + number)
    environment = {"LISTEN_FDS": str(len(sockets)), "LISTEN_PID": str(os.getpid()), "HOME": "/"}
    return environment, first


def never(text: str) -> None:
    """Fail: no warning is expected."""
    raise AssertionError(text)


@pytest.mark.parametrize(
    ("scheme", "kind"),
    [("unixgram", socket.SOCK_DGRAM), ("unixpacket", socket.SOCK_SEQPACKET)],
)
def test_unix_sockets_of_messages(scheme: str, kind: int, tmp_path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(str(tmp_path / "a.sock"))
    environment, first = passed(sock)
    sock.close()
    uri = f"{scheme}:{tmp_path / 'a.sock'}"
    found = activated(configured(tmp_path, uri), never, environment, first)
    assert list(found) == [Address.parse(uri)]
    for each in found.values():
        each.close()


def test_each_socket_serves_the_address_that_it_is_bound_to(tmp_path: Path) -> None:
    stream, local, datagrams = (
        socket.create_server(("127.0.0.1", 0)),
        socket.socket(socket.AF_UNIX),
        socket.socket(type=socket.SOCK_DGRAM),
    )
    local.bind(str(tmp_path / "a.sock"))
    datagrams.bind(("127.0.0.1", 0))
    uris = [
        f"tcp://127.0.0.1:{stream.getsockname()[1]}",
        f"unix:{tmp_path / 'a.sock'}",
        f"udp://127.0.0.1:{datagrams.getsockname()[1]}",
    ]
    environment, first = passed(datagrams, stream, local)
    configuration = configured(tmp_path, *uris, "tcp://127.0.0.1:0")
    found = activated(configuration, never, environment, first)
    expected = [Address.parse(uri) for uri in uris]
    assert list(found) == [expected[2], expected[0], expected[1]]
    for address, sock in zip(expected, (stream, local, datagrams), strict=True):
        assert found[address].getsockname() == sock.getsockname()
        assert not found[address].get_inheritable()
        assert not found[address].getblocking()
        found[address].close()
        sock.close()
    assert environment == {"HOME": "/"}


def test_others_are_closed_and_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as known, socket.create_server(("", 0)) as other:
        where = known.getsockname(), other.getsockname()
        environment, first = passed(known, other, known)
        warnings: list[str] = []
        configuration = configured(tmp_path, f"tcp://127.0.0.1:{where[0][1]}")
        found = activated(configuration, warnings.append, environment, first)
    assert len(found) == 1
    why = "is not used: no listener has this address"
    assert warnings == [
        f"the inherited socket {first + 1}, bound to {where[1]}, {why}",
        f"the inherited socket {first + 2}, bound to {where[0]}, {why}",
    ]
    for descriptor in (first + 1, first + 2):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    found.popitem()[1].close()


@pytest.mark.parametrize("wrong", [{"LISTEN_PID": "1"}, {"LISTEN_FDS": "many"}])
def test_variables_for_another_process_are_ignored(tmp_path: Path, wrong: dict[str, str]) -> None:
    environment = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), **wrong}
    configuration = configured(tmp_path, "tcp://127.0.0.1:0")
    assert activated(configuration, never, environment, 200) == {}
    assert environment == {}
