"""IOBuffer: one writer, any number of readers, blocks by reference.

A reader is a position in the sequence of blocks; a block is kept until the slowest reader has
passed it. Memory is counted by what blocks occupy, not by the bytes in them.
"""

from __future__ import annotations

from typing import cast

from vcproxy.engine.blocks import COPY_OUT, EMPTY, SLAB, Block, Memory, Slab, capacity, part
from vcproxy.engine.file_range import FileRange

WATER_MARK = 64 * 1024
"""Bytes that a buffer occupies at most, unless it is made with another water mark: the cost of a
peer that does not read. Larger reads than this move no more (measured), and bridges need none."""

MERGE = 4096
"""Small neighbours are merged up to this size, so that single-byte writes cost no object each."""

MAX_VIEWS = 64
"""Most blocks in one system call: the kernel takes 1024 (IOV_MAX), more than 64 gain nothing."""

MESSAGE_OVERHEAD = 64
"""Memory of a message in addition to its bytes: an object header of 33 bytes, a list entry, and
rounding by allocators. Without it the smallest messages would cost fifty times the counted
memory."""


class IOBuffer:
    """A sequence of bytes between one writer and its readers.

    It is full when it occupies `water_mark` bytes or more: the producer then pauses until a
    consumer reenables it. It occupies at most `water_mark` plus one slab. Bytes written while there
    is no reader are lost: make the reader first (Traffic Server's rule).

    A `message_oriented` buffer holds messages: each write is one block and is never merged.
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
        """Bytes that each block occupies in addition to its contents."""
        self.water_mark = water_mark
        self.blocks: list[Block] = []
        self.held = 0
        """Bytes that the blocks of this buffer occupy."""
        self.written = 0
        """Bytes ever written."""
        # nearly always one; a dict with one entry takes 224 bytes
        self.readers: tuple[Reader, ...] = ()
        """The readers of this buffer. Other objects must not change this."""
        self._first = 0  # the number of blocks[0] in the sequence of all blocks
        self._behind = 0  # how many readers have not passed blocks[0]

    def __repr__(self) -> str:
        return f"<IOBuffer held={self.held} readers={len(self.readers)}>"

    @property
    def room(self) -> int:
        """How many bytes may be read into the buffer before it is full; 0: it is full."""
        return max(self.water_mark - self.held, 0)

    @property
    def full(self) -> bool:
        """Whether the producer must pause."""
        return self.held >= self.water_mark

    def reader(self) -> Reader:
        """Return a new reader at the end: it gets the bytes that are written from now on."""
        reader = Reader(self, self._first + len(self.blocks), 0, self.written)
        self.readers += (reader,)
        return reader

    def write(self, data: bytes) -> None:
        """Append bytes; b"" appends nothing, EMPTY appends a message of no bytes.

        The water mark is not checked: a caller that writes directly does its own flow control.

        Raises TypeError for anything but bytes-like data, so that it does not fail in the driver.
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
            # Never grow the first block: readers past its end are already counted as done with it.
            end = self._first + len(blocks)
            for reader in self.readers:
                if reader._block == end:  # the reader has passed the block that grows
                    reader._block -= 1
                    reader._offset = len(blocks[-1])
            blocks[-1] += data
            self.held += size
            self.written += size
            self.memory.used += size
        else:
            self._append(data, size, size)

    def append_read(self, data: Block, memory: Memory) -> None:
        """Append what a driver has read: `bytes`, or a view of the scratch slab of `memory`.

        A large view is kept together with its slab; a small one is copied out of it.
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

    def write_range(self, piece: FileRange) -> None:
        """Append a range of a file, which occupies no memory. Only `views` and `consume` of the
        buffer's readers may be used until it is sent."""
        if self.readers:
            self._append(cast("Block", piece), len(piece), 0)
        else:
            self.written += len(piece)

    def write_from(self, reader: Reader, count: int) -> None:
        """Append the next `count` bytes of another buffer's reader, by reference.

        The reader does not move. Both buffers count the blocks that they then share.
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

    def _append(self, block: Block, size: int, occupied: int) -> None:
        if not self.blocks:
            self._behind = len(self.readers)
        self.blocks.append(block)
        occupied += self.block_overhead
        self.held += occupied
        self.written += size
        self.memory.used += occupied

    def compact(self) -> None:
        """Copy the last block out of its slab, unless it fills the slab; for data kept for long.

        The buffer then occupies little more than its bytes. No views of it may be in use.
        """
        block = self.blocks[-1] if self.blocks else b""
        waste = capacity(block) - len(block)
        if waste > COPY_OUT:
            self.blocks[-1] = bytes(block)
            self.held -= waste
            self.memory.used -= waste
            self.memory.drop(block)

    def __del__(self) -> None:
        # A buffer that is collected frees its memory; its owner should have closed the readers.
        self.memory.used -= self.held

    def _join(self, reader: Reader) -> Reader:
        self.readers += (reader,)
        if self.blocks and reader._block == self._first:
            self._behind += 1
        return reader

    def _take_only(self) -> bytes | None:
        """Remove and return the only block for the only reader: a small message is not copied."""
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
        """Count a reader that has passed the first block; drop the blocks that all have passed."""
        self._behind -= 1
        blocks = self.blocks
        while blocks and self._behind == 0:
            block = blocks.pop(0)
            occupied = capacity(block) + self.block_overhead
            self.held -= occupied
            self.memory.used -= occupied
            self.memory.drop(block)
            self._first += 1
            first = self._first
            self._behind = sum(reader._block == first for reader in self.readers) if blocks else 0


class Reader:
    """A consumer's position in an IOBuffer. The bytes from there on are kept until consumed."""

    __slots__ = ("_block", "_offset", "buffer", "position")

    def __init__(self, buffer: IOBuffer, block: int, offset: int, position: int) -> None:
        self.buffer = buffer
        self._block = block
        self._offset = offset
        self.position = position
        """Bytes of the buffer's whole sequence that it has consumed."""

    def __repr__(self) -> str:
        return f"<Reader avail={self.avail}>"

    @property
    def avail(self) -> int:
        """Bytes written that this reader has not consumed."""
        return self.buffer.written - self.position

    @property
    def blocks(self) -> int:
        """Blocks that this reader has not consumed, a partly consumed one included."""
        return self.buffer._first + len(self.buffer.blocks) - self._block

    @property
    def occupied(self) -> int:
        """Bytes that the unconsumed blocks occupy: `avail`, and the overhead of messages."""
        return self.avail + self.blocks * self.buffer.block_overhead

    @property
    def begun(self) -> int:
        """Bytes of the next block that are already consumed."""
        return self._offset

    def clone(self) -> Reader:
        """Return another reader at the same position."""
        return self.buffer._join(Reader(self.buffer, self._block, self._offset, self.position))

    def views(self, limit: int, max_views: int | None = MAX_VIEWS) -> list[Block]:
        """Return the next bytes, uncopied: at most `limit` of them. Valid until consumed."""
        blocks = self.buffer.blocks
        if len(blocks) == 1 and not self._offset and len(blocks[0]) <= limit:
            return blocks[self._block - self.buffer._first :]
        index = self._block - self.buffer._first
        end = len(blocks) if max_views is None else index + max_views
        views: list[Block] = blocks[index:end]
        if self._offset and views:
            views[0] = part(views[0], self._offset)
        total = 0
        for index, view in enumerate(views):
            total += len(view)
            if total >= limit:
                del views[index + 1 :]
                if total > limit:
                    views[index] = part(view, 0, len(view) - (total - limit))
                    if not len(views[index]):
                        del views[index]
                break
        return views

    def batch(self, limit: int) -> list[Block]:
        """Return the next blocks, uncopied: the first, and more while the sum is within `limit`.

        Valid until consumed.
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
        """Consume whole blocks until at most `limit` bytes are occupied or `keep` blocks are left.

        Return how many were consumed.
        """
        dropped = 0
        while self.blocks > keep and self.occupied > limit:
            self.consume(self.next_size)
            dropped += 1
        return dropped

    def peek(self, limit: int | None = None) -> bytes:
        """Return a copy of the next bytes, at most `limit`, without consuming them."""
        blocks = self.buffer.blocks
        if limit is None and len(blocks) == 1 and not self._offset and type(blocks[0]) is bytes:
            return blocks[0] if self._block == self.buffer._first else b""
        return b"".join(self.views(self.avail if limit is None else limit, max_views=None))

    def read(self, limit: int | None = None) -> bytes:
        """Return a copy of the next bytes, at most `limit`, and consume them."""
        if limit is None and not self._offset and self._block == self.buffer._first:
            only = self.buffer._take_only()
            if only is not None:
                self._block += 1
                self.position += len(only)
                return only
        views = self.views(self.avail if limit is None else limit, max_views=None)
        data = b"".join(views)
        self.consume(sum(map(len, views)))
        return data

    @property
    def next_size(self) -> int:
        """Bytes of the next block, or of the rest of it. There must be one."""
        return len(self.buffer.blocks[self._block - self.buffer._first]) - self._offset

    def read_block(self) -> bytes:
        """Consume and return the next block, or the rest of it: a message, in such a buffer.

        There must be one. EMPTY is returned as b"".
        """
        block = self.buffer.blocks[self._block - self.buffer._first]
        data = bytes(memoryview(block)[self._offset :]) if self._offset else bytes(block)
        self.consume(self.next_size)
        return data

    def find(self, pattern: bytes, start: int = 0) -> int:
        """Return the offset of the first `pattern` at or after `start`, from here; -1 if none."""
        return self.peek().find(pattern, start)

    def consume(self, count: int) -> None:
        """Advance by `count` bytes. Raises ValueError if fewer are available."""
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
        """Leave the buffer; blocks that only this reader needed are dropped. May be repeated."""
        buffer = self.buffer
        if self in buffer.readers:
            buffer.readers = tuple(each for each in buffer.readers if each is not self)
            behind, self._block = self._block, -1
            self.position = buffer.written
            if buffer.blocks and behind == buffer._first:
                buffer._passed_first()
