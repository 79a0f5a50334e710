"""MachinePool: idle staged machines, last in, first out.

The machine that was used last has its memory in the processor's caches.

Tested in tests/machine/test_staged.py.
"""

from __future__ import annotations

from vcproxy.machine.staged import Handle, StageMachine


class MachinePool:
    """Idle machines. A machine puts itself back, and its handle becomes stale."""

    __slots__ = ("_idle",)

    def __init__(self) -> None:
        self._idle: list[StageMachine] = []

    def __len__(self) -> int:
        return len(self._idle)

    def put(self, machine: StageMachine) -> None:
        """Put a machine back. Raises ValueError if it is in the pool already."""
        if machine in self._idle:
            raise ValueError(f"{machine!r} is in the pool already: it was put back twice")
        machine.renew_handle()
        self._idle.append(machine)

    def take(self) -> Handle | None:
        """Take the machine that was put back last and return its handle; None if all are in use."""
        return self._idle.pop().handle if self._idle else None
