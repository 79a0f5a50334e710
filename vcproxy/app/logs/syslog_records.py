"""SyslogRecords: sends the records of an access log to a log server.

Tested in tests/app/logs/test_access_targets.py and tests/e2e/test_syslog.py.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vcproxy.app.logs.syslog_message import SyslogFormat
from vcproxy.app.logs.syslog_sender import SyslogSender

if TYPE_CHECKING:
    from vcproxy.app.logs.line_writer import Pause
    from vcproxy.config.log_target import SyslogServer


class SyslogRecords(SyslogSender):
    """The target of a LineWriter: a log server that gets each line as a message of its own."""

    def __init__(self, server: SyslogServer, unreachable: Callable[[str], None]) -> None:
        super().__init__(server, unreachable)
        self._form = SyslogFormat(server.facility, socket.gethostname(), os.getpid())

    def write(self, lines: Sequence[bytes], pause: Pause) -> int:
        """Send lines; return how many were sent before `pause` has returned True."""
        now, record = time.time(), self._form.record
        return super().write([record(line, now) for line in lines], pause)
