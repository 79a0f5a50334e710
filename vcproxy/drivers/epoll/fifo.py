"""FIFOs of the epoll driver (fifo(7)): writing to one, reading one, and listening at one.

Tested in tests/drivers/test_epoll_fifo.py and tests/conformance/test_epoll.py.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.descriptor_port import NONE, DescriptorPort
from vcproxy.drivers.epoll.unix_socket import SocketFile, set_permissions

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.accepting import AcceptDriver
    from vcproxy.drivers.epoll.poller import Poller
    from vcproxy.engine.address import Address
    from vcproxy.engine.listener import Listener


def writer(driver: Poller, address: Address) -> DescriptorPort:
    """Open a FIFO for writing. Raises OSError with a text, also if no process reads it."""
    return DescriptorPort(driver, NONE, _opened(address, os.O_WRONLY))


def reader(driver: Poller, address: Address) -> DescriptorPort:
    """Open a FIFO for reading: what all its writers send, now and later. Raises OSError."""
    # Also for writing: so it does not end when a writer closes it (fifo(7)).
    return DescriptorPort(driver, _opened(address, os.O_RDWR), NONE)


def _opened(address: Address, mode: int) -> int:
    """Return a descriptor of a FIFO. Raises OSError with a text."""
    try:
        fd = os.open(address.path, mode | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise ConnectionRefusedError("no process has the FIFO open for reading") from None
        raise
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError("it is not a FIFO: remove it, or make one with mkfifo at another path")
    return fd


class FifoListener:
    """Listens at a FIFO. Each connection has what is written until the last writer closes it.

    Writers that have it open at the same time are one connection: a FIFO does not keep them apart.
    It is made if it does not exist, and removed at the end if it was made here.
    """

    def __init__(self, driver: AcceptDriver, listener: Listener, address: Address) -> None:
        """Open the FIFO, or make it. Raises OSError with a text."""
        self.requested = self.address = address
        self.listener = listener
        self._driver = driver
        self._file: SocketFile | None = None
        self._fd = NONE
        self._connected = False
        self._closed = False
        try:
            self._make()
        except OSError:
            self.close()
            raise

    def _make(self) -> None:
        try:
            os.mkfifo(self.address.path, 0o600 if self.address.file else 0o666)
        except FileExistsError:
            pass
        else:
            self._file = SocketFile(self.address.path)
        set_permissions(self.address)
        self._open()

    def _open(self) -> None:
        """Open it for reading, and watch for the next writer.

        A new descriptor reports no hangup of a writer that has closed before. It is opened before
        the old one is closed: what comes between them stays in the FIFO.
        """
        fd = _opened(self.address, os.O_RDONLY)
        self._release()
        self._fd = fd
        self._driver.watch(fd, self, select.EPOLLIN)

    def _release(self) -> None:
        if self._fd != NONE:
            self._driver.unwatch(self._fd)
            os.close(self._fd)
            self._fd = NONE

    def ready(self, mask: int) -> None:
        """Accept a connection: something was written."""
        if not mask & select.EPOLLIN:
            self.resume()  # a writer has opened and closed it, and written nothing
            return
        listener, driver = self.listener, self._driver
        driver.unwatch(self._fd)
        if not driver.descriptors.admits():
            driver.out_of_descriptors(listener, self.resume)
        elif not listener.admits():
            listener.warn_full()
        else:
            fd, self._fd = self._fd, NONE
            listener.count_accepted()
            self._connected = True
            port = _Accepted(driver, fd, self)
            port.vc = driver.engine.accepted(listener, port, "fifo")

    def finished(self) -> None:
        """Accept the next connection: the one before is about to close."""
        self._connected = False
        self.resume()

    def resume(self) -> None:
        """Accept again, after a pause."""
        if self._connected or self._closed:
            return
        try:
            self._open()
        except FileNotFoundError:
            self._release()
            name, address = self.listener.name, self.address
            self._driver.engine.log(
                "error", f"{name}: {address} was removed: reload to make and read it again"
            )
        except OSError as error:
            self._driver.engine.accept_failed(self.listener, error)

    def renew(self, address: Address, inherited: object = None) -> None:
        """Set mode, owner and group of an address; make the FIFO again if it was removed. Raises
        OSError."""
        self.address = address
        if self._connected or os.path.exists(address.path):
            set_permissions(address)
        else:
            self._make()

    def close(self) -> None:
        """Stop listening; remove the FIFO if it was made here. A connection stays open."""
        self._closed = True
        self._release()
        if self._file is not None:
            self._file.remove()


class _Accepted(DescriptorPort):
    """A connection of a FIFO: it can only be read."""

    __slots__ = ("_listener",)

    def __init__(self, driver: Poller, fd: int, listener: FifoListener) -> None:
        self._listener = listener
        super().__init__(driver, fd, NONE)
        # Always read on: there is no event for the end of a writer that had closed the FIFO before
        # this descriptor was opened, and whose data was still inside.
        self._ending = True

    def release(self) -> None:
        """Let the listener open its next descriptor; then close this one."""
        self._listener.finished()
        super().release()
