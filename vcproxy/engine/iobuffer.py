"""IOBuffer: one writer, any number of readers, blocks by reference.

A block never changes once it is written: small ones are `bytes`, large ones are views of slabs
that go round in a pool. A reader is a place in the sequence of blocks; a block lives until the
slowest reader has passed it. Memory is counted by what blocks occupy, not by what they carry.
"""

from __future__ import annotations

SLAB = 256 * 1024
"""Bytes of one large block. Reads of 256 KiB move 5 times what 4 KiB reads move (measured)."""

COPY_OUT = SLAB // 4
"""Reads up to this size are copied out of the slab, so that a slab is never kept for a crumb."""

WATER_MARK = 64 * 1024
"""Bytes that a buffer occupies at most, unless it is made with another water mark: what somebody
costs who does not read. Larger reads than this move no more (measured), and bridges need none."""

RESERVE = 16
"""One part in so many of the budget is kept back: see MemoryPressure."""

MERGE = 4096
"""Small neighbours are merged up to this size, so that single-byte writes cost no object each."""

MAX_VIEWS = 64
"""Blocks handed to one system call; the kernel takes 1024 (IOV_MAX), past 64 nothing is gained."""

MESSAGE_OVERHEAD = 64
"""What a message of a whole buffer occupies beside its bytes: a header of 33, a place in a list and
what allocators round up. Else the smallest messages would cost fifty times what is counted."""

Block = bytes | memoryview


class _Empty(bytes):
    __slots__ = ()

    def __len__(self) -> int:
        return 1


EMPTY: bytes = _Empty()
"""A message of no bytes, as a block of a whole buffer. It holds nothing for the system to send, and
everywhere else it counts as one byte: something that is waited for, sent, and done with."""


class Slab(bytearray):
    """The storage of large blocks: `refs` counts the blocks that show it."""

    __slots__ = ("refs",)
    refs: int


class Memory:
    """The budget of all buffers of one engine, and its pool of slabs.

    `used` counts what the blocks of its buffers occupy. Reading pauses while `spent`.
    """

    __slots__ = ("_free", "budget", "limit", "resume_below", "scratch", "used")

    def __init__(self, budget: int) -> None:
        self.set_budget(budget)
        self.used = 0
        self._free: list[Slab] = []
        self.scratch = self._view()
        """A slab to read into: small reads are copied out of it, large ones take it along."""

    def set_budget(self, budget: int) -> None:
        """Let there be so much from now on."""
        self.budget = budget
        self.limit = budget - budget // RESERVE
        """Where it is spent: what is left of the budget is for those who hold next to nothing."""
        self.resume_below = budget * 3 // 4
        """Below that it is not spent any more: at the brim reading would only swing."""

    @property
    def spent(self) -> bool:
        """Whether nothing more may be read for now."""
        return self.used >= self.limit

    def take_scratch(self) -> memoryview:
        """The scratch slab goes to a buffer; there is a fresh one."""
        taken = self.scratch
        self.scratch = self._view()
        return taken

    def _view(self) -> memoryview:
        slab = self._free.pop() if self._free else Slab(SLAB)
        slab.refs = 0
        return memoryview(slab)

    def drop(self, block: Block) -> None:
        """A buffer has done with a block."""
        if type(block) is memoryview and type(block.obj) is Slab:
            slab = block.obj
            slab.refs -= 1
            if slab.refs <= 0 and len(self._free) < 16:  # 4 MiB: what a few bulk flows need
                self._free.append(slab)


def _capacity(block: Block) -> int:
    return len(block.obj) if type(block) is memoryview else len(block)  # type: ignore[arg-type]


class IOBuffer:
    """A sequence of bytes between one writer and its readers.

    Full: it occupies `water_mark` bytes or more; the producer sleeps until a consumer reenables
    it. It then holds at most `water_mark` plus one slab. Bytes written while there is no reader
    are gone: make the reader first (Traffic Server's rule).

    A `message_oriented` buffer holds messages: each write is one block, and stays one.
    """

    __slots__ = (
        "_behind",
        "_first",
        "block_overhead",
        "blocks",
        "held",
        "memory",
        "message_oriented",
        "readers",
        "water_mark",
        "written",
    )

    def __init__(
        self, memory: Memory, water_mark: int = SLAB, *, message_oriented: bool = False
    ) -> None:
        self.memory = memory
        self.message_oriented = message_oriented
        self.block_overhead = MESSAGE_OVERHEAD if message_oriented else 0
        """What each block occupies beside its bytes."""
        self.water_mark = water_mark
        self.blocks: list[Block] = []
        self.held = 0
        """Bytes that its blocks occupy."""
        self.written = 0
        """Bytes ever written."""
        self.readers: dict[Reader, None] = {}
        """Who is in it: to be looked at, not touched."""
        self._first = 0  # the number of blocks[0] in the sequence of all blocks
        self._behind = 0  # how many readers have not passed blocks[0]

    def __repr__(self) -> str:
        return f"<IOBuffer held={self.held} readers={len(self.readers)}>"

    @property
    def room(self) -> int:
        """How many bytes may be read into it before it is full; 0 when it is."""
        return max(self.water_mark - self.held, 0)

    @property
    def full(self) -> bool:
        """Whether nothing more should be put into it."""
        return self.held >= self.water_mark

    def reader(self) -> Reader:
        """A new reader, at the end: it sees what is written from now on."""
        return self._join(Reader(self, self._first + len(self.blocks), 0, self.written))

    def write(self, data: bytes) -> None:
        """Append; nothing, if there are no bytes: a message without any is EMPTY.

        It ignores the water mark: who writes by hand controls the flow by hand.

        Raises TypeError for what is not bytes: here, not in the driver when it is to be sent.
        """
        if type(data) is not bytes and not (data is EMPTY and self.message_oriented):
            data = bytes(memoryview(data))
        if not data or not self.readers:
            self.written += len(data)
            return
        blocks = self.blocks
        size = len(data)
        if (
            len(blocks) > 1
            and size + len(blocks[-1]) <= MERGE
            and type(blocks[-1]) is bytes
            and not self.message_oriented
        ):
            # Never the first block: whoever has passed it is no longer counted behind it.
            end = self._first + len(blocks)
            for reader in self.readers:
                if reader._block == end:  # it has passed the block that grows now
                    reader._block -= 1
                    reader._offset = len(blocks[-1])
            blocks[-1] += data
            self.held += size
            self.written += size
            self.memory.used += size
        else:
            self._append(data, size, size)

    def append_read(self, data: Block, memory: Memory) -> None:
        """Append what a driver has read: `bytes`, or a view of that memory's scratch.

        A large view takes the slab along; a small one is copied out of it.
        """
        if (
            type(data) is memoryview
            and len(data) > COPY_OUT
            and self.readers
            and not self.message_oriented
        ):
            memory.take_scratch()
            self._share(data)
        else:
            self.write(bytes(data) if type(data) is memoryview else data)

    def write_from(self, reader: Reader, count: int) -> None:
        """Append `count` bytes that another buffer's reader has before it, by reference.

        The reader does not move. Both buffers count the blocks that they now share.
        """
        if not self.readers:
            self.written += count
            return
        for view in reader.views(count, max_views=None):
            if type(view) is memoryview and type(view.obj) is Slab and len(view) > COPY_OUT:
                self._share(view)
            else:
                self.write(bytes(view))

    def _share(self, block: memoryview) -> None:
        slab = block.obj
        assert type(slab) is Slab
        slab.refs += 1
        self._append(block, len(block), len(slab))

    def _append(self, block: Block, size: int, capacity: int) -> None:
        if not self.blocks:
            self._behind = len(self.readers)
        self.blocks.append(block)
        capacity += self.block_overhead
        self.held += capacity
        self.written += size
        self.memory.used += capacity

    def compact(self) -> None:
        """Copy what came last out of its slab, unless it fills it: somebody needs it for a time.

        So the buffer occupies little more than its bytes. No views of it may be in use.
        """
        block = self.blocks[-1] if self.blocks else b""
        waste = _capacity(block) - len(block)
        if waste > COPY_OUT:
            self.blocks[-1] = bytes(block)
            self.held -= waste
            self.memory.used -= waste
            self.memory.drop(block)

    def __del__(self) -> None:
        # A forgotten buffer holds no memory any more; its owner should have closed the readers.
        self.memory.used -= self.held

    def _join(self, reader: Reader) -> Reader:
        self.readers[reader] = None
        if self.blocks and reader._block == self._first:
            self._behind += 1
        return reader

    def _take_only(self) -> bytes | None:
        """Give away the only block to the only reader: a small message costs no copy then."""
        blocks = self.blocks
        if len(blocks) != 1 or len(self.readers) != 1:
            return None
        block = blocks[0]
        if type(block) is not bytes:
            return None
        blocks.clear()
        self._first += 1
        self._behind = 0
        size = len(block) + self.block_overhead
        self.held -= size
        self.memory.used -= size
        return block

    def _passed_first(self) -> None:
        """One more reader has passed the first block: drop the blocks that nobody needs."""
        self._behind -= 1
        blocks = self.blocks
        while blocks and self._behind == 0:
            block = blocks.pop(0)
            capacity = _capacity(block) + self.block_overhead
            self.held -= capacity
            self.memory.used -= capacity
            self.memory.drop(block)
            self._first += 1
            first = self._first
            self._behind = sum(reader._block == first for reader in self.readers) if blocks else 0


class Reader:
    """A consumer's place in an IOBuffer. What lies before it stays until it is consumed."""

    __slots__ = ("_block", "_offset", "buffer", "position")

    def __init__(self, buffer: IOBuffer, block: int, offset: int, position: int) -> None:
        self.buffer = buffer
        self._block = block
        self._offset = offset
        self.position = position
        """Bytes of the buffer's whole sequence that lie behind it."""

    def __repr__(self) -> str:
        return f"<Reader avail={self.avail}>"

    @property
    def avail(self) -> int:
        """Bytes written and not yet consumed here."""
        return self.buffer.written - self.position

    @property
    def blocks(self) -> int:
        """How many blocks lie before it, with the rest of one that has been begun."""
        return self.buffer._first + len(self.buffer.blocks) - self._block

    @property
    def occupied(self) -> int:
        """Bytes that what lies before it occupies: `avail`, and what whole messages take apart."""
        return self.avail + self.blocks * self.buffer.block_overhead

    @property
    def begun(self) -> int:
        """Bytes consumed of the block that comes next."""
        return self._offset

    def clone(self) -> Reader:
        """Another reader at the same place."""
        return self.buffer._join(Reader(self.buffer, self._block, self._offset, self.position))

    def views(self, limit: int, max_views: int | None = MAX_VIEWS) -> list[Block]:
        """What comes next, uncopied: at most `limit` bytes. Valid until it is consumed."""
        blocks = self.buffer.blocks
        if len(blocks) == 1 and not self._offset and len(blocks[0]) <= limit:
            return blocks[self._block - self.buffer._first :]
        index = self._block - self.buffer._first
        end = len(blocks) if max_views is None else index + max_views
        views: list[Block] = blocks[index:end]
        if self._offset and views:
            views[0] = memoryview(views[0])[self._offset :]
        total = 0
        for index, view in enumerate(views):
            total += len(view)
            if total >= limit:
                del views[index + 1 :]
                if total > limit:
                    views[index] = memoryview(view)[: len(view) - (total - limit)]
                    if not len(views[index]):
                        del views[index]
                break
        return views

    def batch(self, limit: int) -> list[Block]:
        """The next blocks, uncopied: the first, and more as long as all are `limit` bytes at most.

        Valid until it is consumed.
        """
        blocks = self.buffer.blocks
        start = end = self._block - self.buffer._first
        size = -self._offset
        while end < len(blocks):
            size += len(blocks[end])
            if size > limit and end > start:
                break
            end += 1
        batch = blocks[start:end]
        if self._offset and batch:
            batch[0] = memoryview(batch[0])[self._offset :]
        return batch

    def drop(self, limit: int, keep: int = 0) -> int:
        """Pass whole blocks until at most `limit` bytes are occupied, or `keep` blocks are left:
        how many were passed."""
        dropped = 0
        while self.blocks > keep and self.occupied > limit:
            self.consume(self.next_size)
            dropped += 1
        return dropped

    def peek(self, limit: int | None = None) -> bytes:
        """Copy what comes next, at most `limit` bytes, without consuming it."""
        return b"".join(self.views(self.avail if limit is None else limit, max_views=None))

    def read(self, limit: int | None = None) -> bytes:
        """Copy what comes next, at most `limit` bytes, and consume it."""
        if limit is None and not self._offset and self._block == self.buffer._first:
            whole = self.buffer._take_only()
            if whole is not None:
                self._block += 1
                self.position += len(whole)
                return whole
        views = self.views(self.avail if limit is None else limit, max_views=None)
        data = b"".join(views)
        self.consume(sum(map(len, views)))
        return data

    @property
    def next_size(self) -> int:
        """Bytes of the next block, or of the rest of it. There is one."""
        return len(self.buffer.blocks[self._block - self.buffer._first]) - self._offset

    def read_block(self) -> bytes:
        """Consume the next block, or the rest of it, and return it: of a whole buffer, a message.

        There is one. EMPTY is returned as b"".
        """
        block = self.buffer.blocks[self._block - self.buffer._first]
        data = bytes(memoryview(block)[self._offset :]) if self._offset else bytes(block)
        self.consume(self.next_size)
        return data

    def find(self, pattern: bytes, start: int = 0) -> int:
        """Offset of the first `pattern` at or after `start`, counted from here; -1 if none."""
        return self.peek().find(pattern, start)

    def consume(self, count: int) -> None:
        """Go on by `count` bytes. Raises ValueError if that is more than there are."""
        buffer = self.buffer
        left = buffer.written - self.position - count
        if left == 0 and not self._offset and buffer._take_only() is not None:
            self._block += 1
            self.position += count
            return
        if left < 0:
            raise ValueError(f"consume({count}): only {self.avail} bytes are available")
        self.position += count
        offset = self._offset + count
        while count:
            index = self._block - buffer._first
            size = len(buffer.blocks[index])
            if offset < size:
                break
            offset -= size
            self._block += 1
            if index == 0:
                buffer._passed_first()
            count = offset
        self._offset = offset

    def close(self) -> None:
        """Leave the buffer: what only this reader still needed is dropped. Twice is harmless."""
        buffer = self.buffer
        if self in buffer.readers:
            del buffer.readers[self]
            behind, self._block = self._block, -1
            self.position = buffer.written
            if buffer.blocks and behind == buffer._first:
                buffer._passed_first()
