"""SerialPort: a serial line as one connection (termios(3)).

Tested in tests/drivers/test_epoll_serial.py.
"""

from __future__ import annotations

import errno
import fcntl
import os
import termios
from contextlib import suppress
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.closing import LINGER_S
from vcproxy.drivers.epoll.descriptor_port import DescriptorPort, failure

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.poller import Poller
    from vcproxy.engine.address import Address

DEFAULTS = {"baud": "9600", "bits": "8", "parity": "none", "stop": "1", "flow": "none"}
"""The settings of a line where the address has none: those of most devices, and of pyserial."""

CRTSCTS = 0o20000000000
"""Hardware flow control (RTS/CTS); Python has no constant for it (asm-generic/termbits.h)."""

_BITS = {"5": termios.CS5, "6": termios.CS6, "7": termios.CS7, "8": termios.CS8}
_PARITY = {"none": 0, "even": termios.PARENB, "odd": termios.PARENB | termios.PARODD}
_STOP = {"1": 0, "2": termios.CSTOPB}

_GONE = {errno.EIO, errno.ENXIO, errno.ENODEV}

BUSY = "the serial line is in use by another connection or process"

_POLL_S = 0.01
"""Interval of polling the size of the output queue: epoll has no event for an empty one."""


class SerialPort(DescriptorPort):
    """A serial line. It belongs to one connection at a time (TIOCEXCL).

    It has no end of its own: when the device is unplugged, or hangs up, the connection is broken.
    A close waits until what was written has left, for LINGER_S: close(2) alone would wait too, but
    block the thread for up to 30 s.
    """

    __slots__ = ("_waited",)

    def __init__(self, driver: Poller, address: Address) -> None:
        """Open the device and set the line. Raises OSError with a text."""
        self._waited = 0.0
        fd = opened(address)
        super().__init__(driver, fd, fd)

    def end_reached(self) -> None:
        """See StreamPort. An end is a hangup."""
        self.fail(OSError(errno.EIO, ""))

    def explained(self, error: OSError) -> OSError:
        """See StreamPort."""
        if error.errno in _GONE:
            text = "the serial line has gone: its device was unplugged, or has hung up"
            return failure(ConnectionResetError, error, text)
        return super().explained(error)

    def close(self, abort: bool) -> None:
        """Close when the output has left; with `abort`, drop it."""
        if abort or self._lost is not None:
            self.finish()
        else:
            self._driver.unwatch(self.fd)
            self._drain()

    def _drain(self) -> None:
        if self._closed:
            return
        if _unsent(self.fd) and self._waited < LINGER_S:
            self._waited += _POLL_S
            self._driver.after(_POLL_S, self._drain)
        else:
            self.finish()

    def release(self) -> None:
        """Drop unsent output; close the device."""
        if self.fd >= 0:
            with suppress(termios.error):
                termios.tcflush(self.fd, termios.TCOFLUSH)
            with suppress(OSError):
                fcntl.ioctl(self.fd, termios.TIOCNXCL)
        super().release()


def _unsent(fd: int) -> int:
    """Return the bytes in the output queue; 0 also if the device has gone."""
    try:
        return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)), "little")
    except OSError:
        return 0


def opened(address: Address) -> int:
    """Return a descriptor of a serial line with the settings of an address. Raises OSError."""
    try:
        fd = os.open(address.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise OSError(BUSY) from None
        raise
    try:
        modes = _modes(fd, address)
        # flock(2), as pyserial takes it: TIOCEXCL does not keep out root
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.ioctl(fd, termios.TIOCEXCL)
        termios.tcsetattr(fd, termios.TCSANOW, modes)  # type: ignore[arg-type]
        termios.tcflush(fd, termios.TCIFLUSH)  # what came before belongs to an earlier connection
        if _line(modes) != _line(termios.tcgetattr(fd)):  # it has ignored some (tcsetattr(3))
            raise OSError(f"the device does not support {_shown(address)}")
    except BlockingIOError:
        os.close(fd)
        raise OSError(BUSY) from None
    except termios.error as error:
        os.close(fd)
        raise OSError(_reason(error.args[0], address)) from None
    except OSError:
        os.close(fd)
        raise
    return fd


def _modes(fd: int, address: Address) -> list[object]:
    """Return the modes of a line with the settings of an address; all others are those of raw
    input and output: each byte as it is. Raises termios.error."""
    wanted = {name: address.parameter(name) or value for name, value in DEFAULTS.items()}
    *_, characters = termios.tcgetattr(fd)
    assert isinstance(characters, list)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0  # or a read of nothing is an end
    speed = getattr(termios, f"B{wanted['baud']}")
    flow = wanted["flow"]
    control = termios.CREAD | termios.CLOCAL | (CRTSCTS if flow == "hardware" else 0)
    control |= _BITS[wanted["bits"]] | _PARITY[wanted["parity"]] | _STOP[wanted["stop"]]
    software = termios.IXON | termios.IXOFF if flow == "software" else 0
    return [software, 0, control, 0, speed, speed, characters]


def _line(modes: list[object]) -> tuple[object, ...]:
    """Return the modes that the device itself must support."""
    _, _, control, _, *speeds, _ = modes
    assert isinstance(control, int)
    frame = termios.CSIZE | termios.PARENB | termios.PARODD | termios.CSTOPB | CRTSCTS
    return control & frame, *speeds


def _shown(address: Address) -> str:
    return ", ".join(f"{name}={value}" for name, value in address.parameters) or "these settings"


def _reason(number: int, address: Address) -> str:
    if number == errno.ENOTTY:
        return "it is no serial line"
    if number == errno.EINVAL:
        return f"the device does not support {_shown(address)}"
    return os.strerror(number).lower()
