"""KeepAlive: how long a server keeps idle connections open, as announced by it or observed.

A request that is sent while the server closes the connection is lost, and one that is not
idempotent must not be sent again (RFC 9110, 9.2.2). So the proxy must close idle connections before
the server does. Of twelve servers that were tried seven close within 10 seconds; uvicorn, Apache
httpd and Node.js after 5: no default fits all.
"""

from __future__ import annotations

MARGIN_S = 1.0
"""Seconds subtracted from an announced time: the server's clock started while its response was on
its way, and the next request takes as long."""

MAX_S = 600.0
"""The longest announced time that is used, in seconds: a connection may be lost without notice."""

MIN_S = 1.0
"""The shortest observed time that is used, in seconds: a server that closes sooner has another
reason, such as a limit of requests or a shutdown."""

SHARE = 0.8
"""The fraction of an observed time for which further connections are kept."""

MEMORY_S = 600.0
"""Seconds after which an observation is discarded: the server may only have been restarted."""


class KeepAlive:
    """The keep-alive time of one server."""

    __slots__ = ("_announced_s", "_observed_until", "limit_s")

    def __init__(self) -> None:
        self.limit_s: float | None = None
        """How long a connection to the server may be idle, in seconds; None: unknown."""
        self._announced_s: float | None = None
        self._observed_until = 0.0

    def announced(self, timeout_s: float) -> None:
        """Use a time that the server has announced: `Keep-Alive: timeout=5`."""
        self._announced_s = min(max(timeout_s - MARGIN_S, timeout_s / 2), MAX_S)
        if not self._observed_until or self.limit_s is None or self._announced_s < self.limit_s:
            self.limit_s = self._announced_s

    def closed_after(self, idle_s: float, now: float) -> None:
        """Use an observation: the server closed a connection after this idle time."""
        if idle_s >= MIN_S:
            observed_s = idle_s * SHARE
            announced_s = self._announced_s
            self.limit_s = observed_s if announced_s is None else min(observed_s, announced_s)
            self._observed_until = now + MEMORY_S

    def forget(self, now: float) -> None:
        """Discard an old observation. To be called now and then."""
        if self._observed_until and now >= self._observed_until:
            self._observed_until = 0.0
            self.limit_s = self._announced_s
