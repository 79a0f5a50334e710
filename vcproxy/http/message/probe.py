"""HttpProbe: the request of an HTTP health check, and the evaluation of its response.

Tested in tests/upstream/test_health_check.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.parsing import head_end, parse_response

LIMITS = MessageLimits()
"""Limits of the response: the defaults."""


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """A GET whose status shows whether a server is healthy. See vcproxy.upstream.settings.Probe.

    `host` is the Host field; empty: the server's name. `status` lists the healthy statuses; empty:
    all below 400.
    """

    path: str = "/"
    host: str = ""
    status: tuple[int, ...] = ()

    def request(self, host: str) -> bytes:
        """Return the bytes to send to a server of this name."""
        return (
            f"GET {self.path} HTTP/1.1\r\nHost: {self.host or host}\r\n"
            "User-Agent: vcproxy\r\nConnection: close\r\n\r\n"
        ).encode()

    def judge(self, answer: bytes) -> str | None:
        """Return why the server is unhealthy, "" if it is healthy, None if more bytes are needed.

        Interim responses (1xx) are skipped, the body is ignored.
        """
        try:
            while (end := head_end(answer, LIMITS)) >= 0:
                status = parse_response(answer[:end], LIMITS, "GET").status
                if status >= 200:
                    healthy = status in self.status or (not self.status and status < 400)
                    return "" if healthy else f"status {status}"
                answer = answer[end:]
        except BadMessage as error:
            return f"not HTTP: {error}"
        return None
