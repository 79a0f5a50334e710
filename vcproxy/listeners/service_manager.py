"""ServiceManager: notifies systemd, or another service manager, of what this process is doing.

The protocol is that of sd_notify(3): datagrams of lines `NAME=value` to the Unix socket whose
address is in NOTIFY_SOCKET. Without this variable all methods have no effect. It does not decide
when a notification is due.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import MutableMapping

from vcproxy.engine.log_function import LogFunction

SEND_S = 1
"""Seconds that a notification may wait while the queue of the service manager is full. systemd's
holds 512 datagrams, so only a manager that hangs lets it fill."""


class ServiceManager:
    """The service manager that has started this process, if there is one."""

    def __init__(
        self, log: LogFunction, environment: MutableMapping[str, str] | None = None
    ) -> None:
        """Take NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the environment.

        They are removed from it: they are not meant for child processes. `environment`: by default
        that of this process.
        """
        environment = os.environ if environment is None else environment
        self._log = log
        address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        pid = environment.pop("WATCHDOG_PID", str(os.getpid()))
        self.watchdog_s = 0.0
        """How long this process may send no `pulsed`, in seconds; then the service manager ends it
        (WatchdogSec). 0: there is no limit, or no service manager."""
        self._socket: socket.socket | None = None
        if address[:1] not in ("@", "/") or len(address) < 2:
            return  # none, or an address family that sd_notify(3) has for virtual machines only
        self._address = "\0" + address[1:] if address[0] == "@" else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        limit = struct.pack("@ll", SEND_S, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        if microseconds.isdecimal() and pid == str(os.getpid()):
            self.watchdog_s = int(microseconds) / 1e6

    def ready(self, status: str) -> None:
        """The start, or a reload, is complete. `status`: one line for `systemctl status`."""
        self._send(f"READY=1\nMAINPID={os.getpid()}\nSTATUS={_line(status)}")

    def reloading(self) -> None:
        """A reload begins. `ready` must follow, whatever the result is."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reloading")

    def stopping(self, status: str) -> None:
        """The end begins."""
        self._send(f"STOPPING=1\nSTATUS={_line(status)}")

    def pulsed(self) -> None:
        """This process works: to be called several times in each `watchdog_s`. Never waits."""
        if self.watchdog_s:
            self._send("WATCHDOG=1", socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Close the socket. Later calls have no effect."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def _send(self, text: str, flags: int = 0) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(text.encode(errors="backslashreplace"), flags, self._address)
        except OSError as error:
            what, reason = text.partition("\n")[0], (error.strerror or str(error)).lower()
            self._log("warning", f"the service manager was not notified of {what}: {reason}")


def _line(status: str) -> str:
    """Return the first line of a text: a newline would begin another notification."""
    return status.partition("\n")[0]
