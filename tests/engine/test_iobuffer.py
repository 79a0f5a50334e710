"""IOBuffer against plain bytes."""

import gc

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from vcproxy.engine.blocks import COPY_OUT, EMPTY, SLAB, Memory
from vcproxy.engine.iobuffer import MAX_VIEWS, MERGE, IOBuffer, Reader

small = st.integers(0, 40).map(lambda n: bytes(range(n)))
sizes = st.one_of(st.integers(0, 30), st.integers(0, 2 * SLAB))


class Slabs:
    """Fills each slab with different bytes, so that a slab that is reused too early is detected."""

    def __init__(self) -> None:
        self.n = 0

    def fill(self, memory: Memory, count: int) -> tuple[memoryview, bytes]:
        """Read into a slab, as a driver does."""
        self.n += 1
        data = self.n.to_bytes(4, "big") * (count // 4 + 1)
        memory.scratch[:count] = data[:count]
        return memory.scratch[:count], data[:count]


class Model(RuleBasedStateMachine):
    """Two buffers of one Memory with any number of readers, compared with bytes objects."""

    readers = Bundle("readers")

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory(1 << 20)
        self.buffers = (IOBuffer(self.memory), IOBuffer(self.memory))
        self.ahead: dict[Reader, bytes] = {}
        self.written = dict.fromkeys(self.buffers, 0)
        self.slabs = Slabs()

    def _appended(self, buffer: IOBuffer, data: bytes) -> None:
        self.written[buffer] += len(data)
        for reader in self.ahead:
            if reader.buffer is buffer:
                self.ahead[reader] += data

    @rule(target=readers, which=st.integers(0, 1))
    def join(self, which: int) -> Reader:
        reader = self.buffers[which].reader()
        self.ahead[reader] = b""
        return reader

    @rule(target=readers, reader=readers)
    def clone(self, reader: Reader) -> Reader:
        twin = reader.clone()
        self.ahead[twin] = self.ahead[reader]
        return twin

    @rule(which=st.integers(0, 1), data=small)
    def write(self, which: int, data: bytes) -> None:
        self.buffers[which].write(data)
        self._appended(self.buffers[which], data)

    @rule(which=st.integers(0, 1), count=st.integers(1, SLAB))
    def keep(self, which: int, count: int) -> None:
        slab, data = self.slabs.fill(self.memory, count)
        self.buffers[which].append_read(slab, self.memory)
        self._appended(self.buffers[which], data)

    @rule(reader=readers, count=sizes)
    def write_from(self, reader: Reader, count: int) -> None:
        count = min(count, reader.avail)
        other = self.buffers[reader.buffer is self.buffers[0]]
        other.write_from(reader, count)
        self._appended(other, self.ahead[reader][:count])

    @rule(reader=readers, count=sizes)
    def consume(self, reader: Reader, count: int) -> None:
        count = min(count, reader.avail)
        reader.consume(count)
        self.ahead[reader] = self.ahead[reader][count:]

    @rule(reader=readers, count=sizes)
    def read(self, reader: Reader, count: int) -> None:
        assert reader.read(count) == self.ahead[reader][:count]
        self.ahead[reader] = self.ahead[reader][count:]

    @rule(reader=readers)
    def consume_too_much(self, reader: Reader) -> None:
        with pytest.raises(ValueError, match="only"):
            reader.consume(reader.avail + 1)

    @rule(reader=readers, limit=sizes)
    def views(self, reader: Reader, limit: int) -> None:
        views = reader.views(limit)
        joined = b"".join(views)
        assert len(views) <= MAX_VIEWS
        assert joined == self.ahead[reader][:limit][: len(joined)]
        assert len(joined) == min(limit, reader.avail) or len(views) == MAX_VIEWS
        assert all(len(view) for view in views)

    @rule(reader=readers, pattern=st.binary(min_size=1, max_size=3), start=st.integers(0, 50))
    def find(self, reader: Reader, pattern: bytes, start: int) -> None:
        assert reader.find(pattern, start) == self.ahead[reader].find(pattern, start)

    @rule(reader=consumes(readers))
    def leave(self, reader: Reader) -> None:
        reader.close()
        reader.close()
        del self.ahead[reader]

    @invariant()
    def each_reader_sees_its_own(self) -> None:
        for reader, ahead in self.ahead.items():
            assert reader.avail == len(ahead)
            assert reader.peek() == ahead

    @invariant()
    def what_is_counted_is_what_is_there(self) -> None:
        for buffer in self.buffers:
            capacities = [
                len(block) if isinstance(block, bytes) else SLAB for block in buffer.blocks
            ]
            assert buffer.held == sum(capacities)
            assert buffer.written == self.written[buffer]
            longest = max((len(a) for r, a in self.ahead.items() if r.buffer is buffer), default=0)
            assert bool(buffer.blocks) == bool(longest)
            assert buffer.room == max(buffer.water_mark - buffer.held, 0)
        assert self.memory.used == sum(buffer.held for buffer in self.buffers)
        assert self.memory.spent == (self.memory.used >= 1 << 20)

    def teardown(self) -> None:
        for reader in self.ahead:
            reader.close()
        assert self.memory.used == 0
        assert [buffer.blocks for buffer in self.buffers] == [[], []]


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=100, stateful_step_count=30)


def test_a_slab_is_reused() -> None:
    memory = Memory(1 << 20)
    buffer = IOBuffer(memory)
    reader = buffer.reader()
    first = memory.scratch
    buffer.append_read(first, memory)
    assert memory.take_scratch().obj is not first.obj
    reader.consume(SLAB)
    memory.take_scratch()
    assert memory.scratch.obj is first.obj


def test_a_shared_slab_is_reused_when_no_block_uses_it() -> None:
    memory = Memory(1 << 20)
    one, two = IOBuffer(memory), IOBuffer(memory)
    mine, yours = one.reader(), two.reader()
    slab = memory.scratch
    one.append_read(slab, memory)
    two.write_from(mine, SLAB)
    assert memory.used == 2 * SLAB
    mine.consume(SLAB)
    memory.take_scratch()
    assert memory.scratch.obj is not slab.obj
    yours.consume(SLAB)
    memory.take_scratch()
    assert memory.scratch.obj is slab.obj


def test_a_small_part_of_a_slab_is_copied() -> None:
    memory = Memory(1 << 20)
    one, two = IOBuffer(memory), IOBuffer(memory)
    mine = one.reader()
    two.reader()
    one.append_read(memory.scratch, memory)
    two.write_from(mine, COPY_OUT)
    assert two.held == COPY_OUT


def test_small_writes_are_merged() -> None:
    buffer = IOBuffer(Memory(1 << 20))
    reader = buffer.reader()
    for n in range(3 * MERGE):
        buffer.write(bytes([n % 256]))
    assert len(buffer.blocks) == 4  # the first write has a block of its own
    assert reader.read() == bytes(n % 256 for n in range(3 * MERGE))


def test_small_writes_are_merged_for_a_fast_reader_beside_a_slow_one() -> None:
    buffer = IOBuffer(Memory(1 << 20))
    slow, fast = buffer.reader(), buffer.reader()
    for n in range(1000):
        buffer.write(bytes([n % 256]))
        assert fast.read() == bytes([n % 256])
    assert len(buffer.blocks) == 2
    assert slow.read() == bytes(n % 256 for n in range(1000))


def test_bytes_written_without_a_reader_are_lost() -> None:
    memory = Memory(1 << 20)
    buffer = IOBuffer(memory)
    buffer.write(b"no reader")
    reader = buffer.reader()
    buffer.write(b"this")
    assert reader.read() == b"this"
    assert memory.used == 0


def test_full_depends_on_what_is_occupied() -> None:
    memory = Memory(1 << 20)
    buffer = IOBuffer(memory, water_mark=100)
    reader = buffer.reader()
    buffer.write(b"x" * 60)
    assert buffer.room == 40
    buffer.write(b"y" * 60)
    assert buffer.room == 0
    reader.consume(30)
    assert buffer.room == 0, "a block counts until all of it is consumed"
    reader.consume(30)
    assert buffer.room == 40


def test_a_collected_buffer_frees_its_memory() -> None:
    memory = Memory(1 << 20)
    buffer = IOBuffer(memory)
    reader = buffer.reader()
    buffer.write(b"forgotten")
    assert memory.used == 9
    del reader, buffer
    gc.collect()
    assert memory.used == 0


def test_a_small_message_is_read_without_a_copy() -> None:
    memory = Memory(1 << 20)
    buffer = IOBuffer(memory)
    reader = buffer.reader()
    message = bytes(200)
    for _ in range(3):
        buffer.write(message)
        assert reader.read() is message
        assert (buffer.held, memory.used, reader.avail) == (0, 0, 0)


def test_only_a_message_oriented_buffer_has_empty_messages() -> None:
    memory = Memory(1 << 20)
    whole, stream = IOBuffer(memory, message_oriented=True), IOBuffer(memory)
    reader, other = whole.reader(), stream.reader()
    for data in (b"", EMPTY, b"a", EMPTY):
        whole.write(data)
        stream.write(data)
    whole.append_read(EMPTY, memory)
    assert (reader.avail, reader.blocks) == (4, 4)
    assert [reader.read_block() for _ in range(4)] == [b"", b"a", b"", b""]
    assert (reader.avail, other.avail) == (0, 1)
    for data in (EMPTY, b"ab", EMPTY):
        whole.write(data)
    assert reader.read() == b"ab"
    assert reader.avail == 0
    assert other.read() == b"a"
    assert memory.used == 0
