"""ControlSockets: the listening sockets of one door of the control, from the start to the end.

Tested in tests/e2e/test_control.py and test_http_control.py.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vcproxy.app.control.runtime_directory import prepare_directory
from vcproxy.app.start import StartError
from vcproxy.config.tables.control import UNIX
from vcproxy.drivers.epoll.accepting import bind
from vcproxy.engine.address import Address

if TYPE_CHECKING:
    from vcproxy.app.logs.log import LineLog
    from vcproxy.config.tables.control import BusAddress
    from vcproxy.drivers.epoll.unix_socket import SocketFile

MODE: Final = "0600"
"""The mode of a Unix socket whose address has none: only its user may stop the proxy."""


class ControlSockets:
    """Sockets that listen. `close` must be called."""

    def __init__(self, key: str, file: Path, log: LineLog) -> None:
        """Without sockets. `key`: of the addresses in the configuration; `file`: where it is."""
        self._key = key
        self._file = file
        self._log = log
        self.listening: dict[Address, socket.socket] = {}
        """The sockets by their real addresses."""
        self.datagrams: list[Address] = []
        """Addresses for datagrams, which can be bound: the thread of the control binds them."""
        self._files: list[SocketFile] = []

    @property
    def addresses(self) -> list[Address]:
        """All addresses."""
        return [*self.listening, *self.datagrams]

    def bind(self, addresses: Sequence[BusAddress], default: Path | None = None) -> None:
        """Bind all addresses. Raises StartError, except for the default socket: that is logged.

        `default`: the path of the socket "unix".
        """
        for each in addresses:
            if each == UNIX:
                assert default is not None
                self._bind_default(default)
                continue
            try:
                self._bind(each)
            except OSError as error:
                text = f"{self._key}: cannot listen at {each}: {reason_of(error)}"
                raise StartError(f"{self._file}: {text}") from None

    def _bind_default(self, path: Path) -> None:
        try:
            prepare_directory()
            self._bind(Address.parse(f"unix:{path}"))
        except (OSError, ValueError) as error:
            self._log(
                "warning",
                f"{self._key}: no socket at {path}: {reason_of(error)}; this proxy takes no "
                "messages there: create the folder for its user, or set XDG_RUNTIME_DIR, or write "
                f'{self._key.rpartition(".")[2]} = "off"',
            )

    def _bind(self, address: Address) -> None:
        if address.scheme == "udp":
            from vcproxy.drivers.epoll.datagram import bound

            with bound(address) as probe:  # the thread binds it again, as a source of datagrams
                host, port = probe.getsockname()[:2]
            self.datagrams.append(Address("udp", host=host, port=port))
            return
        if address.scheme == "unix":
            from vcproxy.drivers.epoll.unix_socket import SocketFile

            if not any(name == "mode" for name, _ in address.file):
                address = replace(address, file=(*address.file, ("mode", MODE)))
            self.listening[address] = bind(address)
            self._files.append(SocketFile(address.path))
            return
        sock = bind(address)
        self.listening[address.with_port(sock.getsockname()[1])] = sock

    def close(self) -> None:
        """Close the sockets, and remove their files."""
        for file in self._files:
            file.remove()
        for sock in self.listening.values():
            sock.close()
        self._files.clear()
        self.listening.clear()


def reason_of(error: Exception) -> str:
    """Return the plain reason of an error of the operating system."""
    return (getattr(error, "strerror", None) or str(error)).lower()
