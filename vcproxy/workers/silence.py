"""Silence: when a sign of life from each worker is due. It decides, and does no I/O.

Tested in tests/workers/test_silence.py.
"""

from __future__ import annotations

LATE_S = 1.0
"""If the master itself looks so much later than it should, it was stopped, or the whole machine
was: then no worker's silence counts. A master that does its work looks within milliseconds."""


class Silence:
    """Until when each worker may be silent. Times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._due: dict[int, float] = {}

    @property
    def deadline(self) -> float | None:
        """When `late` must be called; None: it need not be called."""
        return min(self._due.values(), default=None)

    def expect(self, worker: int, until: float) -> None:
        """A sign of life of a worker is due then. It replaces what was due before."""
        self._due[worker] = until

    def allow(self, worker: int) -> None:
        """Expect no sign of life of a worker any more."""
        self._due.pop(worker, None)

    def late(self, now: float) -> list[int]:
        """Return the workers that have been silent for too long.

        If this process looks late itself, it may have been stopped together with its workers: each
        worker then gets that time, and LATE_S, in addition.
        """
        deadline = self.deadline
        if deadline is not None and now - deadline > LATE_S:
            late = now - deadline + LATE_S
            self._due = {worker: due + late for worker, due in self._due.items()}
        return [worker for worker, due in self._due.items() if now >= due]
