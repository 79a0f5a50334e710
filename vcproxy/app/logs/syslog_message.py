"""The log and access logs as messages of syslog (RFC 5424). Nothing here does I/O.

Tested in tests/app/logs/test_syslog_message.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vcproxy.config.log_target import FACILITIES
from vcproxy.log_entry import shown

if TYPE_CHECKING:
    from vcproxy.engine.log_function import Level

SEVERITIES: dict[Level, int] = {"error": 3, "warning": 4, "info": 6, "debug": 7}
"""RFC 5424, 6.2.1."""

APPLICATION = "vcproxy"

LARGEST = 8096
"""The most bytes of a message: rsyslog's default; it makes two messages of a longer one."""

_CUT = b" ..."


class SyslogFormat:
    """Writes entries of the log of one process as messages."""

    def __init__(self, facility: str, host: str, pid: int) -> None:
        """Make it. `host`: the name of this host; `pid`: the number of this process."""
        self._facility = FACILITIES.index(facility)
        visible = "".join(c for c in host if "!" <= c <= "~")[:255]
        self._middle = f"{visible or '-'} {APPLICATION} {pid} "

    def message(self, level: Level, text: str, error: Exception | None, at: float) -> str:
        """Return the message of an entry, made at a time in seconds since 1970.

        A text that is not ASCII begins with a BOM, which marks UTF-8 (RFC 5424, 6.4). A long text
        is cut.
        """
        head, text = self._head(level, "-", at), shown(text, error)
        if not text.isascii():
            head += "\ufeff"
        octets = cut(text.encode(errors="backslashreplace"), LARGEST - len(head.encode()))
        return head + octets.decode()

    def record(self, line: bytes, at: float) -> bytes:
        """Return the message of a record of an access log, which ends with a newline.

        Its MSGID is "access". The level is info, whatever the record reports.
        """
        head = self._head("info", "access", at).encode()
        if not line.isascii():
            head += b"\xef\xbb\xbf"
        return head + cut(line.rstrip(b"\n"), LARGEST - len(head))

    def _head(self, level: Level, msgid: str, at: float) -> str:
        priority = 8 * self._facility + SEVERITIES[level]
        time = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return f"<{priority}>1 {time} {self._middle}{msgid} - "


def cut(text: bytes, room: int) -> bytes:
    """Return a text in UTF-8, cut to so many bytes if it is longer."""
    if len(text) <= room:
        return text
    return text[: room - len(_CUT)].decode(errors="ignore").encode() + _CUT


def frame(message: bytes) -> bytes:
    """Return a message as it is sent on a stream: after its length (RFC 6587, RFC 5425)."""
    return b"%d %b" % (len(message), message)
