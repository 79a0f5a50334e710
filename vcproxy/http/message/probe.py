"""HttpProbe: the request of an HTTP health check, and what its answer means."""

from __future__ import annotations

from dataclasses import dataclass

from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.parsing import head_end, parse_response

LIMITS = MessageLimits()
"""For the answer: those of any server."""


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """A GET whose status says whether a server is healthy. See vcproxy.upstream.settings.Probe.

    `host` is the Host field, the server's own name where it is empty. `status` lists the healthy
    ones; where it is empty, all below 400 are.
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

        The body does not matter; interim answers (1xx) are skipped.
        """
        try:
            while (end := head_end(answer, LIMITS)) >= 0:
                status = parse_response(answer[:end], LIMITS, "GET").status
                if status >= 200:
                    healthy = status in self.status or (not self.status and status < 400)
                    return "" if healthy else f"it answers {status}"
                answer = answer[end:]
        except BadMessage as error:
            return f"no HTTP: {error}"
        return None
