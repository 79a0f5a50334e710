"""MachinePool: staged machines at rest, the last one in the first one out.

The machine that rested last has its memory in the processor's caches, and a lightly used pool
leaves the others alone.
"""

from __future__ import annotations

from vcproxy.machine.staged import Handle, StageMachine


class MachinePool:
    """Machines that wait for work. A machine puts itself back, and that ends a life of it."""

    __slots__ = ("_resting",)

    def __init__(self) -> None:
        self._resting: list[StageMachine] = []

    def __len__(self) -> int:
        return len(self._resting)

    def put(self, machine: StageMachine) -> None:
        """Let a machine rest. Raises ValueError if it rests already."""
        if machine in self._resting:
            raise ValueError(f"{machine!r} rests here already: it was put back twice")
        machine.renew_handle()
        self._resting.append(machine)

    def take(self) -> Handle | None:
        """Take the machine that came last, by the life it begins; None if all are at work."""
        return self._resting.pop().handle if self._resting else None
