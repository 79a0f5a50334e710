"""TerminalPort: the terminal of this process (tty(4)) as one connection.

Tested in tests/drivers/test_epoll_terminal.py.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import termios
import tty
from contextlib import suppress
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.descriptor_port import DescriptorPort, failure

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.poller import Poller
    from vcproxy.engine.address import Address

TERMINAL = "/dev/tty"
"""The controlling terminal of the process, whatever standard input and output are."""


class TerminalPort(DescriptorPort):
    """The terminal of this process. Its modes are restored at the end.

    Without raw=true it reads lines that the user has edited, and ^D is an orderly end. With it,
    each key is read at once and without echo, ^C and ^D too.
    """

    __slots__ = ("_hung_up", "_in_use", "_modes")

    def __init__(
        self, driver: Poller, address: Address, in_use: set[str], path: str = TERMINAL
    ) -> None:
        """`in_use`: the scheme is in it as long as it is open. Raises OSError with a text."""
        self._in_use = in_use
        self._modes: list[object] | None = None
        self._hung_up = False
        fd = opened(path)
        try:
            if address.parameter("raw") == "true":
                modes = termios.tcgetattr(fd)
                tty.setraw(fd, termios.TCSANOW)
                self._modes = modes
            in_use.add(address.scheme)
        except BaseException:
            os.close(fd)
            raise
        super().__init__(driver, fd, fd)

    def ready(self, mask: int) -> None:
        """See StreamPort."""
        if mask & (select.EPOLLHUP | select.EPOLLERR):
            self._hung_up = True
        super().ready(mask)

    def end_reached(self) -> None:
        """See StreamPort. A hangup is no orderly end."""
        if self._hung_up:
            self.fail(OSError(errno.EIO, ""))
        else:
            super().end_reached()

    def explained(self, error: OSError) -> OSError:
        """See StreamPort."""
        if error.errno == errno.EIO:
            return failure(ConnectionResetError, error, "the terminal has hung up")
        return super().explained(error)

    def release(self) -> None:
        """Restore the modes; close it."""
        if self._modes is not None and self.fd >= 0:
            # In the background by now, the process would be stopped by SIGTTOU (termios(3)).
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
            with suppress(termios.error):  # it has hung up
                termios.tcsetattr(self.fd, termios.TCSANOW, self._modes)  # type: ignore[arg-type]
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._in_use.discard("terminal")
        super().release()


def opened(path: str) -> int:
    """Return a descriptor of a terminal. Raises OSError with a text."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(
                "this process has no terminal: start it from one, and not as a service"
            ) from None
        raise
    try:
        if os.tcgetpgrp(fd) != os.getpgrp():  # reading or setting it would stop the process
            raise OSError("this process is in the background of its terminal: use fg")
    except OSError as error:
        os.close(fd)
        raise OSError(str(error) if error.errno is None else _text(error)) from None
    return fd


def _text(error: OSError) -> str:
    return "it is not the terminal of this process" if error.errno == errno.ENOTTY else str(error)
