"""Blocks: what IOBuffers hold, the memory budget that counts them, and the pool of large ones.

A block never changes once it is written. Small blocks are `bytes`; large ones are views of slabs,
which return to a pool.

Tested in tests/engine/test_iobuffer.py and test_memory_pressure.py.
"""

from __future__ import annotations

from vcproxy.engine.file_range import FileRange

SLAB = 256 * 1024
"""Bytes of a slab. Reads of 256 KiB move 5 times as many bytes a second as reads of 4 KiB
(measured)."""

COPY_OUT = SLAB // 4
"""Reads up to this size are copied out of the slab, so that a few bytes keep no slab in use."""

RESERVE = 16
"""1/RESERVE of the memory budget is a reserve for small conversations: see MemoryPressure."""

POOL = 16
"""The most free slabs kept in the pool: 4 MiB, enough for a few bulk transfers."""

Block = bytes | memoryview
"""In a buffer to which ranges of files were written, a block may be a FileRange as well: see
`IOBuffer.write_range`. Only drivers and the buffer itself meet these."""


class _Empty(bytes):
    __slots__ = ()

    def __len__(self) -> int:
        return 1


EMPTY: bytes = _Empty()
"""The block of an empty message in a message-oriented buffer. It counts as one byte, so that it is
waited for, sent and consumed; only the system call gets no bytes for it."""


class Slab(bytearray):
    """The storage of large blocks: `refs` counts the blocks that are views of it."""

    __slots__ = ("refs",)
    refs: int


class Memory:
    """The memory budget of one engine in bytes, and its pool of slabs.

    `used` counts what the blocks of all buffers occupy, and held memory. Reading pauses while
    `spent`.
    """

    __slots__ = ("_free", "budget", "limit", "resume_below", "scratch", "used")

    def __init__(self, budget: int) -> None:
        self.set_budget(budget)
        self.used = 0
        self._free: list[Slab] = []
        self.scratch = self._view()
        """The slab for the next read. Small reads are copied out of it; a large one keeps it."""

    def set_budget(self, budget: int) -> None:
        """Change the budget while running."""
        self.budget = budget
        self.limit = budget - budget // RESERVE
        """Reading pauses when `used` reaches this; the rest of the budget is the reserve."""
        self.resume_below = budget * 3 // 4
        """Reading resumes below this; at `limit` itself it would stop and resume all the time."""

    @property
    def spent(self) -> bool:
        """Whether reading must pause."""
        return self.used >= self.limit

    def take_scratch(self) -> memoryview:
        """Return the scratch slab, which the buffer then owns, and replace it by another."""
        taken = self.scratch
        self.scratch = self._view()
        return taken

    def _view(self) -> memoryview:
        slab = self._free.pop() if self._free else Slab(SLAB)
        slab.refs = 0
        return memoryview(slab)

    def drop(self, block: Block) -> None:
        """Release a block that a buffer no longer needs."""
        if type(block) is memoryview and type(block.obj) is Slab:
            slab = block.obj
            slab.refs -= 1
            if slab.refs <= 0 and len(self._free) < POOL:
                self._free.append(slab)


def capacity(block: Block) -> int:
    """Return the bytes that a block occupies: a view of a slab occupies the whole slab, a range of
    a file nothing."""
    if type(block) is memoryview:
        return len(block.obj)  # type: ignore[arg-type]
    return 0 if isinstance(block, FileRange) else len(block)


def part(block: Block, start: int, stop: int | None = None) -> Block:
    """Return a part of a block, uncopied."""
    if isinstance(block, FileRange):
        return block.part(start, stop)
    return memoryview(block)[start:stop]
