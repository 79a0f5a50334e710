"""Profile: when a message that is not acknowledged is sent again, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Final

WINDOW: Final = 1_024
"""Limit of messages to one peer that are not acknowledged, and of those held from one peer. A power
of two above what a socket buffer of the default size holds (about 270 small datagrams), so that the
buffer, not the window, limits a burst."""


@dataclass(frozen=True)
class Profile:
    """The times of one way to retransmit. All are in seconds.

    A message is sent at each of `times_s` after it was accepted, until it is acknowledged. It is
    given up `gives_up_s` after it was accepted: one more wait after the last send, so that the
    acknowledgement of the last send counts too.
    """

    name: str
    sends: int
    """How often a message is sent at most."""
    wait_s: float
    """Seconds between the first send and the second."""
    growth: float = 1.0
    """The factor from one wait to the next."""
    longest_wait_s: float = 60.0
    """Limit of a wait. By default the silence after which a machine counts as dead (wink.md 1)."""
    window: int = WINDOW

    @cached_property
    def _all_times_s(self) -> tuple[float, ...]:
        """`times_s` and `gives_up_s`, without the rounding errors of a sum."""
        waits = [self.wait_s]
        for _ in range(1, self.sends):
            waits.append(min(waits[-1] * self.growth, self.longest_wait_s))
        return tuple(round(time, 6) for time in accumulate(waits, initial=0.0))

    @property
    def times_s(self) -> tuple[float, ...]:
        """When a message is sent, in seconds after it was accepted. The first is 0."""
        return self._all_times_s[:-1]

    @property
    def gives_up_s(self) -> float:
        """When a message is given up, in seconds after it was accepted."""
        return self._all_times_s[-1]


README: Final = Profile("readme", sends=4, wait_s=10.0)
"""The text of the original: repeated after 10 s, up to 3 times. Sent at 0, 10, 20, 30 s, given up
at 40 s."""

WINK: Final = Profile("wink", sends=5, wait_s=2.0)
"""The program of the original: sent at 0, 2, 4, 6, 8 s, given up at 10 s (wink.md 1)."""

PATIENT: Final = Profile("patient", sends=20, wait_s=0.05, growth=2.0, longest_wait_s=3.2)
"""For networks that lose much: sent at 0, 50, 150, 350, 750 ms, and so on, the waits doubling up to
3.2 s; given up at 47.95 s. The limit keeps the sum of 20 sends under the 60 s of silence after
which a machine counts as dead. If every fifth datagram is lost, in both directions, a message and
its acknowledgement are lost 20 times in a row once in 700 million messages."""
