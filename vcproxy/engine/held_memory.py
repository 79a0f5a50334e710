"""HeldMemory: bytes that a conversation holds outside its VCs' buffers, in the same budget.

Tested in tests/engine/test_memory_pressure.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation


class HeldMemory:
    """Bytes that a machine holds: an incomplete message, a body for a filter.

    They count in the engine's `memory.used`, and for the conversation when memory pressure selects
    connections to close. Garbage collection of the object releases them.
    """

    __slots__ = ("_memory", "_mutex", "size")

    def __init__(self, cont: Continuation) -> None:
        self._memory = cont.engine.memory
        self._mutex = cont.mutex
        self.size = 0

    def hold(self, size: int) -> None:
        """Set the number of bytes held. Ignored for a conversation that has crashed."""
        if self._mutex.ended:
            return
        more = size - self.size
        self.size = size
        self._memory.used += more
        self._mutex.held_bytes += more

    def __del__(self) -> None:
        self.hold(0)
