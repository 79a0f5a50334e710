"""Keeping: how long a server keeps an idle connection open, as it has said or shown.

A request on a connection that the server is just closing is lost, and one that is not idempotent
must not be sent anew (RFC 9110, 9.2.2). So an idle connection is closed here before the server
closes it, and for that one has to know when. Of twelve servers that were tried seven close within
10 seconds, uvicorn, Apache httpd and Node.js after 5: no default is right for all.
"""

from __future__ import annotations

MARGIN_S = 1.0
"""Seconds before the time that a server says: its clock began while the answer was on its way, and
the next request needs as long to get there."""

MOST_S = 600.0
"""Seconds that are believed at most: a connection may vanish without a word on either side."""

LEAST_S = 1.0
"""Seconds of which something can be learnt: a server that closes sooner does so for another reason,
because it has served enough requests or is being stopped."""

SHARE = 0.8
"""Of the time after which a server closed, that the next are kept."""

MEMORY_S = 600.0
"""Seconds after which what was seen is forgotten: the server may only have been restarted."""


class Keeping:
    """What is known of one server."""

    __slots__ = ("_said", "_seen", "_seen_until")

    def __init__(self) -> None:
        self._said: float | None = None
        self._seen = 0.0
        self._seen_until = 0.0

    def says(self, timeout_s: float) -> None:
        """The server has said how long it keeps its connections: `Keep-Alive: timeout=5`."""
        self._said = min(max(timeout_s - MARGIN_S, timeout_s / 2), MOST_S)

    def ended(self, idle_s: float, now: float) -> None:
        """The server has ended a connection that was idle for so long."""
        if idle_s >= LEAST_S:
            self._seen = idle_s * SHARE
            self._seen_until = now + MEMORY_S

    def limit(self, default_s: float, now: float) -> float:
        """Return how long a connection may be idle; `default_s` where nothing is known."""
        limit = default_s if self._said is None else self._said
        return min(limit, self._seen) if now < self._seen_until else limit
