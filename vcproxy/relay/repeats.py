"""Repeats: finds messages that another producer of a relay has sent a short time ago.

Several receivers of one radio signal send the same messages, and each consumer wants them once. A
message that its producer itself sends again is no repeat: an instrument sends what has not changed.
"""

from __future__ import annotations

MOST = 10_000
"""Messages that are remembered. The busiest receivers of AIS send some hundred a second."""


class Repeats:
    """Remembers messages, of at most `within_s` seconds, and of the last ones at most `most`."""

    __slots__ = ("_most", "_seen", "_within_s")

    def __init__(self, within_s: float, most: int = MOST) -> None:
        self._within_s = within_s
        self._most = most
        self._seen: dict[bytes, tuple[float, str]] = {}
        """When a message was last relayed, and for whom; in the order of the times."""

    def repeats(self, message: bytes, producer: str, now: float) -> bool:
        """Return whether another producer has sent the message. If not, remember it."""
        seen, oldest = self._seen, now - self._within_s
        while seen and seen[first := next(iter(seen))][0] < oldest:
            del seen[first]
        before = seen.get(message)
        if before is not None:
            if before[1] != producer:
                return True
            del seen[message]
        elif len(seen) >= self._most:
            del seen[next(iter(seen))]
        seen[message] = now, producer
        return False
