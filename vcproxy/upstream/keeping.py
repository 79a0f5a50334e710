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

    __slots__ = ("_said", "_seen_until", "limit_s")

    def __init__(self) -> None:
        self.limit_s: float | None = None
        """How long a connection to it may be idle; None: nothing is known."""
        self._said: float | None = None
        self._seen_until = 0.0

    def says(self, timeout_s: float) -> None:
        """The server has said how long it keeps its connections: `Keep-Alive: timeout=5`."""
        self._said = min(max(timeout_s - MARGIN_S, timeout_s / 2), MOST_S)
        if not self._seen_until or self.limit_s is None or self._said < self.limit_s:
            self.limit_s = self._said

    def ended(self, idle_s: float, now: float) -> None:
        """The server has ended a connection that was idle for so long."""
        if idle_s >= LEAST_S:
            seen = idle_s * SHARE
            self.limit_s = seen if self._said is None else min(seen, self._said)
            self._seen_until = now + MEMORY_S

    def forget(self, now: float) -> None:
        """Forget what was seen long ago. To be called now and then."""
        if self._seen_until and now >= self._seen_until:
            self._seen_until = 0.0
            self.limit_s = self._said
