"""listens: real sockets in the kernel's table."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from vcproxy.drivers.epoll.sources import kernel_sockets
from vcproxy.drivers.epoll.sources.kernel_sockets import listens
from vcproxy.engine.address import Address


def at(scheme: str, host: str, port: int) -> Address:
    host = f"[{host}]" if ":" in host else host
    return Address.parse(f"{scheme}://{host}:{port}")


class TestTable:
    @pytest.mark.parametrize(
        ("bound", "only_v6", "asked", "found"),
        [
            ("127.0.0.1", False, "127.0.0.1", True),
            ("127.0.0.1", False, "127.0.0.2", False),
            ("127.0.0.1", False, "::1", False),
            ("127.0.0.1", False, "localhost", True),
            ("0.0.0.0", False, "127.0.0.2", True),
            ("0.0.0.0", False, "::1", False),
            ("::", False, "127.0.0.1", True),
            ("::", True, "127.0.0.1", False),
            ("::", True, "::1", True),
            ("::1", False, "::1", True),
            ("::1", False, "127.0.0.1", False),
            ("::ffff:127.0.0.1", False, "127.0.0.1", True),
        ],
    )
    @pytest.mark.parametrize("scheme", ["tcp", "udp"])
    def test_of_which_addresses(
        self, scheme: str, bound: str, only_v6: bool, asked: str, found: bool
    ) -> None:
        family = socket.AF_INET6 if ":" in bound else socket.AF_INET
        kind = socket.SOCK_STREAM if scheme == "tcp" else socket.SOCK_DGRAM
        with socket.socket(family, kind) as sock:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_v6)
            sock.bind((bound, 0))
            if scheme == "tcp":
                sock.listen()
            port = sock.getsockname()[1]
            assert listens(at(scheme, asked, port)) is found
            if scheme == "tcp":
                assert not connected(sock)
        assert not listens(at(scheme, asked, port))

    def test_a_connection_is_not_a_listener(self) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()) as client,
        ):
            assert not listens(at("tcp", "127.0.0.1", client.getsockname()[1]))

    def test_a_unix_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "server.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            assert not listens(Address.parse(f"unix:{path}"))  # bound only
            listener.listen()
            assert listens(Address.parse(f"unix:{path}"))
            monkeypatch.chdir(tmp_path)
            assert listens(Address.parse("unix:server.sock"))
            assert not connected(listener)
        assert not listens(Address.parse(f"unix:{path}"))  # the file is left


class TestConnecting:
    def test_a_unix_socket_that_the_table_has_under_another_name(self, tmp_path: Path) -> None:
        (tmp_path / "here").mkdir()
        (tmp_path / "there").symlink_to("here")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{tmp_path}/here/server.sock")
            listener.listen()
            assert listens(Address.parse(f"unix:{tmp_path}/there/server.sock"))
            assert connected(listener)

    def test_an_address_of_another_host(self) -> None:
        """The table of this host says nothing about it."""
        assert kernel_sockets._is_local(socket.AF_INET, "127.0.0.1")
        assert not kernel_sockets._is_local(socket.AF_INET, "192.0.2.1")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            where = listener.getsockname()
            assert kernel_sockets._connects(socket.AF_INET, where)
        assert not kernel_sockets._connects(socket.AF_INET, where)


def test_a_request_that_the_kernel_does_not_know_has_no_answer() -> None:
    assert list(kernel_sockets._dump(bytes([255]) * 56)) == []


def connected(listener: socket.socket) -> bool:
    """Whether there was a connection."""
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True
