"""UnixDatagramListener: a listening Unix datagram socket of the epoll driver.

Tested in tests/conformance/test_messages.py and tests/drivers/test_epoll_unix.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.datagram import DatagramWatch
from vcproxy.drivers.epoll.unix_socket import SocketFile, bound_unix, set_permissions, shown
from vcproxy.drivers.unix_sessions import UnixSessions, session_name

if TYPE_CHECKING:
    import socket

    from vcproxy.drivers.epoll.accepting import AcceptDriver
    from vcproxy.engine.address import Address
    from vcproxy.engine.listener import Listener


class UnixDatagramListener(UnixSessions):
    """It opens a session for each new source of datagrams. Its file is removed at the end."""

    def __init__(
        self,
        driver: AcceptDriver,
        listener: Listener,
        address: Address,
        inherited: socket.socket | None = None,
    ) -> None:
        """Receive from an inherited socket, or bind one. Raises OSError."""
        sock = bound_unix(address) if inherited is None else inherited
        self._file = SocketFile(address.path) if inherited is None else None
        self.requested = self.address = address
        watch = DatagramWatch(driver, sock)
        watch.handler = self
        descriptors = driver.descriptors
        super().__init__(
            driver.engine,
            listener,
            sock,
            watch.set_interest,
            lambda place: session_name(shown(place)),
            lambda: descriptors.room_for_session,
        )

    def renew(self, address: Address, inherited: socket.socket | None = None) -> None:
        """Set mode, owner and group of an address. Raises OSError."""
        self.address = address
        if self._file is not None and self._file.present:
            set_permissions(address)

    def resume(self) -> None:
        """See DatagramListener."""
        self.drops.name = self.listener.name

    def close(self) -> None:
        """See DatagramSessions."""
        if self._file is not None:
            self._file.remove()
        super().close()
