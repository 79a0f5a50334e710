"""Intensity: how many restarts a supervisor may make in a period before it gives up."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from vcproxy.engine.units import show_duration


@dataclass(frozen=True, slots=True)
class Intensity:
    """At most `restarts` restarts within `period_s` seconds, of all children together.

    Erlang/OTP's default is 1 in 5 s, for supervisors that stand many levels deep: with `n` levels
    below, each of which may make `r` restarts, a failure is tried about `r ** n` times. Here there
    are one or two levels, so each tries more often.

    Raises ValueError if `restarts` is negative or `period_s` is not above 0.
    """

    restarts: int = 5
    """A child that fails of one bad input is replaced; a sixth end within the period shows that it
    fails again and again. 0: the first failure is one too many."""
    period_s: float = 10.0
    """With the default back-off, five restarts of a child that fails at once take about 1.5 s."""

    def __post_init__(self) -> None:
        if self.restarts < 0 or self.period_s <= 0:
            raise ValueError(f"{self}: restarts must be 0 or more, and the period more than 0")

    def __str__(self) -> str:
        """Return it in words: "5 restarts in 10s"."""
        times = "1 restart" if self.restarts == 1 else f"{self.restarts} restarts"
        return f"{times} in {show_duration(self.period_s)}"


class RestartHistory:
    """The restarts of the last period. Memory: `restarts + 1` times."""

    __slots__ = ("_at", "_intensity")

    def __init__(self, intensity: Intensity) -> None:
        self._intensity = intensity
        self._at: deque[float] = deque(maxlen=intensity.restarts + 1)

    def add(self, now: float) -> bool:
        """Count a restart; return whether the intensity allows it.

        As in OTP, a restart exactly one period ago counts. `now`: seconds of a clock that never
        goes back.
        """
        self._at.append(now)
        return len(self._at) <= self._intensity.restarts or (
            now - self._at[0] > self._intensity.period_s
        )
