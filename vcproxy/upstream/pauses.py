"""Pauses: a list of delays between attempts to reach a target that fails.

They are used in turn, and the last one repeats. As in Backoff, half of each is random: else all
clients that lost one server at the same time would return at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

MOST: Final = 255
"""The most pauses of a list, as in the original."""

SHORTEST_S: Final = 0.01
"""The shortest pause: shorter ones keep a processor busy, and the server too."""


class Pauses:
    """The delays of one target; see Backoff for the other kind.

    Args:
        random: the engine's source of randomness.
        pauses: 1 to MOST pauses in seconds. A negative one may be the first: the first attempt is
            made so many seconds after the start. The original's spelling "0.5,1,2,5" is that of
            `parse`.

    Raises ValueError for other lists.
    """

    __slots__ = ("_at", "_pauses", "_random", "first_s")

    def __init__(self, random: Random, pauses: Sequence[float]) -> None:
        self._random = random
        self.first_s = 0.0
        """Seconds before the first attempt."""
        if pauses and pauses[0] < 0:
            self.first_s = -pauses[0]
            pauses = pauses[1:]
        if not 0 < len(pauses) <= MOST:
            raise ValueError(f"{len(pauses)} pauses: there must be 1 to {MOST}")
        wrong = next((pause for pause in pauses if not pause >= SHORTEST_S), None)
        if wrong is not None:
            raise ValueError(
                f"a pause of {wrong:g} s: the shortest is 10 ms, and only the first entry may be "
                "negative, as the time before the first attempt"
            )
        self._pauses = tuple(pauses)
        self._at = 0

    @classmethod
    def parse(cls, random: Random, text: str) -> Pauses:
        """Return the pauses of a list such as "0.5,1,2,5". Raises ValueError."""
        return cls(random, [float(each) for each in text.split(",")])

    @property
    def delay_s(self) -> float:
        """The next pause, before it is made random."""
        return self._pauses[self._at]

    def next_s(self) -> float:
        """Return the seconds to wait now, at random between half the pause and all of it."""
        pause = self.delay_s
        self._at = min(self._at + 1, len(self._pauses) - 1)
        return self._random.uniform(pause / 2, pause)

    def lasted(self, seconds: float) -> bool:
        """Record how long a connection lasted; return whether the pauses start again: if it lasted
        longer than the next one."""
        if seconds <= self.delay_s:
            return False
        self._at = 0
        return True
